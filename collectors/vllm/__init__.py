"""Reads model servers: vLLM first of all, and others by the metrics of equal meaning."""
