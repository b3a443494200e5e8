"""Whether the rows of a dataset version follow from today's features.py and data.schema."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.data.batch import Batch, load_batch
from slipstream.data.features import derivation
from slipstream.data.lineage import batches_until
from slipstream.data.schema_decisions import decisions_of
from slipstream.errors import StageError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


@dataclass(frozen=True)
class Otherwise:
    """Rows that were derived by another features.py, data.schema or data.join than today's.

    Attributes:
        sentence: Which.
        rederivable: Whether what was delivered is kept, so that they can be derived anew.
    """

    sentence: str
    rederivable: bool


def derived_otherwise(spec: ModelSpec, store: Store, dataset: str) -> Otherwise | None:
    """What of that dataset version does not follow from today's model project; None if all does.

    A batch of a time when nothing kept how it was derived counts as derived by today's.
    """
    batches = batches_until(store, spec.name, dataset)
    known = [load_batch(store, spec.name, batch) for batch in batches if batch]
    today = derivation(spec, decisions_of(store.ledger.state().model(spec.name)).types)
    other = sum(batch.derived not in {"", today} for batch in known)
    if not other:
        return None
    some = "" if other == len(batches) else f"of {other:,} of them "
    rows = store.ledger.state().model(spec.name).committed(dataset).rows
    sentence = (
        f"the rows {some}in the table ({len(batches):,} batches, {rows:,} rows) were derived by another features.py, "
        "data.schema or data.join"
    )
    return Otherwise(sentence, len(known) == len(batches) and all(batch.delivered for batch in known))


def refuse_otherwise(spec: ModelSpec, store: Store, dataset: str) -> str:
    """Refuse to work on rows that a rebuild would derive otherwise; returns what is to be told where none can.

    Raises:
        StageError: ``rebuild_needed``.
    """
    difference = derived_otherwise(spec, store, dataset)
    if difference is None:
        return ""
    if not difference.rederivable:
        return f"{difference.sentence}, and cannot be derived anew: what was delivered is not kept"
    newest = store.ledger.state().model(spec.name).dataset
    if dataset != newest:
        remedy = "train on the newest dataset version, or undo the edit"
    else:
        remedy = f"derive them anew (slipstream rebuild {spec.name}, or the form of the ingest DAG), or undo the edit"
    message = f"{spec.name}: dataset version {dataset[:12]}: {difference.sentence}; {remedy}."
    raise StageError(message, code="rebuild_needed")


def mixed(spec: ModelSpec, store: Store, batch: Batch) -> tuple[str, ...]:
    """That the rows of *batch* were derived otherwise than those of the newest batch in the table; () if not."""
    model = store.ledger.state().model(spec.name)
    last = model.committed(model.dataset).batch if model.dataset else None
    if not last or load_batch(store, spec.name, last).derived in {"", batch.derived}:
        return ()
    return (
        "The rows that are in the table were derived by another features.py, data.schema or data.join than this batch; "
        f"slipstream rebuild {spec.name} derives them anew.",
    )
