"""What is taken where nobody names an id: the newest batch, run, dataset version or version of a model; the champion.

The command line and the operators ask here, so that both take the same and refuse in the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipstream.errors import NotFound, StageError
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    from slipstream.store import Store
    from slipstream.store.figures import VersionFigures


def newest_batch(store: Store, spec: ModelSpec) -> str:
    """The id of the batch that the newest ingest brought; raises StageError ``run_not_found`` without one."""
    event = store.ledger.state().model(spec.name).latest.get("ingest")
    return _there(spec, "ingest", event.content.result.batch if event is not None else "")


def newest_run(store: Store, spec: ModelSpec, stage: str) -> str:
    """The id of the newest finished run of *stage*; of ``train`` that is the candidate, which may be imported.

    Raises:
        StageError: ``run_not_found``: the stage has never finished.
    """
    latest = store.ledger.state().model(spec.name).latest
    runs = [latest[one] for one in (("train", "import") if stage == "train" else (stage,)) if one in latest]
    event = max(runs, key=lambda event: event.seq, default=None)
    return _there(spec, stage, event.content.run if event is not None else "")


def newest_dataset(store: Store, spec: ModelSpec) -> str:
    """The newest dataset version: what the last good batch or rebuild made, whatever was refused since.

    Raises:
        StageError: ``run_not_found``: nothing was committed yet.
    """
    dataset = store.ledger.state().model(spec.name).dataset
    if dataset is None:
        message = f"{spec.name} has no data yet; ingest and validate a batch first."
        raise StageError(message, code="run_not_found")
    return dataset


def newest_version(store: Store, spec: ModelSpec) -> int:
    """The number of the newest version; raises StageError ``version_not_found`` if there is none."""
    versions = store.ledger.state().model(spec.name).versions
    if not versions:
        raise StageError(f"{spec.name} has no version; package one first.", code="version_not_found")
    return max(versions)


def champion_of(store: Store, spec: ModelSpec) -> tuple[int, VersionFigures]:
    """The champion's number and what its packaging left; raises NotFound when nothing was deployed yet."""
    model = store.ledger.state().model(spec.name)
    if model.retired is not None:
        message = f"{spec.name} is retired: no version serves; deploy one with --again to bring it back."
        raise NotFound(message, code="champion_missing")
    if model.champion is None:
        raise NotFound(f"{spec.name} has no champion yet; train and deploy a version first.", code="champion_missing")
    return model.champion, model.packaged(model.champion)


def _there(spec: ModelSpec, stage: str, name: str) -> str:
    if not name:
        raise StageError(f"{spec.name} has no finished {stage}; run it first.", code="run_not_found")
    return name
