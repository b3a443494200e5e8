"""How often the 95 % interval of each metric holds the true figure.

``python bench/scripts/interval_coverage.py [WINDOWS] [SEED]`` prints a table, and in short the one that stands in
docs/loop.md.
Each line is a metric on so many windows of rows that are drawn anew; its true figure is that of a million rows drawn
alike. *Below* and *above* say on which side of the interval the true figure lay when it was missed; *said* is in how
many windows the page says beside the figure that its true range may be wider.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from slipstream.statistics.intervals import figure
from slipstream.statistics.metrics import measure, resample, resampled

MANY = 1_000_000
ROWS = (100, 1_000)
Draw = Callable[[np.random.Generator, int], tuple[Any, Any]]


def binary(share: float, apart: float) -> Draw:
    """Calibrated answers to so large a share of positives; the scores of both classes are so far apart."""

    def draw(random: np.random.Generator, rows: int) -> tuple[Any, Any]:
        truth = (random.random(rows) < share).astype(int)
        score = random.normal(size=rows) + apart * truth
        return truth, 1 / (1 + (1 - share) / share * np.exp(apart**2 / 2 - apart * score))

    return draw


def classes(count: int) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> tuple[Any, Any]:
        answer = random.dirichlet([0.7] * count, rows)
        below = answer.cumsum(axis=1) < random.random(rows)[:, None]
        return np.minimum(below.sum(axis=1), count - 1), answer

    return draw


def numbers(error: Callable[[np.random.Generator, Any], Any], heavy: bool = False) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> tuple[Any, Any]:
        place = random.normal(size=rows)
        answer = np.exp(0.7 * place) * 20 + 5 if heavy else 100 + 10 * place
        return answer + error(random, answer), answer

    return draw


BINARY = {
    "half positive": binary(0.5, 1.0),
    "half positive, sharp": binary(0.5, 3.0),
    "6 % positive": binary(0.06, 1.5),
    "6 % positive, sharp": binary(0.06, 3.0),
}
MANY_CLASSES = {"3 classes": classes(3), "6 classes": classes(6)}
NUMBERS = {
    "normal errors": numbers(lambda random, answer: random.normal(size=len(answer)) * 5),
    "errors of Student's t, 5": numbers(lambda random, answer: random.standard_t(5, len(answer)) * 5),
    "errors that grow with a skewed answer": numbers(
        lambda random, answer: random.normal(size=len(answer)) * answer * 0.2, heavy=True
    ),
}
METRICS: dict[str, dict[str, Draw]] = {
    "roc_auc": BINARY,
    "average_precision": BINARY,
    "log_loss": BINARY | MANY_CLASSES,
    "brier": BINARY,
    "accuracy": BINARY | MANY_CLASSES,
    "balanced_accuracy": BINARY | MANY_CLASSES,
    "f1": BINARY,
    "precision": BINARY,
    "recall": BINARY,
    "f1_macro": MANY_CLASSES,
    "rmse": NUMBERS,
    "mae": NUMBERS,
    "median_absolute_error": NUMBERS,
    "r2": NUMBERS,
    "mape": NUMBERS,
}


@dataclass(frozen=True)
class Held:
    """Shares of the windows: held, missed with the true figure below, missed with it above, said to be too short."""

    held: float
    below: float
    above: float
    said: float


def held(metric: str, draw: Draw, rows: int, windows: int, seed: int) -> Held:
    true = measure(metric, *draw(np.random.default_rng([seed, 0]), MANY))
    found = []
    for window in range(1, windows + 1):
        one = figure(metric, *draw(np.random.default_rng([seed, window]), rows))
        if one.low is not None and one.high is not None:
            found.append((one.low <= true <= one.high, true < one.low, true > one.high, one.note != ""))
    return Held(*np.mean(found, axis=0).tolist())


def gains(windows: int, seed: int) -> Iterator[tuple[str, str, int, Held]]:
    """The same of the difference of two models on the same rows, by 200 resamples."""
    for metric, name, draw, worse in (
        ("roc_auc", "half positive", BINARY["half positive"], 0.5),
        ("log_loss", "half positive", BINARY["half positive"], 0.1),
        ("rmse", "normal errors", NUMBERS["normal errors"], 3.0),
    ):

        def both(
            random: np.random.Generator, rows: int, draw: Draw = draw, worse: float = worse
        ) -> tuple[Any, Any, Any]:
            truth, answer = draw(random, rows)
            other = answer + worse * random.normal(size=rows)
            return truth, answer, other if worse > 1 else np.clip(other, 0.01, 0.99)

        truth, answer, other = both(np.random.default_rng([seed, 0]), MANY)
        true = measure(metric, truth, answer) - measure(metric, truth, other)
        for rows in ROWS:
            found = []
            for window in range(1, windows + 1):
                truth, answer, other = both(np.random.default_rng([seed, window]), rows)
                drawn = [resample([metric], truth, side, draws=200, seed=seed)[metric] for side in (answer, other)]
                one = resampled(0.0, drawn[0] - drawn[1])
                found.append((one.low <= true <= one.high, true < one.low, true > one.high, False))  # type: ignore[operator]
            yield f"gain in {metric}", name, rows, Held(*np.mean(found, axis=0).tolist())


def main(windows: int, seed: int) -> None:
    """Print every line, then the lowest and the highest share of each metric."""
    print(f"{windows:,} windows a line, seed {seed}\n")
    print("| metric | rows | of what | held | true figure below | above | said |\n|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int], list[Held]] = {}
    lines = (
        (metric, name, rows, held(metric, draw, rows, windows, seed))
        for metric, draws in METRICS.items()
        for name, draw in draws.items()
        for rows in ROWS
    )
    for metric, name, rows, one in chain(lines, gains(windows, seed)):
        found.setdefault((metric, rows), []).append(one)
        shares = " | ".join(map(_percent, (one.held, one.below, one.above, one.said)))
        print(f"| {metric} | {rows:,} | {name} | {shares} |", flush=True)
    _print_short(found)


def _print_short(found: dict[tuple[str, int], list[Held]]) -> None:
    print("\n| metric | " + " | ".join(f"{rows:,} rows" for rows in ROWS) + " |\n|---|" + "---|" * len(ROWS))
    for metric in dict.fromkeys(metric for metric, _ in found):
        print(f"| {metric} | " + " | ".join(_span(found[metric, rows]) for rows in ROWS) + " |")


def _span(found: list[Held]) -> str:
    """The lowest and the highest share; and how often the page said so where it is too low."""
    shares = sorted(found, key=lambda one: one.held)
    low, high = shares[0], shares[-1]
    said = f" (said in {low.said:.0%} of the lowest)".replace("%", " %") if low.held < 0.93 and low.said else ""
    return f"{_percent(low.held).removesuffix(' %')} to {_percent(high.held)}{said}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["2000"])[0]), int((sys.argv[2:] or ["1"])[0]))
