"""Panes and small widgets: they render what they are given. No I/O, no thresholds, no rules."""
