"""What rules look at beside their subject: whatever object comes or goes alone, it is told at once.

Of a subject with a fault or unknown it would come out within seconds (`engine.RECHECK`), of a clear one perhaps never.
What still stands may be as grave as before for that long, and under the same cause.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import pytest

from diagnosis.engine import Engine, diagnose
from situation.meta import Ref
from tests.build import NOW, Manifest, situation
from tests.diagnosis.recovery.harness import SOON_S, Case, Step, apply, told
from tests.diagnosis.recovery.test_every_rule import cases

SLOWLY: Final = {
    "resources-short": "each pod that ends frees something: not all that wait are looked at for each",
    "validating-webhook-down": "whether Services can be seen at all is asked again with what is unknown",
    "mutating-webhook-down": "as for validating ones",
}
"""Rules whose verdict may be one RECHECK late when something else changes, with the reason."""


def ref(manifest: Manifest) -> Ref:
    return Ref(manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])


def clusters() -> Iterator[tuple[str, Sequence[Manifest], Sequence[Step]]]:
    """Yield each cluster of the tables once, with the single steps out of its fault."""
    seen: set[str] = set()
    for case in cases():
        if not callable(case.broken) and case.rule not in SLOWLY and (key := _text(case)) not in seen:
            seen.add(key)
            yield case.id, case.broken, [step for step in case.then if isinstance(step, dict | Ref)]


def _text(case: Case) -> str:
    return json.dumps([case.broken, case.then], sort_keys=True, default=str)


CLUSTERS: Final = list(clusters())


def agree(before: Sequence[Manifest], step: Step) -> None:
    known, engine, now = situation(*before), Engine(), NOW + timedelta(seconds=SOON_S)
    engine.judge(known, (), NOW)
    changes = list(apply(step, known, now))
    assert told(engine.judge(known, changes, now)) == told(diagnose(known, now)), step


@pytest.mark.parametrize(("broken", "steps"), [item[1:] for item in CLUSTERS], ids=[item[0] for item in CLUSTERS])
def test_each_object_alone(broken: Sequence[Manifest], steps: Sequence[Step]) -> None:
    for step in steps:
        agree(broken, step)
    for number, manifest in enumerate(broken):
        agree(broken, ref(manifest))
        agree([*broken[:number], *broken[number + 1 :]], manifest)
