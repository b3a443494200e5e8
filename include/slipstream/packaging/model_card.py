"""The model card: what a version is for, what it was made from, how good it is and where it should not be used.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.evaluation.explained import Explained
from slipstream.evaluation.fairness import Fairness, sentence
from slipstream.evaluation.record import Evaluation
from slipstream.spec.model import ModelSpec
from slipstream.training.candidate import Trained, Training

WEAKEST_SLICES = 10


def card(
    spec: ModelSpec, trained: Trained, training: Training, evaluation: Evaluation, explained: Explained
) -> dict[str, Any]:
    """The card as JSON values; nothing in it depends on when it was made."""
    return {
        "model": spec.name,
        "purpose": spec.description,
        "owner": spec.owner,
        "task": training.task,
        "target": training.target,
        "positive": training.positive,
        "classes": training.classes,
        "estimator": training.trainer.get("estimator", training.trainer["type"]),
        "parameters": training.trainer.get("parameters", {}),
        "inputs": [{"name": name, "type": kind} for name, kind in training.inputs],
        "data": {
            "dataset": trained.dataset,
            "counts": msgspec.to_builtins(training.counts),
            "boundaries": msgspec.to_builtins(training.boundaries),
        },
        "metric": evaluation.metric,
        "lower_is_better": evaluation.lower_is_better,
        "scores": msgspec.to_builtins(evaluation.scores),
        "baseline": evaluation.baseline,
        "rows": evaluation.rows,
        "champion": evaluation.comparison.version if evaluation.comparison else None,
        "slices": _weakest(evaluation),
        "importance": {"method": explained.method, "scale": explained.scale, "inputs": dict(explained.importance)},
        "gates": [gate.model_dump(mode="json", exclude_none=True) for gate in spec.gates],
        "limits": _limits(training, evaluation),
    }


def _weakest(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The slices with the worst figure of the deciding metric, worst first."""
    sign = 1 if evaluation.metric in evaluation.lower_is_better else -1
    judged = [
        {"column": part.column, "value": part.value, "rows": part.rows, "figure": msgspec.to_builtins(figure)}
        for part in evaluation.slices
        if (figure := part.figures.get(evaluation.metric)) is not None and figure.value is not None
    ]
    return sorted(judged, key=lambda entry: -sign * entry["figure"]["value"])[:WEAKEST_SLICES]


def _limits(training: Training, evaluation: Evaluation) -> list[str]:
    """What a user must know before relying on it, as sentences that follow from the runs."""
    sentences = []
    bounds = training.boundaries
    if training.imported:
        sentences.append(
            f"It was fitted elsewhere and imported ({training.imported['format']}); from which rows and how it learnt "
            "is not known here. What is said of training rows is of those that a training here would have taken."
        )
    elif bounds.time:
        sentences.append(
            f"It learnt from {bounds.time} {bounds.start} up to {bounds.until} and was judged on rows from "
            f"{bounds.cutoff} on; about later times it only assumes that they are alike."
        )
    else:
        sentences.append(
            "Its rows have no event time, so it was judged on rows of the same time as those that it learnt from."
        )
    sentences += evaluation.warnings
    score = evaluation.scores[evaluation.metric].value
    base = evaluation.baseline.get(evaluation.metric)
    if score is not None and base is not None:
        better = score < base if evaluation.metric in evaluation.lower_is_better else score > base
        if not better:
            sentences.append(f"By {evaluation.metric} it is no better than the same answer for every row.")
    sentences += [_alike(part, evaluation.metric) for part in evaluation.fairness]
    few = [f"{part.column}={part.value}" for part in evaluation.slices if not part.figures]
    if few:
        sentences.append(f"Too few rows to judge {len(few)} slices, such as {', '.join(few[:3])}.")
    sentences.append("Values and categories that training did not hold are answered with a warning, not refused.")
    sentences.append("Importance says what moves its answers, not what causes the outcome.")
    return sentences


def _alike(fairness: Fairness, metric: str) -> str:
    """How alike the groups of a sensitive column are treated, in one line."""
    if not fairness.differences:
        return f"Whether the groups of {fairness.column} are treated alike is not known: too few rows."
    measure = "demographic_parity" if "demographic_parity" in fairness.differences else metric
    return f"Groups by {sentence(fairness, measure)}"
