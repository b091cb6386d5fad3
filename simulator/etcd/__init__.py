"""etcd on loopback: members that say over gRPC and HTTP what a tape says. gRPC is imported when they start."""
