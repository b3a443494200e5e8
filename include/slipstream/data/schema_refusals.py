"""What no person can accept of a change of columns before something else is settled, and what that is."""

from __future__ import annotations

from slipstream.cell_reading import CellReading
from slipstream.data.batch import load_batch
from slipstream.data.column_uses import needs
from slipstream.data.lineage import COMMITTED, batches_of
from slipstream.data.schema_check import SchemaChange
from slipstream.data.schema_pending import PendingChanges, compared, same_family, texts_not
from slipstream.data.table_types import Base
from slipstream.errors import StageError, shown
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

_WORD = {"BIGINT": "integer", "DOUBLE": "number", "VARCHAR": "text", "DATE": "date", "TIMESTAMP": "timestamp"}
_WORD |= {"BOOLEAN": "boolean"}


def word(kind: str) -> str:
    """A type as the model file calls it."""
    return _WORD.get(kind, kind)


def check_removed(spec: ModelSpec, change: SchemaChange) -> None:
    """A column that the model file needs cannot be given up; raises StageError ``schema_column_used``."""
    places = needs(spec, change.column)
    if places:
        message = (
            f"{spec.name}: column '{change.column}' is gone, but the model file needs it: {', '.join(places)}. Take it "
            "out there first, or have it delivered again."
        )
        raise StageError(message, code="schema_column_used")


def check_retyped(spec: ModelSpec, store: Store, change: SchemaChange, table: Base) -> None:
    """Whether the rows that are there can be of the new type too, and no model takes another meaning by it.

    Raises:
        StageError: ``schema_column_used``; ``schema_types_differ``: some value cannot be of the new type;
            ``delivery_not_kept``: rows cannot be derived anew.
    """
    name, places = change.column, needs(spec, change.column)
    if places:
        message = (
            f"{spec.name}: column '{name}' would be {word(change.now)} instead of {word(change.was)}, and the model "
            f"would take its values for something else: {', '.join(places)}. Take it out there first; or, if that is "
            f"meant, write data.schema: {{{name}: {word(change.now)}}} and run slipstream rebuild {spec.name}."
        )
        raise StageError(message, code="schema_column_used")
    if name in spec.data.columns and spec.data.columns[name].type:
        message = f"{spec.name}: data.schema says what column '{name}' is; change it there, then rebuild."
        raise StageError(message, code="schema_types_differ")
    if change.now != "VARCHAR":
        if change.was != "VARCHAR":
            what = f"no {word(change.was)} is a {word(change.now)}"
            raise _impossible(spec, change, what)
        strange = texts_not(table, name, CellReading(change.now, said=True).unreadable(name))
        if strange:
            raise _impossible(spec, change, f"the table has {', '.join(map(shown, strange))}")
    batches = batches_of(store.ledger.read(model=spec.name, kind=COMMITTED))
    if not all(batch and load_batch(store, spec.name, batch).delivered for batch in batches):
        message = f"{spec.name}: rows of the table are of a time when deliveries were not kept, and stay as they are."
        raise StageError(message, code="delivery_not_kept")


def check_renamed(
    spec: ModelSpec, store: Store, change: SchemaChange, facts: tuple[PendingChanges, Base], *, same_unit: bool
) -> None:
    """Whether the two columns can be one, and hold like values, unless a person has made sure of that.

    Raises:
        StageError: ``schema_types_differ`` or ``schema_rename_unlike``.
    """
    pending, table = facts
    now = pending.of("added")[change.now].now
    if not same_family(change.was, now):
        message = (
            f"{spec.name}: '{change.column}' is {word(change.was)} and '{change.now}' is {word(now)}: they cannot be "
            f"one column. Say in data.schema how '{change.now}' is read, or accept '{change.now}' as new."
        )
        raise StageError(message, code="schema_types_differ")
    how = compared(change.column, change.now, pending, table, store)
    if how.alike or same_unit:
        return
    message = (
        f"{spec.name}: the values of '{change.now}' are not like those of '{change.column}': {how.sentence}. If they "
        "are the same quantity in the same unit all the same, add --same-unit; if not, bring them to it in "
        "features.py, or accept the one as new and the other as gone."
    )
    raise StageError(message, code="schema_rename_unlike")


def refusal_of(spec: ModelSpec, store: Store, change: SchemaChange, table: Base) -> str:
    """Why the change cannot be accepted as things stand; "" if it can."""
    try:
        if change.kind == "removed":
            check_removed(spec, change)
        elif change.kind == "retyped":
            check_retyped(spec, store, change, table)
    except StageError as error:
        return str(error).removeprefix(f"{spec.name}: ")
    return ""


def _impossible(spec: ModelSpec, change: SchemaChange, what: str) -> StageError:
    message = (
        f"{spec.name}: column '{change.column}' cannot be {word(change.now)}: {what}. Have it delivered under another "
        f"name, or as before; or write data.schema: {{{change.column}: text}} and rebuild."
    )
    return StageError(message, code="schema_types_differ")
