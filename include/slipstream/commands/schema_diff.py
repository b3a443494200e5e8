"""What the next batch would change of the columns of a model's data, and what each change means; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from slipstream.data.batch import Batch, in_full, load_batch
from slipstream.data.column_uses import column_uses
from slipstream.data.landing import land
from slipstream.data.likeness import Likeness
from slipstream.data.schema_check import SchemaChange, accepting
from slipstream.data.schema_decisions import SchemaDecisions, decisions_of
from slipstream.data.schema_pending import PendingChanges, pending_changes, suggested, table_of, waiting_batch
from slipstream.data.schema_refusals import refusal_of, word
from slipstream.data.table_types import Base, newest_base
from slipstream.errors import StageError
from slipstream.ground_truth.joined import schema_of
from slipstream.number_formats import percent
from slipstream.slots import SOURCE, Delivery
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

_VERSIONS = 5
"""How many of the newest versions are looked into, beside those that serve."""


@dataclass(frozen=True)
class ColumnChange:
    """One column that changes.

    Attributes:
        kind: ``added``, ``removed``, ``renamed`` (it looks so), ``widened``, ``decided`` or ``retyped``.
        column: The column; of a renamed one the old name.
        was: Its type in the table, as the model file calls it; "" for an added one.
        now: Its type in the batch; "" for a removed one; of a renamed one the new name.
        used: Where the model project names it.
        versions: The versions that take it as an input, and what they are.
        effect: What will happen.
        todo: What to do; "" for nothing.
    """

    kind: str
    column: str
    was: str
    now: str
    used: tuple[str, ...]
    versions: tuple[str, ...]
    effect: str
    todo: str


@dataclass(frozen=True)
class SchemaDiff:
    """A batch's columns beside those of the data table.

    Attributes:
        model: The model.
        compared: What was compared, in words.
        dataset: The newest dataset version.
        changes: The columns that change; empty if none does.
    """

    model: str
    compared: str
    dataset: str
    changes: tuple[ColumnChange, ...]


def schema_diff(spec: ModelSpec, store: Store, path: Path | None = None) -> SchemaDiff:
    """Compare the batch that waits, or else the next one of the source, or the file *path*, with the data table.

    Raises:
        StageError: ``run_not_found``: there is no table yet; ``schema_nothing_pending``: nothing waits, and the source
            has nothing new.
        SourceError, DataError, SpecError: as for ingest.
    """
    state = store.ledger.state().model(spec.name)
    if state.dataset is None:
        message = f"{spec.name} has no data yet: the first batch makes the columns; ingest and validate it."
        raise StageError(message, code="run_not_found")
    waiting = waiting_batch(spec, store) if path is None else None
    if waiting is not None:
        table = table_of(spec, store, waiting)
        pending = pending_changes(waiting, table, store)
        return _diff(spec, store, f"batch {waiting.id[:12]}, which waits", (pending, table, store))
    with _read_aside(spec, store, path) as (batch, aside, what):
        table = table_of(spec, store, batch)
        return _diff(spec, store, what, (pending_changes(batch, table, aside), table, aside))


@contextmanager
def _read_aside(spec: ModelSpec, store: Store, path: Path | None) -> Iterator[tuple[Batch, Store, str]]:
    """What ingest would make of the file, or of what the source has next, in a store of its own that is thrown away."""
    state = store.ledger.state()
    after = in_full(store, state.model(spec.name).watermark) if path is None else ""
    config = dict(spec.data.source) if path is None else _of_file(spec, path)
    with TemporaryDirectory(prefix="slipstream-schema-") as name:
        folder, aside = Path(name) / "files", Store.open((Path(name) / "store").as_uri())
        folder.mkdir()
        source = SOURCE.build(config, allow_code=spec.allow_code)
        delivery = Delivery({}, after)
        if path is not None or source.fingerprint(spec, after) is not None:
            delivery = source.deliver(spec, after, folder)
        if not delivery.files:
            message = f"{spec.name}: no batch waits, and the source has nothing new; name a file with --path."
            raise StageError(message, code="schema_nothing_pending")
        latest = decisions_of(state.model(spec.name)).latest
        fields = {"after": "", "watermark": "", "table": state.model(spec.name).dataset, "decisions": latest}
        landed = land(spec, aside, delivery, newest_base(spec, store, state), fields, folder)
        what = f"{path.name}, of no batch" if path is not None else "the next batch of the source"
        yield load_batch(aside, spec.name, landed.batch), aside, what


def _of_file(spec: ModelSpec, path: Path) -> dict[str, object]:
    """The file as the source that reads it; by the model's own words where its source is one of files."""
    own = spec.data.source if spec.data.source["type"] == "files" else {"type": "files"}
    return {**own, "path": str(path.absolute()), "format": "auto"}


def _diff(spec: ModelSpec, store: Store, what: str, facts: tuple[PendingChanges, Base, Store]) -> SchemaDiff:
    pending, table, aside = facts
    state = store.ledger.state().model(spec.name)
    decisions, takers = decisions_of(state), _takers(spec, store)
    pairs = suggested(pending, table, aside)
    changes = [_suggestion(spec, old, new, how, takers) for old, (new, how) in pairs.items()]
    for change in pending.changes:
        effect, todo = _consequence(spec, store, change, (pending, table), decisions)
        was, now = word(change.was), word(change.now)
        used = column_uses(spec, change.column)
        changes.append(
            ColumnChange(change.kind, change.column, was, now, used, takers.get(change.column, ()), effect, todo)
        )
    return SchemaDiff(spec.name, what, str(state.dataset), tuple(changes))


def _suggestion(
    spec: ModelSpec, old: str, new: str, how: Likeness, takers: Mapping[str, tuple[str, ...]]
) -> ColumnChange:
    like = "its values are alike" if how.alike else "its values are NOT alike: another unit?"
    effect = f"may be called '{new}' now; {like} ({how.sentence}). Renamed, old rows are read as '{new}'"
    todo = accepting(spec.name, [SchemaChange("renamed", old, "", new)]) + ("" if how.alike else " --same-unit")
    return ColumnChange("renamed", old, "", new, column_uses(spec, old), takers.get(old, ()), effect, todo)


def _consequence(
    spec: ModelSpec,
    store: Store,
    change: SchemaChange,
    facts: tuple[PendingChanges, Base],
    decisions: SchemaDecisions,
) -> tuple[str, str]:
    """What will happen, and what to do."""
    pending, table = facts
    match change.kind:
        case "added":
            effect = "old rows have no value in it"
        case "removed":
            effect = "it stays, without a value in new rows"
        case "retyped":
            share = pending.unreadable.get(change.column)
            some = f"{percent(share)} of the rows hold what no {word(change.was)} is; " if share else ""
            effect = f"{some}all rows would be {word(change.now)}"
        case "widened":
            return "old values stay what they are", ""
        case _:
            return "it was empty so far", ""
    if not decisions.open([change]):
        return effect, f"accepted: slipstream ingest {spec.name}"
    if change.kind == "retyped" and change.column in decisions.types:
        return effect, f"accepted: slipstream rebuild {spec.name}"
    if spec.contract.on_schema_change == "warn":
        return "taken as it is, or row by row: contract.on_schema_change is warn", ""
    return effect, refusal_of(spec, store, change, table) or accepting(spec.name, [change])


def _takers(spec: ModelSpec, store: Store) -> dict[str, tuple[str, ...]]:
    """Column -> the versions that take it as an input: those that serve, and the newest."""
    model = store.ledger.state().model(spec.name)
    roles = {model.champion: "the champion", model.deployment: "being rolled out"}
    numbers = [number for number in (model.champion, model.deployment) if number]
    takers: dict[str, list[str]] = {}
    for number in sorted({*numbers, *sorted(model.versions)[-_VERSIONS:]}):
        if not model.packaged(number).bundle:
            continue
        for column in schema_of(spec, store, number).names:
            role = roles.get(number)
            takers.setdefault(column, []).append(f"version {number}" + (f" ({role})" if role else ""))
    return {column: tuple(versions) for column, versions in takers.items()}
