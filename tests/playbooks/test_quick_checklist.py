from datetime import datetime, timedelta

from diagnosis.engine import diagnose
from playbooks.commands import Target, render
from playbooks.quick_checklist import QUESTIONS, AnswerState, Facts
from situation.findings import Diagnosis, Effect
from situation.meta import Ref
from situation.readings import Reading, SourceState
from situation.selectors import is_settled
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, node, pod, situation
from tui.checklist import Checklist

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
BROKEN = pod("search-1", phase="Pending", ready=False, container_status={"state": PULL})


def facts(known: Situation, diagnosis: Diagnosis, now: datetime = NOW) -> Facts:
    return Facts(known, diagnosis, sum(not is_settled(item, NOW) for item in known.pods.values()), now)


def answers(known: Situation, diagnosis: Diagnosis | None = None) -> list[AnswerState]:
    judged = diagnose(known, NOW) if diagnosis is None else diagnosis
    return [question.answer(facts(known, judged)).state for question in QUESTIONS]


def test_before_anything_is_known_every_answer_is_unknown() -> None:
    assert answers(Situation(), Diagnosis()) == [AnswerState.UNKNOWN] * 6


def test_a_broken_pod_answers_the_first_two_questions() -> None:
    known = situation(node("node-1"), BROKEN, pod("web-1"))
    assert answers(known)[:4] == [AnswerState.BROKEN, AnswerState.BROKEN, AnswerState.FINE, AnswerState.FINE]
    evidence = [question.answer(facts(known, diagnose(known, NOW))).evidence for question in QUESTIONS]
    assert evidence[0] == "1 of 2 pods is not plainly fine"
    assert "search-1 cannot pull" in evidence[1]


def test_what_cannot_be_read_is_unknown_with_its_reason() -> None:
    known = situation(missing={"nodes": SourceState.FORBIDDEN, "pods": SourceState.FORBIDDEN})
    judged = diagnose(known, NOW)
    assert answers(known, judged)[0] is AnswerState.UNKNOWN
    assert answers(known, judged)[5] is AnswerState.UNKNOWN
    assert QUESTIONS[0].answer(facts(known, judged)).evidence == "cannot list pods"


def test_pods_that_were_last_seen_a_while_ago_are_unknown_with_their_age() -> None:
    known = situation(pod("web-1"))
    known.apply(Reading("kubernetes/pods", SourceState.UNREACHABLE, NOW, error="connection refused"))
    answer = QUESTIONS[0].answer(facts(known, Diagnosis(), NOW + timedelta(seconds=90)))
    assert answer.state is AnswerState.UNKNOWN
    assert answer.evidence == "unreachable; 0 of 1 pods were not plainly fine 90s ago"


def test_a_cluster_without_pods_is_not_called_fine() -> None:
    answer = QUESTIONS[0].answer(facts(situation(node("node-1")), Diagnosis()))
    assert answer.state is AnswerState.UNKNOWN
    assert answer.evidence.startswith("no pods")


def test_every_question_only_reads() -> None:
    assert all(question.command.effect is Effect.READ for question in QUESTIONS)


def commands(*manifests: Manifest, pod_name: str = "") -> list[str]:
    known = situation(*manifests)
    judged = diagnose(known, NOW)
    selected = next((ref for cause in judged.causes for ref in cause.members or (cause.subject,)), None)
    return [step.command for step in Checklist().steps(facts(known, judged), Target("prod"), selected)]


def test_a_command_with_a_placeholder_is_not_offered_until_a_pod_is_known() -> None:
    well = commands(node("node-1"), pod("web-1"))
    assert [bool(line) for line in well] == [True, False, False, True, True, True]
    assert not any("<" in line for line in well)
    sick = commands(node("node-1"), BROKEN)
    assert sick[1].startswith("kubectl --context prod -n shop get pod search-1")
    assert sick[2] == "kubectl --context prod -n shop describe pod search-1"


def test_a_previous_log_is_offered_of_a_pod_that_has_one() -> None:
    ended = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(7200)}}}

    def offered(*manifests: Manifest) -> list[str]:
        steps = Checklist().steps(facts(situation(*manifests), Diagnosis()), Target(), Ref("Pod", "shop", "web-1"))
        return [step.command for step in steps[1:3]]

    describe = "kubectl -n shop describe pod web-1"
    assert offered(pod("web-1")) == ["", describe]
    assert offered(pod("web-1", container_status=ended)) == [
        "kubectl -n shop logs web-1 --previous --tail=100",
        describe,
    ]
    assert offered() == ["", ""], "the pod is gone"


def test_commands_without_placeholders_can_be_rendered_as_they_are() -> None:
    assert render(QUESTIONS[0].command, Target()) == "kubectl get pods -A -o wide"


def test_a_tick_is_by_hand_and_can_be_taken_back() -> None:
    known, checklist = situation(), Checklist()

    def ticked() -> list[bool]:
        return [step.ticked for step in checklist.steps(facts(known, Diagnosis()), Target(), None)]

    checklist.toggle(2)
    assert ticked() == [False, False, True, False, False, False]
    assert checklist.progress == "1/6"
    checklist.toggle(2)
    assert not any(ticked())
