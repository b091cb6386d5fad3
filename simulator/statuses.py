"""Status objects: how the API server says no. Wordings are those of a 1.36 server."""

from typing import Any, Final

from aiohttp import web

from situation.kinds import ObjectKind

USER: Final = "midwatch-demo"
EXPIRED_MESSAGE: Final = "The resourceVersion for the provided watch is too old."

Json = dict[str, Any]


class StatusError(Exception):
    """An answer that is a Status object."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = status(code, reason, message, **details)


def status(code: int, reason: str, message: str, **details: Any) -> Json:
    """Return a failed Status object."""
    made: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    made["reason"] = reason
    if details:
        made["details"] = details
    return {**made, "code": code}


def unauthorized() -> StatusError:
    """The answer to a missing or wrong token."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(kind: ObjectKind, verb: str, namespace: str, name: str = "", subresource: str = "") -> StatusError:
    """The answer of RBAC."""
    group = group_of(kind)
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    resource = f"{kind.resource}/{subresource}" if subresource else kind.resource
    message = (
        f'{subject} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" {scope}'
    )
    return StatusError(403, "Forbidden", message, **_details(kind, name))


def not_found(kind: ObjectKind, name: str) -> StatusError:
    """The answer for an object that does not exist."""
    qualified = f"{kind.resource}.{group_of(kind)}".rstrip(".")
    return StatusError(404, "NotFound", f'{qualified} "{name}" not found', **_details(kind, name))


def bad_request(message: str) -> StatusError:
    """The answer to parameters that cannot be read."""
    return StatusError(400, "BadRequest", message)


def unavailable(message: str) -> StatusError:
    """The answer for what cannot be reached from the API server."""
    return StatusError(503, "ServiceUnavailable", message)


def no_such_method() -> StatusError:
    """The answer to a verb that a resource does not know."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def expired(message: str = EXPIRED_MESSAGE) -> Json:
    """Status of a version that is not kept any more."""
    return status(410, "Expired", message)


def no_such_path() -> web.Response:
    """The plain-text answer for paths that no API serves."""
    return web.Response(status=404, text="404 page not found\n")


def group_of(kind: ObjectKind) -> str:
    """API group of a kind; empty for the core group."""
    return kind.group_version.rpartition("/")[0]


def _details(kind: ObjectKind, name: str) -> Json:
    details: Json = {"name": name} if name else {}
    if group := group_of(kind):
        details["group"] = group
    return {**details, "kind": kind.resource}
