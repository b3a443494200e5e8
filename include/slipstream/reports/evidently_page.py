"""Evidently's own report on samples of reference and window. Its HTML runs what is in the data: serve it sandboxed.

Our verdicts are made of all rows; on a sample Evidently may find otherwise, above all where a column has many words. So
our verdicts stand on top of its page, and where it would disagree with one, its threshold is set to the other side of
what it measured; these columns are named.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from slipstream.spacing import thinned

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5000
_METHODS = {
    "psi": "psi",
    "ks": "ks",
    "wasserstein": "wasserstein",
    "jensen_shannon": "jensenshannon",
    "chi_square": "chisquare",
}
_BY_P_VALUE = {"ks": 0.05, "chi_square": 0.05}
"""Methods that Evidently decides by p-value, and from where on it does."""
_NUDGE = 1e-3
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}(?![0-9a-f])")
_BODY = re.compile(r"<body[^>]*>")
_CELL = Markup('<td style="padding:4px 14px 4px 0">{}</td>')


@dataclass(frozen=True)
class DriftSettings:
    """What is compared, and how.

    Attributes:
        numbers: Columns of numbers.
        words: Columns of words.
        numeric: Our word for the method.
        categorical: Our word for the method.
        threshold: Of each column; left to Evidently for ks and chi_square, which it decides by p-value.
        share: Of the columns.
    """

    numbers: tuple[str, ...]
    words: tuple[str, ...]
    numeric: str
    categorical: str
    threshold: float
    share: float

    def method(self, column: str) -> str:
        """Our word for the method of a column."""
        return self.numeric if column in self.numbers else self.categorical

    def bound(self, column: str) -> float:
        """From where on Evidently would call a column drifted."""
        return _BY_P_VALUE.get(self.method(column), self.threshold)


@dataclass(frozen=True)
class Verdicts:
    """What we found on all rows.

    Attributes:
        sentence: The verdict on the window.
        watched: The columns that count.
        columns: Of each column ``column``, ``role``, ``drifted``, ``seasonal``, ``method``, ``statistic``,
            ``threshold``, ``noise`` and ``n_window``.
    """

    sentence: str
    watched: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]

    @property
    def drifted(self) -> dict[str, bool]:
        """Column -> verdict."""
        return {str(column["column"]): bool(column["drifted"]) for column in self.columns}


def page(settings: DriftSettings, verdicts: Verdicts, reference: pd.DataFrame, window: pd.DataFrame) -> bytes:
    """Evidently's data-drift and data-summary presets as HTML, with our *verdicts*; equal rows give equal bytes."""
    # Evidently and what it imports warn of their own deprecations.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset, DataSummaryPreset

        columns = DataDefinition(numerical_columns=[*settings.numbers], categorical_columns=[*settings.words])
        frames = [_thinned(frame, settings) for frame in (window, reference)]
        datasets = [Dataset.from_pandas(frame, data_definition=columns) for frame in frames]
        moved = _moved(settings, verdicts, datasets)
        drift = DataDriftPreset(
            columns=[*settings.numbers, *settings.words],
            drift_share=_share(settings, verdicts),
            num_method=_METHODS[settings.numeric],
            cat_method=_METHODS[settings.categorical],
            per_column_threshold={
                name: moved.get(name, settings.bound(name)) for name in (*settings.numbers, *settings.words)
            },
        )
        # A fixed time, because the report is a function of the rows; the ledger knows when it was made.
        ran = Report([drift, DataSummaryPreset()]).run(*datasets, timestamp=datetime(2000, 1, 1, tzinfo=UTC))
        html: str = ran.get_html_str(as_iframe=False)
    known = {value for frame in frames for name in settings.words for value in frame[name].dropna().unique()}
    above = _ours(verdicts, list(moved), [len(frame) for frame in frames])
    return _BODY.sub(lambda body: body.group() + above, _steady(html, known), count=1).encode()


def _moved(settings: DriftSettings, verdicts: Verdicts, datasets: Sequence[Any]) -> dict[str, float]:
    """The threshold of each column on whose sample Evidently would find otherwise than we did on all rows."""
    from evidently import Report
    from evidently.metrics import ValueDrift

    columns = [name for name in (*settings.numbers, *settings.words) if name in verdicts.drifted]
    if not columns:
        return {}
    metrics: list[Any] = [ValueDrift(column=name, method=_METHODS[settings.method(name)]) for name in columns]
    results = Report(metrics).run(*datasets).dict()["metrics"]
    moved = {}
    for name, metric in zip(columns, results, strict=True):
        score, bound, ours = float(metric["value"]), settings.bound(name), verdicts.drifted[name]
        by_p_value = settings.method(name) in _BY_P_VALUE
        if math.isfinite(score) and (score <= bound if by_p_value else score >= bound) != ours:
            # A p-value is small where a distance is large.
            moved[name] = score + _NUDGE * (abs(score) + _NUDGE) * (1 if ours == by_p_value else -1)
    return moved


def _share(settings: DriftSettings, verdicts: Verdicts) -> float:
    """The share of the columns from which on Evidently calls the data drifted: as we do for the watched columns."""
    shown = [verdicts.drifted.get(name, False) for name in (*settings.numbers, *settings.words)]
    watched = [verdicts.drifted.get(name, False) for name in verdicts.watched]
    share, ours = sum(shown) / max(len(shown), 1), sum(watched) / max(len(watched), 1)
    if (share >= settings.share) == (ours >= settings.share):
        return settings.share
    return share if ours >= settings.share else share + _NUDGE


def _ours(verdicts: Verdicts, moved: Sequence[str], rows: Sequence[int]) -> str:
    """Our verdicts as HTML."""
    lines = Markup()
    for column in sorted(verdicts.columns, key=lambda column: (not column["drifted"], str(column["column"]))):
        bound = max(column["threshold"], column["noise"])
        state = "drifted" if column["drifted"] else "seasonal" if column.get("seasonal") else "stable"
        name = "the model's answer" if column["role"] == "answer" else column["column"]
        figures = f"{column['statistic']:.4g}", f"{bound:.4g}", f"{column['n_window']:,}"
        cells = Markup().join(_CELL.format(cell) for cell in (name, state, column["method"], *figures))
        lines += Markup("<tr>{}</tr>").format(cells)
    heads = Markup().join(
        Markup('<th style="text-align:left;padding:4px 14px 4px 0">{}</th>').format(head)
        for head in ("Column", "Verdict", "Method", "Statistic", "Limit", "Rows")
    )
    note = f"Evidently shows samples of {rows[1]:,} reference rows and {rows[0]:,} of the window."
    if moved:
        note += f" On them it would find otherwise, so its thresholds were moved, for: {', '.join(moved)}."
    return str(
        Markup(
            '<section id="slipstream" style="font:14px/1.5 sans-serif;max-width:1100px;margin:24px auto">'
            "<h1>Verdicts on all rows</h1><p>{}</p><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table><p>{}</p>"
            "</section>"
        ).format(verdicts.sentence, heads, lines, note)
    )


def _thinned(frame: pd.DataFrame, settings: DriftSettings) -> pd.DataFrame:
    """Evenly spaced rows of the columns of *settings*; a column without a value is left as missing words or NaN."""
    rows = thinned(frame, SAMPLE_ROWS).reset_index(drop=True)
    numbers = {name: rows[name].astype("float64") for name in settings.numbers}
    words = {
        name: rows[name].astype("string").astype(object).where(rows[name].notna(), None) for name in settings.words
    }
    for name, values in {**numbers, **words}.items():
        rows[name] = values
    return rows[[*numbers, *words]]


def _steady(html: str, known: set[str]) -> str:
    """The same page with its random ids numbered in order of appearance; values of the data stay as they are."""
    numbers: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        text = match.group()
        if text in known:
            return text
        bare = hashlib.sha256(str(len(numbers)).encode()).hexdigest()[:32]
        parts = [bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]]
        return numbers.setdefault(text, match.group(1).join(parts))

    return _ID.sub(numbered, html)
