"""The version of Midwatch, here and nowhere else: the build reads it from this file."""

from typing import Final

VERSION = "0.1.0"
USER_AGENT: Final = f"midwatch/{VERSION}"
"""How Midwatch names itself to servers."""
