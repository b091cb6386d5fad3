"""Collectors: each reads one source and yields readings; the runner owns cadence, back-off and cancellation."""
