"""The log of an incident: what happened in order, who did what, kept on disk as it happens, told again afterwards."""
