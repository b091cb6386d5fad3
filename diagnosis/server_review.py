"""The set-up of a model server, point by point, from its pod template and what stands beside it (playbooks G)."""

from collections.abc import Iterator
from typing import NamedTuple

from diagnosis.commands import fact
from diagnosis.gpu_fit import UTILIZATION, data_ranks, gpus_asked, gpus_needed
from diagnosis.model_pods import FLAGS, SHM, shm_mount
from diagnosis.model_size import GIB, host_memory_gib, load_time, model_size
from situation.clock import duration_text
from situation.findings import Evidence, Mark
from situation.meta import Ref
from situation.pods import PodSpec
from situation.quantity import parse_quantity
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec
from situation.storage import PersistentVolumeClaim


class Setup(NamedTuple):
    """What is reviewed: a workload's template, or a pod of its own."""

    about: Ref
    kind: str
    """`ObjectKind.name` of where it is written."""
    spec: PodSpec
    server: ServerSpec
    replicas: int
    claims: tuple[PersistentVolumeClaim, ...]
    """Those of its volumes that are known."""


class Point(NamedTuple):
    """One thing that is off."""

    name: str
    """Two or three words, for the title."""
    evidence: Evidence


def review(setup: Setup) -> Iterator[Point]:
    """Yield what is off in the template itself, what hurts most first."""
    for name, text in (
        *_gpus(setup),
        *_limits(setup),
        *_probes(setup),
        *_volumes(setup),
        *_arguments(setup),
    ):
        yield Point(name, fact(setup.kind, text))


def _gpus(setup: Setup) -> Iterator[tuple[str, str]]:
    arguments = setup.server.arguments
    asked, needed = gpus_asked(setup.server.container), gpus_needed(arguments)
    if asked is None or needed is None or needed == asked[1]:
        return
    data = " x data parallel" if data_ranks(arguments) == (arguments.data_parallel or 1) else ""
    what = f"tensor x pipeline{data} is {needed}, and it asks for {asked[1]:g} {asked[0]}"
    if needed > asked[1]:
        yield "GPUs", f"{what}: it will not start"
    else:
        yield "GPUs", f"{what}: the others stay idle"


def _limits(setup: Setup) -> Iterator[tuple[str, str]]:
    limits = setup.server.container.resources.limits
    if (cpu := limits.get("cpu")) is not None:
        yield "CPU limit", f"CPU limit {cpu}: throttling slows tokenisation and the scheduler of requests; leave it out"
    memory, size = limits.get("memory"), model_size(setup.server.arguments)
    usual = host_memory_gib(size.billions) if size is not None else None
    of = f" ({usual[0]} to {usual[1]} Gi for {size.billions:g}B by its name)" if usual and size else ""
    if memory is None:
        yield "no memory limit", f"no memory limit: a leak takes the node down with it{of}"
    elif usual is not None and (have := parse_quantity(memory)) is not None and have < usual[0] * GIB:
        yield "low memory limit", f"memory limit {memory} is below the rule of thumb{of}"


def _probes(setup: Setup) -> Iterator[tuple[str, str]]:
    container, size = setup.server.container, model_size(setup.server.arguments)
    startup, liveness = container.startup_probe, container.liveness_probe
    expected = load_time(size.billions if size is not None else None)
    if startup is not None:
        if startup.budget_s < expected.least_s:
            window = duration_text(startup.budget_s)
            yield "short startup probe", f"startupProbe allows {window}: the model takes {expected.text} (by its name)"
        return
    kills = f"the liveness probe kills it after {duration_text(liveness.budget_s)}" if liveness is not None else ""
    if liveness is not None and liveness.initial_delay_seconds:
        delay = f"initialDelaySeconds {liveness.initial_delay_seconds} stands in for it"
        yield "no startup probe", f"no startupProbe, {delay}: {kills} if it still loads"
    else:
        yield "no startup probe", f"no startupProbe: {f'{kills}; ' if kills else ''}loading takes {expected.text}"


def _volumes(setup: Setup) -> Iterator[tuple[str, str]]:
    server, spec = setup.server, setup.spec
    volumes = {volume.name: volume for volume in spec.volumes}
    mounts = server.container.volume_mounts
    if (server.arguments.tensor_parallel or 1) > 1:
        shm = shm_mount(server.container)
        volume = volumes.get(shm.name) if shm is not None else None
        if shm is None or (volume is not None and volume.empty_dir is not None and volume.empty_dir.medium != "Memory"):
            yield "shared memory", f"tensor parallel without an emptyDir of medium Memory at {SHM}: NCCL gets 64 MiB"
    if _is_downloaded(server) and not any(_keeps(mount.name, setup) for mount in mounts):
        yield "no model volume", "no volume keeps the model: it is downloaded at every start"
    for claim in setup.claims:
        if setup.replicas > 1 and claim.is_of_one_node:
            modes = ", ".join(claim.spec.access_modes)
            what = f"{setup.replicas} replicas share claim {claim.name} ({modes})"
            yield "claim of one node", f"{what}: those on other nodes cannot start"


def _is_downloaded(server: ServerSpec) -> bool:
    """Tell whether the model comes from a hub by its name: no path, and no address that is streamed from."""
    model = server.arguments.model
    return bool(model) and not model.startswith(("/", ".", "~", "$")) and "://" not in model


def _keeps(mount: str, setup: Setup) -> bool:
    """Tell whether a volume outlives the pod; kinds that are not read (csi, nfs), and claim templates, may."""
    volume = next((item for item in setup.spec.volumes if item.name == mount), None)
    return volume is None or (volume.empty_dir is None and volume.config_map is None and volume.secret is None)


def _arguments(setup: Setup) -> Iterator[tuple[str, str]]:
    server, arguments = setup.server, setup.server.arguments
    flags = FLAGS[server.software]
    share = arguments.gpu_memory_utilization
    if share is not None and share > UTILIZATION:
        yield (
            "high memory share",
            f"{flags['utilization']} {share:g}: above {UTILIZATION:g} it may run out later",
        )
    told = bool(arguments.flags) and not arguments.flags & {"--config"}  # else it is set where it cannot be seen
    if arguments.max_model_len is None and server.software is Software.VLLM and told:
        yield (
            "no context limit",
            f"{flags['length']} is not set: the model's own maximum counts, and may be very long",
        )


def cannot_tell(what: str, kind: str) -> Evidence:
    """Return what could not be told because a list was not read."""
    return fact(kind, f"{what}: could not be told, {kind} were not read", Mark.OPEN)
