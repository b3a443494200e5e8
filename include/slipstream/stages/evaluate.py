"""Evaluate: judges a candidate on its held-out rows, overall, by slice, and against the champion on the same rows."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from slipstream.errors import StageError
from slipstream.estimators import LOWER_IS_BETTER
from slipstream.evaluation.leaks import ROWS, Side, suspected_leaks
from slipstream.scoring import curves
from slipstream.scoring.intervals import figures
from slipstream.scoring.metrics import Figure, measure
from slipstream.spec import ModelSpec
from slipstream.stages.answers import Candidate, Label, load_candidate, truth_of
from slipstream.stages.comparison import Comparison, compare
from slipstream.stages.contract import Result, Stage, find_result, once, run_key
from slipstream.stages.fairness import Fairness, fairness, fairness_metrics
from slipstream.stages.slices import Slice, slice_metrics, slices
from slipstream.stages.split import Split, reopen
from slipstream.store import Store

STAGE = Stage("evaluate", version=4)
_log = logging.getLogger("slipstream")


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


def evaluate(spec: ModelSpec, store: Store, candidate: str, *, actor: str = "") -> Evaluated:
    """Judge the candidate made by the train run of that id.

    Raises:
        StageError: ``run_not_found``; ``stage_input_invalid`` when the model file has changed since it was trained.
        DataError: ``data_not_finite`` for infinite inputs; ``data_too_many_groups`` for a sensitive column.
    """
    champion = _champion(store, spec)
    part = spec.part("task", "target", "inputs", "evaluate") | {
        "metrics": _metrics(spec),
        "by_part": [slice_metrics(spec), fairness_metrics(spec)],
        "seed": spec.seed,
        "time": spec.data.time,
        "key": list(spec.data.key),
    }
    inputs = {"candidate": candidate, "champion": list(champion) if champion else None}
    key = run_key(STAGE, part, inputs)
    return once(
        STAGE, spec, store, key, lambda run: _evaluate(spec, store, candidate, champion), result=Evaluated, actor=actor
    )


def load_evaluation(spec: ModelSpec, store: Store, run: str) -> tuple[Evaluated, Evaluation]:
    """The finished evaluation of that run id and its record; raises StageError ``run_not_found``."""
    evaluated = find_result(store, spec, run, Evaluated)
    return evaluated, msgspec.convert(store.objects.get_json(evaluated.details), Evaluation)


def _evaluate(spec: ModelSpec, store: Store, candidate: str, champion: tuple[int, str] | None) -> Evaluated:
    from slipstream.reports import evaluation as report

    subject = load_candidate(spec, store, candidate)
    _check_unchanged(spec, subject)
    cut = reopen(spec, store, subject.trained.dataset, subject.training.boundaries, spec.evaluate.sensitive)
    metrics = _metrics(spec)
    frame = cut.frame("holdout")
    truth, classes = truth_of(subject.training, frame[spec.target])
    answer = subject.answer(frame, classes)
    _log.info("%s: judging %s on %s held-out rows", spec.name, candidate, f"{len(frame):,}")
    scores = figures(metrics, truth, answer)
    comparison = compare(spec, store, champion, subject, metrics) if champion else None
    found = Evaluation(
        candidate=candidate,
        dataset=subject.trained.dataset,
        task=spec.task,
        target=spec.target,
        metric=spec.evaluate.metric,
        lower_is_better=tuple(metric for metric in metrics if metric in LOWER_IS_BETTER),
        rows=len(frame),
        cutoff=subject.trained.cutoff,
        classes=classes,
        positive=subject.training.positive,
        scores=scores,
        baseline=_baseline(cut, subject, truth, classes, metrics),
        comparison=comparison,
        slices=tuple(slices(spec, frame, truth, answer)),
        plots=_plots(spec.task, truth, answer, len(classes)),
        fairness=fairness(spec, frame, truth, answer),
        split=subject.training.split,
        warnings=(*subject.training.warnings, *_leaks(spec, cut, subject, (frame, truth))),
    )
    details = asdict(found)
    return Evaluated(
        candidate=candidate,
        rows=len(frame),
        metric=spec.evaluate.metric,
        scores={metric: score.value for metric, score in scores.items() if score.value is not None},
        champion=comparison.version if comparison else None,
        gain=_gain(comparison, spec.evaluate.metric),
        details=store.objects.put_json(details),
        report=store.objects.put(report.page(spec.name, details)),
    )


def _leaks(spec: ModelSpec, cut: Split, subject: Candidate, held: tuple[Any, Any]) -> list[str]:
    """Inputs that alone tell the target, as sentences."""
    training, (frame, truth) = subject.training, held
    learnt = cut.sample("train", ROWS)
    known, _ = truth_of(training, learnt[training.target])
    step = max(1, -(-len(frame) // ROWS))
    judged = Side(frame.iloc[::step], truth[::step])
    found = suspected_leaks(training.task, subject.inputs, Side(learnt, known), judged)
    said = [leak.sentence(training.target) for leak in found]
    for sentence in said:
        _log.warning("%s: %s", spec.name, sentence)
    return said


def _champion(store: Store, spec: ModelSpec) -> tuple[int, str] | None:
    """Number and train run of the champion, if there is one."""
    model = store.ledger.state().model(spec.name)
    if model.champion is None:
        return None
    return model.champion, str(model.versions[model.champion].data["result"]["candidate"])


def _check_unchanged(spec: ModelSpec, subject: Candidate) -> None:
    """A candidate is judged by the task that it was trained for."""
    training = subject.training
    now = (spec.task, spec.target, list(spec.inputs))
    if now != (training.task, training.target, subject.inputs):
        message = (
            f"{spec.name}: task, target or inputs of the model file have changed since {subject.trained.candidate}; "
            "train a candidate by the new file first."
        )
        raise StageError(message, code="stage_input_invalid")


def _metrics(spec: ModelSpec) -> list[str]:
    """The deciding metric, the further ones, and those that gates ask for, each once."""
    asked = [gate.metric for gate in spec.gates if gate.metric]
    return list(dict.fromkeys((spec.evaluate.metric, *spec.evaluate.metrics, *asked)))


def _gain(comparison: Comparison | None, metric: str) -> float | None:
    pair = comparison.figures.get(metric) if comparison else None
    return pair.gain.value if pair else None


def _baseline(
    cut: Split, subject: Candidate, truth: Any, classes: tuple[Label, ...], metrics: list[str]
) -> dict[str, float | None]:
    """What the mean, or the shares of the classes, of the training rows score; the least that a candidate must beat."""
    import numpy as np

    from slipstream.stages.split import quoted

    target = quoted(cut.target)
    with cut.open() as relation:
        rows = cut.rows(relation, "train")
        if subject.training.task == "regression":
            constant = np.array(rows.aggregate(f"avg({target})").fetchall()[0][0])
        else:
            counts = dict(rows.aggregate(f"{target}, count(*)").fetchall())
            shares = np.array([counts.get(label, 0) for label in classes]) / sum(counts.values())
            constant = shares[1] if subject.training.task == "binary" else shares
    answer = np.broadcast_to(constant, (len(truth), *constant.shape))
    values = {metric: measure(metric, truth, answer) for metric in metrics}
    return {metric: value if np.isfinite(value) else None for metric, value in values.items()}


def _plots(task: str, truth: Any, answer: Any, classes: int) -> dict[str, Any]:
    if task == "regression":
        return {"residuals": curves.residuals(truth, answer)}
    plots: dict[str, Any] = {"confusion": curves.confusion(truth, answer, classes)}
    if task == "binary":
        plots |= {"roc": curves.roc(truth, answer), "calibration": curves.calibration(truth, answer)}
    return plots
