"""Playbooks as data: their format and loader, their automatic checks, and how their commands are filled and rendered."""
