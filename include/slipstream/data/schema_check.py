"""Whether a batch has the columns that the data table has, and those that model.yaml names."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from slipstream.data.notes import ColumnNote
from slipstream.duck import quoted
from slipstream.errors import DataError
from slipstream.hints import did_you_mean, similar
from slipstream.spec.columns import RESERVED
from slipstream.spec.expectations import ROW_EXPECTATIONS, TABLE_EXPECTATIONS
from slipstream.spec.model import Expectation, ModelSpec

Columns = Sequence[tuple[str, str]]
_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")


@dataclass(frozen=True)
class SchemaChange:
    """One difference between a batch's columns and the table's.

    Attributes:
        kind: ``added``, ``removed``, ``renamed`` or ``retyped``, which the contract judges; ``widened`` or ``decided``
            (the first values of a column that was empty so far), which change no value and are only recorded.
        column: The table's column; for ``added`` the batch's.
        was: Its type in the table; ``""`` for ``added``.
        now: Its type in the batch; ``""`` for ``removed``. For ``renamed``, the new name.
    """

    kind: str
    column: str
    was: str = ""
    now: str = ""

    @property
    def sentence(self) -> str:
        """The change as errors and reports say it."""
        match self.kind:
            case "added":
                return f"+'{self.column}' ({self.now})"
            case "removed":
                return f"-'{self.column}'"
            case "renamed":
                return f"-'{self.column}', +'{self.now}' (did you mean '{self.column}'?)"
            case "widened":
                return f"column '{self.column}' is widened: {self.was} → {self.now}"
            case "decided":
                return f"column '{self.column}' has its first values: it is {self.now}"
        return f"column '{self.column}': {self.was} → {self.now}"

    @property
    def harmless(self) -> bool:
        """Whether no value changes by it."""
        return self.kind in {"widened", "decided"}


def compare(table: Columns, batch: Columns) -> tuple[SchemaChange, ...]:
    """Which columns came, went or were renamed (nothing, before the first batch)."""
    if not table:
        return ()
    old, new = dict(table), dict(batch)
    removed = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    changes = []
    for name in removed:
        near = similar(name, added)
        if near:
            added.remove(near[0])
            changes.append(SchemaChange("renamed", name, old[name], near[0]))
        else:
            changes.append(SchemaChange("removed", name, old[name]))
    changes += [SchemaChange("added", name, now=new[name]) for name in added]
    return tuple(changes)


def widened(table: Columns, batch: Columns) -> tuple[tuple[str, str], ...]:
    """The columns of the table after the batch: the table's, in the batch's types, then what the batch adds."""
    kinds = dict(batch)
    known = {name for name, _ in table}
    return (
        *((name, kinds.get(name, kind)) for name, kind in table),
        *(column for column in batch if column[0] not in known),
    )


def conformed(table: Columns, rows: Columns, renames: Mapping[str, str] | None = None) -> str | None:
    """The projection that gives *rows* the columns of the *table*; None if they are those already.

    *renames*: what a column of the rows is called -> what the table calls it.
    """
    if list(rows) == list(table):
        return None
    source = {(renames or {}).get(name, name): name for name, _ in rows}
    present = {called: kind for called, (_, kind) in zip(source, rows, strict=True)}
    parts = []
    for name, kind in table:
        value = quoted(source[name]) if name in present else "NULL"
        parts.append(f"{value if present.get(name) == kind else f'CAST({value} AS {kind})'} AS {quoted(name)}")
    return ", ".join(parts)


def check_reserved(batch: Columns) -> None:
    """Refuse names that our own queries use; raises DataError ``data_column_reserved``."""
    for name, _ in batch:
        if RESERVED.match(name):
            message = f"column '{name}' has a name that Slipstream uses itself; rename it in features.py."
            raise DataError(message, code="data_column_reserved")


def check_named(spec: ModelSpec, batch: Columns) -> None:
    """Each column that model.yaml names is there, of a type that it can be used as.

    Raises:
        DataError: ``data_column_missing``, ``data_type_unsupported`` or ``data_time_invalid``.
    """
    kinds = dict(batch)
    for place, name in named(spec):
        if name not in kinds:
            hint = did_you_mean(name, kinds, "the batch has", len(kinds))
            message = f"model.yaml: {place} names column '{name}', which is not in the batch; {hint}"
            raise DataError(message, code="data_column_missing")
    if spec.data.time and kinds[spec.data.time] not in {"DATE", "TIMESTAMP"}:
        message = (
            f"data.time: column '{spec.data.time}' is {kinds[spec.data.time]}; write data.schema: "
            f"{{{spec.data.time}: {{type: timestamp, format: ...}}}}, or make it a TIMESTAMP in features.py."
        )
        raise DataError(message, code="data_time_invalid")


def check_changes(spec: ModelSpec, changes: Sequence[SchemaChange], types: Collection[str] = ()) -> None:
    """Refuse changes of the columns that nobody accepted, unless the contract only warns.

    Args:
        spec: The model.
        changes: The changes that nobody accepted.
        types: Columns whose type a person accepted, though the table has yet to be derived so.

    Raises:
        DataError: ``data_schema_changed``, with the command that accepts them.
    """
    harmful = [change for change in changes if not change.harmless]
    if not harmful or spec.contract.on_schema_change == "warn":
        return
    sentences = "; ".join(change.sentence for change in harmful)
    retyped = {change.column for change in harmful if change.kind == "retyped"}
    if retyped & {*spec.data.columns, *types}:
        says = "data.schema says" if retyped & set(spec.data.columns) else "people accepted"
        hint = f"{says} what the table has not: slipstream rebuild {spec.name} derives the table anew"
        raise DataError(f"{sentences}. {hint}.", code="data_schema_changed")
    message = (
        f"{sentences}. Deliver the columns as before, or have a person decide: slipstream schema diff {spec.name} "
        f"says what each means, {accepting(spec.name, harmful)} accepts it."
    )
    raise DataError(message, code="data_schema_changed")


def accepting(model: str, changes: Sequence[SchemaChange]) -> str:
    """The command that accepts these changes."""
    words = [shlex.quote(change.column) for change in changes if change.kind != "renamed"]
    words += [
        f"--rename {shlex.quote(f'{change.column}={change.now}')}" for change in changes if change.kind == "renamed"
    ]
    return " ".join(["slipstream schema accept", model, *words])


def check_doubtful(spec: ModelSpec, remarks: Sequence[ColumnNote]) -> None:
    """Refuse doubtful columns that the model uses, unless the contract warns; raises DataError ``data_doubtful``."""
    mentioned = {spec.target, *spec.inputs, *spec.data.key, *filter(None, [spec.data.time])}
    # A key should have a value of its own in each row, and its numbers, or a target's, may well be texts.
    used = {kind: set(spec.inputs) for kind in ("mostly_distinct", "typed_as_text")}
    sentences = [note.sentence for note in remarks if note.doubtful and note.column in used.get(note.kind, mentioned)]
    if sentences and spec.contract.doubtful == "fail":
        message = f"{' '.join(sentences)} Or let contract.doubtful be warn."
        raise DataError(message, code="data_doubtful")


def columns_judged(expectation: Expectation) -> tuple[str, ...]:
    """The columns whose values an expectation reads."""
    if expectation.type in TABLE_EXPECTATIONS:
        return ()
    columns: list[str] = []
    for key in _COLUMN_KEYS:
        value = expectation.arguments.get(key, ())
        columns += [value] if isinstance(value, str) else [name for name in value if isinstance(name, str)]
    return tuple(dict.fromkeys(columns))


def judges_rows(expectation: Expectation) -> bool:
    """Whether the expectation blames single rows, which can then be set aside."""
    return expectation.type in ROW_EXPECTATIONS


def named(spec: ModelSpec) -> list[tuple[str, str]]:
    """``(place, column)`` of each column that the model file names."""
    places = [("inputs", name) for name in spec.inputs] + [("target", spec.target)]
    places += [("data.time", spec.data.time)] if spec.data.time else []
    places += [("data.key", name) for name in spec.data.key]
    for number, expectation in enumerate(spec.contract.expectations):
        places += [(f"contract.expectations.{number}", name) for name in columns_judged(expectation)]
    return places
