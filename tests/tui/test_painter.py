from datetime import timedelta

import pytest

from playbooks.commands import Target
from situation.kinds import WATCHED
from situation.meta import Ref
from situation.readings import Reading, SourceState
from tests.build import NOW, Manifest, pod
from tests.tui.cockpits import cluster_readings
from tui.attention import Attention
from tui.feed import Feed
from tui.painter import Painter, connection_problem
from widgets.evidence import Card

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
BROKEN = pod("search-1", phase="Pending", ready=False, container_status={"state": PULL})


def painter(*manifests: Manifest) -> tuple[Painter, Feed, Attention]:
    feed, attention = Feed(lambda: NOW), Attention()
    for reading in cluster_readings(*manifests):
        feed.publish(reading)
    feed.turn()
    return Painter(feed, attention, Target("prod")), feed, attention


def failing(feed: Feed, number: int, state: SourceState) -> None:
    for kind in WATCHED[:number]:
        feed.publish(Reading(kind.source, state, NOW, error="refused"))
    feed.turn()


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (SourceState.UNREACHABLE, "API server unreachable"),
        (SourceState.UNAUTHORIZED, "credentials refused"),
        (SourceState.FORBIDDEN, ""),
        (SourceState.ABSENT, ""),
    ],
)
def test_the_connection_has_a_problem_when_most_sources_have_it(state: SourceState, text: str) -> None:
    _, feed, _ = painter(pod())
    failing(feed, len(WATCHED) // 2, state)
    assert connection_problem(feed.situation) == ""
    failing(feed, len(WATCHED) // 2 + 1, state)
    assert connection_problem(feed.situation) == text


def test_the_header_does_not_count_what_was_never_read() -> None:
    before = Painter(Feed(lambda: NOW), Attention(), Target("prod")).header("read-only", NOW)
    assert (before.context, before.version, before.nodes, before.pods) == ("prod", None, None, None)
    shown, _, _ = painter(pod("a"), pod("b"))
    facts = shown.header("read-only", NOW + timedelta(microseconds=5))
    assert (facts.version, facts.nodes, facts.pods, facts.now) == ("v1.36.2", 0, 2, NOW)


def test_the_card_is_the_first_causes_until_something_is_selected() -> None:
    shown, _, attention = painter(BROKEN, pod("web-1"))
    assert "search-1 cannot pull" in shown.card(NOW).title
    attention.selection = Ref("Pod", "shop", "web-1")
    assert shown.card(NOW).title == "Pod web-1"
    attention.selection = "withdrawn:Pod/shop/x"
    assert "search-1 cannot pull" in shown.card(NOW).title
    well, _, _ = painter(pod("web-1"))
    assert well.card(NOW) == Card()
