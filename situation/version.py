"""The version of Midwatch, here and nowhere else: the build reads it from this file."""

VERSION = "0.1.0"
USER_AGENT = f"midwatch/{VERSION}"
"""How Midwatch names itself to servers."""
