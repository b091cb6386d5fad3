"""etcd as its members tell it: types, what is kept of earlier answers, and what follows for the cluster."""
