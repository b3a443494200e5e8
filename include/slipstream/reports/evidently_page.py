"""Evidently's own report on samples of reference and window. Its HTML runs what is in the data: serve it sandboxed."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}(?![0-9a-f])")


@dataclass(frozen=True)
class Settings:
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


def page(settings: Settings, reference: pd.DataFrame, window: pd.DataFrame) -> bytes:
    """Evidently's data-drift and data-summary presets as HTML; equal rows give equal bytes."""
    # Evidently and what it imports warn of their own deprecations.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset, DataSummaryPreset

        columns = DataDefinition(numerical_columns=[*settings.numbers], categorical_columns=[*settings.words])
        frames = [_thinned(frame, settings) for frame in (window, reference)]
        drift = DataDriftPreset(
            drift_share=settings.share,
            num_method=_METHODS[settings.numeric],
            cat_method=_METHODS[settings.categorical],
            num_threshold=None if settings.numeric == "ks" else settings.threshold,
            cat_threshold=None if settings.categorical == "chi_square" else settings.threshold,
        )
        datasets = [Dataset.from_pandas(frame, data_definition=columns) for frame in frames]
        # A fixed time, because the report is a function of the rows; the ledger knows when it was made.
        ran = Report([drift, DataSummaryPreset()]).run(*datasets, timestamp=datetime(2000, 1, 1, tzinfo=UTC))
        html: str = ran.get_html_str(as_iframe=False)
    known = {value for frame in frames for name in settings.words for value in frame[name].dropna().unique()}
    return _steady(html, known).encode()


def _thinned(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Evenly spaced rows of the columns of *settings*; a column without a value is left as missing words or NaN."""
    step = max(1, -(-len(frame) // SAMPLE_ROWS))
    kept = frame.iloc[::step].reset_index(drop=True)
    numbers = {name: kept[name].astype("float64") for name in settings.numbers}
    words = {
        name: kept[name].astype("string").astype(object).where(kept[name].notna(), None) for name in settings.words
    }
    return kept[[]].assign(**numbers, **words)


def _steady(html: str, known: set[str]) -> str:
    """The same page with its random ids numbered in order of appearance; values of the data stay as they are."""
    given: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        text = found.group()
        if text in known:
            return text
        bare = hashlib.sha256(str(len(given)).encode()).hexdigest()[:32]
        parts = [bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]]
        return given.setdefault(text, found.group(1).join(parts))

    return _ID.sub(numbered, html)
