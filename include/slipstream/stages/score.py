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
from slipstream.store.state import Event

STAGE = Stage("score", version=1)
READS = ("data.key", "deploy.capture", "score")
_HOW = ("timeout", "max_bytes", "on_change", "delimiter", "encoding")
"""Arguments of sources that say how they are read, not what."""


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
    by_file, output = not output, output or own.table or own.output
    table = output if isinstance(output, ScoreTableSpec) else None
    with TemporaryDirectory(prefix="slipstream-") as name:
        folder = Path(name)
        scored = _input(spec, store, path, output, every, folder)
        # All of a source again, or for another output, holds rows that are captured by the job itself.
        captured = bool(scored.source) and own.capture and by_file and not every and _is_champion(spec, store, number)
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
        key, place = _key(spec, store, inputs, scored, table)
        wanted, again = str(inputs["wanted"]), str(inputs.get("passed", ""))
        job = ScoreJob(spec, store, number, bundle, scored, folder, key, captured, actor, joins, wanted, again)
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


def _input(
    spec: ModelSpec, store: Store, path: str, output: str | ScoreTableSpec, every: bool, folder: Path
) -> ScoreInput:
    """What is read. What is new of a source is so for each output of its own."""
    if path:
        return files_at(spec, path, folder)
    config = spec.score.source if spec.score is not None else None
    if config is None:
        return files_of_dataset(spec, store, newest_dataset(store, spec))
    named = {name: value for name, value in config.items() if name not in _HOW}
    source = hashlib.sha256(canonical_json([named, _written_out(spec, output)])).hexdigest()
    # Without a column that tells what is new a database is read whole: what it holds now is what is asked about.
    whole = config["type"] == "sql" and not config.get("watermark")
    watermark = "" if whole or every else in_full(store, read_until(store, spec, STAGE.name, source))
    return replace(files_of_source(spec, config, watermark, folder), source=source, whole=whole)


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
    spec: ModelSpec, store: Store, inputs: dict[str, Any], scored: ScoreInput, table: ScoreTableSpec | None
) -> tuple[str, OutputFile | DatabaseTable | None]:
    """The run's key and where it writes.

    An output that is no longer what the run wrote makes another run, and so does a source that is read whole, held
    something else meanwhile, and is again as it was: its answers are the newest again. What tells such a run from those
    before it is added to *inputs*.
    """
    wanted = inputs["wanted"] = run_key(STAGE, spec.part(*READS), inputs)
    newest = _newest(store, spec, scored.source) if scored.whole else None
    before = store.ledger.find(STAGE.event, spec.name, run_key(STAGE, spec.part(*READS), inputs))
    if newest is not None and newest.data["result"].get("wanted") == wanted:
        before = newest
    elif newest is not None and before is not None:
        inputs["passed"], before = newest.id, None
    while before is not None:
        result = before.result_as(BatchScored)
        place = _place(spec, inputs, result.run, table)
        if place is None or result.stamp == place.stamp(result.run):
            return before.key, place
        inputs["after"] = before.id
        before = store.ledger.find(STAGE.event, spec.name, run_key(STAGE, spec.part(*READS), inputs))
    key = run_key(STAGE, spec.part(*READS), inputs)
    return key, _place(spec, inputs, f"{STAGE.name}-{key[:16]}", table)


def _place(
    spec: ModelSpec, inputs: Mapping[str, Any], run: str, table: ScoreTableSpec | None
) -> OutputFile | DatabaseTable | None:
    """Where the *run* writes; None for the store's table."""
    if table is not None:
        return DatabaseTable.of(table, spec.folder)
    return output_at(inputs["output"], run, spec.folder) if inputs["output"] else None


def _newest(store: Store, spec: ModelSpec, source: str) -> Event | None:
    """The newest event of a run that read that source."""
    for event in reversed(store.ledger.state().model(spec.name).events):
        if (
            event.kind == STAGE.event
            and event.content.stage == STAGE.name
            and event.data["result"].get("source") == source
        ):
            return event
    return None


def _evidence(result: BatchScored, bundle: str) -> dict[str, Any]:
    return {"bundle": bundle, "dataset": result.dataset, "input": result.input, "output": result.output}
