"""Schema accept: a person's decision that columns of the data may come, go, be called or be typed otherwise.

It changes no row. The batches that are read after it are held against the columns as they were decided, and the table
follows with the first of them; dataset versions that are there stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from slipstream.data.column_uses import column_uses
from slipstream.data.schema_check import SchemaChange, accepting
from slipstream.data.schema_decisions import ACCEPTED, SchemaDecisions, decisions_of
from slipstream.data.schema_pending import PendingChanges, pending_changes, suggested, table_of, waiting_batch
from slipstream.data.schema_refusals import check_removed, check_renamed, check_retyped
from slipstream.data.table_types import Base
from slipstream.errors import Conflict, StageError, shown
from slipstream.hints import did_you_mean
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import SchemaAccepted
from slipstream.store.state import State

STAGE = Stage("schema", 1, event=ACCEPTED)


@dataclass(frozen=True)
class ColumnChoice:
    """What is to be accepted; every column that came or went, if no column is named.

    Attributes:
        columns: The columns whose coming, going or other type is accepted.
        renames: What a column was called -> what it is called.
        same_unit: Whether a person made sure that renamed columns hold the same quantity in the same unit, although
            their values differ.
    """

    columns: Sequence[str] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    same_unit: bool = False


@dataclass(frozen=True)
class AcceptedSchema(Result):
    """Changes of columns that a person accepted.

    Attributes:
        batch: The batch that brought them.
        changes: Each in words.
        next: What is to be done now, in order.
    """

    batch: str
    changes: tuple[str, ...]
    next: tuple[str, ...] = ()


def accept(
    spec: ModelSpec, store: Store, choice: ColumnChoice | None = None, *, reason: str = "", actor: str = ""
) -> AcceptedSchema:
    """Accept what the newest batch, which waits, changes of the columns of the data table.

    Args:
        spec: The model.
        store: Where it is kept.
        choice: What of it.
        reason: Why, in one sentence.
        actor: Who decides.

    Raises:
        StageError: ``schema_nothing_pending``, ``schema_not_pending``, ``schema_choice_needed``,
            ``schema_column_used``, ``schema_types_differ`` or ``schema_rename_unlike``.
        Conflict: ``schema_decided``: somebody else decided on one of the columns meanwhile.
    """
    choice = choice or ColumnChoice()
    state = store.ledger.state()
    decisions = decisions_of(state.model(spec.name))
    known = _decided(spec, state, decisions, choice)
    if known is not None:
        return known
    batch = waiting_batch(spec, store)
    if batch is None:
        message = f"{spec.name}: no batch waits to join the data table: slipstream ingest {spec.name} reads the next."
        raise StageError(message, code="schema_nothing_pending")
    table = table_of(spec, store, batch)
    pending = pending_changes(batch, table, store)
    chosen = _chosen(spec, store, (pending, table), choice)
    _check(spec, store, (pending, table), chosen, choice.same_unit)
    changes = [_plain(change, pending) for change in chosen]
    key = run_key(STAGE, {}, {"batch": batch.id, "changes": changes, "after": decisions.latest})

    def check(now: State) -> None:
        model = now.model(spec.name)
        if model.dataset != batch.table:
            raise Conflict(f"{spec.name}: another batch was committed first; look again.", code="dataset_moved")
        _refuse_overtaken(spec, now, decisions, chosen)

    return once(
        STAGE,
        spec,
        store,
        key,
        lambda _: AcceptedSchema(batch.id, tuple(map(_words, chosen)), tuple(_next(spec, chosen))),
        result=AcceptedSchema,
        actor=actor,
        check=check,
        record=lambda _, __: {"batch": batch.id, "dataset": batch.table, "changes": changes, "reason": reason},
    )


def _decided(spec: ModelSpec, state: State, decisions: SchemaDecisions, choice: ColumnChoice) -> AcceptedSchema | None:
    """The acceptance that said just this of the table as it is, and still holds."""
    model = state.model(spec.name)
    holding = {(one.event, one.old, one.new) for one in decisions.renamed}
    for event in reversed(model.on(ACCEPTED)):
        content = event.content_as(SchemaAccepted)
        if content.dataset != model.dataset:
            break
        single = {one.column for one in content.changes if one.kind != "renamed"}
        pairs = {one.column: one.now for one in content.changes if one.kind == "renamed"}
        hold = single <= {*decisions.added, *decisions.removed, *decisions.types}
        hold &= all((event.id, old, new) in holding for old, new in pairs.items())
        same = (set(choice.columns), dict(choice.renames)) == (single, pairs)
        if hold and (same or not (choice.columns or choice.renames)):
            return replace(event.result_as(AcceptedSchema), reused=True)
    return None


def _chosen(
    spec: ModelSpec, store: Store, facts: tuple[PendingChanges, Base], choice: ColumnChoice
) -> tuple[SchemaChange, ...]:
    """The changes that are accepted, renamed columns as one each."""
    (pending, table), columns, renames = facts, choice.columns, choice.renames
    deciding = {change.column: change for change in pending.changes if not change.harmless}
    if not deciding:
        message = (
            f"{spec.name}: batch {pending.batch.id[:12]} has the columns of the table; there is nothing to accept."
        )
        raise StageError(message, code="schema_nothing_pending")
    if not columns and not renames:
        _refuse_ambiguous(spec, pending, store, table)
        return tuple(deciding.values())
    renamed = tuple(_renamed(spec, pending, old, new) for old, new in renames.items())
    taken = {*renames, *renames.values()}
    for name in columns:
        if name not in deciding:
            hint = did_you_mean(name, deciding, "changed are")
            message = f"{spec.name}: nothing is to be decided of column {shown(name)}; {hint}"
            raise StageError(message, code="schema_not_pending")
        if name in taken:
            raise StageError(f"column {shown(name)} is renamed; name it once.", code="schema_choice_needed")
    return (*(deciding[name] for name in dict.fromkeys(columns)), *renamed)


def _renamed(spec: ModelSpec, pending: PendingChanges, old: str, new: str) -> SchemaChange:
    removed, added = pending.of("removed"), pending.of("added")
    for name, known, what in ((old, removed, "is missing in"), (new, added, "is new in")):
        if name not in known:
            hint = did_you_mean(name, known, f"what {what} it")
            message = f"{spec.name}: column {shown(name)} {what} no batch that waits; {hint}"
            raise StageError(message, code="schema_not_pending")
    return SchemaChange("renamed", old, removed[old].was, new)


def _refuse_ambiguous(spec: ModelSpec, pending: PendingChanges, store: Store, table: Base) -> None:
    """What looks renamed, or is of another type, has to be named by who decides."""
    pairs = suggested(pending, table, store)
    if pairs:
        old, (new, how) = next(iter(pairs.items()))
        renaming = accepting(spec.name, [SchemaChange("renamed", old, "", new)])
        both = accepting(spec.name, [SchemaChange("removed", old), SchemaChange("added", new)])
        message = (
            f"{spec.name}: '{old}' is gone and '{new}' is new ({how.sentence}). If it is the same column: {renaming}; "
            f"if it is another: {both}."
        )
        raise StageError(message, code="schema_choice_needed")
    retyped = list(pending.of("retyped").values())
    if retyped:
        message = (
            f"{spec.name}: {retyped[0].sentence}. A column of another type is accepted by its name: "
            f"{accepting(spec.name, [change for change in pending.changes if not change.harmless])}."
        )
        raise StageError(message, code="schema_choice_needed")


def _check(
    spec: ModelSpec,
    store: Store,
    facts: tuple[PendingChanges, Base],
    chosen: Sequence[SchemaChange],
    same_unit: bool,
) -> None:
    pending, table = facts
    for change in chosen:
        match change.kind:
            case "removed":
                check_removed(spec, change)
            case "retyped":
                check_retyped(spec, store, change, table)
            case "renamed":
                check_renamed(spec, store, change, (pending, table), same_unit=same_unit)


def _refuse_overtaken(spec: ModelSpec, now: State, seen: SchemaDecisions, chosen: Sequence[SchemaChange]) -> None:
    """Somebody decided on one of the columns since this call looked."""
    mine = {name for change in chosen for name in (change.column, change.now)}
    for event in now.model(spec.name).on(ACCEPTED):
        theirs = {name for one in event.content_as(SchemaAccepted).changes for name in (one.column, one.now)}
        columns = sorted(name for name in (mine & theirs) if name and name not in {"VARCHAR"})
        if event.id not in seen.events and columns:
            message = (
                f"{spec.name}: {event.actor or 'somebody'} decided on column '{columns[0]}' first; look again: "
                f"slipstream schema diff {spec.name}."
            )
            raise Conflict(message, code="schema_decided")


def _plain(change: SchemaChange, pending: PendingChanges) -> dict[str, Any]:
    """The change as the event has it."""
    return asdict(change) | {"delivered": change.kind == "renamed" and change.now in pending.batch.readings}


def _words(change: SchemaChange) -> str:
    match change.kind:
        case "added":
            return f"'{change.column}' ({change.now}) is new"
        case "removed":
            return f"'{change.column}' is gone"
        case "renamed":
            return f"'{change.column}' is called '{change.now}'"
    return f"'{change.column}' is {change.now} instead of {change.was}"


def _next(spec: ModelSpec, chosen: Sequence[SchemaChange]) -> Iterator[str]:
    """What is to be done now, in order."""
    for change in chosen:
        places = column_uses(spec, change.column) if change.kind == "renamed" else ()
        if places:
            yield f"write '{change.now}' in place of '{change.column}': {', '.join(places)}"
    if any(change.kind == "retyped" for change in chosen):
        yield f"slipstream rebuild {spec.name}"
    yield f"slipstream ingest {spec.name}"
    yield f"slipstream validate {spec.name}"
