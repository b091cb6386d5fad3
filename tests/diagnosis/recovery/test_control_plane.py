"""The API server and what it asks, certificates, leaders: readings that say again that all is well."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest

from situation.api_server import ApiServerPage, Liveness
from situation.certificates import Certificate
from situation.kinds import WATCHED
from situation.readings import Listed, Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, event, node, pod, situation
from tests.diagnosis.api_pages import alive, certified, grown, scraped, took, unready
from tests.diagnosis.objects import lease
from tests.diagnosis.recovery.harness import Case, Step, check, gone
from tests.diagnosis.recovery.well_again import api_server_answers, api_server_works, etcd_works
from tests.diagnosis.test_api_extensions import CONVERSION, FOUR, GONE, SERVED, TOO_LARGE, erring, failing, scheduler
from tests.diagnosis.test_api_health import second_hand
from tests.diagnosis.test_api_latency import growing, lists, verbs
from tests.diagnosis.test_api_load import FULL
from tests.diagnosis.test_certificates import NODES, certificate
from tests.diagnosis.test_control_plane import API_LEASE, BUSY, CERTIFICATE, LOGIN, REFUSED, cluster, placed, unseen
from tests.diagnosis.test_scheduler_load import attempts, told
from tests.diagnosis.test_topology import STACKED, machine, measured, static
from tests.diagnosis.test_webhooks import configuration
from tests.diagnosis.test_writes import answering, leases

WINDOW_S: Final = 331.0
"""A little more than the window of 5 minutes over which the API server is judged."""
ALIVE: Final = Reading("control-plane/livez", SourceState.LIVE, NOW + timedelta(seconds=1), Liveness(True))
READY: Final = Reading("kubernetes/readyz", SourceState.LIVE, NOW + timedelta(seconds=1), Readiness(True))


def certificates(*items: Certificate) -> Step:
    """Return the step in which the certificates in files are these."""
    return lambda known: certified(known, *items)


def metrics(rule: str, *pages: ApiServerPage, name: str = "", **over: Any) -> Case:
    """Return the case of an API server whose pages were bad, and are good over the whole window."""
    return Case(
        rule, lambda: scraped(situation(), *pages), [api_server_works(330)], after_s=WINDOW_S, name=name, **over
    )


def renewed(*manifests: Manifest) -> list[Manifest]:
    return [lease(item["metadata"]["name"], age_s=-1) for item in manifests]


def conversions_work() -> Reading:
    return Reading("kubernetes/clusterpolicies", SourceState.LIVE, NOW + timedelta(seconds=1),
                   Listed("clusterpolicies", ()))  # fmt: skip


def gone_for_minutes() -> Situation:
    """Return a cluster whose API server went four minutes ago, with the leases of then."""
    known = situation(*leases(250, 248, 245), now=NOW - timedelta(seconds=240))
    for name in (*(kind.source for kind in WATCHED), "kubernetes/readyz"):
        known.apply(Reading(name, SourceState.UNREACHABLE, NOW, error=REFUSED))
    return known


OLD: Final = took(30, 5000)
FROZEN: Final = leases(260, 250, 240)
REJECTS: Final = grown({"rejected": {"global-default": 5.0}}, {"rejected": {"global-default": 90.0}})
WEBHOOK_SLOW: Final = grown({"webhooks": {"a.io": OLD}}, {"webhooks": {"a.io": took(4, 50, OLD)}})
NEW: Final = certificate("apiserver", 364)
ISSUER: Final = certificate("ca", 3600, life_days=3650, authority=True)
SERVED_NEW: Final = certificate("apiserver", 364, served=True)
CASES: Final = (
    Case("certificate-expired", lambda: certified(situation(*NODES), certificate("apiserver", -2)),
         [certificates(NEW)]),
    Case("certificate-expires", lambda: certified(situation(*NODES), certificate("apiserver", 6)),
         [certificates(NEW)]),
    Case("certificate-authority-expires",
         lambda: certified(situation(*NODES), certificate("ca", 20, life_days=3650, authority=True)),
         [certificates(ISSUER)]),
    Case("certificate-not-reloaded",
         lambda: certified(situation(*NODES), certificate("apiserver", 3, served=True), NEW),
         [certificates(SERVED_NEW, NEW)]),
    *(Case(rule, partial(cluster, state, error), [api_server_answers])
      for rule, state, error in (("api-certificate", SourceState.UNREACHABLE, CERTIFICATE),
                                 ("api-unreachable", SourceState.UNREACHABLE, REFUSED),
                                 ("credentials-refused", SourceState.UNAUTHORIZED, LOGIN),
                                 ("api-overloaded", SourceState.UNREACHABLE, BUSY))),
    Case("api-unreachable", gone_for_minutes, [api_server_answers], name="no lease is renewed yet"),
    Case("api-overloaded", lambda: cluster(SourceState.LIVE, BUSY, of=3), [api_server_answers], name="a few requests"),
    Case("etcd-unavailable", lambda: alive(unready(situation(), "etcd")), [READY]),
    Case("api-not-ready", lambda: unready(situation(), "informer-sync"), [READY], name="readyz"),
    Case("api-not-ready", lambda: alive(situation(), "ping"), [ALIVE], name="livez"),
    metrics("etcd-slow-second-hand", *second_hand(0.4)),
    metrics("etcd-large-second-hand", *second_hand(0.004, 1.9)),
    Case("etcd-large-second-hand", lambda: scraped(situation(), *second_hand(0.004, 1.9)), [etcd_works(1, step_s=1)],
         name="etcd itself is read"),
    Case("writes-stopped", lambda: answering(*FROZEN), renewed(*FROZEN)),
    metrics("api-saturated", *grown(FULL, FULL)),
    metrics("api-requests-rejected", *REJECTS),
    metrics("api-files-exhausted", ApiServerPage(open_files=19_500, max_files=20_000, watches=14_200)),
    Case("webhook-failing", lambda: failing(30, configuration(), *SERVED, pod("guard-1", labels={"app": "guard"})),
         [api_server_works(330)], after_s=WINDOW_S),
    metrics("webhook-slow", *WEBHOOK_SLOW),
    metrics("aggregated-api-down", *[ApiServerPage(unavailable_apis=GONE)] * 2),
    Case("aggregated-api-down", lambda: scraped(situation(), *[ApiServerPage(unavailable_apis=GONE)] * 2),
         [api_server_works(30)], after_s=31, name="with the first page that says so"),
    Case("conversion-webhook-failing", lambda: erring(CONVERSION), [conversions_work()]),
    Case("object-too-large", [event("ConfigMap/big", "FailedSync", TOO_LARGE)], [], after_s=600, name="nothing since"),
    metrics("api-slow-requests", *verbs(GET=1.5, POST=0.05)),
    metrics("api-slow-lists", *lists(40)),
    Case("api-resource-grows", lambda: growing(3000, 5000), [api_server_works(330)], after_s=WINDOW_S),
    Case("scheduler-behind", [unseen("a", age_s=95), unseen("b", age_s=40), placed(3), node(), API_LEASE,
                              lease("kube-scheduler", age_s=2)],
         [pod("a"), pod("b"), lease("kube-scheduler", age_s=-1)]),
    Case("scheduler-slow", lambda: told(attempts(400, 2.048)),
         [lambda known: told(attempts(400, 0.064), attempts(400, 0.064), age_s=-1, known=known)]),
    Case("leaders-change-often", [*FOUR, scheduler(100)], [lease("kube-scheduler", age_s=-998)], after_s=1000,
         name="quiet since"),
    Case("stacked-etcd-strained", lambda: measured(*STACKED, fsync_s=0.02), [etcd_works(3660, 1, step_s=60)],
         after_s=3661),
    Case("versions-apart", [static("kube-apiserver"), static("kube-apiserver", "cp-2", "v1.34.0"), node("cp-1"),
                            node("cp-2")], [static("kube-apiserver", "cp-2")], name="API servers"),
    Case("versions-apart", [static("kube-apiserver"), node("cp-1"), machine("a", "v1.32.9")], [machine("a")],
         name="kubelets"),
    Case("versions-apart", [static("kube-apiserver"), node("cp-1"), machine("a", "v1.32.9")], [gone("Node", "a", "")],
         name="the old node is gone"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
