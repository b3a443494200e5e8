"""What goes into a bundle beside the model: schema, golden rows, background sample, reference profile, lineage."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.bundle import skops_file
from slipstream.bundle.project_code import FOLDER as CODE
from slipstream.bundle.scorer import Answers, Scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.cell_reading import CellReading
from slipstream.data.lineage import joined_until
from slipstream.data.table_types import read_as, readings_of
from slipstream.duck import evenly_spaced, quoted
from slipstream.model_schema import MAX_CATEGORIES, Field, Schema, kind_of
from slipstream.packaging.parity.gate import serving
from slipstream.profiling.parquet import to_parquet
from slipstream.profiling.profile import ANSWER, profile
from slipstream.runs import library_versions
from slipstream.spacing import thinned
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.objects import canonical_json
from slipstream.training.candidate import Trained, Training, load_code
from slipstream.training.split import Part, Split

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TELLS_OF = ("name", "description", "owner", "task", "target", "inputs", "data", "train", "gates")
"""The parts of the model file that a bundle tells of."""
BACKGROUND_ROWS = 2000
HOLDOUT_ROWS = 5000
HELD_ROWS = 20_000
"""Held-out rows are compared with the compiled model in parts of at most so many."""
GOLDEN_ROWS, EDGE_ROWS = 24, 40


@dataclass(frozen=True)
class Sources:
    """What the files of one bundle are made from."""

    spec: ModelSpec
    store: Store
    trained: Trained
    training: Training
    cut: Split


def bundle_files(sources: Sources, card: dict[str, Any]) -> dict[str, bytes]:
    """The content of every file of the bundle, by name; the same sources give the same bytes."""
    model = sources.store.objects.get(sources.trained.model)
    code = load_code(sources.store, sources.training)
    with sources.cut.open() as relation:
        train = sources.cut.rows(relation, "train")
        schema = _schema(sources, train)
        engine = SklearnEngine(schema, skops_file.load(model, code))
        scorer = Scorer(schema, (), engine)
        served = serving(engine, _held(sources, schema, relation))
        background = _sample(sources, relation, "train", BACKGROUND_ROWS)
        # Not in order: counting needs none, and sorting all rows would cost more than counting them.
        rows = relation.filter(sources.cut.boundaries.condition("train"))
        profile = _profile(sources, scorer, rows, _sample(sources, relation, "holdout", HOLDOUT_ROWS))
    return {
        "model.skops": model,
        "schema.json": canonical_json(msgspec.to_builtins(schema)),
        "golden.jsonl": _golden(scorer, background),
        "profile.parquet": profile,
        "background.parquet": _parquet(background.assign(**{ANSWER: answers(scorer, background)})),
        "card.json": canonical_json(card | {"serving": served.card_entry()}),
        "lineage.json": canonical_json(lineage(sources)),
        **served.files,
        **{f"{CODE}{name}": source for name, source in code.files.items()},
    }


def lineage(sources: Sources) -> dict[str, Any]:
    """Where the version comes from: data, code, model file, libraries, seeds, threads and machine."""
    joined = joined_until(sources.store, sources.spec.name, sources.trained.dataset) if sources.spec.data.join else {}
    return {
        "candidate": sources.trained.candidate,
        "dataset": sources.trained.dataset,
        **({"joined": joined} if joined else {}),
        "model": sources.trained.model,
        "training": sources.trained.details,
        "spec": hashlib.sha256(canonical_json(sources.spec.part(*TELLS_OF))).hexdigest(),
        "features": features_digest(sources.spec),
        **({"code": sources.training.code} if sources.training.code else {}),
        **({"imported": sources.training.imported} if sources.training.imported else {}),
        "boundaries": msgspec.to_builtins(sources.training.boundaries),
        "seed": sources.training.seed,
        "threads": sources.training.threads,
        "libraries": sources.training.libraries | library_versions(),
        "machine": _machine(),
    }


def features_digest(spec: ModelSpec) -> str:
    """Sha256 of the model's features.py; "" if it has none."""
    file = spec.folder / "features.py"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def answers(scorer: Scorer, frame: pd.DataFrame) -> list[Any]:
    """The model's answer per row of *frame*: the number, the probability of the positive label, or the label."""
    predicted = scorer.predict(_columns(scorer.schema, frame))
    return (
        predicted.probabilities if scorer.schema.task == "binary" and predicted.probabilities else predicted.predictions
    )


def _schema(sources: Sources, train: duckdb.DuckDBPyRelation) -> Schema:
    readings = readings_of(sources.store, sources.spec.name, sources.trained.dataset)
    declared = sources.spec.data.columns
    fields = tuple(
        dataclasses.replace(
            _field(train, name, kind, read_as(readings, name, kind)),
            unit=declared[name].unit if name in declared else "",
        )
        for name, kind in sources.training.inputs
    )
    training = sources.training
    beside = tuple(sorted({*readings, *declared} - {field.name for field in fields}))
    return Schema(training.task, training.target, fields, training.classes, training.positive, beside)


def _field(train: duckdb.DuckDBPyRelation, name: str, duck: str, reading: CellReading) -> Field:
    column, kind = quoted(name), kind_of(duck)
    aggregates = f"count(*) - count({column}), min({column}), max({column})"
    missing, least, most = train.aggregate(aggregates).fetchall()[0]
    if kind != "string":
        return Field(name, kind, bool(missing), low=float(least), high=float(most), reading=reading)
    if duck in {"DATE", "TIMESTAMP"}:
        return Field(name, kind, bool(missing), reading=reading)
    seen = train.filter(f"{column} IS NOT NULL").aggregate(f"{column} AS word").limit(MAX_CATEGORIES + 1).fetchall()
    words = tuple(sorted(word for (word,) in seen))
    known = words if len(words) <= MAX_CATEGORIES else None
    return Field(name, kind, bool(missing), categories=known, reading=reading)


def _held(sources: Sources, schema: Schema, relation: duckdb.DuckDBPyRelation) -> Iterator[dict[str, list[Any]]]:
    """The inputs of all held-out rows, in parts that fit into memory."""
    names = ", ".join(map(quoted, schema.names))
    rows = relation.filter(sources.cut.boundaries.condition("holdout")).project(names)
    for part in rows.to_arrow_reader(HELD_ROWS):
        yield _columns(schema, part.to_pandas())


def _sample(sources: Sources, relation: duckdb.DuckDBPyRelation, part: Part, at_most: int) -> pd.DataFrame:
    """Evenly spaced rows of *part*: inputs and target."""
    names = ", ".join(quoted(name) for name in (*sources.spec.inputs, sources.spec.target))
    rows = sources.cut.rows(relation, part)
    counts = sources.training.counts
    count = counts.train if part == "train" else counts.holdout
    return evenly_spaced(rows.project(names), count, at_most).df()


def _profile(sources: Sources, scorer: Scorer, train: duckdb.DuckDBPyRelation, holdout: pd.DataFrame) -> bytes:
    """Statistics of inputs and target over all training rows, and of the answer over rows that were not trained on."""
    # Time goes on: that dates are later than those of training is no drift.
    numbers = {field.name: field.type != "string" for field in scorer.schema.inputs if not field.date}
    target = scorer.schema.target, scorer.schema.task == "regression"
    return to_parquet(profile(train, numbers, answers(scorer, holdout), target))


def _golden(scorer: Scorer, background: pd.DataFrame) -> bytes:
    """Rows with expected answers: evenly spaced ones, then one with each input at its edges, null or unseen."""
    columns = _columns(scorer.schema, thinned(background, GOLDEN_ROWS))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    edges = [{**rows[0], field.name: value} for field in scorer.schema.inputs for value in _edges(field)]
    rows += thinned(edges, EDGE_ROWS)
    expected = scorer.predict({name: [row[name] for row in rows] for name in scorer.schema.names})
    return b"".join(_golden_line(row, expected, number) for number, row in enumerate(rows))


def _golden_line(row: dict[str, Any], expected: Answers, number: int) -> bytes:
    entry = {"row": row, "prediction": expected.predictions[number]}
    if expected.probabilities is not None:
        entry["probability"] = expected.probabilities[number]
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _edges(field: Field) -> list[Any]:
    """The values at the edges of what *field* was in training."""
    nothing = [None] if field.nullable else []
    if field.date:
        return [*nothing, "1970-01-01"]
    if field.type == "string":
        return [*nothing, "never seen in training", *(field.categories or ())[:1]]
    typed = {"boolean": bool, "integer": int, "number": float}[field.type]
    return [*nothing, *(typed(edge) for edge in (field.low, field.high) if edge is not None)]


def _columns(schema: Schema, frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The inputs of *frame* as JSON values, typed as the schema says."""
    typed = {"boolean": bool, "integer": int, "number": float, "string": str}
    columns = {}
    for field in schema.inputs:
        values, missing = frame[field.name].tolist(), frame[field.name].isna().tolist()
        to_json = typed[field.type]
        columns[field.name] = [
            None if absent else to_json(value) for value, absent in zip(values, missing, strict=True)
        ]
    return columns


def _parquet(frame: pd.DataFrame) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _machine() -> dict[str, Any]:
    """The processor and the BLAS: what may round differently elsewhere."""
    from threadpoolctl import threadpool_info

    pools = {
        (pool["internal_api"], pool.get("version") or "", pool.get("architecture", "")) for pool in threadpool_info()
    }
    return {
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "pools": [" ".join(part for part in pool if part) for pool in sorted(pools)],
    }
