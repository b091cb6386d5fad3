"""What is read besides the Kubernetes API's objects: GPUs, model servers, etcd, the control plane's measurements.

Heavy to import, which connection.py does in a thread.
"""

from collections.abc import Iterable

from collectors.control_plane.collect import control_plane_collectors
from collectors.control_plane.hints import CertificateHints
from collectors.control_plane.scheduler import scheduler_poll
from collectors.etcd.collect import etcd_collectors
from collectors.etcd.options import EtcdOptions
from collectors.etcd.wishes import EtcdWishes
from collectors.gpu_devices.collect import gpu_collectors
from collectors.gpu_devices.options import DeviceOptions
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader
from collectors.kubernetes.client import Client
from collectors.kubernetes.cluster_clock import ClusterClock
from collectors.runner import Collector
from collectors.vllm.collect import vllm_collectors
from collectors.vllm.options import VllmOptions
from collectors.vllm.wishes import VllmWishes
from situation.situation import Situation


class OtherSources:
    """The collectors of these, and what they are told.

    Raises ConfigurationError for options that cannot be used. Without a client, what needs the API server is left out.
    """

    def __init__(
        self,
        client: Client | None,
        http: HttpReader,
        devices: DeviceOptions | None,
        etcd: EtcdOptions | None,
        serving: VllmOptions | None,
        clock: ClusterClock,
    ) -> None:
        models = serving or VllmOptions()
        self._servers = VllmWishes(models.pods, models.skipped)
        self._devices, self._etcd, self._hints = DeviceWishes(), EtcdWishes(), CertificateHints()
        self._clock = clock
        way = etcd or EtcdOptions()
        self._etcd_endpoints = way.endpoints
        """Of the members that are known: what they show in a TLS handshake is of interest besides."""
        self.collectors: tuple[Collector, ...] = (
            *etcd_collectors(http, self._etcd, way, clock=clock),
            *control_plane_collectors(
                client,
                kubernetes_dir=way.kubernetes_dir,
                etcd_endpoints=lambda: self._etcd_endpoints,
                certificates_hint=lambda: self._hints.turn,
                scheduler=scheduler_poll(devices.prometheus, devices.token_file, http, clock) if devices else None,
                clock=clock,
            ),
            *gpu_collectors(client, http, self._devices, devices or DeviceOptions(), clock=clock),
            *vllm_collectors(client, http, self._servers, models, clock=clock),
        )
        self.names = frozenset(collector.name for collector in self.collectors)

    def tell(self, situation: Situation, first: Iterable[str]) -> None:
        """Take in what is known now, and the nodes whose GPUs and model servers are wanted first."""
        nodes = tuple(first)
        self._devices.tell(situation, nodes)
        self._servers.tell(situation, nodes)
        self._etcd.tell(situation)
        self._hints.tell(situation, self._clock())
        if situation.etcd.known:
            self._etcd_endpoints = tuple(situation.etcd.known)
