"""Whose log L reads where a finding is about model servers: that of the container which serves."""

from diagnosis.engine import diagnose
from situation.focus import EVERYTHING, Focus
from situation.logs import LogTarget
from situation.serving.readings import Health
from tests.build import NOW, situation
from tests.serving_objects import deployment, engine, server_pod
from tests.serving_objects import tell as tell_of_pod
from tests.situation.test_servers_of_one_pod import FIRST, SECOND, pair, tell
from tui.attention import Attention
from tui.log_choice import selected_log


def test_the_log_of_a_dead_engine_is_that_of_its_container() -> None:
    known = situation(pair())
    tell(known, 8000, "a")
    tell(known, 8001, "b", Health.ENGINE_DEAD)
    found = diagnose(known, NOW)
    (cause,) = [cause for cause in found.causes if cause.rule == "vllm-engine-dead"]
    attention = Attention()
    attention.focus_on(EVERYTHING, cause.key)
    assert selected_log(attention, found, known) == LogTarget("ai", "pair", "b")
    attention.focus_on(Focus(ref=SECOND), SECOND)
    assert selected_log(attention, found, known) == LogTarget("ai", "pair", "b")
    attention.focus_on(Focus(ref=FIRST), FIRST)
    assert selected_log(attention, found, known) == LogTarget("ai", "pair", "a")


def test_of_several_replicas_that_hang_the_focused_one_is_read() -> None:
    known = situation(server_pod(1), server_pod(2), *deployment(2))
    for ago_s in range(50, -1, -5):
        for number in (1, 2):
            tell_of_pod(known, number, engine(running=4.0, generation_tokens=500.0), ago_s=ago_s)
    found = diagnose(known, NOW)
    (cause,) = [cause for cause in found.causes if cause.rule == "vllm-stalled"]
    attention = Attention()
    attention.focus_on(EVERYTHING, cause.key)
    assert selected_log(attention, found, known) == LogTarget("ai", "llama-1-1", "app")
    attention.focus_on(Focus(ref=cause.members[1]), cause.key)
    assert selected_log(attention, found, known) == LogTarget("ai", "llama-1-2", "app")


def test_a_server_at_a_url_has_no_log_here() -> None:
    known = situation()
    for ago_s in range(50, -1, -5):
        tell_of_pod(known, None, engine(running=4.0, generation_tokens=500.0), ago_s=ago_s)
    found = diagnose(known, NOW)
    attention = Attention()
    attention.focus_on(EVERYTHING, found.causes[0].key)
    assert selected_log(attention, found, known) is None
