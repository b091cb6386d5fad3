"""Checklists and runbooks as data, and how their commands are rendered."""
