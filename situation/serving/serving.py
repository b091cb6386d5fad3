"""All model servers, worked out of pods and readings: a pure function of the Situation and the time."""

from datetime import datetime

from situation.serving.view import Serving
from situation.situation import Situation


def serving_of(situation: Situation, now: datetime) -> Serving:
    """Return the model servers: those that pods tell of, asked or not, and those at URLs."""
    return situation.once(("serving", now), Serving)
