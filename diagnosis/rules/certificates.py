"""Layer 4: certificates of the control plane that end, have ended, or were renewed but not loaded (L4-11)."""

from datetime import datetime
from typing import Final

from diagnosis import certificate_facts as facts
from diagnosis.certificate_facts import Band
from diagnosis.commands import shorten
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from situation.certificates import Certificate
from situation.clock import duration_text
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER
from situation.situation import Situation

_EXTERNAL: Final = "of an external CA (EXTERNALLY MANAGED) kubeadm renews nothing: its owner does"
_AUTHORITY: Final = "kubeadm never renews a CA: a new one means new certificates for everything it signed"
_BANDS: Final = "for people: warning below 30 days, critical below 7; kubernetes mixin: 7 days and 1 day"
_ROTATES: Final = "the kubelet should have renewed its own by now: look for pending CSRs"


def _note(text: str, item: Certificate, situation: Situation, mark: Mark = Mark.SUPPORTS) -> Evidence:
    return Evidence(text, situation.certificate_source(item), mark=mark)


def _commands(items: list[Certificate], situation: Situation) -> tuple[Command, ...]:
    """Return reading first, then renewing, then restarting what holds the old ones."""
    first = items[0]
    check = facts.check_command(first, situation)
    if all(item.name in facts.ROTATING or item.name == "kubelet-server" for item in items):
        return (check,)
    restarts = facts.restart_commands([item.name for item in items], first, situation)
    return (check, *facts.renew_commands(first, situation), *restarts)


def _judged(situation: Situation, now: datetime, *bands: Band) -> list[Certificate]:
    """Return the leaf certificates in these bands, the first to end first; not those of which a newer file is there.

    Of a served certificate and its file, which are the same, the one in use is told.
    """
    old = {served for served, _ in facts.replaced(situation)}
    found: dict[tuple[str, str, datetime | None], Certificate] = {}
    for item in situation.certificates:
        if not item.is_authority and item not in old and facts.band(item, now) in bands:
            found.setdefault((item.name, item.node if not item.is_served else "", item.not_after), item)
    served = {(item.name, item.not_after) for item in found.values() if item.is_served}
    kept = [item for item in found.values() if item.is_served or (item.name, item.not_after) not in served]
    return sorted(kept, key=lambda item: (item.not_after or now, item.name, item.place))


def _who(items: list[Certificate]) -> str:
    """Return how a title starts: `certificates apiserver, etcd-server and 3 more:`."""
    names = list(dict.fromkeys(item.name for item in items))
    more = f" and {len(names) - 2} more" if names[2:] else ""
    return f"{'certificates' if names[1:] else 'certificate'} {', '.join(names[:2])}{more}:"


@rule(
    "certificate-expired",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="NotAfter and NotBefore of what the API server and etcd show in TLS handshakes, and of kubeadm's files.",
    look_alikes={
        "a wrong clock": "the newest lease tells how far our clock is from the cluster's",
        "certificate-not-reloaded": "there the file was renewed already, only the process was not restarted",
        "a certificate of another authority": "there dates are right and api-certificate says that it is not accepted",
    },
)
def certificate_expired(_: None, situation: Situation, now: datetime) -> Verdict:
    """A certificate of the control plane is not valid any more, or not yet: who checks it refuses the connection."""
    if not situation.certificates:
        return Unknown("no certificate has been read")
    gone = _judged(situation, now, Band.EXPIRED, Band.NOT_YET)
    authorities = [
        item for item in situation.certificates if item.is_authority and facts.band(item, now) is Band.EXPIRED
    ]
    items = authorities + gone
    if not items:
        return CLEAR
    vital = [item for item in items if item.name not in facts.FOR_PEOPLE]
    first = (vital or items)[0]
    early = facts.band(first, now) is Band.NOT_YET
    since = "" if early or first.not_after is None else f" {duration_text((now - first.not_after).total_seconds())} ago"
    lines = [*(facts.describe(item, situation, now) for item in items[:4]), facts.clocks(situation, now)]
    if authorities:
        lines.append(_note(_AUTHORITY, authorities[0], situation))
    state = "not valid yet" if early else "expired"
    return Fired(
        CLUSTER,
        f"{state}{since}",
        (*lines, _note(_EXTERNAL, first, situation, Mark.OPEN), *facts.unread(situation)),
        _commands([first, *(item for item in items if item is not first)], situation),
        severity=Severity.CRITICAL if vital else Severity.WARNING,
        who=(_who(vital or items),),
    )


@rule(
    "certificate-expires",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="NotAfter of handshakes and files against 30 and 7 days; the last tenth of the life of "
    "certificates that live for less than 300 days.",
    look_alikes={
        "a kubelet's client certificate": "it renews itself at 70 to 90 % of its life: told only when it did not",
        "certificate-authority-expires": "kubeadm renews leaf certificates, never CAs",
        "a wrong clock": "the newest lease tells",
    },
)
def certificate_expires(_: None, situation: Situation, now: datetime) -> Verdict:
    """Certificates of the control plane end soon: then everything that checks them fails at once."""
    if not situation.certificates:
        return Unknown("no certificate has been read")
    items = _judged(situation, now, Band.URGENT, Band.SOON)
    items = [item for item in items if item.name not in facts.ROTATING or _is_late(item, now)]
    if not items:
        return CLEAR
    first = items[0]
    urgent = any(facts.band(item, now) is Band.URGENT and item.name not in facts.FOR_PEOPLE for item in items)
    lines = [*(facts.describe(item, situation, now) for item in items[:4])]
    lines += [_note(_BANDS, first, situation), facts.clocks(situation, now)]
    if any(item.name in facts.ROTATING for item in items):
        lines.append(_note(_ROTATES, first, situation))
    return Fired(
        CLUSTER,
        f"{_left(first, now)} left",
        (*lines, _note(_EXTERNAL, first, situation, Mark.OPEN), *facts.unread(situation)),
        _commands(items, situation),
        severity=Severity.CRITICAL if urgent else Severity.WARNING,
        who=(_who(items),),
    )


def _left(item: Certificate, now: datetime) -> str:
    return duration_text((item.not_after - now).total_seconds()) if item.not_after else "?"


def _is_late(item: Certificate, now: datetime) -> bool:
    """Tell whether a certificate that rotates itself by 90 % of its life has not done so."""
    if item.not_after is None or item.not_before is None:
        return facts.band(item, now) is Band.URGENT
    return item.not_after - now < (item.not_after - item.not_before) / facts.SHORT_LIVED


@rule(
    "certificate-authority-expires",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="NotAfter of ca.crt, etcd/ca.crt and front-proxy-ca.crt against 30 and 7 days.",
    look_alikes={"certificate-expires": "leaf certificates are renewed by kubeadm; a CA never is"},
)
def certificate_authority_expires(_: None, situation: Situation, now: datetime) -> Verdict:
    """A certificate authority of the cluster ends soon; kubeadm does not renew it."""
    items = [item for item in situation.certificates if item.is_authority]
    if not items:
        return Unknown("no certificate authority has been read")
    ending = [item for item in items if facts.band(item, now) in (Band.URGENT, Band.SOON)]
    ending.sort(key=lambda item: (item.not_after or now, item.name))
    if not ending:
        return CLEAR
    return Fired(
        CLUSTER,
        f"{_left(ending[0], now)} left",
        (
            *(facts.describe(item, situation, now) for item in ending[:3]),
            _note(_AUTHORITY, ending[0], situation),
            facts.clocks(situation, now),
        ),
        (facts.check_command(ending[0], situation),),
        severity=Severity.CRITICAL
        if any(facts.band(item, now) is Band.URGENT for item in ending)
        else Severity.WARNING,
        who=(_who(ending),),
    )


@rule(
    "certificate-not-reloaded",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="the certificate in the TLS handshake against the file of the same node.",
    look_alikes={
        "another node behind a load balancer": "its certificate is another one: compared only on the same host",
        "certificate-expires": "there the file itself is old",
    },
)
def certificate_not_reloaded(_: None, situation: Situation, now: datetime) -> Verdict:
    """A certificate was renewed, but the running process still holds the old one: its static pod was not restarted."""
    if not any(item.is_served for item in situation.certificates):
        return Unknown("no TLS handshake has shown a certificate")
    pairs = facts.replaced(situation)
    if not pairs:
        return CLEAR
    served, file = min(pairs, key=lambda pair: pair[0].not_after or now)
    grave = facts.band(served, now) in (Band.EXPIRED, Band.URGENT)
    expired = facts.band(served, now) is Band.EXPIRED
    return Fired(
        CLUSTER,
        shorten(f"{served.name}: the process still holds the old one, "
                + ("which has expired" if expired else f"{_left(served, now)} left"), 70),
        (facts.describe(served, situation, now), facts.describe(file, situation, now), facts.clocks(situation, now)),
        (
            facts.check_command(file, situation),
            *facts.restart_commands([pair[0].name for pair in pairs], file, situation),
        ),
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        who=("renewed certificate",),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    certificate_expired,
    certificate_not_reloaded,
    certificate_expires,
    certificate_authority_expires,
)
