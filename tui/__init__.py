"""The application: command line, cockpit, and the wiring of everything below."""
