"""Model servers on the pages of a tape: what held for a while is told as often as it would have been read."""

from datetime import timedelta

from collectors.pod_page import PodPage
from collectors.vllm.recorded import servers_on_pages
from situation.serving.view import ServerState
from tests.build import NOW, situation
from tests.collectors.vllm_pages import vllm_page
from tests.serving_objects import server_pod, view_of

METRICS = PodPage("ai", "llama-1-1", 8000, "/metrics", 200, vllm_page(), "")
HEALTH = PodPage("ai", "llama-1-1", 8000, "/health", 200, b"", "")
GONE = METRICS._replace(status=0, body=b"", error="connect: connection refused")


def state(pages: tuple[PodPage, ...], *earlier: tuple[float, PodPage]) -> ServerState:
    """Return the state of the server that shows `pages` now and showed others before, asked every five seconds."""
    known = situation(server_pod(1, status={"podIP": "10.0.0.9"}))
    shown: dict[str, PodPage] = {}
    begins = [(ago_s, page) for ago_s, page in earlier]
    for ago_s in range(int(max(ago_s for ago_s, _ in begins)), 0, -5):
        shown |= {page.path: page for since_s, page in begins if since_s >= ago_s}
        for reading in servers_on_pages(shown.values(), known, NOW - timedelta(seconds=ago_s)):
            known.apply(reading)
    for reading in servers_on_pages(pages, known, NOW):
        known.apply(reading)
    return view_of(known, 1).state


def test_a_page_that_has_held_for_minutes_is_one_of_a_server_that_hangs() -> None:
    assert state((METRICS, HEALTH), (120, METRICS), (120, HEALTH)) is ServerState.STALLED


def test_a_page_that_came_just_now_is_not() -> None:
    assert state((METRICS, HEALTH), (10, METRICS), (10, HEALTH)) is ServerState.HEALTHY


def test_who_moved_until_just_now_is_well() -> None:
    moved = METRICS._replace(body=vllm_page(running=4))
    assert state((moved, HEALTH), (120, METRICS), (120, HEALTH), (10, moved)) is ServerState.HEALTHY


def test_who_answered_and_is_gone_is_dead() -> None:
    assert state((GONE, HEALTH), (120, METRICS), (120, HEALTH), (10, GONE)) is ServerState.DEAD
