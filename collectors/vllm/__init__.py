"""What model servers say of themselves: vLLM and others that serve models over HTTP."""
