"""What an evaluation found, as later stages read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from slipstream.evaluation.comparison import Comparison
from slipstream.evaluation.fairness import Fairness
from slipstream.evaluation.slices import Slice
from slipstream.runs import Result, find_result
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import Figure
from slipstream.store import Store
from slipstream.training.labels import Label


@dataclass(frozen=True)
class Evaluated(Result):
    """How good a candidate is.

    Attributes:
        candidate: The train run.
        rows: Held-out rows that it was judged on.
        metric: The metric that decides.
        scores: Metric -> value on all of them; a metric that is not defined there is left out.
        champion: The version that it was compared with; None when there was none.
        gain: By how much the deciding metric is better than the champion's on the same rows (negative: worse).
        details: Digest of the :class:`Evaluation`.
        report: Digest of the HTML report.
    """

    candidate: str
    rows: int
    metric: str
    scores: dict[str, float]
    champion: int | None
    gain: float | None
    details: str
    report: str


@dataclass(frozen=True)
class Evaluation:
    """All that an evaluation found; kept as a JSON object.

    Attributes:
        metric: The deciding metric.
        lower_is_better: The metrics of which less is better, out of those measured.
        cutoff: Where the held-out rows begin.
        baseline: Metric -> value of answering the same for every row, as learnt from the training rows.
        comparison: Against the champion; None when there was none.
        slices: The figures by the values of ``evaluate.slices``.
        plots: ``roc``, ``calibration``, ``confusion`` or ``residuals``, as the task has them.
        fairness: How the groups of each column of ``evaluate.sensitive`` are treated.
        split: By what the rows are held out, in words.
        warnings: What makes the figures doubtful: rows that are alike on both sides, inputs that tell the target alone.
    """

    candidate: str
    dataset: str
    task: str
    target: str
    metric: str
    lower_is_better: tuple[str, ...]
    rows: int
    cutoff: str
    classes: tuple[Label, ...]
    positive: Label | None
    scores: dict[str, Figure]
    baseline: dict[str, float | None]
    comparison: Comparison | None
    slices: tuple[Slice, ...]
    plots: dict[str, Any]
    fairness: tuple[Fairness, ...] = ()
    split: str = ""
    warnings: tuple[str, ...] = ()


def load_evaluation(spec: ModelSpec, store: Store, run: str) -> tuple[Evaluated, Evaluation]:
    """The finished evaluation of that run id and its record; raises StageError ``run_not_found``."""
    evaluated = find_result(store, spec, run, Evaluated)
    return evaluated, msgspec.convert(store.objects.get_json(evaluated.details), Evaluation)
