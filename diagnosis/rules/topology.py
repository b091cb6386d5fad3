"""Layer 4: how the control plane is built: etcd beside a strained API server, versions too far apart."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.etcd_disk import FSYNC_HEALTHY_S
from diagnosis.rules.etcd_elections import ELECTIONS_PER_HOUR
from situation.clock import duration_text
from situation.etcd.cluster import etcd_of
from situation.etcd.memory import KnownMember
from situation.etcd.standing import source_name
from situation.findings import Evidence, Layer, Mark, Severity
from situation.gpu.requests import asks_for_gpus
from situation.meta import CLUSTER
from situation.quantity import latency_text
from situation.situation import Situation
from situation.topology import EtcdTopology, api_server_versions, etcd_topology, static_pods, version_of

NODES: Final = 100
"""With more nodes etcd usually gets machines of its own; a habit, no limit of etcd's."""
REGULARLY: Final = timedelta(hours=1)
"""A disk that is regularly slower than the etcd FAQ asks, on stacked nodes, means: move etcd off them."""
OBSERVED: Final = timedelta(minutes=10)
"""A shorter look does not show what is regular."""
MINORS: Final = 1
"""Minor versions that may lie between API servers while they are updated (Kubernetes version skew policy)."""
KUBELET_MINORS: Final = 3
KUBELET_MINORS_BEFORE_1_28: Final = 2
"""Minor versions that a kubelet may be older than any API server (Kubernetes version skew policy)."""

Version = tuple[int, int, int]


def _member_strain(known: KnownMember) -> Iterator[Evidence]:
    member = known.member
    name, source = member.name or member.endpoint, source_name(member.endpoint)
    span = known.observed(REGULARLY)
    if span < OBSERVED:
        return
    words = duration_text(span.total_seconds())
    p99 = known.over(lambda page: page.fsync, REGULARLY).quantile(0.99)
    if p99 is not None and p99 > FSYNC_HEALTHY_S:
        text = f"{name}: fsync p99 {latency_text(p99)} over {words}, healthy is below 10 ms (etcd FAQ)"
        yield Evidence(text, source, known.page_at)
    changes = known.increase(lambda page: page.leader_changes, REGULARLY)
    if changes is not None and changes > ELECTIONS_PER_HOUR:
        yield Evidence(f"{name} saw {changes:.0f} changes of leader in {words}", source, known.page_at)


@rule(
    "stacked-etcd-strained",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.INFO,
    kind="Cluster",
    needs=("nodes", "pods"),
    looks_at="whether etcd's pods run on control plane nodes, and then fsync p99 above 10 ms and changes of leader "
    "over the last hour; how many nodes there are, and how many pods with GPUs were made.",
    look_alikes={
        "external etcd": "API servers run there, and no pod of etcd: silent",
        "a large cluster alone": "more than 100 nodes are told beside a measured sign, never without one",
        "etcd-slow-fsync": "the fault itself, now; this is advice for afterwards",
        "a planned change of leader": "one alone in an hour is not told",
    },
)
def stacked_etcd_strained(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd shares its nodes with the API server, and signs are there that it should not."""
    topology = etcd_topology(situation)
    if topology is EtcdTopology.UNKNOWN:
        return Unknown("no pod of the control plane is to be seen")
    known = situation.etcd.known
    answering = (known[item.endpoint] for item in etcd_of(situation, now).answering)
    signals = [line for member in answering for line in _member_strain(member)]
    if topology is EtcdTopology.EXTERNAL or not signals:
        return CLEAR
    where = ", ".join(pod.spec.node_name for pod in static_pods(situation, "etcd")[:5])
    churn = sum(
        now - made < REGULARLY and asks_for_gpus(pod)
        for pod in situation.pods.values()
        if (made := pod.metadata.creation_timestamp) is not None
    )
    lines = [*signals, fact("pods", f"etcd runs stacked, on {where}")]
    if len(situation.nodes) > NODES:
        lines.append(fact("nodes", f"{len(situation.nodes)} nodes; above {NODES} etcd is better off by itself"))
    if churn:
        lines.append(fact("pods", f"{counted(churn, 'pod')} with GPUs made within the last hour", Mark.OPEN))
    command = kubectl(
        "get", "pods", "-l", "component=etcd", "-o", "wide", purpose="where does etcd run?", namespace="kube-system"
    )
    return Fired(
        CLUSTER,
        f"shares its nodes with the API server under strain ({counted(len(signals), 'sign')})",
        tuple(lines),
        (command,),
        who=("etcd",),
    )


def _text(version: Version) -> str:
    return f"v{version[0]}.{version[1]}.{version[2]}"


def _kubelets(situation: Situation) -> dict[str, Version]:
    """Return the kubelets' versions by node. Thousands have the same few: each text is read once."""
    texts = {name: node.status.node_info.kubelet_version for (_, name), node in situation.nodes.items()}
    versions = {text: version_of(text) for text in set(texts.values())}
    return {name: version for name, text in texts.items() if (version := versions[text]) is not None}


def _spread(versions: dict[str, Version], what: str, kind: str) -> Iterator[Evidence]:
    """Yield how many of what have which version, and one of each by name, newest first; four at most."""
    many = Counter(versions.values())
    for version in sorted(many, reverse=True)[:4]:
        first = min(name for name, item in versions.items() if item == version)
        yield fact(kind, f"{_text(version)}: {counted(many[version], what)}, one of them on {first}")


def _minors(versions: dict[str, Version]) -> int:
    minors = {version[1] for version in set(versions.values())}
    return max(minors) - min(minors) if minors else 0


@rule(
    "versions-apart",
    signature="L4-04",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    needs=("nodes",),
    looks_at="the tags of the API servers' images by node, and the kubelets' versions.",
    look_alikes={
        "an upgrade under way": "one minor version between API servers is allowed meanwhile: a hint only",
        "nodes that are updated later": "kubelets up to three minor versions older are supported: a hint only",
    },
)
def versions_apart(_: None, situation: Situation, now: datetime) -> Verdict:
    """API servers have unequal versions, or kubelets do not fit the API server or lie far apart."""
    servers, kubelets = api_server_versions(situation), _kubelets(situation)
    newest = max(servers.values(), default=None)
    if newest is None and situation.version is not None:
        newest = version_of(situation.version.git_version)
    ahead = sorted(name for name, item in kubelets.items() if newest is not None and item[:2] > newest[:2])
    old = sorted(name for name, item in kubelets.items() if newest is not None and _is_too_old(item, newest))
    unequal = len(set(servers.values())) > 1
    far = _minors(kubelets) > MINORS
    if not unequal and not ahead and not old and not far:
        return CLEAR
    lines = list(_spread(servers, "API server", "pods")) if unequal else []
    if ahead:
        text = f"never supported: {counted(len(ahead), 'kubelet')} newer than the API server: {', '.join(ahead[:3])}"
        lines.append(fact("nodes", text))
    if old:
        text = f"no more supported: {counted(len(old), 'kubelet')} too old for the API server: {', '.join(old[:3])}"
        lines.append(fact("nodes", text))
    if far or ahead or old:
        lines += _spread(kubelets, "kubelet", "nodes")
    grave = bool(ahead or old) or _minors(servers) > MINORS
    return Fired(
        CLUSTER,
        _apart(unequal=unequal, ahead=ahead, old=old) or f"lie {_minors(kubelets)} minor versions apart",
        tuple(lines),
        (kubectl("get", "nodes", "-o", "wide", purpose="which node runs which version?"),),
        severity=Severity.WARNING if grave else Severity.INFO,
        who=("API servers" if unequal else "kubelets",),
    )


def _is_too_old(kubelet: Version, server: Version) -> bool:
    allowed = KUBELET_MINORS if server >= (1, 28, 0) else KUBELET_MINORS_BEFORE_1_28
    return kubelet[0] == server[0] and server[1] - kubelet[1] > allowed


def _apart(*, unequal: bool, ahead: list[str], old: list[str]) -> str:
    if unequal:
        return "have unequal versions"
    return "are newer than the API server" if ahead else "are too old for the API server" if old else ""


RULES: Final[tuple[Rule, ...]] = (stacked_etcd_strained, versions_apart)
