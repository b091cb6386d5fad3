"""Playbooks as data: format and loader, automatic checks, and how their commands are filled and rendered."""
