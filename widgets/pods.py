"""The pods: as `kubectl get pods -o wide` tells it, those that need a look first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from textual.app import ComposeResult
from textual.message import Message

from situation.clock import age_text
from situation.meta import ObjectKey, Ref
from situation.ordering import PodRows
from situation.pods import Pod
from situation.selectors import is_finished, last_restart, pod_status_text, ready_count, restarts
from widgets.columns import Cell, Column
from widgets.pane import Pane
from widgets.table import RowTable

_GONE: Final[tuple[Cell, ...]] = ("",) * 7
"""A pod that went after the last painting."""

_LEAST_NAME: Final = 32
"""Cells of a pod's name: the end of it tells the replicas of one workload apart."""
COLUMNS: Final = (
    Column("namespace", 14, priority=3, least=12),
    Column("pod", 0, priority=0, least=_LEAST_NAME, keeps_end=True),
    Column("ready", 5, priority=1, align="right"),
    Column("status", 22, priority=0, least=17),
    Column("restarts", 11, priority=2, align="right", least=8),
    Column("age", 6, priority=4, align="right"),
    Column("node", 16, priority=5),
)


class PodsPane(Pane):
    """A table of pods."""

    TITLE = "Pods"

    class PodPicked(Message):
        """A pod was picked."""

        def __init__(self, ref: Ref) -> None:
            self.ref = ref
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now: datetime | None = None
        self._pods: Mapping[ObjectKey, Pod] = {}
        self._keys: Sequence[ObjectKey] = ()

    def compose_body(self) -> ComposeResult:
        yield RowTable[ObjectKey](
            COLUMNS,
            key_of=lambda key: key,
            cells_of=self._cells,
            id="pods-table",
        )

    @property
    def table(self) -> RowTable[ObjectKey]:
        return self.query_one(RowTable)

    def show(self, keys: Sequence[ObjectKey], pods: Mapping[ObjectKey, Pod], now: datetime, empty: str) -> None:
        """Show the pods with these keys, in this order; cells are made when a line becomes visible."""
        self._now = now
        self._pods = pods
        self._keys = keys
        self.table.empty_text = empty
        self.table.show(keys, position=keys.position if isinstance(keys, PodRows) else None)

    def repaint(self, keys: frozenset[ObjectKey], now: datetime) -> None:
        """Repaint those of these pods that are visible; order and number are as before."""
        self._now = now
        self.table.show(self._keys, keys)

    def repaint_ages(self, now: datetime) -> None:
        """Repaint all visible pods: ages pass although nothing changes."""
        self._now = now
        self.table.repaint()

    def _cells(self, key: ObjectKey) -> tuple[Cell, ...]:
        pod = self._pods.get(key)
        return pod_cells(pod, self._now) if pod is not None else _GONE

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        pod = self._pods.get(event.key)
        if pod is not None:
            self.post_message(self.PodPicked(Ref("Pod", pod.namespace, pod.name)))


def pod_cells(pod: Pod, now: datetime | None) -> tuple[Cell, ...]:
    """Return the cells of a pod: namespace, name, ready, status, restarts, age, node."""
    ready, total = ready_count(pod)
    status = pod_status_text(pod)
    fine = ready == total or pod.status.phase == "Succeeded"
    count = restarts(pod)
    ended = last_restart(pod)
    restarted = f"{count} ({age_text(ended, now)})" if count and ended and now else str(count)
    return (
        (pod.namespace, "dim"),
        (pod.name, "" if fine else "strong"),
        (f"{ready}/{total}", "dim" if fine else "warning"),
        (status, _status_role(pod, status, fine)),
        (restarted, "warning" if count and not fine else "dim"),
        (age_text(pod.metadata.creation_timestamp, now) if now else "", "dim"),
        (pod.spec.node_name or "–", "dim"),
    )


def _status_role(pod: Pod, status: str, fine: bool) -> str:
    if fine and status in ("Running", "Completed", "Succeeded"):
        return "dim" if is_finished(pod) else "fine"
    if status in ("Pending", "ContainerCreating", "Terminating", "SchedulingGated") or status.startswith("Init:"):
        return "warning" if "rr" not in status and "Back" not in status else "critical"
    return "warning" if status == "Running" else "critical"
