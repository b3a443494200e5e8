"""What the contract as it stands would have done to the batches that came; nothing in the store is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipstream.data.batch import Batch, load_batch
from slipstream.data.expectations_gx import Judgement, judge
from slipstream.data.validated import Validated
from slipstream.duck import duck
from slipstream.errors import StageError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

Outcome = Literal["passes", "warns", "quarantines", "fails"]


@dataclass(frozen=True)
class PastBatch:
    """One batch, judged by the contract of today.

    Attributes:
        batch: Its id.
        time: When it came, UTC, ISO 8601.
        rows: Its rows, those that could not be read among them.
        outcome: What validate would do with it.
        aside: Rows that would be set aside.
        broken: The expectations that it breaks, with how many rows break each.
        then: What validate did: ``passes``, ``quarantines``, ``fails``, or "" where it was never asked.
    """

    batch: str
    time: str
    rows: int
    outcome: Outcome
    aside: int
    broken: tuple[str, ...]
    then: str


def past_batches(spec: ModelSpec, store: Store, at_most: int) -> list[PastBatch]:
    """The newest *at_most* batches of the model, oldest first.

    Raises:
        StageError: ``run_not_found``: none has come yet.
        SpecError: an expectation has arguments that the data cannot be compared with.
    """
    state = store.ledger.state().model(spec.name)
    came = {event.content.result.batch: event.time for event in state.on("ingest") if event.content.result.batch}
    if not came:
        message = f"{spec.name}: no batch has come yet; run slipstream ingest {spec.name} first."
        raise StageError(message, code="run_not_found")
    results = [event.result_as(Validated) for event in state.on("validation.finished")]
    did = {one.batch: _did(one) for one in results}
    newest = list(came.items())[-at_most:]
    return [_judged(spec, store, load_batch(store, spec.name, name), time, did.get(name, "")) for name, time in newest]


def _judged(spec: ModelSpec, store: Store, batch: Batch, time: str, then: str) -> PastBatch:
    with duck() as connection:
        judgements = judge(spec, batch.read(store, connection), batch)
    broken = [one for one in judgements if not one.met]
    outcome, aside = _outcome(spec, batch, broken)
    return PastBatch(
        batch=batch.id,
        time=time,
        rows=batch.rows + batch.aside_rows,
        outcome=outcome,
        aside=aside,
        broken=tuple(f"{one.name}: {one.unexpected:,}" if one.rows else one.name for one in broken),
        then=then,
    )


def _outcome(spec: ModelSpec, batch: Batch, broken: list[Judgement]) -> tuple[Outcome, int]:
    if not broken:
        return ("quarantines" if batch.aside_rows else "passes"), batch.aside_rows
    if spec.contract.on_failure == "warn":
        return "warns", batch.aside_rows
    aside = len(set().union(*(one.rows for one in broken))) + batch.aside_rows
    whole = any(not one.rows for one in broken)
    share = aside / (batch.rows + batch.aside_rows)
    if spec.contract.on_failure == "fail" or whole or share > spec.contract.max_quarantine:
        return "fails", 0
    return "quarantines", aside


def _did(result: Validated) -> str:
    if not result.success:
        return "fails"
    if result.quarantined:
        return "quarantines"
    return "warns" if result.failed else "passes"
