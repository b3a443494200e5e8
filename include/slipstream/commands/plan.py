"""What a model file gives, and what a change to it will change, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipstream.commands.plan_notes import check_installed, notes
from slipstream.data.derived import derived_otherwise
from slipstream.data.joins.table import delta_table
from slipstream.retraining.outlook import outlook
from slipstream.spec.model import ModelSpec, value_at
from slipstream.spec.score import ScoreSpec
from slipstream.store import Store

DERIVING = ("data.features", "data.schema", "data.missing", "data.join")
"""What decides the rows of the table: those that are there change by a rebuild only."""

_AFTER = {
    "ingest": ("validate",),
    "train": ("evaluate", "explain", "package", "gate"),
    "evaluate": ("package", "gate"),
    "explain": ("package", "gate"),
    "package": ("replay", "gate"),
    "replay": ("gate",),
    "join": ("monitor", "decide"),
    "monitor": ("decide",),
}


@dataclass(frozen=True)
class Dag:
    """One DAG that the model file gives."""

    id: str
    starts: str
    does: str


@dataclass(frozen=True)
class StageChange:
    """One value that differs from the model file of the last run."""

    key: str
    before: Any
    after: Any
    anew: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What one model file gives.

    Attributes:
        model: The model's name.
        dags: Its DAGs.
        tables: Address of each Delta table.
        assets: URIs of the assets that its DAGs emit.
        endpoint: Path of its predictions at the endpoint.
        loop: Trigger of a retraining, or what stands around it -> when it acts, with today's state.
        changes: What differs from the model file that the last run read; empty if nothing does.
        compared: The run whose model file was compared; "" if nothing ran yet.
        notes: What would fail on the newest dataset version as it is.
        rebuild: That the rows in the table were derived by another features.py, data.schema or data.join; "" if not.
    """

    model: str
    dags: tuple[Dag, ...]
    tables: tuple[tuple[str, str], ...]
    assets: tuple[str, ...]
    endpoint: str
    loop: tuple[tuple[str, str], ...]
    changes: tuple[StageChange, ...]
    compared: str
    rebuild: str = ""
    notes: tuple[str, ...] = ()


def stage_reads() -> dict[str, tuple[str, ...]]:
    """Stage -> the places of the model file that its runs depend on; after a change elsewhere its runs are reused."""
    from slipstream.stages import (
        decide,
        evaluate,
        explain,
        gate,
        ingest,
        join,
        monitor,
        package,
        replay,
        score,
        train,
        validate,
    )

    stages = (ingest, validate, train, evaluate, explain, package, gate, replay, join, monitor, decide, score)
    return {stage.__name__.rpartition(".")[2]: stage.READS for stage in stages}


def plan(spec: ModelSpec, store: Store, now: datetime | None = None) -> Plan:
    """What *spec* gives at *now*, and how it differs from the model file of the model's last run.

    Raises:
        BackendError: ``missing_extra`` or ``backend_argument``: a back end cannot be used in this installation.
        SpecError: ``features_not_found``, ``features_not_loadable`` or ``features_function_unknown``.
    """
    check_installed(spec)
    last = store.ledger.state().model(spec.name).latest
    newest = max((event for event in last.values() if event.content.spec), key=lambda event: event.seq, default=None)
    changes: tuple[StageChange, ...] = ()
    if newest is not None:
        before = store.objects.get_json(newest.content.spec)
        changes = tuple(_changes(before, spec.model_dump(mode="json")))
    return Plan(
        model=spec.name,
        dags=_dags(spec),
        tables=tuple(
            (name, store.tables.uri(spec.name, name))
            for name in ("data", "quarantine", "predictions", "labels", "scores", *map(delta_table, spec.data.join))
        ),
        assets=tuple(f"slipstream://{spec.name}/{name}" for name in ("data", "predictions", "retrain")),
        endpoint=f"/models/{spec.name}/predict",
        loop=outlook(spec, store, now or datetime.now(UTC)),
        changes=changes,
        compared=newest.content.run if newest is not None else "",
        rebuild=_rebuild(spec, store),
        notes=tuple(notes(spec, store)),
    )


def _rebuild(spec: ModelSpec, store: Store) -> str:
    """Whether the rows in the table follow from today's features.py and data.schema."""
    model = store.ledger.state().model(spec.name)
    if model.dataset is None:
        return ""
    difference = derived_otherwise(spec, store, model.dataset)
    return f"{difference.sentence}; they stay so until slipstream rebuild {spec.name}" if difference else ""


def _dags(spec: ModelSpec) -> tuple[Dag, ...]:
    replay = " -> replay" if any(gate.type == "replay" for gate in spec.gates) else ""
    approval = " -> approve" if spec.approval.mode == "manual" else ""
    watched = dict.fromkeys((*spec.schedule.monitor, *filter(None, [spec.retrain.cron])))
    scored = () if spec.score is None and not spec.schedule.score else (_score_dag(spec),)
    labels = "labels -> " if spec.monitor.labels is not None else ""
    return (
        Dag(f"{spec.name}__ingest", _starts(spec.schedule.ingest), "(rebuild ->) ingest -> validate"),
        Dag(
            f"{spec.name}__train",
            "each request for retraining",
            f"train -> evaluate, explain -> package{replay} -> gate{approval} -> deploy",
        ),
        Dag(f"{spec.name}__monitor", _starts(tuple(watched)), f"{labels}join -> monitor -> decide"),
        Dag(f"{spec.name}__rollback", "by hand", "rollback: take back what is being rolled out, or go back a version"),
        *scored,
    )


def _score_dag(spec: ModelSpec) -> Dag:
    own = spec.score or ScoreSpec()
    place = own.table.table if own.table is not None else own.output or "the table scores of the store"
    read = f"what is new of the {own.source['type']} source" if own.source else "the newest data"
    return Dag(f"{spec.name}__score", _starts(spec.schedule.score), f"score: {read} -> {place}")


def _starts(schedule: tuple[str, ...]) -> str:
    words = {"data": "each new dataset version", "predictions": "new predictions or labels"}
    return " or ".join(words.get(entry, f"cron {entry}") for entry in schedule) or "by hand only"


def _changes(before: Any, after: Any) -> Iterator[StageChange]:
    reads = stage_reads()
    for key, old, new in _differences(before, after, ()):
        if any(_within(key, part) for part in DERIVING):
            yield StageChange(key, old, new, ("rebuild",))
            continue
        direct = [stage for stage, places in reads.items() if any(_touches(key, old, new, place) for place in places)]
        anew = {*direct, *(later for stage in direct for later in _AFTER.get(stage, ()))}
        yield StageChange(key, old, new, tuple(stage for stage in reads if stage in anew))


def _touches(key: str, old: Any, new: Any, place: str) -> bool:
    """Whether the change of *key* changes what stands at *place*, which may lie within it."""
    if place.startswith(f"{key}."):
        path = place.removeprefix(f"{key}.").split(".")
        return bool(value_at(old, path) != value_at(new, path))
    return _within(key, place)


def _within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _differences(before: Any, after: Any, place: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), (*place, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, (*place, str(number)))
    elif before != after:
        yield ".".join(place), before, after
