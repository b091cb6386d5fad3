"""URLs as they may be shown."""

from situation.text import harmless


def without_password(url: str) -> str:
    """Return `url` without user and password, for messages.

    What stands before an `@` is left out also where it cannot be told from a path: a password may hold a `/`.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url  # HOST:PORT, as a proxy may be given, or a mistake that is told
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        shown = f"{authority.rpartition('@')[2]}{slash}{path}"
    else:
        shown = rest.rpartition("@")[2]
    return harmless(f"{scheme}{separator}{shown}")
