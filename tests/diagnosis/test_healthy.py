"""A healthy cluster gives no finding at all, however odd parts of it look."""

from datetime import timedelta

import pytest

from diagnosis.engine import diagnose
from situation.findings import LayerState
from tests.build import NOW, Manifest, judged, situation
from tests.diagnosis.healthy import GROUPS, HEALTHY


def test_a_healthy_cluster_gives_no_finding_at_all() -> None:
    diagnosis = judged(*HEALTHY)
    assert [f"{cause.key}: {cause.title}" for cause in diagnosis.causes] == []
    assert {layer.status for layer in diagnosis.layers} == {LayerState.OK}


@pytest.mark.parametrize(
    "left_out", [name for name in GROUPS if name in ("jobs", "storage", "autoscaled", "gpus", "gpu operator")]
)
def test_it_does_so_without_parts_of_it(left_out: str) -> None:
    rest = [manifest for name, group in GROUPS.items() if name != left_out for manifest in group]
    assert [f"{cause.key}: {cause.title}" for cause in judged(*rest).causes] == []


def managed(manifest: Manifest) -> bool:
    """Tell whether a managed control plane would hide this object."""
    return manifest["kind"] == "Lease" or manifest["metadata"]["name"] in ("cp-1", "kube-apiserver-cp-1")


def test_a_managed_control_plane_shows_no_leases_and_no_control_plane_nodes() -> None:
    shown = [manifest for manifest in HEALTHY if not managed(manifest)]
    assert [f"{cause.key}: {cause.title}" for cause in judged(*shown).causes] == []


def test_what_is_young_in_it_is_not_excused_for_ever() -> None:
    """The same objects half an hour later: nothing moved, so the young ones are overdue and the rest is still fine."""
    known = situation(*HEALTHY)
    overdue = {finding.subject.name for finding in diagnose(known, NOW + timedelta(minutes=30)).causes}
    assert {"just-made", "just-placed", "preview"} <= overdue
    assert overdue.isdisjoint({"cart", "db", "llm", "sleeper", "napper", "hungry", "batch", "flagd", "later"})
