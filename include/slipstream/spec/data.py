"""What model.yaml may say of its data: where batches come from, how their columns are read, what a batch must be."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from slipstream.cell_formats import DIRECTIVES, TYPES
from slipstream.cell_reading import CellReading
from slipstream.spec.values import Backend, Column, Duration, Name, SpecPart, SpecProblem

Word = Literal["boolean", "integer", "number", "text", "date", "timestamp"]
Text = Annotated[str, Field(max_length=200)]


class ColumnSpec(SpecPart):
    """How one column is read. A word alone is its type, or `drop`: `zip: text`, `remark: drop`."""

    type: Word | None = None
    """What it holds: `boolean`, `integer`, `number`, `text`, `date` or `timestamp`; without it what all values of the
    first batch say."""
    missing: tuple[Text, ...] = Field(default=(), strict=False)
    """Texts that mean "missing", such as `"?"` or `"-999"`, beside those that always do."""
    decimal: Literal[".", ","] | None = None
    """The mark before the decimals of a number."""
    thousands: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The mark between the thousands of a number."""
    format: Text | None = None
    """How a date or time is written, such as `"%d.%m.%Y"`; without it as ISO 8601."""
    unit: Text = ""
    """What a number counts, such as `EUR` or `km/h`; for people."""
    drop: bool = False
    """Whether the column is left out when a batch is read."""

    @field_validator("format")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        strange = [part for part in re.findall(r"%(.?)", value or "") if part not in DIRECTIVES]
        if strange:
            raise ValueError(f"'%{strange[0]}' is not understood; known: {', '.join(f'%{one}' for one in DIRECTIVES)}")
        if value is not None and "%" not in value:
            raise ValueError(f"{value!r} names no part of a date; write it as '%d.%m.%Y'")
        return value

    @model_validator(mode="after")
    def _together(self) -> ColumnSpec:
        if self.format and self.type not in {"date", "timestamp"}:
            raise SpecProblem(
                "'format' goes with type date or timestamp; write the type too", code="spec_schema_invalid"
            )
        if (self.decimal or self.thousands) and self.type not in {"integer", "number"}:
            raise SpecProblem("marks go with type number or integer; write the type too", code="spec_schema_invalid")
        if self.thousands and (self.thousands == (self.decimal or ".") or self.thousands.isalnum()):
            raise SpecProblem(
                f"thousands {self.thousands!r} cannot stand beside decimal {self.decimal or '.'!r}",
                code="spec_schema_invalid",
            )
        return self

    @property
    def reading(self) -> CellReading | None:
        """How its cells are read; None if nothing says what they are."""
        if self.type is None:
            return None
        return CellReading(
            TYPES[self.type], True, self.missing, self.decimal or ".", self.thousands or "", self.format or ""
        )


def _in_full(column: object) -> object:
    """A word in the long form."""
    if not isinstance(column, str):
        return column
    return {"drop": True} if column == "drop" else {"type": column}


_Columns = dict[Column, Annotated[ColumnSpec, BeforeValidator(_in_full, json_schema_input_type=str | ColumnSpec)]]


def _by_name(columns: object) -> object:
    """A list of columns, or one alone, as a mapping of each to itself."""
    columns = [columns] if isinstance(columns, str) else columns
    if not isinstance(columns, list):
        return columns
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"column {twice!r} is named twice; take one out")
    return {name: name for name in columns}


_Renamed = Annotated[
    dict[Column, Column], BeforeValidator(_by_name, json_schema_input_type=str | list[str] | dict[str, str])
]


class JoinSpec(SpecPart):
    """Another table, whose columns each row gets as they were known at its event time."""

    source: Backend
    """Where its rows come from; any source that `data.source` may be. What is new is read at each ingest."""
    key: _Renamed
    """Columns whose values are equal in both tables: `[origin]`, or `{dest: airport}` where the joined table has
    another name for it. `[]`: the newest row is every row's."""
    time: Column
    """Its column that says from when on a row was known; a date counts from its midnight on."""
    columns: _Renamed = Field(min_length=1)
    """What it brings: `[temp, wind]`, or `{dest_temp: temp}` to call it otherwise."""
    tolerance: Duration | None = None
    """An older row is none: its values are missing. Without it the newest row counts, however old."""
    delay: Duration | None = None
    """How long after its time a row was known, such as `1d` where a date is that of a day's summary."""
    # "schema" would hide a method of pydantic's.
    typed_columns: _Columns = Field(default_factory=dict, alias="schema", strict=False)
    """How its columns are read, as `data.schema`."""
    missing: tuple[Text, ...] = Field(default=(), strict=False)
    """Texts that mean "missing" in every column of it."""


class DataSpec(SpecPart):
    """Where batches come from and what the data table is."""

    source: Backend
    """The source: `{type: files, path: ...}`, `{type: sql, connection: ..., table: ...}` or
    `{type: python, function: ...}`."""
    # "schema" would hide a method of pydantic's.
    columns: _Columns = Field(default_factory=dict, alias="schema", strict=False)
    """How columns are read, by name: `zip: text`, `income: {type: number, decimal: ",", thousands: "."}`,
    `remark: drop`. What it does not say, all rows of the first batch say, and it is kept."""
    missing: tuple[Text, ...] = Field(default=(), strict=False)
    """Texts that mean "missing" in every column."""
    join: dict[Name, JoinSpec] = Field(default_factory=dict, max_length=20, strict=False)
    """Tables, by a name of your own, whose columns each row gets as they were known at its event time, before
    `features`."""
    features: str | None = None
    """Function of features.py that adds columns to each batch: it takes and gives a DuckDB relation."""
    time: Column | None = None
    """The event-time column: splits, windows and the order of rows follow it."""
    key: tuple[Column, ...] = Field(default=(), strict=False)
    """Columns that identify a row; a row whose key is already in the table is not added again."""
    max_rows: int = Field(default=50_000_000, gt=0)
    """A batch with more rows is refused."""


class Expectation(SpecPart):
    """One rule of the contract."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    type: str
    """A Great Expectations name such as `expect_column_values_to_not_be_null`; its arguments stand beside it."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys beside `type`."""
        return dict(self.__pydantic_extra__ or {})


class ContractSpec(SpecPart):
    """What a batch must be before its rows reach the data table."""

    on_failure: Literal["fail", "quarantine", "warn"] = "fail"
    """`fail`: the task fails; `quarantine`: the bad rows are set aside; `warn`: all rows are committed."""
    on_schema_change: Literal["fail", "warn"] = "fail"
    """What an added, removed, renamed or retyped column does. With `warn`, rows that the table's type cannot hold are
    set aside. Wider values (decimals among whole numbers, times among dates) widen the column in any case."""
    doubtful: Literal["fail", "warn"] = "fail"
    """What a doubtful column does that the model uses: a text that is nearly always a number or a date, dates that can
    be read in two ways, free text. To end the doubt, name the column in `data.schema`."""
    max_quarantine: float = Field(default=0.2, ge=0, le=1)
    """With `quarantine`: the largest share of bad rows; above it the batch fails."""
    expectations: tuple[Expectation, ...] = Field(default=(), strict=False)
    """Great Expectations rules."""
