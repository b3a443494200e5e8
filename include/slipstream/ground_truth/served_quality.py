"""How good the answers of a version were at the endpoint, by the labels that came so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from slipstream.ground_truth.figures import micros
from slipstream.ground_truth.joined import EVER, JoinPart, joined
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.labels import TABLE as LABELS
from slipstream.store.predictions import TABLE as PREDICTIONS


@dataclass(frozen=True)
class ServedQuality:
    """The deciding metric of one version's answers, where their labels have come.

    Attributes:
        value: None where the metric is not defined on these rows.
        labelled: Answers whose label is known; at least one.
        predictions: All of its answers.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    labelled: int
    predictions: int


def served_quality(
    spec: ModelSpec, store: Store, version: int, *, since: datetime | None = None, role: str = ""
) -> ServedQuality | None:
    """How good the answers of one version were at the endpoint, by the labels that came so far.

    Args:
        spec: The model.
        store: The store.
        version: Whose answers.
        since: Only answers from then on (UTC).
        role: Only what it answered as ``champion`` or ``challenger``; "": both.

    Returns:
        None as long as there is no label of any of them.
    """
    predictions, labels = (store.tables.paths(spec.name, table) for table in (PREDICTIONS, LABELS))
    if not predictions or not labels:
        return None
    part = JoinPart(version, -EVER if since is None else micros(since), EVER, role)
    with joined(spec, store, predictions, labels, only=part) as truth:
        measured = truth.measured(part)
    if not measured.labelled:
        return None
    figure = measured.figure
    return ServedQuality(
        spec.evaluate.metric, figure.value, figure.low, figure.high, measured.labelled, measured.predictions
    )
