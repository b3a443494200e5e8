"""Join: brings the labels that came to the predictions that they are about, and says how good the answers were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipstream.ground_truth.figures import (
    MICROSECOND,
    Joining,
    current,
    micros,
    reopened_of,
    trouble_of,
    windows_of,
)
from slipstream.ground_truth.joined import EVER, SAMPLE, Measured, Truth, opened
from slipstream.number_formats import counted, percent
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.labels import TABLE as LABELS
from slipstream.store.predictions import TABLE as PREDICTIONS
from slipstream.store.tables import TableFile, left_out

STAGE = Stage("join", version=2, event="labels.joined")
READS = ("task", "evaluate.metric", "data.key", "monitor.window", "monitor.quality.maturity")

WINDOW = timedelta(days=1)
"""Without `monitor.window`."""


@dataclass(frozen=True)
class Joined(Result):
    """What the labels say.

    Attributes:
        metric: The deciding metric.
        sentence: The outcome in one sentence.
        version: The champion; None before the first.
        value: The metric on its labelled answers of the last window; None where it is not known.
        low: Lower end of its interval.
        high: Upper end.
        predictions: Matured answers that it gave as champion in the last ``monitor.window`` (or day) of them.
        labelled: Those whose label is known.
        coverage: Their share.
        matured: How old predictions must be to count, such as ``7d``; "" if any age will do.
        doubled: Labels that only say again what another said.
        conflicts: Predictions of which different labels came; the newest holds.
        unknown: Ids and keys of labels for which there is no prediction (yet).
        damaged: Data files of predictions and labels that are not what was written, and so are left out.
        reopened: Starts (ISO 8601) of past windows whose labels changed since the last join, newest first; at most 100.
        report: Digest of the HTML report; "" without predictions and labels, and then nothing was committed.
        details: Digest of the figures of every window, JSON.
    """

    metric: str
    sentence: str
    version: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    predictions: int = 0
    labelled: int = 0
    coverage: float = 0.0
    matured: str = ""
    doubled: int = 0
    conflicts: int = 0
    unknown: int = 0
    damaged: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    report: str = ""
    details: str = ""


def join(spec: ModelSpec, store: Store, *, actor: str = "", now: datetime | None = None) -> Joined:
    """Join all labels to all captured predictions but those of shadows.

    Windows are spans of ``monitor.window`` (a day without it), aligned to 1970-01-01 UTC, by the time of the
    prediction and for each version. Joining again without news is the same run.

    Args:
        spec: The model.
        store: The store.
        actor: Who asked.
        now: The moment from which ``monitor.quality.maturity`` counts back; default: now.

    Raises:
        StoreError: a table's log is damaged.
        StageError: ``stage_input_invalid``: the answers are not those of the model's task.
    """
    metric = spec.evaluate.metric
    tables = {table: store.tables.sound(spec.name, table) for table in (PREDICTIONS, LABELS)}
    damaged = tuple(name for sound in tables.values() for name in sound.damaged)
    if not any(sound.files for sound in tables.values()):
        left = f"; {left_out(damaged)}" if damaged else ""
        return Joined(metric, f"There are no predictions and no labels yet{left}.", damaged=damaged)
    this = replace(_join(spec, store, now), damaged=damaged)
    predictions, labels = (store.tables.local_files(spec.name, one, sound.files) for one, sound in tables.items())
    with opened(spec, store, predictions, labels) as truth:
        inputs: dict[str, Any] = {"champion": this.champion, "matured": None}
        inputs |= {table: _digest(sound.files) for table, sound in tables.items()}
        if this.matured:
            # Of the same files an older set is a part of a newer one, so its size tells which it is.
            inputs["matured"] = truth.row(f"SELECT count(*) FROM predictions WHERE moment <= {this.until:d}")[0]  # noqa: S608
        return once(
            STAGE,
            spec,
            store,
            run_key(STAGE, spec.part(*READS), inputs),
            lambda _: _measure(this, store, truth),
            result=Joined,
            actor=actor,
            record=lambda joined, _: {"version": joined.version, "sentence": f"Labels were joined: {joined.sentence}."},
        )


def _join(spec: ModelSpec, store: Store, now: datetime | None) -> Joining:
    quality = spec.monitor.quality
    maturity = quality.maturity if quality else None
    words = spec.model_dump(mode="json")["monitor"]["quality"]["maturity"] if quality and maturity else ""
    until = EVER if maturity is None else micros((now or datetime.now(UTC)) - maturity)
    champion = store.ledger.state().model(spec.name).champion
    return Joining(spec, champion, (spec.monitor.window or WINDOW) // MICROSECOND, until, words)


def _known_windows(this: Joining, store: Store) -> dict[tuple[int, str], Any]:
    """Version and start -> what the last join measured of that window."""
    spec = this.spec
    last = store.ledger.state().model(spec.name).latest.get(STAGE.name)
    before = store.objects.get_json(last.content.result.details) if last is not None else {"windows": []}
    # What was measured by other settings cannot be compared.
    comparable = before["windows"] if before.get("settings") == spec.part(*READS) else []
    return {(one["version"], one["start"]): one for one in comparable}


def _measure(this: Joining, store: Store, truth: Truth) -> Joined:
    from slipstream.reports.labels import page

    truth.resolve()
    spec, known = this.spec, _known_windows(this, store)
    windows = windows_of(this, truth, known)
    now = current(this, truth)
    trouble = trouble_of(truth)
    reopened = reopened_of(windows, known, truth)
    sentence = _sentence(this, now, trouble)
    details = {
        "settings": spec.part(*READS),
        "metric": spec.evaluate.metric,
        "champion": this.champion,
        "matured": this.matured,
        "sentence": sentence,
        "damaged": list(this.damaged),
        "windows": windows,
        "reopened": reopened,
        **trouble,
    }
    return Joined(
        metric=spec.evaluate.metric,
        sentence=sentence,
        version=this.champion,
        value=now.figure.value,
        low=now.figure.low,
        high=now.figure.high,
        predictions=now.predictions,
        labelled=now.labelled,
        coverage=now.coverage,
        matured=this.matured,
        doubled=trouble["doubled"],
        conflicts=trouble["conflicts"],
        unknown=trouble["unknown"],
        damaged=this.damaged,
        reopened=tuple(reopened),
        report=store.objects.put(page(spec.name, details)),
        details=store.objects.put_json(details),
    )


def _sentence(this: Joining, now: Measured, trouble: Mapping[str, Any]) -> str:
    metric, figure = this.spec.evaluate.metric, now.figure
    ripe = f", matured {this.matured}" if this.matured else ""
    if this.champion is None:
        sentence = "there is no champion"
    elif not now.predictions:
        sentence = f"version {this.champion} has no predictions{ripe}"
    elif not now.labelled:
        sentence = f"{metric} not known: no label for {now.predictions:,} predictions{ripe}"
    else:
        share = f"on {percent(now.coverage)} labelled of {now.predictions:,} predictions{ripe}"
        sentence = (
            f"{metric} not known, {now.why}, {share}"
            if figure.value is None
            else f"{_figure_text(metric, now)} {share}"
        )
    if now.sampled:
        sentence += f", measured on the newest {SAMPLE:,}"
    kinds = {"conflicts": "conflict", "unknown": "unknown id"}
    remarks = [counted(trouble[name], word) for name, word in kinds.items() if trouble[name]]
    remarks += [left_out(this.damaged)] if this.damaged else []
    return f"{sentence}; {', '.join(remarks)}" if remarks else sentence


def _figure_text(metric: str, now: Measured) -> str:
    figure = now.figure
    interval = f" ({_number(figure.low)} to {_number(figure.high)})" if figure.low is not None else ""
    return f"{metric} {_number(figure.value)}{interval}"


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.5g}"


def _digest(files: Iterable[TableFile]) -> str:
    return hashlib.sha256(",".join(sorted(file.sha256 for file in files)).encode()).hexdigest()
