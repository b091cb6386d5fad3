"""What can go wrong with a source, as one tree; foreign exceptions are mapped to it where they arise.

SourceError
├── UnreachableError        no connection, no answer in time, an answer that breaks off, a 5xx
│   ├── BadAnswerError      an answer that is not the API's: a web page, garbage, a TLS or proxy failure
│   ├── RefusedError        another 4xx: the server does not take this request as it is
│   ├── ThrottledError      429: asked to wait
│   └── ExpiredError        410: the resource version is too old; start from a new list
├── UnauthorizedError       401, or no usable credentials
├── ForbiddenError          403
│   └── WatchForbiddenError the watch is; a list may be allowed
├── AbsentError             404: the server has no such thing
└── ConfigurationError      kubeconfig, files, arguments: the user has to change something
    ├── NoKubeconfigError   there is none where one is looked for
    └── DumpError           a dump that cannot be read
"""

from typing import Final

from situation.readings import SourceState

FORBIDDEN_RETRY_S: Final = 60.0
"""Rights are granted by people; asking more often only fills the audit log."""
ABSENT_RETRY_S: Final = 300.0


class SourceError(Exception):
    """A source cannot be read; the message is for people and says what to do.

    `retry_after_s`: seconds to wait at least before the next try, None for the runner's back-off alone.
    """

    state = SourceState.UNREACHABLE
    status = 0
    """HTTP status that it stands for; 0: it came without one."""
    body = b""
    """What came with that status."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(SourceError):
    """No connection, no answer in time, or an answer that says the server cannot."""


class BadAnswerError(UnreachableError):
    """Something answered, but not as the Kubernetes API does."""


class RefusedError(UnreachableError):
    """The server does not take the request as it is: 400, 406, 422 and the like."""


class ThrottledError(UnreachableError):
    """The server asked to wait (HTTP 429)."""


class ExpiredError(UnreachableError):
    """The resource version is too old (HTTP 410, or an ERROR event with that code)."""


class UnauthorizedError(SourceError):
    """The credentials are not accepted, or there are none that can be used."""

    state = SourceState.UNAUTHORIZED


class ForbiddenError(SourceError):
    """RBAC does not allow it."""

    state = SourceState.FORBIDDEN

    def __init__(self, message: str, retry_after_s: float | None = FORBIDDEN_RETRY_S) -> None:
        super().__init__(message, retry_after_s)


class WatchForbiddenError(ForbiddenError):
    """RBAC does not allow to watch it; it may allow to list it."""


class AbsentError(SourceError):
    """The server does not have it."""

    state = SourceState.ABSENT

    def __init__(self, message: str, retry_after_s: float | None = ABSENT_RETRY_S) -> None:
        super().__init__(message, retry_after_s)


class ConfigurationError(SourceError):
    """The user's configuration does not lead to a cluster; names the file, key or argument."""


class NoKubeconfigError(ConfigurationError):
    """No kubeconfig was named and none is in its usual places; this is no pod either."""


class DumpError(ConfigurationError):
    """A dump that cannot be read; names the file, and the line where it is known."""
