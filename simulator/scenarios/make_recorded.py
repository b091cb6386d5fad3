"""Makes the tapes that rest on recordings: `python -m simulator.scenarios.make_recorded RECORDINGS [--tests FOLDER]`.

Added to what was recorded: what the recorder did not ask for. The cluster had no storage classes and no webhooks; its
scheduler and controller manager were at work, so their leases are renewed; the logs are what the
containers print, or would print in earnest.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from situation.kinds import BY_NAME
from tape.format import LOGS_SOURCE, READYZ_SOURCE, TAPE_VERSION, Frame, Header, ListBody, TapeError, WatchEvent
from tape.recording import Recording
from tape.slim import slim_frames
from tape.writer import write_tape

SERVER: Final = "v1.36.2"
RENEW_EVERY_S: Final = 5.0
EMPTY_KINDS: Final = ("storageclasses", "validatingwebhookconfigurations", "mutatingwebhookconfigurations")
READY: Final = "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\nreadyz check passed\n"
DRIVER_LOG: Final = (
    "ERROR: Unable to load the kernel module 'nvidia.ko'. This happens most frequently when this kernel module was "
    "built against the wrong or improperly configured kernel sources, or if another driver, such as nouveau, is "
    "present and prevents the NVIDIA kernel module from obtaining ownership of the NVIDIA device(s)\n"
)
CART_LOG: Final = (
    "starting\nsession cache: no size limit is set\nlistening on :8080\n"
    "session cache: 12000 entries, 9 MiB\nsession cache: 24000 entries, 18 MiB\nsession cache: 36000 entries, 27 MiB\n"
)
"""Ends in the middle: a process that is killed for its memory has no last word."""
WAITS_FOR_DRIVER: Final = "failed to validate the driver, retrying after 5 seconds\n" * 3
WAITS_FOR_TOOLKIT: Final = "waiting for nvidia container stack to be setup\n" * 3
_RUNTIME_SOCKET: Final = re.compile(rb"dial unix \S+/containerd\.sock")
"""The recorded nodes have it in an unusual place."""


class _Scenario(NamedTuple):
    title: str
    context: str
    start_at: float
    hold_at: float | None
    logs: dict[str, str]
    """Start of a pod's name, after `namespace/`, to its log; `START/CONTAINER` for one of several containers."""
    for_tests: bool = False


SCENARIOS: Final = {
    "faults_a": _Scenario(
        "Ten faults at once in a shop: crash loop, OOM kills, a missing image, a missing Secret, pods that cannot run",
        "shop-prod",
        60.0,
        98.4,
        {
            "shop/cart-": CART_LOG,
            "shop/checkout-": "starting\nFATAL: missing DATABASE_URL\n",
            "shop/orders-": "starting\nlistening on :8080\n",
            "shop/web-": "starting\nloading the catalogue; /ready answers once it is complete\n",
        },
    ),
    "gpu_driver_nouveau": _Scenario(
        "The GPU driver does not load, everything on the node waits for it, and two model servers find no GPU",
        "gpu-prod",
        46.0,
        52.5,
        {
            "gpu-operator/nvidia-driver-daemonset-/nvidia-driver-ctr": DRIVER_LOG,
            "gpu-operator/nvidia-container-toolkit-daemonset-/driver-validation": WAITS_FOR_DRIVER,
            "gpu-operator/nvidia-operator-validator-/driver-validation": WAITS_FOR_DRIVER,
            "gpu-operator/gpu-feature-discovery-/toolkit-validation": WAITS_FOR_TOOLKIT,
            "gpu-operator/nvidia-dcgm-exporter-/toolkit-validation": WAITS_FOR_TOOLKIT,
            "gpu-operator/nvidia-device-plugin-daemonset-/toolkit-validation": WAITS_FOR_TOOLKIT,
            "gpu-operator/nvidia-mig-manager-/toolkit-validation": WAITS_FOR_TOOLKIT,
        },
    ),
    "gpu_healthy": _Scenario("A GPU node comes up and two model servers start", "gpu-prod", 0.0, None, {}, True),
}


def frames_of(recording: Recording, logs: dict[str, str]) -> Iterator[Frame]:
    """Yield the recording's frames, slimmed, in order, with what it lacks."""
    started_at = recording.started_at()
    extra = [Frame(0.0, READYZ_SOURCE, status=200, text=READY)]
    extra += [Frame(0.0, BY_NAME[name].source, list=ListBody((), "1")) for name in EMPTY_KINDS]
    extra += _leases(started_at, recording.frames[-1].t)
    recorded = list(slim_frames(_usual_socket(frame) for frame in recording.frames))
    extra += _logs(recorded, logs)
    yield from sorted((*extra, *recorded), key=lambda frame: frame.t)


def _leases(started_at: datetime, end: float) -> Iterator[Frame]:
    source = BY_NAME["leases"].source
    for step in range(int(end / RENEW_EVERY_S) + 1):
        t = step * RENEW_EVERY_S
        made = [_lease(name, started_at, t, step) for name in ("kube-controller-manager", "kube-scheduler")]
        if step == 0:
            yield Frame(t, source, list=ListBody(tuple(made), "1"))
        else:
            yield from (Frame(t, source, watch=WatchEvent("MODIFIED", lease)) for lease in made)


def _lease(name: str, started_at: datetime, t: float, version: int) -> msgspec.Raw:
    lease: dict[str, Any] = {
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "uid": f"lease-{name}",
            "resourceVersion": str(version + 1),
            "creationTimestamp": started_at.replace(microsecond=0) - timedelta(hours=1),
        },
        "spec": {
            "holderIdentity": "control-plane-1",
            "leaseDurationSeconds": 15,
            "renewTime": started_at + timedelta(seconds=t),
        },
    }
    return msgspec.Raw(msgspec.json.encode(lease))


def _logs(frames: Sequence[Frame], logs: dict[str, str]) -> Iterator[Frame]:
    for frame in frames:
        if frame.source != BY_NAME["pods"].source or frame.watch is None or frame.watch.type != "ADDED":
            continue
        metadata = msgspec.json.decode(frame.watch.object)["metadata"]
        pod = f"{metadata['namespace']}/{metadata['name']}"
        for place, text in logs.items():
            namespace, start, *container = place.split("/")
            if pod.startswith(f"{namespace}/{start}"):
                yield Frame(frame.t, LOGS_SOURCE, text=text, pod="/".join((pod, *container)))


def _usual_socket(frame: Frame) -> Frame:
    if frame.list is not None:
        items = tuple(_renamed(item) for item in frame.list.items)
        return msgspec.structs.replace(frame, list=msgspec.structs.replace(frame.list, items=items))
    if frame.watch is not None:
        watch = msgspec.structs.replace(frame.watch, object=_renamed(frame.watch.object))
        return msgspec.structs.replace(frame, watch=watch)
    return frame


def _renamed(raw: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(_RUNTIME_SOCKET.sub(b"dial unix /run/containerd/containerd.sock", bytes(raw)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all of them again."""
    parser = argparse.ArgumentParser(prog="python -m simulator.scenarios.make_recorded", description=main.__doc__)
    parser.add_argument("recordings", type=Path, help="folder with one folder of *.jsonl for each scenario")
    parser.add_argument("--tests", type=Path, help="where the tapes go that only tests need; else they are left out")
    given = parser.parse_args(arguments)
    for name, scenario in SCENARIOS.items():
        folder = given.tests if scenario.for_tests else Path(__file__).parent
        if folder is None:
            continue
        try:
            recording = Recording(given.recordings / name)
            header = Header(
                TAPE_VERSION,
                name=name,
                title=scenario.title,
                started_at=recording.started_at(),
                start_at=scenario.start_at,
                hold_at=scenario.hold_at,
                context=scenario.context,
                server=SERVER,
            )
            write_tape(folder / f"{name}.jsonl.gz", header, frames_of(recording, scenario.logs))
        except TapeError as error:
            print(f"make_recorded: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
