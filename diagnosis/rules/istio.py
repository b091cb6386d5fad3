"""Layer 3: Istio in front of model servers: routes that end before an answer, pools that are full before the GPU."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.istio_facts import seconds_of, servers_behind, service_of
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import duration_text
from situation.findings import Evidence, Layer, Mark, Severity
from situation.histograms import Histogram, merged
from situation.istio import DestinationRule, HttpRoute, VirtualService
from situation.meta import Ref
from situation.pods import Pod
from situation.serving.recognise import ServerSpec
from situation.serving.serving import SOURCE
from situation.situation import Situation

GENERATION_S: Final = 60.0
"""Ours: a thousand tokens at 50 ms each, and the wait for the first; a route that ends sooner cuts off long answers."""
SEQUENCES: Final = 256
"""Requests that one server takes at once where `--max-num-seqs` is not set: the default of most versions of vLLM."""
E2E_LEAST: Final = 100
"""Finished requests of which a 99th percentile is worth its name."""

Servers = tuple[tuple[Pod, ServerSpec], ...]


@rule(
    "istio-route-timeout",
    signature="L3-02",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="VirtualService",
    needs=("virtualservices", "services", "pods"),
    looks_at="The timeout of HTTP routes to Services of model servers, against a minute, or against the measured p99 "
    "of their request latency, which makes it a warning.",
    look_alikes={
        "no timeout": "an empty one, or 0s, does not end anything: silent",
        "a route to something else": "only routes to Services with model servers behind them are looked at",
        "vllm-queue-growing": "requests that wait too long run into the same timeout",
    },
)
def istio_route_timeout(item: VirtualService, situation: Situation, now: datetime) -> Verdict:
    """A route to a model server ends requests before a long answer is through."""
    found = list(_short(item, situation))
    if not found:
        return CLEAR
    route, limit, servers = min(found, key=lambda entry: entry[1])
    measured = _latency(servers, situation)
    is_cut = measured is not None and measured > limit
    evidence = [
        fact("virtualservices", f"route {route.name or 'without a name'} has timeout {route.timeout}"),
        fact("pods", f"{counted(len(servers), 'model server')} behind it, {servers[0][0].name} first"),
    ]
    if measured is None:
        text = f"an answer of 1,000 tokens takes about {duration_text(GENERATION_S)}: how long they really take is not "
        evidence.append(fact("pods", text + "measured", Mark.OPEN))
    else:
        verdict = "longer than the route lets them" if is_cut else "shorter than the route allows"
        text = f"p99 of all requests since the servers started: {duration_text(measured)}, {verdict}"
        evidence.append(Evidence(text, SOURCE, None, Mark.SUPPORTS if is_cut else Mark.OPEN))
    evidence.append(fact("virtualservices", "to change: leave the timeout out, or set it above the longest answer"))
    return Fired(
        Ref("VirtualService", item.namespace, item.name),
        f"ends requests to a model server after {duration_text(limit)}",
        tuple(evidence),
        (kubectl("get", "virtualservice", item.name, "-o", "yaml", purpose="which routes have which timeout?",
                 namespace=item.namespace),),
        severity=Severity.WARNING if is_cut else None,
    )  # fmt: skip


def _short(item: VirtualService, situation: Situation) -> Iterator[tuple[HttpRoute, float, Servers]]:
    """Yield the routes to model servers whose timeout is short, or shorter than their answers were."""
    for route in item.spec.http:
        limit = seconds_of(route.timeout)
        if not limit:
            continue
        servers = _servers((entry.destination.host for entry in route.route), item.namespace, situation)
        if servers and (limit < GENERATION_S or limit < (_latency(servers, situation) or 0.0)):
            yield route, limit, servers


def _servers(hosts: Iterable[str], namespace: str, situation: Situation) -> Servers:
    found = {
        pod.key: (pod, spec)
        for host in hosts
        for pod, spec in servers_behind(service_of(host, namespace), situation)
    }  # fmt: skip
    return tuple(found[key] for key in sorted(found))


def _latency(servers: Servers, situation: Situation) -> float | None:
    """Return the 99th percentile of the request latency of these servers since they started; None if not measured."""
    keys = {pod.key for pod, _ in servers}
    total: Histogram = merged(
        engine.e2e
        for reading in situation.serving.known.values()
        if reading.server.pod in keys and reading.server.page is not None
        for engine in reading.server.page.engines
        if engine.e2e is not None
    )
    return total.quantile(0.99) if total.total >= E2E_LEAST else None


@rule(
    "istio-connection-pool",
    signature="L3-02",
    layer=Layer.NETWORK,
    severity=Severity.INFO,
    kind="DestinationRule",
    needs=("destinationrules", "services", "pods"),
    looks_at="maxConnections, http1MaxPendingRequests and http2MaxRequests of the connection pool to a Service of "
    "model servers, against what these take at once (--max-num-seqs times servers).",
    look_alikes={
        "vllm-rejecting": "there the server itself turns requests away, and counts them",
        "vllm-saturated": "there the servers are full: the queue grows, and the GPU is busy",
        "no limit set": "Istio's default is practically none: silent",
    },
)
def istio_connection_pool(item: DestinationRule, situation: Situation, now: datetime) -> Verdict:
    """A connection pool is full before the GPUs are: clients see 503 while queue and GPU look idle."""
    servers = _servers((item.spec.host,), item.namespace, situation)
    if not servers:
        return CLEAR
    takes = sum(spec.arguments.max_num_seqs or SEQUENCES for _, spec in servers)
    low = [(name, limit) for name, limit in _limits(item) if limit < takes]
    if not low:
        return CLEAR
    set_on_all = all(spec.arguments.max_num_seqs is not None for _, spec in servers)
    why = "by --max-num-seqs" if set_on_all else f"{SEQUENCES} each where --max-num-seqs is not set"
    evidence = [fact("destinationrules", f"{name} {limit}: from each client's proxy") for name, limit in low]
    evidence += [
        fact("pods", f"{counted(len(servers), 'model server')} behind {item.spec.host} take {takes} requests at once "
             f"({why})"),
        fact("pods", "a hint: it is the cause of 503s only while the servers' queues are empty", Mark.OPEN),
        fact("destinationrules", f"to change: these limits to {takes} at least, or leave them out"),
    ]  # fmt: skip
    name, limit = min(low, key=lambda entry: entry[1])
    return Fired(
        Ref("DestinationRule", item.namespace, item.name),
        f"lets fewer requests through than its servers take: {name} {limit}",
        tuple(evidence),
        (kubectl("get", "destinationrule", item.name, "-o", "yaml", purpose="which limits are set?",
                 namespace=item.namespace),),
    )  # fmt: skip


def _limits(item: DestinationRule) -> Iterator[tuple[str, int]]:
    pool = item.spec.traffic_policy.connection_pool
    for name, limit in (
        ("maxConnections", pool.tcp.max_connections),
        ("http1MaxPendingRequests", pool.http.http1_max_pending_requests),
        ("http2MaxRequests", pool.http.http2_max_requests),
    ):
        if limit:
            yield name, limit


RULES: Final[tuple[Rule, ...]] = (istio_route_timeout, istio_connection_pool)
