"""Layer 4: admission webhooks that fail or are slow, as the API server's own metrics tell (L4-06)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis import api_facts as facts
from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.endpoints import slices_command
from diagnosis.explaining import WEBHOOKS_DOWN
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.creation_webhooks import LIST, named
from situation import api_load
from situation.api_server import METRICS
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER, Ref
from situation.network import Webhook
from situation.situation import Situation

SLOW_S: Final = 1.0
"""A webhook alone takes as long as a whole write may (kubernetes mixin, writes). Its time-out is 10 s by default."""

_Named = list[tuple[Ref, Webhook]]


def _configuration(found: _Named, name: str) -> Iterator[Evidence]:
    if not found:
        yield Evidence(f"no configuration that can be read names {name}", METRICS, mark=Mark.OPEN)
    for ref, webhook in found[:2]:
        yield fact(f"{ref.kind.lower()}s", f"{ref.kind} {ref.name}: failurePolicy {webhook.failure_policy}")


def _commands(found: _Named) -> Iterator[Command]:
    service = next((hook.client_config.service for _, hook in found if hook.client_config.service), None)
    if service is not None:
        yield slices_command(service.namespace, service.name, "has its Service a ready endpoint?")
    for ref, _ in found[:1]:
        yield kubectl("get", ref.kind.lower(), ref.name, "-o", "yaml", purpose="what does it guard?")
    yield LIST


def _refs(found: _Named) -> Iterator[Ref]:
    for ref, webhook in found:
        yield ref
        if (service := webhook.client_config.service) is not None:
            yield Ref("Service", service.namespace, service.name)


@rule(
    "webhook-failing",
    signature="L4-06",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="calls of admission webhooks that failed over the last minutes, by name and against all calls of it, not "
    "since the server's start.",
    look_alikes={
        "webhook-denies": "a denial is an answer: it does not count as a failure",
        "validating-webhook-down": "there its Service has no endpoint at all: then this is the effect",
        "failurePolicy Ignore": "requests go on without it, but each waits for its time-out",
        "a pod of the webhook was replaced": "up to 4 failed calls that are no more than 1 % are a hint; critical are "
        "only 5 and more that are above 14.4 %",
    },
)
def webhook_failing(_: None, situation: Situation, now: datetime) -> Verdict:
    """Calls of an admission webhook fail."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    failures = api_load.webhook_failures(situation.api_server)
    if failures is None:
        return Unknown(facts.IN_PART)
    if not failures:
        return CLEAR
    hooks = [_failing(name, count, situation) for name, count in failures.items()]
    worst = min(hooks, key=lambda hook: hook.severity.rank)
    found, name = worst.found, worst.name
    does = "requests that it must see are refused" if worst.closed else "requests go on without it, after its time-out"
    return Fired(
        found[0][0] if found else CLUSTER,
        f"fails: {counted(worst.failed, 'call')} {facts.window_text(situation)}",
        (
            *(Evidence(hook.text(facts.window_text(situation)), METRICS) for hook in _first(worst, hooks)[:3]),
            Evidence(does, METRICS, mark=Mark.SUPPORTS if found else Mark.OPEN),
            *_configuration(found, name),
        ),
        tuple(_commands(found)),
        severity=worst.severity,
        follows=tuple(_refs(found)),
        follows_only=(*WEBHOOKS_DOWN, "no-ready-endpoint"),
        who=(f"webhook {shorten(name, 45)}",),
    )


class _Failing(NamedTuple):
    """A webhook of which calls failed over the window."""

    name: str
    failed: int
    calls: int | None
    """With those that failed; None: not told, and judged as if all had."""
    found: _Named

    @property
    def closed(self) -> bool:
        """Tell whether a request is refused when its call fails; so it is taken to be where nobody can tell."""
        return not self.found or any(webhook.failure_policy == "Fail" for _, webhook in self.found)

    @property
    def severity(self) -> Severity:
        """What is refused is grave if it is much; a call or two of very many is what the replacing of a pod costs."""
        share = self.failed / self.calls if self.calls else 1.0
        if self.failed < facts.HANDFUL:
            return Severity.INFO if share <= facts.TOLERATED else Severity.WARNING
        return Severity.CRITICAL if self.found and self.closed and share > facts.GRAVE else Severity.WARNING

    def text(self, window: str) -> str:
        if self.calls is None:
            return f"{counted(self.failed, 'call')} of {self.name} failed {window}; of how many is not told"
        return f"{self.failed} of {counted(self.calls, 'call')} of {self.name} failed {window}"


def _failing(name: str, count: int, situation: Situation) -> _Failing:
    called = (api_load.webhook_latencies(situation.api_server) or {}).get(name)
    return _Failing(name, count, max(called.requests, count) if called else None, list(named(name, situation)))


def _first(worst: _Failing, hooks: list[_Failing]) -> list[_Failing]:
    return [worst, *(hook for hook in hooks if hook is not worst)]


@rule(
    "webhook-slow",
    signature="L4-06",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="p99 of admission webhooks over the last minutes, by name.",
    look_alikes={
        "api-slow-requests": "the effect on all writes that it sees",
        "webhook-failing": "there calls fail; those that time out are slow too",
    },
)
def webhook_slow(_: None, situation: Situation, now: datetime) -> Verdict:
    """An admission webhook is slow, and with it each write that it sees."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    measured = facts.enough(api_load.webhook_latencies(situation.api_server))
    slow = [(name, item) for name, item in measured.items() if item.p99_s > SLOW_S]
    if not slow:
        return CLEAR
    name, worst = slow[0]
    found = list(named(name, situation))
    window = facts.window_text(situation)
    return Fired(
        found[0][0] if found else CLUSTER,
        f"is slow: p99 {facts.p99_text(worst)}",
        (
            *(
                Evidence(f"{other}: p99 {facts.p99_text(item)} of {item.requests} calls {window}", METRICS)
                for other, item in slow[:3]
            ),
            *_configuration(found, name),
        ),
        tuple(_commands(found)),
        follows=(*_refs(found), CLUSTER),
        follows_only=(*WEBHOOKS_DOWN, "webhook-failing"),
        who=(f"webhook {shorten(name, 45)}",),
    )


RULES: Final[tuple[Rule, ...]] = (webhook_failing, webhook_slow)
