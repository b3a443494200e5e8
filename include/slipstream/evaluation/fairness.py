"""Fairness: whether the groups of a sensitive column are treated alike, measured by fairlearn.

The measures are those of Hardt, Price and Srebro, Equality of Opportunity in Supervised Learning, NeurIPS 2016, and
demographic parity, as Agarwal et al., A Reductions Approach to Fair Classification, ICML 2018, define it. A difference
is that between the two groups that are furthest apart: 0 means that all are treated alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from slipstream.errors import DataError
from slipstream.evaluation.slices import plain, words
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import decide, measure

MOST_GROUPS = 50
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


@dataclass(frozen=True)
class Group:
    """The rows with one value of a sensitive column.

    Attributes:
        value: The value, as a word.
        rows: How many rows there are.
        figures: Metric, and for a binary task rate -> its value on them; None where it is not defined. The selection
            rate is the share that is answered with the positive label.
    """

    value: str
    rows: int
    figures: dict[str, float | None]


@dataclass(frozen=True)
class Fairness:
    """One sensitive column.

    Attributes:
        column: Its name.
        groups: Those with rows enough to be judged, largest first.
        few: ``(value, rows)`` of the others.
        differences: Measure, or metric -> the largest difference between two groups; without those that are not
            defined for two groups at least.
    """

    column: str
    groups: tuple[Group, ...]
    few: tuple[tuple[str, int], ...]
    differences: dict[str, float]


def fairness_metrics(spec: ModelSpec) -> list[str]:
    """The metrics that groups are compared by: the deciding one, and what fairness gates ask for."""
    of_gates = [gate.metric for gate in spec.gates if gate.type == "fairness" and gate.metric]
    return list(dict.fromkeys((spec.evaluate.metric, *of_gates)))


def fairness(spec: ModelSpec, frame: Any, truth: Any, answer: Any) -> tuple[Fairness, ...]:
    """How the groups of each sensitive column are treated.

    Args:
        spec: The model.
        frame: The rows, with the sensitive columns.
        truth: Their truth, as :mod:`slipstream.statistics.metrics` takes it.
        answer: The answers to them.

    Raises:
        DataError: ``data_too_many_groups``: a sensitive column has more than 50 values.
    """
    return tuple(_judged(spec, column, words(frame[column]), truth, answer) for column in spec.evaluate.sensitive)


def sentence(fairness: Fairness, measure_: str) -> str:
    """How far the groups are apart by one measure or metric, in one sentence."""
    name = measure_.replace("_", " ") if measure_ in MEASURES else measure_
    apart = fairness.differences.get(measure_)
    if apart is None:
        return f"{fairness.column}: {name} cannot be compared, because fewer than two groups can be judged."
    return f"{fairness.column}: {name} differs by {apart:.4g} between the groups{_ends(fairness, measure_)}."


def _ends(fairness: Fairness, measure_: str) -> str:
    """The groups that are furthest apart, where one figure tells."""
    figure = MEASURES.get(measure_, measure_)
    known = [(value, group.value) for group in fairness.groups if (value := group.figures.get(figure)) is not None]
    if len(known) < 2:
        return ""
    (low, least), (high, most) = min(known), max(known)
    return f" ({least} {low:.4g}, {most} {high:.4g})"


MEASURES = {
    "demographic_parity": "selection_rate",
    "equal_opportunity": "true_positive_rate",
    "equalized_odds": "",
}
"""Measures of a binary task -> the rate that they compare; equalized odds compare two."""


def _judged(spec: ModelSpec, column: str, groups: Any, truth: Any, answer: Any) -> Fairness:
    counts = sorted(groups.value_counts().items(), key=lambda item: (-item[1], item[0]))
    if len(counts) > MOST_GROUPS:
        message = (
            f"{spec.name}: sensitive column {column!r} has {len(counts):,} values in the held-out rows, at most "
            f"{MOST_GROUPS} can be compared; name one with fewer, such as bands made in features.py."
        )
        raise DataError(message, code="data_too_many_groups")
    judged = [value for value, rows in counts if rows >= spec.evaluate.min_slice]
    few = tuple((value, int(rows)) for value, rows in counts if rows < spec.evaluate.min_slice)
    if not judged:
        return Fairness(column, (), few, {})
    mask = groups.isin(judged).to_numpy()
    figures, differences = _compared(spec, groups[mask].to_numpy(), truth[mask], answer[mask])
    sizes = dict(counts)
    judged_groups = tuple(Group(value, int(sizes[value]), figures[value]) for value in judged)
    return Fairness(column, judged_groups, few, differences if len(judged) > 1 else {})


def _compared(
    spec: ModelSpec, groups: Any, truth: Any, answer: Any
) -> tuple[dict[str, dict[str, float | None]], dict[str, float]]:
    """The figures of each group, and the differences between groups.

    fairlearn takes some microseconds for each row, so it is given the groups (whose scores are looked up) and the cells
    of their confusion matrices with the number of rows in each: the figures are the same.
    """
    import numpy as np
    from fairlearn.metrics import MetricFrame

    names, numbers = np.unique(groups.astype(str), return_inverse=True)
    scores = {metric: partial(_score, metric, truth, answer, numbers) for metric in fairness_metrics(spec)}
    every = np.arange(len(names))
    frames = [MetricFrame(metrics=scores, y_true=every, y_pred=every, sensitive_features=names)]
    differences = {}
    if spec.task == "binary":
        cells = _cells(names, numbers, truth, decide(answer))
        frames.append(_rates(cells))
        differences = _differences(cells)
    figures: dict[str, dict[str, float | None]] = {}
    for frame in frames:
        for group, row in frame.by_group.iterrows():
            figures.setdefault(str(group), {}).update({name: plain(float(value)) for name, value in row.items()})
    for metric in scores:
        if sum(row[metric] is not None for row in figures.values()) > 1:
            differences[metric] = float(frames[0].difference()[metric])
    return figures, differences


def _score(metric: str, truth: Any, answer: Any, numbers: Any, _: Any, groups: Any) -> float:
    """The metric on the rows of the groups of those numbers."""
    import numpy as np

    chosen = np.isin(numbers, np.asarray(groups))
    return measure(metric, truth[chosen], answer[chosen])


def _cells(names: Any, numbers: Any, truth: Any, decided: Any) -> dict[str, Any]:
    """Truth, decision and group of each cell, with its number of rows: the arguments of fairlearn's functions."""
    import numpy as np

    cells, counts = np.unique(np.column_stack([numbers, truth, decided]), axis=0, return_counts=True)
    return {
        "y_true": cells[:, 1],
        "y_pred": cells[:, 2],
        "sensitive_features": names[cells[:, 0]],
        "sample_weight": counts,
    }


def _rates(cells: dict[str, Any]) -> Any:
    from fairlearn import metrics

    weights = {"sample_weight": cells["sample_weight"]}
    arguments = {name: value for name, value in cells.items() if name != "sample_weight"}
    rates = {rate: getattr(metrics, rate) for rate in RATES}
    return metrics.MetricFrame(metrics=rates, sample_params=dict.fromkeys(RATES, weights), **arguments)


def _differences(cells: dict[str, Any]) -> dict[str, float]:
    from fairlearn import metrics

    return {name: float(getattr(metrics, f"{name}_difference")(**cells)) for name in MEASURES}
