"""KServe's InferenceService: what a rule about its readiness reads.

Fields and values are those of KServe's API, `pkg/apis/serving/v1beta1/inference_service_status.go`.
"""

from typing import Final

from situation.meta import Condition, KubernetesObject, Wire

LABEL: Final = "serving.kserve.io/inferenceservice"
"""On the pods of a predictor, transformer or explainer: the name of their InferenceService."""


class Predictor(Wire, frozen=True):
    min_replicas: int | None = None
    """0 lets it scale to zero; None is the default of the installation."""


class InferenceServiceSpec(Wire, frozen=True):
    predictor: Predictor = Predictor()


class FailureInfo(Wire, frozen=True):
    """The last failure to load a model. It is never taken back: only the transition status says whether it still is."""

    reason: str = ""
    """`ModelLoadFailed`, `RuntimeUnhealthy`, `RuntimeDisabled`, `NoSupportingRuntime`, `RuntimeNotRecognized`,
    `InvalidPredictorSpec`, ..."""
    message: str = ""
    """Of `ModelLoadFailed` the container's termination message."""
    exit_code: int = 0
    """Of the container; 0 where none ended."""


_FAILED: Final = frozenset({"BlockedByFailedLoad", "InvalidSpec"})
STOPPED: Final = "Stopped"
"""Type of the condition, and reason of those that are then False, of one that was stopped on purpose (annotation
`serving.kserve.io/stop`)."""


class ModelStatus(Wire, frozen=True):
    transition_status: str = ""
    """`InProgress`, `UpToDate`, `BlockedByFailedLoad`, `InvalidSpec`."""
    last_failure_info: FailureInfo | None = None

    @property
    def failure(self) -> FailureInfo | None:
        """Why the model that is wanted does not load now; None if it loads, or did."""
        return self.last_failure_info if self.transition_status in _FAILED else None


class InferenceServiceStatus(Wire, frozen=True):
    conditions: tuple[Condition, ...] = ()
    model_status: ModelStatus = ModelStatus()


class InferenceService(KubernetesObject, frozen=True):
    spec: InferenceServiceSpec = InferenceServiceSpec()
    status: InferenceServiceStatus = InferenceServiceStatus()
