"""Which pods are model servers, by image, command line, labels and annotations. Nothing is asked here."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from situation.pods import Container, Pod
from situation.serving.arguments import EngineArguments, read_arguments, words_of
from situation.serving.readings import Software

_BY_IMAGE: Final = (
    (Software.ROUTER, re.compile(r"(?:lmstack-router|production-stack[^:@]*router|vllm-router)")),
    (Software.SGLANG, re.compile(r"sglang")),
    (Software.TGI, re.compile(r"text-generation-inference|(?:^|/)tgi(?:[:@]|$)")),
    (Software.TRITON, re.compile(r"tritonserver|/triton(?:[:@-]|$)")),
    (Software.VLLM, re.compile(r"vllm|llm-d-inference-sim|kserve/huggingfaceserver")),
)
"""First match wins."""
_BY_COMMAND: Final = (
    (Software.ROUTER, re.compile(r"vllm_router|(?:^| )vllm-router(?: |$)")),
    (Software.SGLANG, re.compile(r"sglang(?:\.|_| )(?:launch_server|serve)|sglang\.srt")),
    (Software.TGI, re.compile(r"text-generation-launcher|text-generation-router")),
    (Software.TRITON, re.compile(r"(?:^| |/)tritonserver(?: |$)")),
    (Software.VLLM, re.compile(r"(?:^| |/)vllm serve(?: |$)|vllm\.entrypoints|huggingfaceserver")),
)
_DEFAULT_PORT: Final = {
    Software.VLLM: 8000,
    Software.SGLANG: 30000,
    Software.TGI: 80,
    Software.TRITON: 8002,
    Software.ROUTER: 8001,
    Software.UNKNOWN: 8080,
}
_KSERVE_PORT: Final = 8080
_KSERVE_LABEL: Final = "serving.kserve.io/inferenceservice"
_PORT_NAMES: Final = ("metrics", "http", "serve", "server", "api", "http1", "user-port", "container-port", "h2c")
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

    @property
    def name(self) -> str:
        """Under which name the model is served, as far as the command line tells; else the model itself."""
        return next(iter(self.arguments.served_names), self.arguments.model)


def recognise(pod: Pod) -> ServerSpec | None:
    """Return how a pod serves a model, None if nothing says that it does."""
    for container in pod.spec.containers:
        software, why = _software(container)
        if software is None:
            continue
        arguments = read_arguments(container)
        annotations = pod.metadata.annotations
        kserve = pod.metadata.labels.get(_KSERVE_LABEL, "")
        return ServerSpec(
            software,
            container,
            _port(container, software, arguments, annotations.scrape_port, bool(kserve)),
            _metrics_path(annotations.scrape_path),
            "https" if annotations.scrape_scheme == "https" or "--ssl-keyfile" in arguments.flags else "http",
            arguments,
            why,
            kserve,
        )
    return None


def _software(container: Container) -> tuple[Software | None, str]:
    line = " ".join(words_of(container))
    for software, pattern in _BY_COMMAND:
        if pattern.search(line):
            return software, f"command of container {container.name}"
    name = container.image.rpartition("@")[0] or container.image
    for software, pattern in _BY_IMAGE:
        if pattern.search(name):
            return software, f"image {container.image}"
    return None, ""


def _port(container: Container, software: Software, arguments: EngineArguments, annotated: str, is_kserve: bool) -> int:
    """Return the annotated port, else that of the command line, of the spec, the default: in this order."""
    if annotated.isascii() and annotated.isdigit() and 0 < int(annotated) < 65536:
        return int(annotated)
    if arguments.port is not None and software is not Software.TRITON:
        return arguments.port
    if software is not Software.TRITON and (declared := next(_declared(container), None)) is not None:
        return declared
    return _KSERVE_PORT if is_kserve and software is Software.VLLM else _DEFAULT_PORT[software]


def _declared(container: Container) -> Iterator[int]:
    named = {port.name: port.container_port for port in container.ports if port.protocol == "TCP"}
    yield from (named[name] for name in _PORT_NAMES if name in named)
    yield from (port.container_port for port in container.ports if port.protocol == "TCP")


def _metrics_path(annotated: str) -> str:
    is_path = annotated.startswith("/") and annotated.isprintable() and not set(annotated) & set("?#% ")
    return annotated if is_path and ".." not in annotated else "/metrics"
