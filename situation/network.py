"""Services and what stands behind and before them."""

import msgspec

from situation.meta import IntOrString, KubernetesObject, LabelSelector, Ref, Wire


class ServicePort(Wire, frozen=True):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: IntOrString = 0
    node_port: int = 0


class ServiceSpec(Wire, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = ""
    load_balancer_class: str = ""
    publish_not_ready_addresses: bool = False
    external_name: str = ""


class LoadBalancerIngress(Wire, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancerStatus(Wire, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Wire, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(KubernetesObject, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class TargetRef(Wire, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class EndpointConditions(Wire, frozen=True):
    ready: bool | None = None
    """None means true, by the API's definition."""
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Wire, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    node_name: str = ""

    @property
    def is_ready(self) -> bool:
        return self.conditions.ready is not False


class EndpointPort(Wire, frozen=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"


class EndpointSlice(KubernetesObject, frozen=True):
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service(self) -> Ref | None:
        """The Service this slice belongs to (label `kubernetes.io/service-name`)."""
        name = self.metadata.labels.get("kubernetes.io/service-name")
        return Ref("Service", self.namespace, name) if name else None


class PolicyPort(Wire, frozen=True):
    protocol: str = "TCP"
    port: IntOrString | None = None
    end_port: int | None = None


class PolicyRule(Wire, frozen=True):
    ports: tuple[PolicyPort, ...] = ()
    peers_from: tuple[dict[str, object], ...] = msgspec.field(default=(), name="from")
    peers_to: tuple[dict[str, object], ...] = msgspec.field(default=(), name="to")


class NetworkPolicySpec(Wire, frozen=True):
    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[PolicyRule, ...] = ()
    egress: tuple[PolicyRule, ...] = ()


class NetworkPolicy(KubernetesObject, frozen=True):
    spec: NetworkPolicySpec = NetworkPolicySpec()


class BackendPort(Wire, frozen=True):
    name: str = ""
    number: int = 0


class BackendService(Wire, frozen=True):
    name: str = ""
    port: BackendPort = BackendPort()


class IngressBackend(Wire, frozen=True):
    service: BackendService | None = None


class IngressPath(Wire, frozen=True):
    path: str = ""
    backend: IngressBackend = IngressBackend()


class HttpRule(Wire, frozen=True):
    paths: tuple[IngressPath, ...] = ()


class IngressRule(Wire, frozen=True):
    host: str = ""
    http: HttpRule | None = None


class IngressSpec(Wire, frozen=True):
    ingress_class_name: str = ""
    default_backend: IngressBackend | None = None
    rules: tuple[IngressRule, ...] = ()


class IngressStatus(Wire, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Ingress(KubernetesObject, frozen=True):
    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


class WebhookService(Wire, frozen=True):
    name: str = ""
    namespace: str = ""
    port: int = 443
    path: str = ""


class WebhookClientConfig(Wire, frozen=True):
    service: WebhookService | None = None
    url: str = ""


class WebhookRule(Wire, frozen=True):
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    scope: str = "*"
    """`Cluster`, `Namespaced`, or `*` for both."""


class MatchCondition(Wire, frozen=True):
    """An expression that a request has to meet; what it says is not read."""

    name: str = ""


class Webhook(Wire, frozen=True):
    name: str
    failure_policy: str = "Fail"
    client_config: WebhookClientConfig = WebhookClientConfig()
    rules: tuple[WebhookRule, ...] = ()
    namespace_selector: LabelSelector = LabelSelector()
    """Of the namespace that a request is about; it says nothing of requests outside of namespaces."""
    object_selector: LabelSelector = LabelSelector()
    match_conditions: tuple[MatchCondition, ...] = ()
    timeout_seconds: int = 10


class ValidatingWebhookConfiguration(KubernetesObject, frozen=True):
    webhooks: tuple[Webhook, ...] = ()


class MutatingWebhookConfiguration(KubernetesObject, frozen=True):
    webhooks: tuple[Webhook, ...] = ()
