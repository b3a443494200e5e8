"""Score: answers the rows of files, or of the data table, with one version, and writes the predictions once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream.data.table_types import readings_of
from slipstream.errors import DataError, NotFound
from slipstream.input_warnings import InputMonitor
from slipstream.newest import champion_of, newest_dataset
from slipstream.runs import Result, Stage, once, run_key
from slipstream.scoring.chunk import ChunkScorer
from slipstream.scoring.files import ScoreInput, files_at, files_of_dataset
from slipstream.scoring.joined_inputs import JoinedInputs, joined_inputs
from slipstream.scoring.outputs import TABLE, OutputFile, Tally, output_at
from slipstream.scoring.run import write_each, write_one
from slipstream.scoring.typed_rows import KeyColumn, key_columns
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset
from slipstream.store.faultpoints import faultpoint
from slipstream.store.tables import TableFile

STAGE = Stage("score", version=1)
READS = ("data.key",)


@dataclass(frozen=True)
class BatchScored(Result):
    """What one batch scoring wrote.

    Attributes:
        version: The version that answered.
        input: The path, or the dataset version, that the rows came from.
        output: Where the predictions are: a file, or the address of the Delta table.
        rows: Rows that were written.
        errors: Those of them without a prediction, because the endpoint would refuse them.
        warned: Those with a value unlike those of training.
        files: Files that were answered.
        skipped: Files that this version had answered into the table before.
        dataset: The dataset version; "" for files.
        problems: What is wrong with the first rows without a prediction.
        stamp: What tells the content of the output file; "" for the table.
        details: Digest of the JSON record: every file with its checksum.
        sentence: The outcome in one sentence.
    """

    version: int
    input: str
    output: str
    rows: int
    errors: int
    warned: int
    files: int
    sentence: str
    skipped: int = 0
    dataset: str = ""
    problems: tuple[str, ...] = ()
    stamp: str = ""
    details: str = ""


def score(
    spec: ModelSpec,
    store: Store,
    *,
    path: str = "",
    output: str = "",
    version: int | None = None,
    actor: str = "",
) -> BatchScored:
    """Answer rows with *version* and write the predictions, whole or not at all, once.

    Args:
        spec: The model.
        store: The store.
        path: CSV or Parquet files: a file, a folder or a glob, local (relative to the model's folder) or ``s3://``;
            "" for the newest version of the model's data table.
        output: A .parquet or .csv file, or a folder (a file for each run), local or ``s3://``; "" for the Delta table
            ``scores`` of the store, to which each version adds the answers to each file once.
        version: Its number; None for the champion.
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
    with TemporaryDirectory(prefix="slipstream-") as name:
        folder = Path(name)
        scored = files_at(spec, path, folder) if path else files_of_dataset(spec, store, newest_dataset(store, spec))
        files = [[file.unit, dict(file.form)] for file in scored.files]
        target = output if not output or output.startswith("s3://") else _absolute(spec, output)
        inputs: dict[str, Any] = {"version": number, "bundle": bundle, "files": files, "output": target}
        joins = joined_inputs(spec, store, number) if path else None
        if joins:
            inputs["joined"] = joins.versions
        key, place = _key(spec, store, inputs)
        work = _Scoring(spec, store, number, bundle, scored, folder, key, place, joins)
        return once(
            STAGE,
            spec,
            store,
            key,
            lambda run: work.to_file(place) if place else work.to_table(),
            result=BatchScored,
            actor=actor,
            record=lambda result, _: {"version": number, "evidence": _evidence(result, bundle)},
        )


def _absolute(spec: ModelSpec, output: str) -> str:
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


def _key(spec: ModelSpec, store: Store, inputs: Mapping[str, Any]) -> tuple[str, OutputFile | None]:
    """The run's key and the file that it writes. A file that is no longer what the run wrote makes another run."""
    inputs = dict(inputs)
    while True:
        key = run_key(STAGE, spec.part(*READS), inputs)
        if not inputs["output"]:
            return key, None
        place = output_at(inputs["output"], f"{STAGE.name}-{key[:16]}", spec.folder)
        before = store.ledger.find(STAGE.event, spec.name, key)
        if before is None or before.result_as(BatchScored).stamp == place.stamp():
            return key, place
        inputs["after"] = before.id


def _evidence(result: BatchScored, bundle: str) -> dict[str, Any]:
    return {"bundle": bundle, "dataset": result.dataset, "input": result.input, "output": result.output}


@dataclass(frozen=True)
class _Scoring:
    """One run: a version, its files, and a folder for what is on the way."""

    spec: ModelSpec
    store: Store
    version: int
    bundle: str
    scored: ScoreInput
    folder: Path
    key: str
    place: OutputFile | None
    joins: JoinedInputs | None

    def to_file(self, place: OutputFile) -> BatchScored:
        """Write the answers to a file."""
        self._refuse_own_input(place)
        path = self.folder / f"answers{place.suffix}"
        tally, columns = write_one(self.scored.files, self._chunks(), path)
        self._refuse_unanswered(tally)
        faultpoint("score.written")
        stamp = place.put(path, columns)
        return self._result(tally, place.place, len(self.scored.files), stamp=stamp)

    def to_table(self) -> BatchScored:
        """Add the answers to files that the version has not answered yet to the table."""
        tables, model = self.store.tables, self.spec.name
        units = {self._part(file.unit): file for file in self.scored.files}
        added, tally = self._added_before(), Tally()
        new = () if added else tables.new_parts(model, TABLE, list(units))
        if new:
            tally, parts = write_each([units[part] for part in new], self._chunks(), self.folder)
            self._refuse_unanswered(tally)
            faultpoint("score.written")
            keyed = {self._part(unit): path for unit, path in parts.items()}
            added = tables.append_parts(model, TABLE, keyed, self.key)
            if len(added) < len(parts):
                # Another scorer was first with some of them.
                tally = self._tally(added)
        elif added:
            tally = self._tally(added)
        return self._result(tally, tables.uri(model, TABLE), len(added), skipped=len(units) - len(added))

    def _added_before(self) -> tuple[TableFile, ...]:
        """What an attempt at this run added that died before it could say so."""
        return self.store.tables.append_parts(self.spec.name, TABLE, {}, self.key)

    def _part(self, unit: str) -> str:
        """The key under which the answers of this version to that file are added once."""
        return hashlib.sha256(f"{self.bundle} {self.version} {unit}".encode()).hexdigest()

    def _tally(self, files: tuple[TableFile, ...]) -> Tally:
        """What stands in files of the table."""
        import pyarrow.parquet as pq

        tally = Tally()
        for path in self.store.tables.local_files(self.spec.name, TABLE, files):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["warnings", "error"]):
                    tally.take(batch)
        return tally

    def _chunks(self) -> ChunkScorer:
        """What answers: the version's verified bundle, whose golden rows it answers as when it was packaged."""
        from slipstream.bundle.bundle import open_bundle
        from slipstream.bundle.scorer import load_scorer

        scorer = load_scorer(open_bundle(self.store, self.bundle))
        scorer.check_golden()
        return ChunkScorer(
            scorer, InputMonitor(scorer.schema), self.version, datetime.now(UTC), self._keys(), self.joins
        )

    def _keys(self) -> tuple[KeyColumn, ...]:
        """The model's key columns, as the data table has them."""
        state = self.store.ledger.state()
        dataset = state.model(self.spec.name).dataset
        if dataset is None or not self.spec.data.key:
            return ()
        kinds = dict(load_dataset(self.store.objects, state, self.spec.name, dataset).columns)
        names = {name: kinds[name] for name in self.spec.data.key if name in kinds}
        return key_columns(names, readings_of(self.store, self.spec.name, dataset))

    def _refuse_own_input(self, place: OutputFile) -> None:
        """What is written must not be what is read, now or by the next run."""
        if self.scored.reads(place.place):
            message = f"{place.place}: is one of the files that {self.scored.name} reads; name an output elsewhere."
            raise DataError(message, code="score_output_is_input")

    def _refuse_unanswered(self, tally: Tally) -> None:
        self.scored.still()
        if not tally.rows:
            raise DataError(f"{self.scored.name}: holds no rows.", code="rows_unreadable")
        if tally.errors == tally.rows:
            message = (
                f"{self.scored.name}: none of {tally.rows:,} rows can be answered: {'; '.join(tally.problems[:3])}."
            )
            raise DataError(message, code="score_all_bad")

    def _result(self, tally: Tally, output: str, files: int, *, skipped: int = 0, stamp: str = "") -> BatchScored:
        listed = [{"name": file.name, "sha256": file.sha256} for file in self.scored.files]
        return BatchScored(
            version=self.version,
            input=self.scored.name,
            output=output,
            rows=tally.rows,
            errors=tally.errors,
            warned=tally.warned,
            files=files,
            sentence=self._sentence(tally, skipped),
            skipped=skipped,
            dataset=self.scored.dataset,
            problems=tuple(tally.problems),
            stamp=stamp,
            details=self.store.objects.put_json({"version": self.version, "bundle": self.bundle, "files": listed}),
        )

    def _sentence(self, tally: Tally, skipped: int) -> str:
        if not tally.rows:
            return f"Version {self.version} had answered all of {self.scored.name} before; nothing was written."
        beside = [f"{tally.errors:,} of them could not be answered"] if tally.errors else []
        beside += [f"{tally.warned:,} have a value unlike training"] if tally.warned else []
        beside += [f"{skipped:,} files were answered before"] if skipped else []
        text = f"Version {self.version} scored {tally.rows:,} rows of {self.scored.name}"
        return f"{text}; {', '.join(beside)}." if beside else f"{text}."
