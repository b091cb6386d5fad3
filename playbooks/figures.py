"""The one table of figures that automatic checks may name; the format page is made from it."""

from collections.abc import Mapping
from typing import Final

from playbooks.figure import Bound, Figure, Found, Kind, Unsure, Value
from playbooks.figures_cluster import CLUSTER_FIGURES
from playbooks.figures_etcd import ETCD_FIGURES
from playbooks.figures_gpu import GPU_FIGURES
from playbooks.figures_istio import ISTIO_FIGURES

__all__ = ["FIGURES", "Bound", "Figure", "Found", "Kind", "Unsure", "Value"]

FIGURES: Final[Mapping[str, Figure]] = CLUSTER_FIGURES | ISTIO_FIGURES | GPU_FIGURES | ETCD_FIGURES
