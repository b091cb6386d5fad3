"""Istio's routes and connection pools: what rules about model servers read of them."""

from situation.meta import KubernetesObject, Wire


class Destination(Wire, frozen=True):
    host: str = ""
    """Name of a Service, short or whole."""


class RouteDestination(Wire, frozen=True):
    destination: Destination = Destination()


class HttpRoute(Wire, frozen=True):
    name: str = ""
    route: tuple[RouteDestination, ...] = ()
    timeout: str = ""
    """`15s`; empty or `0s`: none."""


class VirtualServiceSpec(Wire, frozen=True):
    hosts: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()


class VirtualService(KubernetesObject, frozen=True):
    spec: VirtualServiceSpec = VirtualServiceSpec()


class TcpPool(Wire, frozen=True):
    max_connections: int | None = None


class HttpPool(Wire, frozen=True):
    http1_max_pending_requests: int | None = None
    http2_max_requests: int | None = None


class ConnectionPool(Wire, frozen=True):
    tcp: TcpPool = TcpPool()
    http: HttpPool = HttpPool()


class TrafficPolicy(Wire, frozen=True):
    connection_pool: ConnectionPool = ConnectionPool()


class DestinationRuleSpec(Wire, frozen=True):
    host: str = ""
    traffic_policy: TrafficPolicy = TrafficPolicy()


class DestinationRule(KubernetesObject, frozen=True):
    spec: DestinationRuleSpec = DestinationRuleSpec()
