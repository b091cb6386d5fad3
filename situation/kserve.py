"""KServe's InferenceService: what a rule about its readiness reads."""

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
    reason: str = ""
    message: str = ""


class ModelStatus(Wire, frozen=True):
    transition_status: str = ""
    """`InProgress`, `UpToDate`, `BlockedByFailedLoad`, `InvalidSpec`."""
    last_failure_info: FailureInfo = FailureInfo()


class InferenceServiceStatus(Wire, frozen=True):
    conditions: tuple[Condition, ...] = ()
    model_status: ModelStatus = ModelStatus()


class InferenceService(KubernetesObject, frozen=True):
    spec: InferenceServiceSpec = InferenceServiceSpec()
    status: InferenceServiceStatus = InferenceServiceStatus()
