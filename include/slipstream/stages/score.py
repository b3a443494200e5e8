"""Score: answers the rows of files, of a source or of the data table with one version, and writes predictions once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream.data.batch import in_full
from slipstream.errors import NotFound
from slipstream.newest import champion_of, newest_dataset
from slipstream.runs import Stage, once, read_until, run_key
from slipstream.scoring.database import DatabaseTable
from slipstream.scoring.files import ScoreInput, files_at, files_of_dataset, files_of_source
from slipstream.scoring.job import ScoreJob
from slipstream.scoring.joined_inputs import joined_inputs
from slipstream.scoring.outputs import OutputFile, output_at
from slipstream.scoring.record import BatchScored
from slipstream.spec.model import ModelSpec
from slipstream.spec.score import ScoreSpec, ScoreTableSpec
from slipstream.store import Store
from slipstream.store.objects import canonical_json

STAGE = Stage("score", version=1)
READS = ("data.key", "deploy.capture", "score")


def score(  # noqa: PLR0913 - what people choose of a batch job, each by its name
    spec: ModelSpec,
    store: Store,
    *,
    path: str = "",
    output: str | ScoreTableSpec = "",
    version: int | None = None,
    every: bool = False,
    actor: str = "",
) -> BatchScored:
    """Answer rows with *version* and write the predictions, whole or not at all, once.

    Args:
        spec: The model; its ``score`` says what is read and where predictions go unless the arguments do.
        store: The store.
        path: CSV or Parquet files: a file, a folder or a glob, local (relative to the model's folder) or ``s3://``;
            "" for ``score.source`` or, without one, for the newest version of the model's data table.
        output: A .parquet or .csv file, a folder (a file for each run), local or ``s3://``, or a database's table; ""
            for where the model file says or, if it does not, for the Delta table ``scores`` of the store, to which
            each version adds the answers to each file once.
        version: Its number; None for the champion.
        every: Whether all that ``score.source`` has is read, and not only what is new.
        actor: Who asks.

    Raises:
        NotFound: ``champion_missing`` or ``version_not_found``.
        SourceError, DataError: the rows cannot be read, lack an input, or none can be answered (``score_all_bad``).
        SpecError: ``score_output``.
        BundleError: the version cannot be loaded.
        StoreError: the output cannot be written.

    Inputs that files lack and that the version has from joined tables are brought by the join of its training.
    """
    number, bundle = _version(spec, store, version)
    own = spec.score or ScoreSpec()
    output = output or own.table or own.output
    table = output if isinstance(output, ScoreTableSpec) else None
    with TemporaryDirectory(prefix="slipstream-") as name:
        folder = Path(name)
        scored = _input(spec, store, path, every, folder)
        captured = bool(scored.source) and own.capture and _is_champion(spec, store, number)
        inputs: dict[str, Any] = {
            "version": number,
            "bundle": bundle,
            "files": [[file.unit, dict(file.form)] for file in scored.files],
            "output": _written_out(spec, output),
            "captured": captured,
        }
        joins = None if scored.dataset else joined_inputs(spec, store, number)
        if joins:
            inputs["joined"] = joins.versions
        key, place = _key(spec, store, inputs, table)
        job = ScoreJob(spec, store, number, bundle, scored, folder, key, captured, actor, joins)
        return once(
            STAGE,
            spec,
            store,
            key,
            lambda run: _done(job, place),
            result=BatchScored,
            actor=actor,
            record=lambda result, _: {"version": number, "evidence": _evidence(result, bundle)},
        )


def _done(job: ScoreJob, place: OutputFile | DatabaseTable | None) -> BatchScored:
    if isinstance(place, DatabaseTable):
        return job.to_database(place)
    return job.to_file(place) if place is not None else job.to_table()


def _input(spec: ModelSpec, store: Store, path: str, every: bool, folder: Path) -> ScoreInput:
    """What is read."""
    if path:
        return files_at(spec, path, folder)
    config = spec.score.source if spec.score is not None else None
    if config is None:
        return files_of_dataset(spec, store, newest_dataset(store, spec))
    source = hashlib.sha256(canonical_json(config)).hexdigest()
    # Without a column that tells what is new a database is read whole: what it holds now is what is asked about.
    whole = every or (config["type"] == "sql" and not config.get("watermark"))
    watermark = "" if whole else in_full(store, read_until(store, spec, STAGE.name, source))
    return replace(files_of_source(spec, config, watermark, folder), source=source)


def _is_champion(spec: ModelSpec, store: Store, number: int) -> bool:
    return store.ledger.state().model(spec.name).champion == number


def _written_out(spec: ModelSpec, output: str | ScoreTableSpec) -> Any:
    """The output as the run's key has it: a path in full, or what tells a table."""
    if isinstance(output, ScoreTableSpec):
        return output.model_dump(mode="json", exclude={"timeout"})
    if not output or output.startswith("s3://"):
        return output
    return str(spec.folder / output) + ("/" if output.endswith("/") else "")


def _version(spec: ModelSpec, store: Store, version: int | None) -> tuple[int, str]:
    """The version's number and its bundle."""
    if version is None:
        number, packaged = champion_of(store, spec)
        return number, packaged.bundle
    model = store.ledger.state().model(spec.name)
    if version not in model.versions:
        known = ", ".join(map(str, list(model.versions)[-5:])) or "none"
        raise NotFound(f"{spec.name} has no version {version}. Known: {known}.", code="version_not_found")
    return version, model.packaged(version).bundle


def _key(
    spec: ModelSpec, store: Store, inputs: Mapping[str, Any], table: ScoreTableSpec | None
) -> tuple[str, OutputFile | DatabaseTable | None]:
    """The run's key and where it writes. An output that is no longer what the run wrote makes another run."""
    inputs = dict(inputs)
    while True:
        key = run_key(STAGE, spec.part(*READS), inputs)
        run = f"{STAGE.name}-{key[:16]}"
        place: OutputFile | DatabaseTable | None = None
        if table is not None:
            place = DatabaseTable.of(table, spec.folder)
        elif inputs["output"]:
            place = output_at(inputs["output"], run, spec.folder)
        before = store.ledger.find(STAGE.event, spec.name, key) if place is not None else None
        if place is None or before is None or before.result_as(BatchScored).stamp == place.stamp(run):
            return key, place
        inputs["after"] = before.id


def _evidence(result: BatchScored, bundle: str) -> dict[str, Any]:
    return {"bundle": bundle, "dataset": result.dataset, "input": result.input, "output": result.output}
