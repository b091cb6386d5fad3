"""The Kubernetes API as a source: configuration, client, reflectors, polls."""
