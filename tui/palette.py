"""What the command palette offers of the cockpit's screen."""

from collections.abc import Iterable, Iterator
from functools import partial

from textual.app import SystemCommand

from situation.findings import Layer
from tui.cockpit_screen import CockpitScreen


def cockpit_commands(cockpit: CockpitScreen, namespaces: Iterable[str]) -> Iterator[SystemCommand]:
    """Yield what its keys do as far as they do it now, each layer, and each namespace."""
    if cockpit.check_action("copy", ()):
        yield SystemCommand("Copy the next command", "It stands below the evidence", cockpit.action_copy)
    yield SystemCommand("Log", "Read the log of the failing container", cockpit.action_log)
    if cockpit.check_action("checklist", ()):
        said = "Open the playbook for the selected cause, or close it"
        yield SystemCommand("Checklist", said, cockpit.action_checklist)
    if cockpit.check_action("timeline", ()):
        yield SystemCommand("Timeline", "Open or close what happened, in order", cockpit.action_timeline)
    yield SystemCommand("Note", "Write a note into the timeline", cockpit.action_note)
    yield SystemCommand("GPU", "Go to the GPU chain, the fleet and the devices", cockpit.action_gpu)
    yield SystemCommand("Control plane", "Go to etcd, certificates and the API server", cockpit.action_etcd)
    yield SystemCommand("vLLM", "Go to the model servers", cockpit.action_vllm)
    for layer in Layer if cockpit.check_action("layer", ()) else ():
        yield SystemCommand(
            f"Layer {layer.value}: {layer.title}", "Focus this layer", partial(cockpit.action_layer, layer.value)
        )
    yield SystemCommand("All namespaces", "Take the namespace filter off", partial(cockpit.filter_namespace, ""))
    for name in sorted(namespaces):
        if "[" not in name:  # the palette reads titles as markup; a real namespace is an RFC 1123 label
            yield SystemCommand(f"Namespace {name}", "Show this namespace", partial(cockpit.filter_namespace, name))
