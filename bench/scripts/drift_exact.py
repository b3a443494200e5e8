"""Drift by reading everything anew: both files, column by column, the statistics from the raw values.

``python drift_exact.py REFERENCE WINDOW METHOD,METHOD`` prints seconds, peak megabytes, and for each pair of methods
each column's statistic and p-value. Written without the library, whose figures it is to check.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

EXPECTED = 10
TOP = 100


def number_cells(before: Any, now: Any) -> list[Any]:
    """Rows of each side between the deciles of the reference, beyond its ends, and missing."""
    known = before[~np.isnan(before)]
    deciles = np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf")
    edges = np.unique([np.nextafter(known.min(), -np.inf), *deciles, known.max()])
    counts = []
    for side in (before, now):
        held = np.bincount(np.searchsorted(edges, side[~np.isnan(side)]), minlength=len(edges) + 1)
        counts.append(np.append(held, np.isnan(side).sum()))
    return counts


def word_cells(before: pd.Series, now: pd.Series) -> list[Any]:
    """Rows of each side with the 100 words that both together have most often, with the others by powers of two."""
    table = pd.DataFrame({"before": before.value_counts(), "now": now.value_counts()}).fillna(0)
    table["total"] = table["before"] + table["now"]
    table = table.sort_index().sort_values("total", ascending=False, kind="stable")
    group = np.arange(len(table), dtype=float)
    group[TOP:] = TOP + 64 - np.floor(np.log2(table["total"].to_numpy()[TOP:]))
    held = table.groupby(group)[["before", "now"]].sum()
    return [np.append(held[side], values.isna().sum()) for side, values in (("before", before), ("now", now))]


def full(counts: list[Any]) -> Any:
    """Neighbours put together until each cell is expected to hold ten rows on either side; shape ``(2, cells)``."""
    smaller = min(side.sum() for side in counts) / sum(side.sum() for side in counts)
    cells: list[list[float]] = []
    held = np.zeros(2)
    for pair in zip(*counts, strict=True):
        held = held + pair
        if held.sum() * smaller >= EXPECTED:
            cells.append(held)
            held = np.zeros(2)
    cells[-1] = cells[-1] + held
    return np.array(cells).T


def of_cells(method: str, table: Any) -> tuple[float, float]:
    """Statistic and Pearson's p-value."""
    chi, p_value, *_ = stats.chi2_contingency(table, correction=False)
    if method == "chi_square":
        return float(np.sqrt(chi / table.sum())), float(p_value)
    smoothed = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    if method == "psi":
        return float(stats.entropy(*smoothed) + stats.entropy(*smoothed[::-1])), float(p_value)
    shares = table / table.sum(axis=1, keepdims=True)
    middle = shares.mean(axis=0)
    return float(np.sqrt(sum(stats.entropy(side, middle, base=2) for side in shares) / 2)), float(p_value)


def of_values(method: str, before: Any, now: Any) -> tuple[float, float]:
    """Statistic and p-value of ks; for wasserstein, whose distribution has no formula, the p-value of ks."""
    beyond = [np.where(np.isnan(side), np.inf, side) for side in (before, now)]
    ks = stats.ks_2samp(*beyond, method="asymp")
    if method == "ks":
        return float(ks.statistic), float(ks.pvalue)
    known = [side[~np.isnan(side)] for side in (before, now)]
    missing = abs(np.isnan(before).mean() - np.isnan(now).mean())
    return max(float(stats.wasserstein_distance(*known) / known[0].std()), float(missing)), float(ks.pvalue)


def column(name: str, files: list[str], methods: list[tuple[str, str]]) -> list[tuple[float, float]]:
    """The column's statistic and p-value by each pair of (method for numbers, method for words)."""
    before, now = (pd.read_parquet(file, columns=[name])[name] for file in files)
    if not pd.api.types.is_numeric_dtype(before):
        table = full(word_cells(before, now))
        return [of_cells(words, table) for _, words in methods]
    values = [side.to_numpy(dtype=np.float64) for side in (before, now)]
    table = full(number_cells(*values))
    return [
        of_values(numbers, *values) if numbers in ("ks", "wasserstein") else of_cells(numbers, table)
        for numbers, _ in methods
    ]


def main(files: list[str], methods: list[tuple[str, str]]) -> dict[str, Any]:
    """What is printed."""
    import pyarrow.parquet as pq

    started = time.perf_counter()
    found = {name: column(name, files, methods) for name in pq.read_schema(files[0]).names}
    return {
        "seconds": time.perf_counter() - started,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "columns": found,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:3], [tuple(pair.split(",")) for pair in sys.argv[3:]])))  # type: ignore[misc]
