"""What holds for every diagnosis that a test of the rules makes, whatever else the test asks of it."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import pytest

from diagnosis.engine import Engine
from diagnosis.fold import TITLE_LIMIT
from playbooks.commands import CommandRefusedError, Target, render
from situation.findings import Diagnosis, Effect, Finding
from situation.situation import Situation
from situation.store import Change

ONE_OF_MANY: Final = re.compile(
    r"(?<![\w./:-])1 (?:addresses|claims|containers|endpoints|GPUs|nodes|objects|pods|processes|replicas|restarts"
    r"|services|Services|slices|slots|sources|times|volumes)\b"
)
"""`1 pods`; not `0/1 nodes are available`, which is the scheduler's own text."""
WHERE: Final = re.compile(r"here|(?:node|pod) [a-z0-9.-]+")


@pytest.fixture(autouse=True)
def every_finding_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each finding of each diagnosis that an engine makes during a test of the rules."""
    judge = Engine.judge

    def judge_and_check(self: Engine, situation: Situation, changes: Iterable[Change], now: datetime) -> Diagnosis:
        diagnosis = judge(self, situation, changes, now)
        for cause in diagnosis.causes:
            for finding in (cause, *cause.consequences):
                assert not (faults := list(_faults(finding))), f"{finding.key}: {faults}"
        return diagnosis

    monkeypatch.setattr(Engine, "judge", judge_and_check)


def _faults(finding: Finding) -> Iterable[str]:
    if len(finding.title) > TITLE_LIMIT:
        yield f"the title has {len(finding.title)} characters: {finding.title}"
    if not finding.evidence:
        yield "no evidence"
    if not finding.next or finding.next[0].effect is not Effect.READ:
        yield "the first command is no reading one"
    for text in (finding.title, *(line.text for line in finding.evidence)):
        if found := ONE_OF_MANY.search(text):
            yield f"{found[0]!r} in {text!r}"
    for line in finding.evidence:
        if not line.text.strip() or "/" not in line.source:
            yield f"evidence without text or source: {line}"
    for command in finding.next:
        try:
            render(command, Target("prod", "/home/me/.kube/config"))
        except CommandRefusedError as error:
            yield f"{command.argv}: {error}"
        if not command.purpose.strip():
            yield f"{command.argv}: no purpose"
        if not WHERE.fullmatch(command.where):
            yield f"{command.argv}: runs at {command.where!r}"
