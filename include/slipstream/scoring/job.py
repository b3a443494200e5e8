"""The work of one batch scoring: a version answers files, and the answers go to where they are wanted, once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from slipstream.data.batch import recorded
from slipstream.data.table_types import readings_of
from slipstream.errors import DataError
from slipstream.input_warnings import InputMonitor
from slipstream.scoring.capture import ScoreCapture
from slipstream.scoring.chunk import ChunkScorer
from slipstream.scoring.database import DatabaseTable
from slipstream.scoring.files import ScoreFile, ScoreInput
from slipstream.scoring.joined_inputs import JoinedInputs
from slipstream.scoring.outputs import TABLE, OutputFile, Tally
from slipstream.scoring.record import BatchScored
from slipstream.scoring.run import Written, read_tally, write_each, write_one
from slipstream.scoring.typed_rows import KeyColumn, key_columns
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset
from slipstream.store.faultpoints import faultpoint
from slipstream.store.predictions import TABLE as PREDICTIONS
from slipstream.store.tables import TableFile


@dataclass(frozen=True)
class ScoreJob:
    """One run.

    Attributes:
        spec: The model.
        store: The store.
        version: The version that answers.
        bundle: Its bundle.
        scored: What is read.
        folder: Takes what is on the way.
        key: The run's key.
        captured: Whether the rows go to the predictions table too.
        actor: Who asks.
        joins: What brings inputs that files lack; None: nothing.
        wanted: Digest of what was asked for, the same whatever other runs did.
        again: The run that answered the same of a source before it held something else; "" if it never did.
    """

    spec: ModelSpec
    store: Store
    version: int
    bundle: str
    scored: ScoreInput
    folder: Path
    key: str
    captured: bool
    actor: str
    joins: JoinedInputs | None = None
    wanted: str = ""
    again: str = ""

    def to_file(self, place: OutputFile) -> BatchScored:
        """Write the answers to a file."""
        if self.scored.reads(place.place):
            message = f"{place.place}: is one of the files that {self.scored.name} reads; name an output elsewhere."
            raise DataError(message, code="score_output_is_input")
        path = self.folder / f"answers{place.suffix}"
        written = self._written_to(path)
        stamp = place.put(path, written.columns) if written.columns else place.stamp()
        self._keep(written)
        return self._result(written, place.place, stamp=stamp)

    def to_database(self, table: DatabaseTable) -> BatchScored:
        """Write the answers to a table of a database."""
        path = self.folder / "answers.parquet"
        with table.opened():
            written = self._written_to(path)
            if written.columns:
                table.put(path, self._run)
        self._keep(written)
        return self._result(written, table.place, stamp=self._run if written.columns else table.stamp(self._run))

    def to_table(self) -> BatchScored:
        """Add the answers to files that the version has not answered yet to the store's table."""
        tables, model = self.store.tables, self.spec.name
        parts = self._parts
        added, written = self._added_before(), Written()
        new = () if added else tables.new_parts(model, TABLE, list(parts))
        if new:
            written = write_each({part: parts[part] for part in new}, self._chunks(), self.folder)
            self._settle(written)
            # An attempt that finds its answers there does not answer again, so what is captured comes first.
            self._keep(written)
            added = tables.append_parts(model, TABLE, written.files, self.key)
            if len(added) < len(written.files):
                # Another scorer was first with some of them.
                written.tally = self._tally(added)
        elif added:
            written.tally = self._tally(added)
        return self._result(written, tables.uri(model, TABLE), len(added), skipped=len(parts) - len(added))

    @property
    def _run(self) -> str:
        return f"score-{self.key[:16]}"

    @property
    def _parts(self) -> Mapping[str, ScoreFile]:
        """What tells the answers of this version to a file, by which they are added once -> the file."""
        # What is read whole is answered anew when it holds again what it held before.
        again = f" {self.again}" if self.again else ""
        named = {f"{self.bundle} {self.version} {file.unit}{again}": file for file in self.scored.files}
        return {hashlib.sha256(name.encode()).hexdigest(): file for name, file in named.items()}

    def _written_to(self, path: Path) -> Written:
        if not self.scored.files:
            return Written()
        written = write_one(self._parts, self._chunks(), path)
        self._settle(written)
        return written

    def _settle(self, written: Written) -> None:
        """Refuse what is not to be written."""
        self.scored.still()
        tally, name = written.tally, self.scored.name
        if not tally.rows:
            raise DataError(f"{name}: holds no rows.", code="rows_unreadable")
        if tally.errors == tally.rows:
            message = f"{name}: none of {tally.rows:,} rows can be answered: {'; '.join(tally.problems[:3])}."
            raise DataError(message, code="score_all_bad")
        faultpoint("score.written")

    def _keep(self, written: Written) -> None:
        """Hand on what is captured."""
        if written.captured:
            self.store.tables.append_parts(self.spec.name, PREDICTIONS, written.captured, f"{self.key} captured")
        faultpoint("score.captured")

    def _added_before(self) -> tuple[TableFile, ...]:
        """What an attempt at this run added that died before it could say so."""
        return self.store.tables.append_parts(self.spec.name, TABLE, {}, self.key)

    def _tally(self, files: tuple[TableFile, ...]) -> Tally:
        return read_tally(self.store.tables.local_files(self.spec.name, TABLE, files))

    def _chunks(self) -> ChunkScorer:
        """What answers: the version's verified bundle, whose golden rows it answers as when it was packaged."""
        from slipstream.bundle.bundle import open_bundle
        from slipstream.bundle.scorer import load_scorer

        scorer = load_scorer(open_bundle(self.store, self.bundle))
        scorer.check_golden()
        policy, moment = self.spec.deploy.capture, datetime.now(UTC)
        capture = ScoreCapture(policy, scorer.schema, self.version, self.key, self.actor, moment)
        keys = self._keys()
        if policy.inputs != "values" or set(self.spec.data.key) & set(policy.redact):
            capture = replace(capture, keyed=False)
        wanted = capture if self.captured and policy.sample else None
        return ChunkScorer(scorer, InputMonitor(scorer.schema), self.version, moment, keys, wanted, self.joins)

    def _keys(self) -> tuple[KeyColumn, ...]:
        """The model's key columns, as the data table has them."""
        state = self.store.ledger.state()
        dataset = state.model(self.spec.name).dataset
        if dataset is None or not self.spec.data.key:
            return ()
        kinds = dict(load_dataset(self.store.objects, state, self.spec.name, dataset).columns)
        names = {name: kinds[name] for name in self.spec.data.key if name in kinds}
        return key_columns(names, readings_of(self.store, self.spec.name, dataset))

    def _result(
        self, written: Written, output: str, files: int | None = None, *, skipped: int = 0, stamp: str = ""
    ) -> BatchScored:
        tally = written.tally
        listed = [{"name": file.name, "sha256": file.sha256} for file in self.scored.files]
        return BatchScored(
            version=self.version,
            input=self.scored.name,
            output=output,
            rows=tally.rows,
            errors=tally.errors,
            warned=tally.warned,
            files=len(self.scored.files) if files is None else files,
            sentence=self._sentence(tally, skipped, written.captured_rows),
            skipped=skipped,
            captured=written.captured_rows,
            dataset=self.scored.dataset,
            source=self.scored.source,
            wanted=self.wanted,
            watermark=recorded(self.store, self.scored.watermark),
            problems=tuple(tally.problems),
            stamp=stamp,
            details=self.store.objects.put_json({"version": self.version, "bundle": self.bundle, "files": listed}),
        )

    def _sentence(self, tally: Tally, skipped: int, captured: int) -> str:
        if not self.scored.files:
            return f"{self.scored.name} has nothing new; nothing was written."
        if not tally.rows:
            return f"Version {self.version} had answered all of {self.scored.name} before; nothing was written."
        beside = [f"{tally.errors:,} of them could not be answered"] if tally.errors else []
        beside += [f"{tally.warned:,} have a value unlike training"] if tally.warned else []
        beside += [f"{skipped:,} files were answered before"] if skipped else []
        beside += [f"{captured:,} were kept for monitoring"] if captured else []
        text = f"Version {self.version} scored {tally.rows:,} rows of {self.scored.name}"
        return f"{text}; {', '.join(beside)}." if beside else f"{text}."
