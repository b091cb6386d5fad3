"""The API server's own measurements, its liveness without etcd, and the control plane's certificates."""
