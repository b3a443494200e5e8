"""Validate: judge a batch by the contract and commit its good rows; nothing else writes to the data table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from slipstream.data.batch import POSITION, PROBLEM, Batch, load_batch
from slipstream.data.batch_checks import check_keys, check_unreadable, check_values, scan
from slipstream.data.commit import (
    NONE,
    Rejected,
    base_columns,
    commit,
    find_commit,
    good_rows,
    refuse_undecided,
    set_aside,
)
from slipstream.data.derived import mixed
from slipstream.data.expectations_gx import Judgement, judge
from slipstream.data.schema_check import (
    Columns,
    SchemaChange,
    check_changes,
    check_doubtful,
    check_named,
    check_reserved,
    compare,
)
from slipstream.data.schema_decisions import SchemaDecisions, decisions_of
from slipstream.data.validated import Validated
from slipstream.duck import duck
from slipstream.errors import ContractFailed, DataError
from slipstream.number_formats import counted
from slipstream.runs import Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

if TYPE_CHECKING:
    import duckdb

VALIDATE = Stage("validate", 2, event="validation.finished")
READS = ("name", "task", "target", "inputs", "contract", "data.time", "data.key")
"""Places of the model file that its runs depend on, as in every stage."""
_NOTES = 20
_REASONS = 5


def validate(spec: ModelSpec, store: Store, batch: str, *, actor: str = "") -> Validated:
    """Judge the batch of id *batch*; commit its good rows, set the bad ones aside, or refuse it, as the contract says.

    What was found is recorded in any case, once: a second call gives the same answer, or raises the same error.

    Raises:
        ContractFailed: the contract was broken and does not say ``warn``, or by more rows than ``max_quarantine``.
        DataError: the batch is empty, or its columns, keys, times or numbers are not usable.
        SpecError: an expectation has wrong arguments; nothing is recorded.
        StageError: no such batch, or the table moved on since it was read.
    """
    landed = load_batch(store, spec.name, batch)
    key = run_key(VALIDATE, spec.part(*READS), {"batch": batch})
    done = find_commit(spec, store, key)
    if done is not None:
        return dataclasses.replace(done.result_as(Validated), reused=True)
    refuse_undecided(spec, landed, store.ledger.state().model(spec.name))
    judged = once(
        VALIDATE, spec, store, key, lambda run: _judged(spec, store, landed, run), result=Validated, actor=actor
    )
    if not judged.success:
        raise _refusal(judged)
    event = commit(spec, store, landed, judged, key, actor)
    return event.result_as(Validated)


def _refusal(result: Validated) -> DataError:
    """The error that the recorded result stands for."""
    if result.code == ContractFailed.code:
        return ContractFailed(result.message, result.failed)
    return DataError(result.message, code=result.code)


@dataclass(frozen=True)
class Findings:
    """What judging a batch found; the parts fill up as far as judging got."""

    changes: tuple[SchemaChange, ...] = ()
    missing: dict[str, int] = dataclasses.field(default_factory=dict)
    judgements: tuple[Judgement, ...] = ()
    rejected: Rejected = NONE


def _judged(spec: ModelSpec, store: Store, batch: Batch, run: str) -> Validated:
    """Judge, set bad rows aside, and write the result and the report."""
    findings = Findings()
    refusal: DataError | None = None
    try:
        decisions = decisions_of(store.ledger.state().model(spec.name), batch.decisions)
        for findings in _steps(spec, store, batch, base_columns(spec, store), decisions):  # noqa: B007 - each step's findings are kept should the next one raise
            pass
    except DataError as error:
        refusal = error
    failed = tuple(item.name for item in findings.judgements if not item.met)
    quarantined = 0 if refusal else findings.rejected.rows + batch.aside_rows
    if not refusal:
        set_aside(spec, store, batch, findings.rejected, run)
    result = Validated(
        batch=batch.id,
        rows=batch.rows + batch.aside_rows,
        good=0 if refusal else batch.rows - findings.rejected.rows,
        quarantined=quarantined,
        success=refusal is None,
        failed=failed or tuple(getattr(refusal, "failed", ())),
        code=refusal.code if refusal else "",
        message=str(refusal) if refusal else "",
        rejected="" if refusal else findings.rejected.file,
        aside=() if refusal else _aside(store, batch, findings),
        notes=(*mixed(spec, store, batch), *(note.sentence for note in batch.notes))[:_NOTES],
    )
    return _reported(spec, store, batch, findings, result)


def _aside(store: Store, batch: Batch, findings: Findings) -> tuple[str, ...]:
    """Why rows are set aside, the most frequent reasons first."""
    why: list[tuple[int, str]] = []
    if batch.aside_rows:
        with duck() as connection:
            rows = connection.read_parquet(str(store.objects.path(batch.aside)))
            reasons = rows.aggregate(f"{PROBLEM} AS problem, count(*) AS n", PROBLEM)
            why += [(n, text) for text, n in reasons.order("n DESC, problem").limit(_REASONS).fetchall()]
    if findings.rejected.rows:
        broken = [one for one in findings.judgements if one.rows]
        why += [(len(one.rows), ": e.g. ".join([one.name, *one.sample[:1]])) for one in broken]
    why.sort(key=lambda reason: -reason[0])
    return tuple(f"{text} ({counted(count, 'row')})" for count, text in why[:_REASONS])


def judge_batch(
    spec: ModelSpec, store: Store, batch: Batch, table: Columns, decisions: SchemaDecisions | None = None
) -> Findings:
    """What judging the batch anew finds against a *table* of these columns; raises the first reason to refuse it."""
    findings = Findings()
    for findings in _steps(spec, store, batch, table, decisions or SchemaDecisions(), anew=True):  # noqa: B007 - the last step's findings hold all
        pass
    return findings


def _steps(
    spec: ModelSpec, store: Store, batch: Batch, table: Columns, decisions: SchemaDecisions, *, anew: bool = False
) -> Iterator[Findings]:
    """Judge step by step, yielding what is known after each; raises DataError at the first reason to refuse."""
    check_reserved(batch.columns)
    with duck() as connection:
        rows = batch.read(store, connection)
        seen = scan(batch, rows)
        changes = (*compare(table, batch.columns), *batch.changes)
        findings = Findings(changes=changes, missing=dict(seen.missing))
        yield findings
        check_changes(spec, decisions.open(changes, anew=anew), decisions.types)
        check_named(spec, batch.columns)
        check_doubtful(spec, batch.notes)
        check_unreadable(spec, batch, store, connection)
        check_values(spec, batch, rows, seen)
        if spec.contract.expectations:
            judgements = judge(spec, rows, batch)
            findings = dataclasses.replace(findings, judgements=tuple(judgements))
            yield findings
            findings = dataclasses.replace(findings, rejected=_rejected(spec, store, batch, judgements, connection))
            yield findings
        check_keys(spec, good_rows(store, batch, findings.rejected, connection))


def _rejected(
    spec: ModelSpec,
    store: Store,
    batch: Batch,
    judgements: Sequence[Judgement],
    connection: duckdb.DuckDBPyConnection,
) -> Rejected:
    """The rows to set aside; raises ContractFailed where the contract says ``fail``, or setting aside is no answer."""
    broken = [item for item in judgements if not item.met]
    if not broken or spec.contract.on_failure == "warn":
        return NONE
    names = tuple(item.name for item in broken)
    if spec.contract.on_failure == "fail":
        raise ContractFailed(f"{spec.name}: the batch broke its contract: {_sentences(broken)}.", names)
    whole = [item for item in broken if not item.rows]
    if whole:
        message = f"{spec.name}: the batch as a whole broke its contract, no single rows did: {_sentences(whole)}."
        raise ContractFailed(message, names)
    rejected = _store_rejected(store, broken, connection)
    share = (rejected.rows + batch.aside_rows) / (batch.rows + batch.aside_rows)
    if share > spec.contract.max_quarantine:
        limit = (
            f"{share:.1%} of the rows broke it, more than contract.max_quarantine ({spec.contract.max_quarantine:.1%})"
        )
        raise ContractFailed(f"{spec.name}: the batch broke its contract: {limit}: {_sentences(broken)}.", names)
    return rejected


def _sentences(broken: Sequence[Judgement]) -> str:
    return "; ".join(
        f"{item.name}: {item.unexpected} of {item.judged} rows, e.g. {item.sample[0]}"
        if item.unexpected and item.sample
        else f"{item.name}: observed {item.observed or 'nothing that fits'}"
        for item in broken
    )


def _store_rejected(store: Store, broken: Sequence[Judgement], connection: duckdb.DuckDBPyConnection) -> Rejected:
    """Keep which rows broke which expectations as a Parquet object."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    why: dict[int, list[str]] = {}
    for item in broken:
        for position in item.rows:
            why.setdefault(position, []).append(item.name)
    positions = sorted(why)
    table = pa.table(
        {
            POSITION: pa.array(positions, pa.int64()),
            "failed_expectation": pa.array(["; ".join(why[position]) for position in positions], pa.string()),
        }
    )
    with TemporaryDirectory(prefix="slipstream-") as folder:
        file = Path(folder) / "rejected.parquet"
        pq.write_table(table, file, compression="zstd")
        return Rejected(store.objects.put_file(file), len(positions))


def _reported(spec: ModelSpec, store: Store, batch: Batch, findings: Findings, result: Validated) -> Validated:
    """Keep the result as JSON and as a page."""
    from slipstream.reports.validation import page

    details = {
        "model": spec.name,
        "contract": spec.part("contract")["contract"],
        "result": {name: value for name, value in result.figures().items() if name not in {"run", "reused"}},
        "changes": [dataclasses.asdict(change) | {"sentence": change.sentence} for change in findings.changes],
        "missing": findings.missing,
        "notes": [dataclasses.asdict(note) | {"sentence": note.sentence} for note in batch.notes],
        "unreadable": batch.aside_rows,
        "expectations": [
            {name: value for name, value in dataclasses.asdict(item).items() if name != "rows"}
            for item in findings.judgements
        ],
    }
    plain = msgspec.to_builtins(details)
    return dataclasses.replace(result, details=store.objects.put_json(plain), report=store.objects.put(page(plain)))
