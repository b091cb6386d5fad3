"""Workloads whose environment or nameserver does not lead to the cluster's Services (L1-24, L3-07)."""

import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from diagnosis.commands import fact, kubectl
from diagnosis.endpoints import is_cluster_dns, services_known
from diagnosis.rule import CLEAR, Fired, Judge, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.network import APPLIED_S
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import EnvVar, PodSpec
from situation.situation import Situation
from situation.workloads import DaemonSet, Deployment, StatefulSet

_NODE_LOCAL: Final = tuple(map(ip_network, ("169.254.0.0/16", "127.0.0.0/8", "::1/128", "fe80::/10")))
"""Where a DNS cache on the node itself listens (NodeLocal DNSCache: 169.254.20.10)."""


class _Address(NamedTuple):
    """A `host:port` in an environment variable that should be a Service of the cluster."""

    variable: str
    host: str
    namespace: str
    service: str
    port: int


_LOCAL_HOSTS: Final = frozenset({"localhost", "host", "0"})
_LOWEST_PORT: Final = 80
"""What looks like a lower port is rather the tag of an image (`postgres:16`), a time or a ratio. Ours."""
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def _address(variable: EnvVar, namespace: str, situation: Situation) -> _Address | None:
    """Read `name[.namespace[.svc[.cluster.local]]]:port`, None for addresses that are not the cluster's."""
    host, _, port = variable.value.lower().rpartition(":")
    parts = host.split(".")
    if not host or parts[0] in _LOCAL_HOSTS or not all(_NAME.fullmatch(part) for part in parts):
        return None
    if int(port) < _LOWEST_PORT:
        return None
    if len(parts) == 2 and (namespace, parts[1]) in situation.services:
        return None  # a pod of a StatefulSet by its headless Service
    if len(parts) == 1:
        return _Address(variable.name, host, namespace, parts[0], int(port))
    inside = len(parts) == 2 or (parts[2] == "svc" and (len(parts) == 3 or parts[3:] == ["cluster", "local"]))
    if not inside or ("", parts[1]) not in situation.namespaces:
        return None
    return _Address(variable.name, host, parts[1], parts[0], int(port))


def _addresses(spec: PodSpec, namespace: str, situation: Situation) -> Iterator[_Address]:
    for container in spec.init_containers + spec.containers:
        for variable in container.env:
            if variable.value and (found := _address(variable, namespace, situation)):
                yield found


def _is_unread(address: _Address, namespace: str, situation: Situation) -> bool:
    """Tell whether nobody knows if there is such a Service: one could not be decoded.

    Of two parts the second may also name a headless Service of the workload's own namespace.
    """
    keys = [(address.namespace, address.service)]
    if keys[0] not in situation.services and address.host.count(".") == 1:
        keys.append((namespace, address.namespace))
    return any(key not in situation.services and situation.is_unread("services", key) for key in keys)


def _wrong(address: _Address, situation: Situation) -> str:
    """Say what is wrong with an address, empty if nothing is or nothing can be told."""
    if not services_known(situation, address.namespace):
        return ""
    service = situation.services.get((address.namespace, address.service))
    if service is None:
        return f"{address.host}: no such Service in {address.namespace}"
    free = service.spec.type == "ExternalName" or service.spec.cluster_ip in ("", "None")
    if free or any(port.port == address.port for port in service.spec.ports):
        return ""
    ports = ", ".join(str(port.port) for port in service.spec.ports)
    return f"{address.host}:{address.port}: the Service has port {ports or 'none'}"


def _judge_addresses(kind: str, workload: Deployment | StatefulSet, situation: Situation, now: datetime) -> Verdict:
    if not workload.spec.replicas:
        return CLEAR
    addresses = list(_addresses(workload.spec.template.spec, workload.namespace, situation))
    unread = [address for address in addresses if _is_unread(address, workload.namespace, situation)]
    wrong = [(item, text) for item in addresses if item not in unread and (text := _wrong(item, situation))]
    if not wrong and unread:
        return Unknown(f"Service {unread[0].service} could not be decoded")
    if not wrong:
        return CLEAR
    if wait := wait_until(workload.metadata.creation_timestamp, APPLIED_S, now):
        return wait
    target = f"{kind.lower()}/{workload.name}"
    first = wrong[0][0]
    return Fired(
        Ref("Service", first.namespace, first.service),
        f"refers to {first.host}:{first.port}, which no Service offers",
        (
            *(fact("services", f"{address.variable}={text}") for address, text in wrong[:4]),
            fact("services", "the name may also be resolved outside the cluster", Mark.OPEN),
        ),
        (
            kubectl(
                "set", "env", target, "--list", purpose="which addresses is it given?", namespace=workload.namespace
            ),
            kubectl("get", "services", purpose="which Services and ports are there?", namespace=first.namespace),
        ),
        who=(workload.name,),
    )


class _Dns(NamedTuple):
    service: Ref
    address: str


def _cluster_dns(situation: Situation) -> _Dns | None:
    for key, service in situation.services.items():
        if is_cluster_dns(service) and service.spec.cluster_ip not in ("", "None"):
            return _Dns(Ref("Service", *key), service.spec.cluster_ip)
    return None


def _is_foreign(nameserver: str, own: str) -> bool:
    try:
        address = ip_address(nameserver)
    except ValueError:
        return True
    return nameserver != own and not any(address in network for network in _NODE_LOCAL)


def _judge_nameserver(
    kind: str, workload: Deployment | StatefulSet | DaemonSet, situation: Situation, now: datetime
) -> Verdict:
    spec = workload.spec.template.spec
    if spec.dns_policy != "None" or spec.dns_config is None:
        return CLEAR
    dns = _cluster_dns(situation)
    if dns is None:
        return Unknown("the cluster's DNS Service is not known")
    servers = spec.dns_config.nameservers
    if not all(_is_foreign(server, dns.address) for server in servers):
        return CLEAR
    needs = [address for address in _addresses(spec, workload.namespace, situation)
             if (address.namespace, address.service) in situation.services]  # fmt: skip
    evidence = [
        fact(
            "services",
            f"dnsPolicy None with nameservers {', '.join(servers)}; the cluster's is {dns.address}",
        )
    ]
    if needs:
        evidence.append(
            fact("services", f"{needs[0].variable} names the Service {needs[0].host}: it cannot be resolved")
        )
    return Fired(
        Ref(kind, *workload.key),
        "asks a nameserver that does not know the cluster's names",
        tuple(evidence),
        (
            kubectl("get", kind.lower(), workload.name,
                    "-o", "jsonpath={.spec.template.spec.dnsPolicy}{.spec.template.spec.dnsConfig}",
                    purpose="which nameserver does it bring?", namespace=workload.namespace),
        ),
        severity=Severity.WARNING if needs else Severity.INFO,
    )  # fmt: skip


def _nameserver_rule(kind: str, resource: str) -> Rule:
    def judge(workload: Deployment | StatefulSet | DaemonSet, situation: Situation, now: datetime) -> Verdict:
        """A workload brings its own nameserver, which does not know the names of Services."""
        return _judge_nameserver(kind, workload, situation, now)

    made: Judge = judge
    return rule(
        f"foreign-nameserver-{kind.lower()}",
        signature="L3-07",
        layer=Layer.NETWORK,
        severity=Severity.INFO,
        kind=kind,
        needs=(resource, "services"),
        looks_at="dnsPolicy None and its nameservers in the pod template; Services named in its environment.",
        look_alikes={"cluster-dns-down": "there no workload can resolve names", "a DNS cache on the node": "silent"},
    )(made)


def _address_rule(kind: str, resource: str) -> Rule:
    def judge(workload: Deployment | StatefulSet, situation: Situation, now: datetime) -> Verdict:
        """A workload's environment names a host and port that no Service offers."""
        return _judge_addresses(kind, workload, situation, now)

    made: Judge = judge
    return rule(
        f"env-address-{kind.lower()}",
        signature="L1-24",
        layer=Layer.APPLICATION,
        severity=Severity.INFO,
        kind=kind,
        needs=(resource, "services", "namespaces"),
        looks_at="`host:port` in environment variables against the Services in scope and their ports.",
        look_alikes={"an address outside the cluster": "names with other domains are not judged"},
    )(made)


RULES: Final[tuple[Rule, ...]] = (
    _nameserver_rule("Deployment", "deployments"),
    _nameserver_rule("StatefulSet", "statefulsets"),
    _nameserver_rule("DaemonSet", "daemonsets"),
    _address_rule("Deployment", "deployments"),
    _address_rule("StatefulSet", "statefulsets"),
)
