"""The arguments of an inference engine, as its container's command line has them (vLLM's and SGLang's flag names)."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from situation.pods import Container

KNOWN_COMMANDS: Final = 4096
"""Command lines that are remembered as read: replicas have the same one."""
_LINE_END: Final = re.compile(r"\\?[\n␊]")
"""As sent, and as `harmless` shows it."""
_SEPARATORS: Final = ";&|()"
"""Between two commands of a shell."""
_COMMAND_ENDS: Final = _SEPARATORS + "<>"
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash"})
_SHELL_WITHIN: Final = 3
"""`tini -- bash -c ...`: the shell is among so many first words."""
_FLAGS: Final = {
    "model": ("--model", "--model-path", "--model-id", "--model_id"),
    "served_names": ("--served-model-name", "--model-name", "--model_name"),
    "port": ("--port", "--http-port"),
    "metrics_port": ("--metrics-port",),
    "max_num_seqs": ("--max-num-seqs", "--max-running-requests", "--max-concurrent-requests"),
    "max_model_len": ("--max-model-len", "--context-length", "--max-total-tokens"),
    "gpu_memory_utilization": ("--gpu-memory-utilization", "--mem-fraction-static", "--cuda-memory-fraction"),
    "tensor_parallel": ("--tensor-parallel-size", "-tp", "--tp-size", "--tp", "--num-shard"),
    "pipeline_parallel": ("--pipeline-parallel-size", "-pp", "--pp-size"),
    "data_parallel": ("--data-parallel-size", "-dp", "--dp-size"),
    "data_parallel_local": ("--data-parallel-size-local", "-dpl"),
    "quantization": ("--quantization", "-q", "--quantize"),
    "dtype": ("--dtype",),
    "kv_cache_dtype": ("--kv-cache-dtype",),
    "download_dir": ("--download-dir",),
}
_FIELD_OF: Final = {flag: field for field, flags in _FLAGS.items() for flag in flags}
_NUMBER: Final = re.compile(r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})([kKmMgG]?)", re.ASCII)
_SCALE: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "K": 1024, "M": 1024**2, "G": 1024**3}
"""vLLM's own reading of human-readable integers: `1k` is 1,000, `1K` is 1,024."""


class EngineArguments(msgspec.Struct, frozen=True):
    """What the command line says. None or empty: not said there, so the engine's default holds."""

    model: str = ""
    served_names: tuple[str, ...] = ()
    port: int | None = None
    metrics_port: int | None = None
    """Of Triton, which serves its metrics apart."""
    max_num_seqs: int | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    data_parallel_local: int | None = None
    """Ranks that run in this pod; not said: all."""
    quantization: str = ""
    dtype: str = ""
    kv_cache_dtype: str = ""
    download_dir: str = ""
    flags: frozenset[str] = frozenset()
    """All flags that are given, without their values: `--disable-log-stats`."""

    @property
    def gpus(self) -> int:
        """GPUs that one replica needs: tensor parallel times pipeline parallel."""
        return (self.tensor_parallel or 1) * (self.pipeline_parallel or 1)


def words_of(container: Container) -> tuple[str, ...]:
    """Return the command line as words; what a shell is told to run (`sh -c "vllm serve ..."`) is taken apart too."""
    return _words(container.command, container.args)


@lru_cache(KNOWN_COMMANDS)
def _words(command: tuple[str, ...], args: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_unwrapped((*command, *args)))


def commands_of(container: Container) -> tuple[tuple[str, ...], ...]:
    """Return the words of each command that a container runs: a shell may start several (`a & b & wait`)."""
    return _commands(words_of(container))


@lru_cache(KNOWN_COMMANDS)
def _commands(words: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    ends = [position for position, word in enumerate(words) if word and not word.strip(_SEPARATORS)]
    begins = [0, *(end + 1 for end in ends)]
    commands = (words[begin:end] for begin, end in zip(begins, [*ends, len(words)], strict=True))
    return tuple(command for command in commands if command)


@lru_cache(KNOWN_COMMANDS)
def read_arguments(words: tuple[str, ...]) -> EngineArguments:
    """Read what is known of an engine's flags; a value that is no number where one belongs counts as not said."""
    found: dict[str, list[str]] = {}
    flags: list[str] = []
    for position, word in enumerate(words):
        if not word.startswith("-") or len(word) < 2 or word[1].isdigit():
            continue
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-") if flag.startswith("--") else flag
        flags.append(flag)
        field = _FIELD_OF.get(flag)
        if field is not None:
            found[field] = [value] if equals else list(_values(words[position + 1 :], many=field == "served_names"))
    return EngineArguments(
        model=_first(found, "model") or _positional(words),
        served_names=tuple(found.get("served_names", ())),
        port=_port(found, "port"),
        metrics_port=_port(found, "metrics_port"),
        max_num_seqs=_whole(found, "max_num_seqs"),
        max_model_len=_whole(found, "max_model_len"),
        gpu_memory_utilization=_number(found, "gpu_memory_utilization"),
        tensor_parallel=_whole(found, "tensor_parallel"),
        pipeline_parallel=_whole(found, "pipeline_parallel"),
        data_parallel=_whole(found, "data_parallel"),
        data_parallel_local=_whole(found, "data_parallel_local"),
        quantization=_first(found, "quantization"),
        dtype=_first(found, "dtype"),
        kv_cache_dtype=_first(found, "kv_cache_dtype"),
        download_dir=_first(found, "download_dir"),
        flags=frozenset(flags),
    )


def _unwrapped(words: Sequence[str]) -> Iterator[str]:
    runs_shell = any(word.rpartition("/")[2] in _SHELLS for word in words[:_SHELL_WITHIN])
    for word in words:
        if runs_shell and any(character.isspace() for character in word):
            yield from _split(word)
        else:
            yield word


def _split(text: str) -> Iterable[str]:
    """Take a shell's line apart; what ends a command (`;`, `&&`, a new line) is a word of its own."""
    text = _LINE_END.sub(lambda end: " " if end[0].startswith("\\") else " ; ", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return text.split()


def _values(rest: Sequence[str], *, many: bool) -> Iterator[str]:
    for word in rest:
        if word.startswith("-") or not word.strip(_COMMAND_ENDS):
            return
        yield word
        if not many:
            return


def _positional(words: Sequence[str]) -> str:
    """Return the model of `vllm serve MODEL`; what a shell or Kubernetes puts in is not known here."""
    for position, word in enumerate(words[:-1]):
        if word == "serve" and words[position + 1][0:1] not in ("-", "$", ""):
            return words[position + 1]
    return ""


def _first(found: dict[str, list[str]], field: str) -> str:
    value = next(iter(found.get(field, ())), "")
    return "" if value.startswith("$") else value


def _port(found: dict[str, list[str]], field: str) -> int | None:
    number = _whole(found, field)
    return number if number is not None and 0 < number < 65536 else None


def _number(found: dict[str, list[str]], field: str) -> float | None:
    match = _NUMBER.fullmatch(_first(found, field))
    return float(match[1]) * _SCALE[match[2]] if match else None


def _whole(found: dict[str, list[str]], field: str) -> int | None:
    number = _number(found, field)
    return int(number) if number is not None else None
