"""What puts a row on one side of a split, as plain values that are recorded and as DuckDB conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slipstream.duck import quoted

Part = Literal["train", "holdout"]


@dataclass(frozen=True)
class Counts:
    """Where the rows of a dataset version went.

    Attributes:
        train: Training rows.
        holdout: Held-out rows.
        unlabelled: Rows without a target (or without an event time): neither trained on nor judged.
        outside: Rows before the window, in the gap, or of a group that stands on the other side.
    """

    train: int
    holdout: int
    unlabelled: int
    outside: int


@dataclass(frozen=True)
class Boundaries:
    """What puts a row on one side. Times are ISO 8601 (UTC where the column has a zone).

    Attributes:
        time: The event-time column; empty when rows are split by the digest of their key.
        start: Training rows are at or after it ...
        until: ... and before it. Between it and the cutoff lies the gap.
        cutoff: Held-out rows are at or after it.
        key: Without event time: the columns whose digest decides.
        share: The share of the keys, or groups, that is held out, by digest.
        group: With event time: the columns of a group, which stands on one side only.
    """

    time: str = ""
    start: str = ""
    until: str = ""
    cutoff: str = ""
    key: tuple[str, ...] = ()
    share: float = 0.0
    group: tuple[str, ...] = ()

    def condition(self, part: Part) -> str:
        """The rows of *part*, as a DuckDB condition."""
        if not self.time:
            return f"{_bucket(self.key)} {'<' if part == 'holdout' else '>='} {self.share!r}"
        time = clock(self.time)
        sign = "<" if part == "holdout" else ">="
        side = f" AND {_bucket(self.group)} {sign} {self.share!r}" if self.group else ""
        if part == "holdout":
            return f"{time} >= TIMESTAMP '{self.cutoff}'{side}"
        return f"{time} >= TIMESTAMP '{self.start}' AND {time} < TIMESTAMP '{self.until}'{side}"


def clock(name: str) -> str:
    """The event-time column as a TIMESTAMP, whatever kind of date it is."""
    return f"CAST({quoted(name)} AS TIMESTAMP)"


def _bucket(key: Sequence[str]) -> str:
    """A number in [0, 1) that depends on nothing but the row's key: md5, because it is the same in every release."""
    fields = ", ".join(f"coalesce(CAST({quoted(name)} AS VARCHAR), chr(30))" for name in key)
    return f"(md5_number_upper(concat_ws(chr(31), {fields})) / 18446744073709551616.0::DOUBLE)"
