"""etcd, asked member by member and directly: it must be seen when the API server is not."""
