"""Imports the official client, without what of it is not used."""

import importlib.util
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


def import_client() -> None:
    """Import the two modules that are used; most of a second, so it is done in a thread: the first paint need not wait.

    The packages around them import the synchronous client, the dynamic one and, with the generated API classes,
    pydantic: twice the time and 20 MB more. Bare packages and an empty module stand in for these; should another
    version of the client not do without them, it is imported as it is.
    """
    known = {name for name in sys.modules if name.split(".")[0] == "kubernetes"}
    try:
        if not known:
            _stand_in()
        if "aiohttp" not in sys.modules:
            with _no_authorities():
                import_module("aiohttp")
        import kubernetes.aio.client.rest
        import kubernetes.aio.config
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "kubernetes" and name not in known]:
            del sys.modules[name]
        import kubernetes.aio.client.rest
        import kubernetes.aio.config  # noqa: F401


@contextmanager
def _no_authorities() -> Iterator[None]:
    """Keep aiohttp from loading all CAs of this machine twice while it is imported: a tenth of a second.

    What it makes then is for requests without a context of their own, which we never send: they would trust nobody.
    So would a context that another thread makes meanwhile. There is none: this comes before all other sources.
    """
    ssl.SSLContext.set_default_verify_paths = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the inherited one is back


def _stand_in() -> None:
    """Put bare packages in the places of `kubernetes` and `kubernetes.aio`; what is below them is found as always."""
    for name in ("kubernetes", "kubernetes.aio"):
        found = importlib.util.find_spec(name)
        if found is None or found.submodule_search_locations is None:
            raise ImportError(name)
        package = ModuleType(name)
        package.__path__ = list(found.submodule_search_locations)
        sys.modules[name] = package
    unused = ModuleType("kubernetes.aio.client.api_client")
    unused.ApiClient = object  # type: ignore[attr-defined]  # kube_config.py names it and makes one only on request
    sys.modules[unused.__name__] = unused
