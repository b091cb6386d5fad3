"""What is wrong with the connection to the API server as a whole: told in the header, and to who records."""

from situation.kinds import WATCHED
from situation.readings import SourceState
from situation.situation import Situation
from tui.local import NOT_READ


def connection_problem(situation: Situation) -> str:
    """Return what is wrong with the connection as a whole, or the empty string."""
    tried = [situation.source(kind.name) for kind in WATCHED]
    for state, text in (
        (SourceState.UNAUTHORIZED, "credentials refused"),
        (SourceState.UNREACHABLE, "API server unreachable"),
    ):
        failing = [source for source in tried if source.state is state]
        if len(failing) * 2 > len(tried):
            return text
    return "no credentials: the API server is not asked" if all(item.error == NOT_READ for item in tried) else ""


def first_error(situation: Situation) -> str:
    """Return what the first kind of objects that cannot be read says of it, empty if all can."""
    return next((source.error for kind in WATCHED if (source := situation.source(kind.name)).error), "")
