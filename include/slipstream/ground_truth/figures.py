"""What a join tells of each window, of the champion now, and of labels that do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from slipstream.ground_truth.joined import EVER, NO_LABELS, SAMPLE, JoinPart, Measured, Truth
from slipstream.spec.model import ModelSpec
from slipstream.store.predictions import CHAMPION

WINDOWS = 1000
"""So many windows are measured, the newest."""
LISTED = 100
"""So many ids and windows are listed."""
MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Joining:
    """One join: the model, its champion, the windows' length, the last moment that counts, in microseconds, and what
    data files it had to leave out."""

    spec: ModelSpec
    champion: int | None
    span: int
    until: int
    matured: str
    damaged: tuple[str, ...] = ()


def windows_of(this: Joining, truth: Truth, known: Mapping[tuple[int, str], Any]) -> list[dict[str, Any]]:
    """Every window of every version, newest first; what did not change since it was *known* is not measured again."""
    query = (
        "SELECT version, moment // {0:d} AS slot, count(*), count(*) FILTER (moment <= {1:d}){2} FROM {3} GROUP BY ALL"
    )
    rows = truth.rows(query.format(this.span, this.until, "", "predictions") + " ORDER BY slot DESC, version DESC")
    # A digest of the labels of a window that does not hang on their order.
    mark = ", bit_xor(md5_number(id || '=' || label))::VARCHAR"
    labelled = {one[:2]: one[2:] for one in truth.rows(query.format(this.span, this.until, mark, "labelled"))}
    windows = []
    for version, slot, predictions, matured in rows[:WINDOWS]:
        every, ripe, labels = labelled.get((version, slot), (0, 0, ""))
        start, end = slot * this.span, (slot + 1) * this.span
        window = {
            "version": version,
            "start": _iso(start),
            "end": _iso(end),
            "predictions": predictions,
            "matured": matured,
            "labelled": ripe,
            "coverage": ripe / matured if matured else 0.0,
            "labels": labels and f"{every}-{labels}",
        }
        same = known.get((version, window["start"]), {})
        if any(same.get(name) != value for name, value in window.items()):
            part = JoinPart(version, start, min(end, this.until + 1))
            figure, why = truth.figure(part) if ripe else NO_LABELS
            why = why if matured else "not matured"
            same = {"value": figure.value, "low": figure.low, "high": figure.high, "why": why or figure.note}
        windows.append(same | window | {"sampled": ripe > SAMPLE})
    return windows


def current(this: Joining, truth: Truth) -> Measured:
    """The champion's answers of the last window's length, back from the newest one that is old enough."""
    if this.champion is None:
        return Measured(0, 0, *NO_LABELS)
    whole = JoinPart(this.champion, end=min(this.until + 1, EVER), role=CHAMPION)
    (newest,) = truth.row(f"SELECT max(moment) FROM predictions WHERE {whole.sql}")  # noqa: S608 - numbers
    if newest is None:
        return Measured(0, 0, *NO_LABELS)
    return truth.measured(JoinPart(this.champion, newest - this.span + 1, newest + 1, "champion"))


def trouble_of(truth: Truth) -> dict[str, Any]:
    """How many labels repeat or contradict each other or belong to no prediction, and the first of them."""
    doubled, conflicts = truth.row(
        "SELECT coalesce(sum(delivered - different), 0), count(*) FILTER (different > 1) FROM resolved_labels"
    )
    listed = truth.rows(
        "SELECT t.id, any_value(t.label), list(m.label ORDER BY m.moment, m.received, m.label)[:10] "  # noqa: S608
        f"FROM (SELECT id, label FROM resolved_labels WHERE different > 1 ORDER BY id LIMIT {LISTED}) t "
        "JOIN matched_labels m USING (id) "
        "GROUP BY t.id ORDER BY t.id"
    )
    truth.connection.execute(
        "CREATE TABLE unmatched_ids AS SELECT DISTINCT prediction_id AS id FROM delivered_labels t "
        "ANTI JOIN predictions p ON p.id = t.prediction_id WHERE prediction_id <> '' UNION ALL "
        "SELECT DISTINCT key FROM delivered_labels t ANTI JOIN predictions p ON p.key = t.key WHERE prediction_id = ''"
    )
    return {
        "doubled": int(doubled),
        "conflicts": conflicts,
        "conflicting": [{"id": one, "label": label, "labels": labels} for one, label, labels in listed],
        "unknown": truth.row("SELECT count(*) FROM unmatched_ids")[0],
        "strangers": [one for (one,) in truth.rows(f"SELECT id FROM unmatched_ids ORDER BY id LIMIT {LISTED}")],  # noqa: S608
    }


def reopened_of(windows: Iterable[Mapping[str, Any]], known: Mapping[tuple[int, str], Any], truth: Truth) -> list[str]:
    """Starts of the windows that were over, by what the rows tell of the time, when their labels changed."""
    moments = "SELECT max(moment) AS moment FROM predictions UNION ALL SELECT max(received) FROM delivered_labels"
    newest = _iso(truth.row(f"SELECT coalesce(max(moment), 0) FROM ({moments})")[0])  # noqa: S608
    changed = {
        one["start"]
        for one in windows
        if one["end"] <= newest
        and (one["version"], one["start"]) in known
        and known[one["version"], one["start"]]["labels"] != one["labels"]
    }
    return sorted(changed, reverse=True)[:LISTED]


def micros(moment: datetime) -> int:
    """Microseconds since 1970, as the rows have their times."""
    return (moment - _EPOCH) // MICROSECOND


def _iso(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()
