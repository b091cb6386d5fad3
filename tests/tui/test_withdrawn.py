"""What was selected and is no longer proven: it says so until somebody moves, and nothing is copied for it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from diagnosis.engine import diagnose
from situation.findings import Diagnosis, Finding
from situation.focus import Focus
from situation.readings import Changed, Listed, Reading, SourceState
from tests.build import NOW, Manifest, broken, made, pod, situation
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import PULL, SECRET, incident, rows, screen
from tui.attention import Attention
from tui.other_cards import withdrawn_card
from widgets.causes import CausesPane

BROKEN = pod("search-1", phase="Pending", ready=False, container_status={"state": PULL})
LATER = NOW + timedelta(seconds=123)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


@pytest.fixture
async def pilot(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with open_cockpit(cluster, tmp_path) as running:
        yield running


def mend(cluster: Cluster) -> None:
    for name in ("search-1", "search-2"):
        change(cluster, pod(name, owner="StatefulSet/search", labels={"app": "search"}))


def change(cluster: Cluster, manifest: Manifest) -> None:
    cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(manifest),))))


async def test_the_card_keeps_its_title_and_c_copies_nothing_until_somebody_moves(
    pilot: Pilot[int], cluster: Cluster, tmp_path: Path
) -> None:
    await pilot.press("j", "k")  # selected by hand, and the gravest again
    mend(cluster)
    await until(pilot, lambda: "recovered: withdrawn at 02:41:07 UTC" in screen_text(pilot))
    text = screen_text(pilot)
    assert "· search cannot pull shop/web:1" in text
    assert "search-1 now: Running, 1 of 1 ready" in text
    assert "withdrawn: search cannot pull" in text
    await pilot.press("c")
    await until(pilot, lambda: "This was withdrawn" in screen_text(pilot))
    await pilot.press("C")
    assert not (tmp_path / "last-command").exists()
    assert pilot.app.screen is screen(pilot)
    await pilot.press("j")
    await until(pilot, lambda: "withdrawn" not in "".join(screen_text(pilot).splitlines()[:30]))
    assert "▲ needs refers to Secret not-there" in screen_text(pilot)
    await pilot.press("c")
    await until(pilot, (tmp_path / "last-command").exists)
    assert "secret not-there" in (tmp_path / "last-command").read_text()


async def test_a_focus_on_what_recovered_still_shows_its_objects_and_enter_does_nothing(
    pilot: Pilot[int], cluster: Cluster
) -> None:
    await pilot.press("enter")
    assert rows(pilot)["pods"] == 2
    mend(cluster)
    await until(pilot, lambda: "recovered" in screen_text(pilot))
    assert rows(pilot)["pods"] == 2
    await pilot.press("enter")
    assert rows(pilot)["pods"] == 2
    assert "recovered" in screen_text(pilot)


async def test_what_breaks_again_is_shown_as_before(pilot: Pilot[int], cluster: Cluster) -> None:
    await pilot.press("j", "k")
    mend(cluster)
    await until(pilot, lambda: "recovered" in screen_text(pilot))
    change(
        cluster,
        pod("search-1", owner="StatefulSet/search", labels={"app": "search"}, phase="Pending", ready=False,
            container_status={"state": PULL}),
    )  # fmt: skip
    await until(pilot, lambda: "recovered" not in screen_text(pilot))
    assert "▲ search cannot pull shop/web:1" in screen_text(pilot)
    assert screen(pilot).query_one(CausesPane).table.cursor_key == screen(pilot).attention.selection


async def test_an_object_that_is_shown_stays_when_causes_go_under_the_cursor(
    pilot: Pilot[int], cluster: Cluster
) -> None:
    screen(pilot).query_one("#pods-table").focus()
    await pilot.press("end", "enter")
    assert "· Pod web-1" in screen_text(pilot)
    mend(cluster)
    await until(pilot, lambda: rows(pilot)["causes"] == 1)
    await pilot.pause()
    assert "· Pod web-1" in screen_text(pilot)


async def test_a_pod_whose_finding_stands_in_the_causes_takes_the_cursor_there(pilot: Pilot[int]) -> None:
    await pilot.press("j")
    screen(pilot).query_one("#pods-table").focus()
    screen(pilot).query_one("#pods-table").move_to(("shop", "search-2"))  # type: ignore[attr-defined]
    await pilot.press("enter")
    assert screen(pilot).query_one(CausesPane).table.cursor_row == 0


# Why


def cause_of(*manifests: Manifest) -> Finding:
    (cause,) = diagnose(situation(*manifests), NOW).causes
    return cause


def notice(finding: Finding, *manifests: Manifest, missing: dict[str, SourceState] | None = None) -> str:
    known = situation(*manifests, missing=missing, now=LATER)
    return withdrawn_card(finding, LATER, known, diagnose(known, LATER), LATER).notice


def test_recovered_is_said_only_of_what_did() -> None:
    finding = cause_of(BROKEN)
    assert notice(finding, pod("search-1")) == "recovered: withdrawn at 02:43:10 UTC"
    assert notice(finding) == "withdrawn at 02:43:10 UTC: Pod/shop/search-1 is gone"
    other = pod("search-1", phase="Pending", ready=False, container_status={"state": SECRET})
    assert notice(finding, other).startswith("withdrawn at 02:43:10 UTC: now it is “search-1 refers to Secret")


def test_what_cannot_be_judged_any_more_is_not_called_recovered() -> None:
    finding = msgspec.structs.replace(cause_of(BROKEN), rule="node-not-ready")
    said = notice(finding, pod("search-1"), missing={"nodes": SourceState.FORBIDDEN})
    assert said.startswith("withdrawn at 02:43:10 UTC: it cannot be judged now (nodes: forbidden")


def test_an_object_that_cannot_be_decoded_any_more_is_not_called_gone() -> None:
    finding = cause_of(BROKEN)
    known = broken(situation(now=LATER), "pods", ("shop", "search-1"), now=LATER)
    card = withdrawn_card(finding, LATER, known, diagnose(known, LATER), LATER)
    assert card.notice == "withdrawn at 02:43:10 UTC: it cannot be judged now (pods: 1 not read)"
    assert "gone" not in " ".join(line.text for line in card.lines)


def test_the_card_of_what_was_withdrawn_offers_no_command_and_tells_the_state_of_its_objects() -> None:
    finding = cause_of(BROKEN)
    known = situation(pod("search-1"))
    card = withdrawn_card(finding, LATER, known, Diagnosis(), LATER)
    assert (card.title, card.commands) == (finding.title, ())
    assert card.lines[0].text == "search-1 now: Running, 1 of 1 ready"


# Following


def test_a_finding_is_followed_while_it_is_selected_or_waits_on_the_way_back() -> None:
    finding = cause_of(BROKEN)
    attention = Attention()
    attention.focus_on(Focus(cause=finding.key), finding.key)
    attention.focus_on_object(finding.subject._replace(name="other"), Diagnosis())
    attention.follow(Diagnosis((finding,)), NOW)
    attention.follow(Diagnosis(), LATER)
    attention.follow(Diagnosis(), LATER + timedelta(seconds=60))
    assert attention.withdrawn is None
    assert attention.go_back()
    assert attention.withdrawn is not None
    assert attention.withdrawn.withdrawn_at == LATER
    assert attention.withdrawn_focus == finding
    assert (
        attention.finding(Diagnosis((cause_of(pod("x", phase="Pending", container_status={"state": PULL})),))) is None
    )
    attention.reset()
    assert attention.withdrawn is None


def test_a_finding_that_follows_from_another_now_is_followed_there() -> None:
    finding = cause_of(BROKEN)
    dead = msgspec.structs.replace(finding, rule="node-not-ready", consequences=(finding,))
    attention = Attention()
    attention.selection = finding.key
    attention.follow(Diagnosis((finding,)), NOW)
    attention.follow(Diagnosis((dead,)), LATER)
    assert attention.withdrawn is None
    assert attention.finding(Diagnosis((dead,))) is finding


def test_nothing_is_remembered_of_what_nobody_looks_at() -> None:
    finding = cause_of(BROKEN)
    attention = Attention()
    attention.selection = finding.key
    attention.follow(Diagnosis((finding,)), NOW)
    attention.selection = None
    attention.follow(Diagnosis(), NOW)
    attention.selection = finding.key
    attention.follow(Diagnosis(), LATER)
    assert attention.withdrawn is None


def test_a_list_that_comes_again_does_not_withdraw(cluster: Cluster) -> None:
    finding = cause_of(BROKEN)
    known = situation(BROKEN)
    attention = Attention()
    attention.selection = finding.key
    attention.follow(diagnose(known, NOW), NOW)
    known.apply(Reading("kubernetes/pods", SourceState.LIVE, LATER, Listed("pods", (made(BROKEN),))))
    attention.follow(diagnose(known, LATER), LATER)
    assert attention.withdrawn is None
