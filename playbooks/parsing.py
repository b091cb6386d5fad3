"""From one file to a Playbook; what is wrong is told with the line it stands on."""

import re
from typing import Annotated, Final

import msgspec

from playbooks.expressions import Expression, ExpressionError, parse_expression
from playbooks.filling import PLACEHOLDER
from playbooks.model import Place, Playbook, Step, Template, Way
from playbooks.placeholders import PLACEHOLDERS
from playbooks.source import BadPlaybook, Source, take_apart
from situation.findings import Effect, Layer
from situation.text import harmless

_ID: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_PLACEHOLDER_LIKE: Final = re.compile(r"<[^<>]*>")
_STEP_PATH: Final = re.compile(r"\$\.step(\[(\d+)\])?(\.(\w+))?")
_SHELLS: Final = ("sh", "bash")
_OF_NAMESPACE: Final = frozenset("pod container ended-container service workload claim".split())
_WHERE: Final = re.compile(r"here|(node|pod) \S+|<etcd-place>")
_NEEDS_OPERATOR: Final = "driver-pod"
PLAYBOOK: Final = "playbook:"

Id = Annotated[str, msgspec.Meta(pattern=_ID, max_length=60)]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"^[^\n]*$")]


class _Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    say: Line


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    ask: Line
    command: tuple[str, ...] = ()
    namespace: str = ""
    effect: Effect = Effect.READ
    where: str = "here"
    look_for: str = ""
    check: str = ""
    after: tuple[str, ...] = ()
    goto: Annotated[dict[Id, _Way], msgspec.Meta(max_length=4)] = {}


class _Front(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    title: Line
    summary: Line
    step: Annotated[tuple[_Step, ...], msgspec.Meta(min_length=1, max_length=60)]
    layer: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None
    order: int = 1000
    when: tuple[str, ...] = ()
    only: str = ""


def parse_playbook(text: str, file: str, *, is_own: bool = False) -> tuple[Playbook, Source]:
    """Read a file's text. Raises BadPlaybook with the line that is wrong."""
    source = take_apart(harmless_lines(text))
    front = _converted(source)
    ids = [step.id for step in front.step]
    for number, name in enumerate(ids):
        if name in ids[:number]:
            raise BadPlaybook(source.line_of("id", number), f"there are two steps {name!r}")
    for heading, line in source.headings.items():
        if heading not in ids:
            raise BadPlaybook(line, f"the heading {heading!r} is no step's id")
    steps = tuple(_step(number, step, front.id, source) for number, step in enumerate(front.step))
    _check_effects(steps, source)
    only = _expression(front.only, source, "only", None)
    return (
        Playbook(
            front.id,
            front.title,
            front.summary,
            steps,
            Layer(front.layer) if front.layer is not None else None,
            front.order,
            front.when,
            only,
            source.notes,
            file,
            is_own,
        ),
        source,
    )


def harmless_lines(text: str) -> str:
    """Make a file's text harmless line by line; tabs and line ends stay what they are."""
    return "\n".join("\t".join(map(harmless, line.rstrip("\r").split("\t"))) for line in text.split("\n"))


def _converted(source: Source) -> _Front:
    try:
        return msgspec.convert(source.front, _Front, strict=True)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `")
        found = _STEP_PATH.match(path)
        key = re.search(r"field `(\w+)`", said)
        if found is None:
            name = path.strip("`").removeprefix("$").strip(".").partition("[")[0]
            line = source.line_of(key[1] if key else name or "id")
            raise BadPlaybook(line, f"{name}: {said}" if name else said) from None
        number = int(found[2]) if found[2] else None
        name = found[4] or (key[1] if key else "")
        line = source.line_of(found[4] or name, number)
        raise BadPlaybook(line, f"step {1 + (number or 0)}: {f'{name}: ' if found[4] else ''}{said}") from None


def _step(number: int, raw: _Step, playbook: str, source: Source) -> Step:
    template = Template(raw.command, raw.namespace, raw.effect, raw.where)
    _check_template(template, number, source)
    ways = tuple(
        Way(answer, _place(way.to, playbook, answer, number, source), way.say) for answer, way in raw.goto.items()
    )
    return Step(
        raw.id,
        raw.ask,
        template,
        raw.look_for,
        _expression(raw.check, source, "check", number),
        raw.check,
        raw.after,
        ways,
        source.sections.get(raw.id, ""),
    )


def _expression(text: str, source: Source, key: str, step: int | None) -> Expression | None:
    if not text:
        return None
    try:
        return parse_expression(text)
    except ExpressionError as error:
        raise BadPlaybook(source.line_of(key, step), f"{key}: {error}") from None


def _place(to: str, playbook: str, answer: str, step: int, source: Source) -> Place:
    """Read where an answer leads: `step`, `playbook:id` or `playbook:id#step`; the loader looks whether it is there."""
    other, _, name = to.removeprefix(PLAYBOOK).partition("#")
    place = Place(other, name) if to.startswith(PLAYBOOK) else Place(playbook, to)
    for part in place:
        if part and not re.match(_ID, part):
            raise BadPlaybook(
                source.line_of("goto", step), f"goto.{answer}: {to!r} is no step and no {PLAYBOOK}id#step"
            )
    return place


def _check_template(template: Template, step: int, source: Source) -> None:
    for key, words in (("command", template.argv), ("namespace", (template.namespace,)), ("where", (template.where,))):
        for word in words:
            for found in _PLACEHOLDER_LIKE.findall(word):
                _check_placeholder(found, word, key, step, source)
    line = source.line_of("command", step)
    shells = [number for number, word in enumerate(template.argv) if word in _SHELLS]
    if shells and any(PLACEHOLDER.search(word) for word in template.argv[shells[0] :]):
        raise BadPlaybook(line, "command: a placeholder inside a shell's script: a name there would be run")
    names = {name for word in template.argv for name in PLACEHOLDER.findall(word)}
    if template.argv[:1] == ("kubectl",) and names & _OF_NAMESPACE and "namespace" not in names:
        if template.namespace != "<namespace>":
            raise BadPlaybook(line, 'command: names an object of a namespace: namespace = "<namespace>" is missing')
    if _NEEDS_OPERATOR in names and template.namespace != "<gpu-operator-namespace>":
        raise BadPlaybook(line, 'command: <driver-pod> goes with namespace = "<gpu-operator-namespace>"')
    if not template.argv and (template.namespace or template.effect is not Effect.READ or template.where != "here"):
        raise BadPlaybook(line, "namespace, effect and where are of a command, and there is none")
    if not _WHERE.fullmatch(template.where):
        raise BadPlaybook(source.line_of("where", step), "where: is here, node NAME or pod NAME")


def _check_placeholder(found: str, word: str, key: str, step: int, source: Source) -> None:
    known = PLACEHOLDERS.get(found[1:-1])
    line = source.line_of(key, step)
    if known is None:
        raise BadPlaybook(line, f"{key}: {found} is no placeholder; see docs/playbooks-format.md for those there are")
    if known.is_several and word != found:
        raise BadPlaybook(line, f"{key}: {found} stands for several words and must be a word of its own")


def _check_effects(steps: tuple[Step, ...], source: Source) -> None:
    """What changes or interrupts something never comes first, and a step that looks comes before it."""
    for number, step in enumerate(steps):
        if step.command.effect is Effect.READ:
            continue
        before = steps[number - 1] if number else None
        if before is None:
            raise BadPlaybook(source.line_of("effect", number), "the first step must only read")
        if before.command.effect is not Effect.READ:
            raise BadPlaybook(
                source.line_of("effect", number),
                f"{step.id}: the step before it must only read: look whether {before.id} worked",
            )
