"""Evaluate: judges a candidate on its held-out rows, overall, by slice, and against the champion on the same rows."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from slipstream.errors import StageError
from slipstream.evaluation.candidate_answers import Candidate, load_candidate, truth_of
from slipstream.evaluation.comparison import Comparison, compare
from slipstream.evaluation.fairness import fairness, fairness_metrics
from slipstream.evaluation.leaks import ROWS, LeakSide, suspected_leaks
from slipstream.evaluation.record import Evaluated, Evaluation
from slipstream.evaluation.slices import slice_metrics, slices
from slipstream.runs import Stage, once, run_key
from slipstream.spacing import thinned
from slipstream.spec.estimators import LOWER_IS_BETTER
from slipstream.spec.model import ModelSpec
from slipstream.statistics import curves
from slipstream.statistics.intervals import figures
from slipstream.statistics.metrics import measure
from slipstream.store import Store
from slipstream.training.labels import Label
from slipstream.training.split import Split, reopen

STAGE = Stage("evaluate", version=4)
_AS_IT_IS = ("task", "target", "inputs", "evaluate", "train.seed", "data.time", "data.key")
READS = (*_AS_IT_IS, "gates")
_log = logging.getLogger("slipstream")


def evaluate(spec: ModelSpec, store: Store, candidate: str, *, actor: str = "") -> Evaluated:
    """Judge the candidate made by the train run of that id.

    Raises:
        StageError: ``run_not_found``; ``stage_input_invalid`` when the model file has changed since it was trained.
        DataError: ``data_not_finite`` for infinite inputs; ``data_too_many_groups`` for a sensitive column.
    """
    champion = _champion(store, spec)
    inputs = {"candidate": candidate, "champion": list(champion) if champion else None}
    key = run_key(STAGE, _part(spec), inputs)
    return once(
        STAGE, spec, store, key, lambda run: _evaluate(spec, store, candidate, champion), result=Evaluated, actor=actor
    )


def _part(spec: ModelSpec) -> dict[str, Any]:
    """What of the model file its runs depend on: of the gates only the metrics that they ask for."""
    by_part = [slice_metrics(spec), fairness_metrics(spec)]
    return spec.part(*_AS_IT_IS) | {"metrics": _metrics(spec), "by_part": by_part}


def _evaluate(spec: ModelSpec, store: Store, candidate: str, champion: tuple[int, str] | None) -> Evaluated:
    from slipstream.reports import evaluation as report

    evaluation = _evaluation(spec, store, load_candidate(spec, store, candidate), champion)
    details = asdict(evaluation)
    comparison = evaluation.comparison
    return Evaluated(
        candidate=candidate,
        rows=evaluation.rows,
        metric=spec.evaluate.metric,
        scores={metric: score.value for metric, score in evaluation.scores.items() if score.value is not None},
        champion=comparison.version if comparison else None,
        gain=_gain(comparison, spec.evaluate.metric),
        details=store.objects.put_json(details),
        report=store.objects.put(report.page(spec.name, details)),
    )


def _evaluation(spec: ModelSpec, store: Store, subject: Candidate, champion: tuple[int, str] | None) -> Evaluation:
    """All that is measured of the candidate on the held-out rows."""
    _check_unchanged(spec, subject)
    cut = reopen(spec, store, subject.trained.dataset, subject.training.boundaries, spec.evaluate.sensitive)
    metrics = _metrics(spec)
    frame = cut.frame("holdout")
    truth, classes = truth_of(subject.training, frame[spec.target])
    answer = subject.answer(frame, classes)
    _log.info("%s: judging %s on %s held-out rows", spec.name, subject.trained.candidate, f"{len(frame):,}")
    return Evaluation(
        candidate=subject.trained.candidate,
        dataset=subject.trained.dataset,
        task=spec.task,
        target=spec.target,
        metric=spec.evaluate.metric,
        lower_is_better=tuple(metric for metric in metrics if metric in LOWER_IS_BETTER),
        rows=len(frame),
        cutoff=subject.trained.cutoff,
        classes=classes,
        positive=subject.training.positive,
        scores=figures(metrics, truth, answer),
        baseline=_baseline(cut, subject, truth, classes, metrics),
        comparison=compare(spec, store, champion, subject, metrics) if champion else None,
        slices=tuple(slices(spec, frame, truth, answer)),
        plots=_plots(spec.task, truth, answer, len(classes)),
        fairness=fairness(spec, frame, truth, answer),
        split=subject.training.split,
        warnings=(*subject.training.warnings, *_leaks(spec, cut, subject, (frame, truth))),
    )


def _leaks(spec: ModelSpec, cut: Split, subject: Candidate, held: tuple[Any, Any]) -> list[str]:
    """Inputs that alone tell the target, as sentences."""
    training, (frame, truth) = subject.training, held
    learnt = cut.sample("train", ROWS)
    known, _ = truth_of(training, learnt[training.target])
    judged = LeakSide(thinned(frame, ROWS), thinned(truth, ROWS))
    leaks = suspected_leaks(training.task, subject.inputs, LeakSide(learnt, known), judged)
    sentences = [leak.sentence(training.target) for leak in leaks]
    for sentence in sentences:
        _log.warning("%s: %s", spec.name, sentence)
    return sentences


def _champion(store: Store, spec: ModelSpec) -> tuple[int, str] | None:
    """Number and train run of the champion, if there is one."""
    model = store.ledger.state().model(spec.name)
    if model.champion is None:
        return None
    return model.champion, model.packaged(model.champion).candidate


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
    gated = [gate.metric for gate in spec.gates if gate.metric]
    return list(dict.fromkeys((spec.evaluate.metric, *spec.evaluate.metrics, *gated)))


def _gain(comparison: Comparison | None, metric: str) -> float | None:
    pair = comparison.figures.get(metric) if comparison else None
    return pair.gain.value if pair else None


def _baseline(
    cut: Split, subject: Candidate, truth: Any, classes: tuple[Label, ...], metrics: list[str]
) -> dict[str, float | None]:
    """What the mean, or the shares of the classes, of the training rows score; the least that a candidate must beat."""
    import numpy as np

    from slipstream.duck import quoted

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
