"""What is known of the GPUs: the operator's chain on each node, and the devices."""
