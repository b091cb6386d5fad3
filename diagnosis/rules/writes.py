"""Layer 4: all looks well and nothing changes: no lease is renewed any more, so writes fail (L4-01, L4-02)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.etcd_commands import looks_from_outside
from diagnosis.explaining import CERTIFICATES_OUT, ETCD_DOWN
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands, on_control_plane
from situation.api_server import METRICS, READYZ
from situation.clock import duration_text
from situation.findings import Evidence, Layer, Mark, Severity
from situation.leases import STILL, last_write, renewals, still_for
from situation.meta import CLUSTER
from situation.quantity import human_bytes
from situation.server_clock import SOURCE as CLOCK
from situation.server_clock import measured, offset_text
from situation.situation import Situation


def clock_evidence(situation: Situation, now: datetime) -> Evidence:
    """Return how our clock stands to the API server's, or that nobody knows."""
    clock = measured(situation, now)
    if clock is None:
        return Evidence("or our clock is ahead of the cluster's by as much: compare it", READYZ, mark=Mark.OPEN)
    at = situation.source(CLOCK).observed_at
    text = f"our clock {offset_text(clock)} (by the Date of its answers), which is taken into account"
    return Evidence(text, CLOCK, at, Mark.EXCLUDES)


@rule(
    "writes-stopped",
    signature="L4-01 L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    needs=("leases",),
    looks_at="the newest renewTime of all leases by the API server's clock, while it answers what its checks say.",
    look_alikes={
        "our own clock is wrong": "the Date of the API server's answers tells by how much, and that is taken off",
        "scheduler-down, controller-manager-down": "there other leases are renewed",
        "api-unreachable": "there nothing is read at all",
        "etcd-no-space": "said by etcd's members themselves: then this follows from it",
    },
)
def writes_stopped(_: None, situation: Situation, now: datetime) -> Verdict:
    """No lease is renewed although the API server answers reads: writes fail, and what is shown is frozen."""
    found, newest, still = renewals(situation), last_write(situation), still_for(situation, now)
    if newest is None or still is None:
        return Unknown("too few leases are to be seen, or the API server's answers are not live")
    if still <= STILL:
        return CLEAR
    lines = [
        fact("leases", f"the newest of {counted(len(found), 'lease')} was renewed at {newest:%H:%M:%S}", at=newest),
        fact("leases", "what stands in objects (node Ready, pod status) may be history since then", at=newest),
        clock_evidence(situation, now),
    ]
    page = situation.api_server.page
    if page is not None and page.storage_bytes is not None:
        size = human_bytes(page.storage_bytes)
        text = f"as the API server sees it: etcd's database has {size}; the default quota is 2 GiB"
        lines.append(Evidence(text, METRICS, situation.api_server.read_at, Mark.OPEN))
    return Fired(
        CLUSTER,
        f"has been renewed for {duration_text(still.total_seconds())}: writes may fail while reads go on",
        tuple(lines),
        (
            kubectl("get", "leases", "-A", purpose="is any of them renewed?"),
            *looks_from_outside(situation, now),
            *on_control_plane(situation, "date", "-u", purpose="is our clock right?"),
            *control_plane_commands(situation, "etcd"),
        ),
        follows=(CLUSTER,),
        follows_only=(*ETCD_DOWN, *CERTIFICATES_OUT, "api-not-ready", "api-overloaded"),
        who=("no lease",),
    )


RULES: Final[tuple[Rule, ...]] = (writes_stopped,)
