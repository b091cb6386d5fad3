"""A Kubernetes API server on loopback that plays tapes and generated clusters: for the demo and the tests."""
