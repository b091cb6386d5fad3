"""Tapes: recording and playing back what the sources said."""
