"""What the GPUs themselves say: NVML on this host, DCGM exporters, Prometheus."""
