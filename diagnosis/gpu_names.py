"""GPU resource names and labels that miss what the nodes have, and what they may have been meant for."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

import msgspec

from diagnosis.commands import counted
from diagnosis.gpu_ledger import MIG, SHARED, WHOLE
from diagnosis.placement import allocatable
from situation.cluster import Node
from situation.gpu.offer import PRODUCT
from situation.gpu.requests import is_gpu
from situation.meta import SelectorRequirement
from situation.situation import Situation

_STRATEGY: Final = "nvidia.com/mig.strategy"
_SLICES: Final = re.compile(r"^(\d+)g\.")
_SHOWN: Final = 3


class Shape(msgspec.Struct, frozen=True):
    """A GPU resource that nodes offer now."""

    resource: str
    amount: float
    nodes: int


def shapes(situation: Situation) -> tuple[Shape, ...]:
    """Return the GPU resources that nodes offer, by name."""
    return situation.once("gpu shapes", lambda: _shapes(situation))


def _shapes(situation: Situation) -> tuple[Shape, ...]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for node in situation.nodes.values():
        for name in node.status.allocatable:
            if is_gpu(name) and (amount := allocatable(node, name)):
                found[name].append(amount)
    return tuple(Shape(name, sum(amounts), len(amounts)) for name, amounts in sorted(found.items()))


def shape_text(shape: Shape) -> str:
    return f"{shape.resource} ({shape.amount:.10g} on {counted(shape.nodes, 'node')})"


def misnamed(resource: str, offered: tuple[Shape, ...], situation: Situation) -> Iterator[str]:
    """Yield why a resource that no node offers may be the wrong name for what they do offer."""
    names = [shape.resource for shape in offered]
    cut = [name for name in names if name.startswith(MIG)]
    if resource == WHOLE and cut:
        yield f"MIG strategy mixed: GPUs that are cut up are offered as {', '.join(cut[:_SHOWN])}, not as {WHOLE}"
    elif resource.startswith(MIG) and cut:
        yield from _other_profiles(resource, cut)
    elif resource.startswith(MIG) and any(
        node.metadata.labels.get(_STRATEGY) == "single" for node in situation.nodes.values()
    ):
        yield f"MIG strategy single: MIG devices are offered as {WHOLE}; the product label names the profile"
    elif resource.startswith(MIG) and WHOLE in names:
        yield f"no node is cut into MIG devices: GPUs are offered whole, as {WHOLE}"
    if f"{resource}{SHARED}" in names:
        yield f"the nodes share GPUs under another name (renameByDefault): {resource}{SHARED}"
    elif resource.endswith(SHARED) and resource.removesuffix(SHARED) in names:
        yield f"sharing without renameByDefault, or none: the name is {resource.removesuffix(SHARED)}"
    elif not resource.startswith(MIG) and resource != WHOLE and (near := get_close_matches(resource, names, 1, 0.85)):
        yield f"nearest name that nodes offer: {near[0]}"


def _other_profiles(resource: str, cut: list[str]) -> Iterator[str]:
    asked = _slices(resource)
    sizes = sorted({(_slices(name), name) for name in cut})
    if asked and sizes[-1][0] < asked:
        yield f"every MIG device offered is smaller than the one asked for: at most {sizes[-1][1].removeprefix(MIG)}"
    elif asked and (larger := next((name for size, name in sizes if size >= asked), "")):
        yield f"the next larger MIG device offered is {larger}"


def _slices(resource: str) -> int:
    match = _SLICES.match(resource.removeprefix(MIG))
    return int(match[1]) if match else 0


def near_misses(item: SelectorRequirement, situation: Situation) -> Iterator[str]:
    """Yield what nodes have instead of a label that none of them has as asked for."""
    values = situation.once(("label values", item.key), lambda: _values(item.key, situation))
    if not values:
        keys = situation.once("label keys", lambda: {key for node in situation.nodes.values() for key in _keys(node)})
        near = get_close_matches(item.key, sorted(keys), 1, 0.9)
        yield f"no node has the label {item.key} at all" + (f"; there is {near[0]}" if near else "")
        return
    if item.operator != "In":
        return
    close = [(value, count) for value, count in values.most_common() if _is_near(value, item.values)]
    chosen = close or values.most_common(_SHOWN)
    listed = ", ".join(f"{value or 'empty'} ({counted(count, 'node')})" for value, count in chosen[:_SHOWN])
    more = f" and {len(values) - len(chosen)} more values" if not close and len(values) > len(chosen) + 1 else ""
    yield f"nodes have {item.key}={listed}{more}"
    if item.key == PRODUCT:
        yield from _suffixes([value for value, _ in close], item.values)


def _keys(node: Node) -> Iterator[str]:
    yield from node.metadata.labels


def _values(key: str, situation: Situation) -> Counter[str]:
    labels = (node.metadata.labels for node in situation.nodes.values())
    return Counter(found[key] for found in labels if key in found)


def _is_near(value: str, asked: tuple[str, ...]) -> bool:
    return any(
        value.startswith(f"{other}-") or other.startswith(f"{value}-") or get_close_matches(value, [other], 1, 0.9)
        for other in asked
    )


def _suffixes(close: list[str], asked: tuple[str, ...]) -> Iterator[str]:
    """Say where a suffix of the product comes from (gpu_operator 2.4)."""
    texts = [*close, *asked]
    if any(text.endswith("-SHARED") for text in texts):
        yield "GPU feature discovery adds -SHARED while a GPU is shared and not renamed: the label follows the sharing"
    if any("-MIG-" in text for text in texts):
        yield "GPU feature discovery adds -MIG-<profile> with MIG strategy single: the label follows the MIG layout"
