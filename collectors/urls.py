"""URLs as they may be shown."""

from situation.text import harmless


def without_password(url: str) -> str:
    """Return `url` without user and password, for messages.

    What stands before an `@` is left out also where it cannot be told from a path, as a password may hold a `/`; an
    ellipsis stands for it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url  # HOST:PORT, as a proxy may be given, or a mistake that is told
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        shown = f"{authority.rpartition('@')[2]}{slash}{path}"
    else:
        shown = f"…@{rest.rpartition('@')[2]}" if "@" in rest else rest
    return harmless(f"{scheme}{separator}{shown}")
