"""Which pods are model servers, by image, command line, labels and annotations. Nothing is asked here."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from situation.gpu.requests import has_gpus
from situation.kserve import LABEL as KSERVE_LABEL
from situation.pods import Container, Pod
from situation.serving.arguments import EngineArguments, commands_of, read_arguments, words_of
from situation.serving.readings import TRITON_HTTP_PORT, TRITON_METRICS_PORT, Software

_BY_IMAGE: Final = (
    (Software.NIM, re.compile(r"(?:^|/)nim/")),
    (Software.ROUTER, re.compile(r"lmstack-router|production-stack.*router|vllm-router")),
    (Software.SGLANG, re.compile(r"(?:^|[/-])sglang(?:[-/]|$)")),
    (Software.TGI, re.compile(r"text-generation-inference|(?:^|/)tgi(?:-|$)")),
    (Software.TRITON, re.compile(r"(?:^|[/-])triton(?:server|-inference-server)?(?:-|$)")),
    (Software.VLLM, re.compile(r"(?:^|[/_-])vllm(?:[/_-]|$)|(?:^|/)llm-d(?:-|$)|(?:^|/)huggingfaceserver(?:-|$)")),
)
"""First match wins. Of the image the registry, tag and digest are left out."""
_NO_SERVER: Final = re.compile(
    r"(?:^|[-_])(?:exporter|proxy|router|routing|gateway|scheduler|operator|controller|manager|autoscaler|webhook|epp"
    r"|client|bench|benchmarks?|loadtest|tests?|e2e|ui|webui|web|chat|dashboard|monitor|monitoring|sidecar|init|loader"
    r"|downloader|cache|service|tools?|tuner|builder|docs?|sdk)(?:$|[-_])"
)
"""In the last part of an image's name: something around a model server, not one itself."""
_STARTS: Final = r"(?:^|[;&|(] |exec |-[a-z]*c )"
"""Here a command begins: its name elsewhere may be a host's."""
_BY_COMMAND: Final = (
    (Software.NIM, re.compile(r"(?:^| )/opt/nim/start[-_]server")),
    (Software.ROUTER, re.compile(rf"-m vllm_router\.\S+|{_STARTS}(?:\S*/)?vllm-router(?: |$)")),
    (Software.SGLANG, re.compile(r"sglang\.(?:launch_server|srt\.\S*server)|(?:^| |/)sglang serve(?: |$)")),
    (Software.TGI, re.compile(r"(?:^| |/)text-generation-(?:launcher|router)(?: |$)")),
    (Software.TRITON, re.compile(r"(?:^| |/)tritonserver(?: |$)|launch_triton_server")),
    (
        Software.VLLM,
        re.compile(
            r"(?:^| |/)vllm serve(?: |$)|vllm[./]entrypoints[./]\S*(?:api_server|cli\.main serve)"
            r"|-m huggingfaceserver(?: |$)|(?:^| |/)llm-d-inference-sim(?: |$)"
        ),
    ),
)
_READERS: Final = frozenset({"curl", "wget", "grep", "pgrep", "pkill", "echo", "kubectl", "ps", "tail", "cat"})
"""Programs that may name a server without starting one."""
_DEFAULT_PORT: Final = {
    Software.VLLM: 8000,
    Software.SGLANG: 30000,
    Software.TGI: 80,
    Software.TRITON: TRITON_METRICS_PORT,
    Software.NIM: 8000,
    Software.ROUTER: 8001,
    Software.UNKNOWN: 8080,
}
SERVERS_LIMIT: Final = 64
"""Of one pod; a node has eight or sixteen GPUs."""
_PORT_FOR_EACH_RANK: Final = frozenset({"--data-parallel-multi-port-external-lb", "-dpm"})
"""metrics.md 1.5."""
_TLS_FLAGS: Final = frozenset({"--ssl-keyfile", "--ssl-certfile"})
_METRICS_PATH: Final = {Software.NIM: "/v1/metrics"}
"""Where it is not /metrics."""
_KSERVE_PORT: Final = 8080
_KSERVE_CONTAINER: Final = "kserve-container"
"""Name of the container that serves in KServe's pods."""
_LLM_D_LABELS: Final = ("llm-d.ai/inference-serving", "llm-d.ai/inferenceServing")
"""`true` on the pods that serve, the newer name first."""
_SIDECAR_PORTS: Final = {"queue-proxy": 9088}
"""KServe's aggregation in Knative's sidecar (metrics.md 1.7): the engine's own page is at the engine's own port."""
_PORT_NAMES: Final = (
    "metrics", "http", "serve", "server", "api", "http-openai", "http1", "user-port", "container-port", "h2c",
)  # fmt: skip
"""Names of the port that serves, the likeliest first."""


class ServerSpec(msgspec.Struct, frozen=True):
    """A container that serves a model, as its pod's spec tells."""

    software: Software
    container: Container
    port: int
    """Where it serves HTTP; of Triton, where its metrics are."""
    metrics_path: str = "/metrics"
    scheme: str = "http"
    arguments: EngineArguments = EngineArguments()
    why: str = ""
    """What it was recognised by: `image vllm/vllm-openai:v0.11.0`."""
    kserve: str = ""
    """Name of its KServe InferenceService."""
    health_port: int | None = None
    """Where its health is, if not at `port`."""

    @property
    def name(self) -> str:
        """Under which name the model is served, as far as the command line tells; else the model itself."""
        return next(iter(self.arguments.served_names), self.arguments.model)


def recognise(pod: Pod) -> ServerSpec | None:
    """Return how a pod serves a model, the first of them if it has several servers; None if nothing says that it does.

    A worker of a server that spans several pods serves nothing by itself: none either.
    """
    return next(_servers(pod), None)


def servers_of(pod: Pod) -> tuple[ServerSpec, ...]:
    """Return all servers of a pod, each at a port of its own: one for each container, command or rank that serves."""
    by_port: dict[int, ServerSpec] = {}
    for spec in _servers(pod):
        by_port.setdefault(spec.port, spec)
    return tuple(by_port.values())[:SERVERS_LIMIT]


def _servers(pod: Pod) -> Iterator[ServerSpec]:
    for container in pod.spec.containers:
        for software, why, words in _starts(container):
            yield from _at_each_rank(as_server(pod, container, software, why, words))
    if (labelled := server_by_label(pod)) is not None:
        yield labelled


def server_by_label(pod: Pod) -> ServerSpec | None:
    """Return the server that only a label tells of: a container with GPUs whose image and command line name none.

    Of what names one, these decide: a worker of a server over several pods has the same labels as its head.
    """
    labels = pod.metadata.labels
    label = next((name for name in _LLM_D_LABELS if labels.get(name) == "true"), "")
    if not label and KSERVE_LABEL not in labels:
        return None
    containers = pod.spec.containers
    if any(map(_names_a_server, containers)):
        return None
    of_label = [item for item in containers if label or item.name == _KSERVE_CONTAINER]
    found = next((item for item in of_label if has_gpus(item)), None)
    why = f"label {label or KSERVE_LABEL}"
    return as_server(pod, found, Software.UNKNOWN, why) if found is not None else None


def _names_a_server(container: Container) -> bool:
    name = _image_name(container.image)
    return any(pattern.search(name) for _, pattern in _BY_IMAGE) or any(map(_by_command, commands_of(container)))


def _at_each_rank(spec: ServerSpec) -> Iterator[ServerSpec]:
    """Yield a server once for each port: with one API server for each rank they count up from `--port`."""
    arguments, ranks = spec.arguments, 1
    if spec.software is Software.VLLM and arguments.flags & _PORT_FOR_EACH_RANK:
        ranks = arguments.data_parallel_local or arguments.data_parallel or 1
    for rank in range(min(ranks, SERVERS_LIMIT)):
        if spec.port + rank < 65536:
            yield replace(spec, port=spec.port + rank) if rank else spec


def as_server(
    pod: Pod, container: Container, software: Software, why: str, words: tuple[str, ...] | None = None
) -> ServerSpec:
    """Return where and how a container serves, given that it does; `words` is the command that serves, if known."""
    arguments = read_arguments(words_of(container) if words is None else words)
    annotations = pod.metadata.annotations
    kserve = pod.metadata.labels.get(KSERVE_LABEL, "")
    annotated = "" if annotations.scrape_port in _ports_of_sidecars(pod) else annotations.scrape_port
    port = _port(container, software, arguments, annotated, bool(kserve))
    # A port of another container has another page: its path and scheme say nothing of this one.
    is_annotated = annotations.scrape_port in ("", str(port))
    own_path = _METRICS_PATH.get(software, "/metrics")
    secure = arguments.flags & _TLS_FLAGS or (is_annotated and annotations.scrape_scheme == "https")
    return ServerSpec(
        software,
        container,
        port,
        _metrics_path(annotations.scrape_path, own_path) if is_annotated else own_path,
        "https" if secure else "http",
        arguments,
        why,
        kserve,
        _triton_http(container, arguments) if software is Software.TRITON else None,
    )


_Start = tuple[Software, str, tuple[str, ...]]
"""What is started, by what that is recognised, and with which words."""


def _starts(container: Container) -> Iterator[_Start]:
    words = words_of(container)
    if words and words[0].rpartition("/")[2] in _READERS:
        return
    found = [(software, command) for command in commands_of(container) if (software := _by_command(command))]
    for software, command in found:
        if "--headless" not in command:
            yield software, f"command of container {container.name}", command
    if not found and (by_image := _by_image(container)) is not None:
        yield by_image, f"image {container.image}", words


def _by_command(words: Sequence[str]) -> Software | None:
    line = " ".join(words)
    return next((software for software, pattern in _BY_COMMAND if pattern.search(line)), None)


def _by_image(container: Container) -> Software | None:
    name = _image_name(container.image)
    for software, pattern in _BY_IMAGE:
        if pattern.search(name):
            is_other = software is not Software.ROUTER and _NO_SERVER.search(name.rpartition("/")[2])
            return None if is_other or _runs_else(container) else software
    return None


def _image_name(image: str) -> str:
    """Return the name without registry, tag and digest, in small letters."""
    name = image.partition("@")[0].lower()
    registry, slash, rest = name.partition("/")
    if slash and ("." in registry or ":" in registry or registry == "localhost"):
        name = rest
    return name.partition(":")[0]


def _runs_else(container: Container) -> bool:
    """Tell whether the image's own program is replaced by one that shows no sign of serving anything."""
    serves = container.ports or container.readiness_probe or container.liveness_probe or container.startup_probe
    return bool(container.command) and not serves


def _port(container: Container, software: Software, arguments: EngineArguments, annotated: str, is_kserve: bool) -> int:
    """Return the port of the command line, else the annotated one, that of the spec, the default: in this order.

    An annotation counts only where the container declares that port, or none: it may be meant for a sidecar.
    """
    if software is Software.TRITON:
        told = arguments.metrics_port
    else:
        told = arguments.port
    if told is not None:
        return told
    declared = tuple(_declared(container))
    if annotated.isascii() and annotated.isdigit() and 0 < int(annotated) < 65536:
        if not declared or int(annotated) in declared:
            return int(annotated)
    if declared and software is not Software.TRITON:
        return declared[0]
    return _KSERVE_PORT if is_kserve and software is Software.VLLM else _DEFAULT_PORT[software]


def _ports_of_sidecars(pod: Pod) -> frozenset[str]:
    return frozenset(str(_SIDECAR_PORTS[item.name]) for item in pod.spec.containers if item.name in _SIDECAR_PORTS)


def _triton_http(container: Container, arguments: EngineArguments) -> int:
    if arguments.port is not None:
        return arguments.port
    return next((port.container_port for port in container.ports if port.name == "http"), TRITON_HTTP_PORT)


def _declared(container: Container) -> Iterator[int]:
    named = {port.name: port.container_port for port in container.ports if port.protocol == "TCP"}
    yield from (named[name] for name in _PORT_NAMES if name in named)
    yield from (port.container_port for port in container.ports if port.protocol == "TCP")


def _metrics_path(annotated: str, own: str) -> str:
    is_path = annotated.startswith("/") and annotated.isprintable() and not set(annotated) & set("?#% ")
    return annotated if is_path and ".." not in annotated else own
