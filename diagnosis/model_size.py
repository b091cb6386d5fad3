"""How large a model is, as far as its name and its server's arguments tell: a guess, and always said to be one."""

import re
from typing import Final

import msgspec

from situation.serving.arguments import EngineArguments

GIB: Final = 2**30
_EDGE: Final = r"(?<![A-Za-z0-9.])"
_MIXTURE: Final = re.compile(rf"{_EDGE}(\d{{1,3}})x(\d{{1,4}}(?:\.\d{{1,3}})?)b(?![A-Za-z0-9])", re.IGNORECASE)
"""`8x7B`."""
_EXPERTS: Final = re.compile(r"\d+b-\d+e(?![A-Za-z0-9])", re.IGNORECASE)
"""`17B-16E`: the number is what is active at once, not what is loaded."""
_BILLIONS: Final = re.compile(rf"{_EDGE}(\d{{1,4}}(?:[.p]\d{{1,3}})?)b(?![A-Za-z0-9])", re.IGNORECASE)
_MILLIONS: Final = re.compile(rf"{_EDGE}(\d{{1,4}}(?:\.\d{{1,3}})?)m(?![A-Za-z0-9])", re.IGNORECASE)
_BY_NAME: Final = (
    (0.5, "4 bit", re.compile(r"awq|gptq|int4|w4a16|4bit|4-bit|nf4|fp4|(?:^|[-_.])q4(?:_|$)|gpt-oss", re.IGNORECASE)),
    (1.0, "8 bit", re.compile(r"fp8|int8|w8a8|w8a16|8bit|8-bit|(?:^|[-_.])q8(?:_|$)", re.IGNORECASE)),
)
"""Bytes of a parameter by how quantised models are named (`gpt-oss` is published in 4 bit). The first match counts."""
_BY_FLAG: Final = (
    (0.5, "4 bit", ("awq", "gptq", "mxfp4", "nvfp4", "fp4", "bitsandbytes", "marlin", "gguf")),
    (1.0, "8 bit", ("fp8", "int8", "w8", "experts_int8", "modelopt")),
)
"""The same by the value of `--quantization`."""
_HALF: Final = 2.0


class ModelSize(msgspec.Struct, frozen=True):
    """What a name and arguments tell of a model's weights."""

    billions: float
    """Parameters, in billions."""
    bytes_each: float
    """Bytes of one parameter (playbooks E: FP16 2, INT8 1, INT4 0.5)."""
    text: str
    """How both were come by: `70B parameters by its name, 2 bytes each (no quantisation is named)`."""
    is_bound: bool = False
    """`8x7B`: the experts share some of it, so this is the most it can be."""

    @property
    def weights_bytes(self) -> float:
        return self.billions * 1e9 * self.bytes_each


def model_size(arguments: EngineArguments) -> ModelSize | None:
    """Return the size of the model that a server is told to load, None if its name says nothing of it."""
    for name in (arguments.model, *arguments.served_names):
        if (found := _billions(name)) is not None:
            billions, is_bound, shown = found
            bytes_each, why = _bytes_each(name, arguments)
            size = "byte" if bytes_each == 1 else "bytes"
            text = f"{shown} parameters by its name, {bytes_each:g} {size} each ({why})"
            return ModelSize(billions, bytes_each, text, is_bound)
    return None


def _billions(name: str) -> tuple[float, bool, str] | None:
    if _EXPERTS.search(name):
        return None
    if match := _MIXTURE.search(name):
        return int(match[1]) * float(match[2]), True, f"at most {match[1]}x{match[2]}B"
    if match := _BILLIONS.search(name):
        billions = float(match[1].lower().replace("p", "."))
        return (billions, False, f"{billions:g}B") if billions else None
    if match := _MILLIONS.search(name):
        millions = float(match[1])
        return (millions / 1000, False, f"{millions:g}M") if millions else None
    return None


def _bytes_each(name: str, arguments: EngineArguments) -> tuple[float, str]:
    """Return bytes of a parameter, and what tells so."""
    if given := arguments.quantization.lower():
        for size, words, flags in _BY_FLAG:
            if any(flag in given for flag in flags):
                return size, f"{words}, by --quantization {arguments.quantization}"
    for size, words, pattern in _BY_NAME:
        if pattern.search(name):
            return size, f"{words}, by its name"
    if arguments.dtype in ("float32", "float"):
        return 4.0, f"--dtype {arguments.dtype}"
    return _HALF, "16 bit: no quantisation is named"


def host_memory_gib(billions: float) -> tuple[int, int] | None:
    """Return the rule of thumb for a server's memory limit, GiB, lowest and highest; None above its last line.

    Playbooks E: 8B 16 to 24 Gi, 13B 24 to 32 Gi, 70B 48 to 64 Gi; a size in between takes the next line.
    """
    for upper, least, most in ((9.0, 16, 24), (14.0, 24, 32), (80.0, 48, 64)):
        if billions <= upper:
            return least, most
    return None


class LoadTime(msgspec.Struct, frozen=True):
    """How long a model takes to load."""

    text: str
    least_s: int
    """A window that is shorter is too short."""
    window_s: int
    """What to set where it is."""


def load_time(billions: float | None) -> LoadTime:
    """Return how long a model of so many parameters takes to load (playbooks F: 7B warm, 70B cold).

    The window for small models, and both ends for those in between, are ours.
    """
    if billions is None:
        return LoadTime("a few minutes to half an hour, by size and by where the weights come from", 120, 1800)
    if billions <= 9:
        return LoadTime("60 to 120 s with the weights at hand, minutes more if they are downloaded", 120, 600)
    if billions < 60:
        return LoadTime("between 2 minutes (weights at hand) and 30 (downloaded, cold)", 120, 1800)
    return LoadTime("15 to 30 minutes when cold", 900, 1800)
