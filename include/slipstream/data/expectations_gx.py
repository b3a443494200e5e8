"""Great Expectations judges the contract: the one module that knows the library.

It is handed pandas frames of the columns that an expectation names and no others, so that its memory follows the
contract, not the width of the table. It runs quietly: no telemetry, no progress bars, one context in memory.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from slipstream.data.batch import POSITION, Batch
from slipstream.data.schema_check import columns_judged, judges_rows
from slipstream.duck import quoted
from slipstream.errors import SpecError, shown
from slipstream.spec.expectations import TABLE_EXPECTATIONS
from slipstream.spec.model import Expectation, ModelSpec

if TYPE_CHECKING:
    import duckdb

SAMPLE = 10
REFUSED = {
    "id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content", "windows",
    "batch_id", "row_condition", "condition_parser", "severity", "library_metadata",
}  # fmt: skip
"""Arguments that every expectation of the library has and a contract may not use: they choose what we choose
(result_format), are expressions that pandas would evaluate (row_condition), or say nothing to it (library_metadata)."""
_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": SAMPLE}


@dataclass(frozen=True)
class Judgement:
    """How one expectation of the contract went.

    Attributes:
        number: Its place in the contract, from 0.
        name: Its type and columns, as errors and the quarantine table name it.
        met: Whether it was met.
        judged: Number of values or rows that it looked at.
        unexpected: Number of rows that broke it; 0 for expectations about the batch as a whole.
        observed: What was seen, for expectations about the batch as a whole.
        sample: At most :data:`SAMPLE` of the values that broke it, as text.
        rows: Positions in the batch (from 0) of the rows that broke it, if it was not met.
    """

    number: int
    name: str
    met: bool
    judged: int
    unexpected: int
    observed: str = ""
    sample: tuple[str, ...] = ()
    rows: tuple[int, ...] = field(default=(), repr=False)


def judge(spec: ModelSpec, rows: duckdb.DuckDBPyRelation, batch: Batch) -> list[Judgement]:
    """Judge each expectation of the contract, in its order.

    Args:
        spec: The model.
        rows: The rows of the batch, as :meth:`slipstream.data.batch.Batch.read` gives them.
        batch: Their batch.

    Raises:
        SpecError: ``spec_expectation_invalid``: arguments that the expectation does not take, or values of the column
            that they cannot be compared with.
    """
    rules = spec.contract.expectations
    built = [_built(spec, number, rule) for number, rule in enumerate(rules)]
    judgements: dict[int, Judgement] = {}
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for number, rule in enumerate(rules):
        by_columns.setdefault(columns_judged(rule), []).append(number)
    names = [name for name, _ in batch.columns]
    header = _project(rows, names).limit(0).df()
    for columns, numbers in by_columns.items():
        # Its index is the position in the batch; without columns one stands for all, to be counted.
        frame = _project(rows.order(POSITION), columns or names[:1]).df()
        values = _great_batch(frame)
        for number in numbers:
            judged = _great_batch(header) if rules[number].type in TABLE_EXPECTATIONS else values
            judgements[number] = _judged(spec, number, judged, built[number], len(frame))
    return [judgements[number] for number in range(len(rules))]


def _project(rows: duckdb.DuckDBPyRelation, names: Sequence[str]) -> duckdb.DuckDBPyRelation:
    return rows.project(", ".join(map(quoted, names)))


def name_of(rule: Expectation) -> str:
    """The expectation as errors and the quarantine table name it: its type and its columns."""
    return f"{rule.type}({', '.join(columns_judged(rule))})"


def _built(spec: ModelSpec, number: int, rule: Expectation) -> Any:
    """Great Expectations' own object for *rule*."""
    kind = expectation_class(rule.type)
    takes = [name for name in kind.__fields__ if name not in REFUSED]
    arguments = {name: _moment(value) if name.endswith("_value") else value for name, value in rule.arguments.items()}
    try:
        return kind(**arguments)
    except ValueError as error:
        raise _invalid(spec, number, f"{_first_problem(error)}; it takes: {', '.join(takes)}.") from error


def expectation_class(name: str) -> Any:
    """Great Expectations' class of that name."""
    by_name = {word.lower(): kind for word, kind in vars(library().expectations).items()}
    return by_name[name.replace("_", "")]


def _first_problem(error: ValueError) -> str:
    """What pydantic says of the first argument that is wrong."""
    problems = error.errors() if hasattr(error, "errors") else []
    if not problems:
        return str(error)
    place = ".".join(str(part) for part in problems[0]["loc"] if part != "__root__")
    return f"{place}: {problems[0]['msg']}" if place else str(problems[0]["msg"])


def _moment(value: object) -> object:
    """YAML has no dates: a text that is one bounds a column of times, which are in UTC."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _judged(spec: ModelSpec, number: int, batch: Any, expectation: Any, rows: int) -> Judgement:
    rule = spec.contract.expectations[number]
    answer = batch.validate(expectation, result_format=_FORMAT)
    for problem in (answer.exception_info, *answer.exception_info.values()):
        if isinstance(problem, dict) and problem.get("raised_exception"):
            raise _invalid(spec, number, f"cannot be judged on this data: {problem['exception_message']}")
    result = answer.result
    observed = result.get("observed_value")
    return Judgement(
        number=number,
        name=name_of(rule),
        met=bool(answer.success),
        judged=rows - int(result.get("missing_count") or 0),
        unexpected=int(result.get("unexpected_count") or 0) if judges_rows(rule) else 0,
        observed="" if observed is None else _text(observed),
        sample=tuple(_text(value) for value in (result.get("partial_unexpected_list") or ())[:SAMPLE]),
        rows=()
        if answer.success or not judges_rows(rule)
        else tuple(map(int, result.get("unexpected_index_list") or ())),
    )


def _text(value: Any) -> str:
    """A value, or the values of several columns, as people read it."""
    import pandas

    if isinstance(value, dict):
        return ", ".join(f"{name} = {_text(part)}" for name, part in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_text, value))
    if pandas.isna(value):
        return "missing"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(" "))
    return shown(value.item() if hasattr(value, "item") else value)


def _invalid(spec: ModelSpec, number: int, problem: str) -> SpecError:
    rule = spec.contract.expectations[number]
    message = f"{spec.name}/model.yaml: contract.expectations.{number}: {rule.type}: {problem}"
    return SpecError(message, code="spec_expectation_invalid")


@cache
def library() -> Any:
    """The library, imported once per process (about 3 CPU seconds) and told to be quiet."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of modules that the library should no longer use
        import great_expectations

    return great_expectations


@cache
def _whole_frame() -> Any:
    """A batch definition in a context that lives in memory."""
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = library().get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("slipstream").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("whole")


def _great_batch(frame: Any) -> Any:
    return _whole_frame().get_batch({"dataframe": frame})
