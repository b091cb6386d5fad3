"""The shipped playbooks: they load, name real rules, and leave nothing critical without a way on."""

import re
import shlex
from pathlib import Path
from typing import Final

import msgspec
import pytest

from diagnosis.catalogue import ALL
from diagnosis.engine import diagnose
from docs.playbook_pages import pages, with_tables
from playbooks.commands import Target, render
from playbooks.context import Context
from playbooks.expressions import rules_in
from playbooks.facts import Facts
from playbooks.filling import PLACEHOLDER, fill, names_in
from playbooks.loading import load_playbooks
from playbooks.model import Playbook, Step
from playbooks.placeholders import PLACEHOLDERS
from situation.findings import Diagnosis, Effect, Severity
from situation.gpu.fleet import Fleet
from situation.meta import Ref
from situation.selectors import is_settled
from situation.situation import Situation
from tape.player import play
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, pod, situation
from tui.checklist import Checklist, rule_facts

ROOT = Path(__file__).parents[2]
LIBRARY = load_playbooks()
STEPS = [(playbook, step) for playbook in LIBRARY.playbooks for step in playbook.steps]
WANTED = set(
    "five-layers quick-checklist etcd-health etcd-nospace etcd-slow etcd-restore certificates gpu-chain gpu-pending "
    "mig-stuck gpu-hardware vllm-oom vllm-queue vllm-slow-start istio-inference dns disk-pressure node-not-ready "
    "api-slow admission".split()
)


def test_all_of_them_load() -> None:
    assert LIBRARY.problems == ()
    assert {playbook.id for playbook in LIBRARY.playbooks} == WANTED


def test_every_rule_that_a_playbook_names_exists() -> None:
    ids = {rule.id for rule in ALL}
    named = {rule for playbook in LIBRARY.playbooks for rule in playbook.rules}
    named |= {rule for _, step in STEPS if step.check is not None for rule in rules_in(step.check)}
    named |= {rule for playbook in LIBRARY.playbooks if playbook.only is not None for rule in rules_in(playbook.only)}
    assert named <= ids


def test_every_rule_that_warns_has_a_playbook() -> None:
    assert [rule.id for rule in ALL if rule.severity is not Severity.INFO and not LIBRARY.after(rule.id)] == []


def test_a_rule_leads_to_the_step_that_goes_on_after_it() -> None:
    assert LIBRARY.after("etcd-no-space")[0] == ("etcd-nospace", "alarm")
    assert LIBRARY.after("gpus-short")[0] == ("gpu-pending", "chain")
    assert LIBRARY.after("mig-layout-invalid")[0] == ("mig-stuck", "state")
    assert LIBRARY.after("no-such-rule") == ()


@pytest.mark.parametrize(("playbook", "step"), STEPS, ids=[f"{playbook.id}-{step.id}" for playbook, step in STEPS])
def test_what_changes_something_comes_after_a_look(playbook: Playbook, step: Step) -> None:
    if step.command.effect is not Effect.READ:
        before = playbook.steps[playbook.steps.index(step) - 1]
        assert playbook.steps[0] is not step
        assert before.command.effect is Effect.READ
        assert before.check is not None or before.command.argv
    text = " ".join(step.command.argv)
    changes = re.search(
        r"(?<!-)\b(delete|drain|cordon|uncordon|label|defrag|disarm|compact|restore|renew|rmi|mv|diag)\b", text
    )
    assert (step.command.effect is not Effect.READ) == bool(changes), text


def test_every_placeholder_is_used_or_documented_for_users() -> None:
    used = {name for _, step in STEPS for name in names_in(step.command)}
    assert used <= PLACEHOLDERS.keys()
    assert PLACEHOLDERS.keys() - used <= {"pod-ip", "etcd-endpoints", "etcd-pod"}


def test_the_pages_are_those_of_today() -> None:
    assert (ROOT / "docs/playbooks.md").read_text() == "\n".join(pages(LIBRARY)) + "\n", "run `make docs`"
    page = (ROOT / "docs/playbooks-format.md").read_text()
    assert with_tables(page) == page, "run `make docs`"


def recorded(name: str) -> tuple[Situation, Diagnosis, Facts]:
    played = play(ROOT / f"simulator/scenarios/{name}.jsonl.gz")
    known = Situation()
    for reading in played.readings:
        known.apply(reading)
    judged = diagnose(known, played.now)
    unsettled = sum(not is_settled(item, played.now) for item in known.pods.values())
    return known, judged, Facts(known, judged, unsettled, played.now, rule_facts())


@pytest.mark.parametrize("scenario", ["faults_a", "gpu_mig_stuck", "etcd_fragmented"])
def test_every_command_on_a_recorded_cluster_is_what_was_meant(scenario: str) -> None:
    known, judged, facts = recorded(scenario)
    found = [finding for cause in judged.causes for finding in (cause, *cause.consequences)]
    refs = [(*finding.members, finding.subject, Ref("Node", "", finding.node)) for finding in found]
    pods = [(Ref("Pod", *key),) for key in known.pods]
    filled_in = 0
    for about in ((), *refs, *pods[:30]):
        context = Context(known, facts.now, tuple(ref for ref in about if ref.name))
        for _, step in STEPS:
            made = fill(step.command, step.ask, context)
            if made.missing or not made.command.argv:
                continue
            assert not made.refused
            line = render(made.command, Target("prod"), made.flags)
            words = shlex.split(line)
            assert not PLACEHOLDER.search(line)
            if words[0] == "kubectl":
                assert words[1:3] == ["--context", "prod"]
                space = ["-n", made.command.namespace] if made.command.namespace else []
                assert words[3 : 3 + len(space)] == space
                words = ["kubectl", *words[3 + len(space) :]]
            assert words == list(made.command.argv)
            filled_in += 1
    assert filled_in > 300


@pytest.mark.parametrize(
    ("scenario", "step"),
    [
        ("gpu_driver_nouveau", "driver"),
        ("gpu_toolkit", "toolkit"),
        ("gpu_device_plugin", "plugin"),
        ("gpu_fabric_manager", "validator"),
    ],
)
def test_the_panel_opens_at_the_link_that_is_broken(scenario: str, step: str) -> None:
    known, judged, facts = recorded(scenario)
    (cause,) = [cause for cause in judged.causes if cause.rule == "gpu-link-broken"]
    fleet = Fleet()
    fleet.update(known, (), facts.now)
    facts = msgspec.structs.replace(facts, chains=fleet.chains, about=(*cause.members, cause.subject))
    checklist = Checklist("ana")
    checklist.library = LIBRARY
    checklist.open_for(cause, facts)
    assert checklist.playbook is LIBRARY.get("gpu-chain")
    assert checklist.step is not None
    assert checklist.step.id == step
    links = {"discovery", "operator", "driver", "works", "toolkit", "validator", "plugin"}
    view = checklist.view(facts, Context(known, facts.now), Target("prod"))
    assert [shown.id for shown in view.steps if shown.id in links and shown.state == "broken"] == [step]


CRASHES: Final = gpu.crashing(4)
NEW_NODE: Final = gpu.bare_node(None, seen=False, labels={"feature.node.kubernetes.io/pci-10de.present": "true"})
UNSEEN_NODE: Final = gpu.bare_node(
    None, seen=False, spec={"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}
)


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        ([NEW_NODE, gpu.operator(ready=0), gpu.nfd_set(), gpu.nfd_worker(),
          pod("gpu-operator-1", namespace=gpu.NAMESPACE, owner="Deployment/gpu-operator", ready=False, node="cpu-1",
              labels={"app": "gpu-operator"}, container_status=CRASHES)], "operator"),
        ([UNSEEN_NODE, gpu.operator(), gpu.nfd_set(),
          pod("nfd-worker-1", namespace=gpu.NAMESPACE, owner=f"DaemonSet/{gpu.NFD_WORKER}", ready=False, node="gpu-1",
              labels=gpu.operand_labels(gpu.NFD_WORKER), container_status=CRASHES)], "discovery"),
    ],
)  # fmt: skip
def test_links_of_which_rules_for_any_pod_tell_open_the_chain_too(broken: list[Manifest], step: str) -> None:
    known = situation(*broken, *gpu.operand_sets(desired=0))
    cause = next(cause for cause in diagnose(known, NOW).causes if cause.rule == "crash-loop")
    fleet = Fleet()
    fleet.update(known, (), NOW)
    checklist = Checklist("ana")
    checklist.library = LIBRARY
    checklist.open_for(cause, Facts(known, Diagnosis(), 1, NOW, rule_facts(), chains=fleet.chains))
    assert checklist.playbook is LIBRARY.get("gpu-chain")
    assert checklist.step is not None and checklist.step.id == step


def test_a_mig_change_that_hangs_for_a_pod_is_worked_through_not_the_pod() -> None:
    _, judged, facts = recorded("gpu_mig_stuck")
    cause = judged.causes[0]
    assert cause.rule == "stuck-terminating"
    checklist = Checklist("ana")
    checklist.library = LIBRARY
    checklist.open_for(cause, facts)
    assert checklist.playbook is LIBRARY.get("mig-stuck")


def test_where_no_chain_is_followed_the_panel_opens_at_the_first_step_and_guesses_nothing() -> None:
    known, judged, facts = recorded("gpu_driver_nouveau")
    checklist = Checklist("ana")
    checklist.library = LIBRARY
    checklist.open_for(judged.causes[0], facts)
    assert checklist.step is not None
    assert checklist.step.id == "pods"
    view = checklist.view(facts, Context(known, facts.now), Target("prod"))
    assert {shown.id: shown.state for shown in view.steps}["driver"] == "unknown"


@pytest.mark.parametrize("scenario", ["faults_a", "gpu_mig_stuck", "etcd_fragmented"])
def test_every_check_answers_with_evidence(scenario: str) -> None:
    known, judged, facts = recorded(scenario)
    checklist = Checklist("ana")
    checklist.library = LIBRARY
    for playbook in LIBRARY.playbooks:
        checklist.choose(playbook.id)
        view = checklist.view(facts, Context(known, facts.now), Target("prod"))
        assert all(step.evidence for step in view.steps if step.state)
        assert all(
            bool(step.state) == (own.check is not None) for step, own in zip(view.steps, playbook.steps, strict=True)
        )
    assert judged.causes
