"""A generated cluster shows the faults that were planted in it, and nothing else."""

from datetime import datetime

from diagnosis.engine import diagnose
from simulator.generator import generate
from situation.decode import decode_object
from situation.findings import Severity
from situation.kinds import KINDS
from situation.readings import Listed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW


def generated(now: datetime) -> Situation:
    cluster, known = generate(nodes=60, pods=800, pod_bytes=0, now=now), Situation()
    for kind in KINDS:
        stored = cluster.table(kind.name).ordered()
        objects = tuple(decode_object(b"{" + item.tail, kind) for item in stored)
        known.apply(Reading(kind.source, SourceState.LIVE, now, Listed(kind.name, objects)))
    return known


def test_only_the_planted_faults_are_found() -> None:
    every = diagnose(generated(NOW), NOW).causes
    causes = [cause for cause in every if cause.severity is not Severity.INFO]
    assert {cause.rule for cause in every} - {cause.rule for cause in causes} == {"vllm-review"}, "hints, no faults"
    assert {cause.rule for cause in causes} == {"image-pull", "crash-loop", "gpus-short", "node-unreachable"}
    assert {cause.severity for cause in causes} == {Severity.CRITICAL}
    assert {finding.rule for cause in causes for finding in cause.consequences} == {"no-ready-endpoint"}
