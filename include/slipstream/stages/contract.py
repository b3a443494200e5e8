"""What every stage keeps: the same inputs give the same run, committed once, whatever is killed in between.

A run's key is the digest of the stage's code version, the parts of the spec that it reads, its input ids and the
versions of the libraries that decide its result. The key is looked up in the ledger first; a run that is there is
returned, shown as *reused*. Else the stage works, writes objects, and commits ONE event last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import msgspec

from slipstream.errors import NotFound, SlipstreamError, StageError, shown
from slipstream.slots import TRACKER
from slipstream.spec import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.objects import canonical_json
from slipstream.store.state import Event, State

_DECIDING = (
    "slipstream numpy scipy scikit-learn pandas pyarrow duckdb deltalake skops",
    "great-expectations evidently shap bentoml fairlearn",
)


@dataclass(frozen=True)
class Result:
    """What every stage returns: ids and small figures, nothing that does not fit through Airflow's XCom.

    Attributes:
        run: Id of the run that made it, ``<stage>-<digest>``; equal inputs give an equal id.
        reused: Whether an earlier run had already made it.
    """

    run: str = dataclasses.field(default="", kw_only=True)
    reused: bool = dataclasses.field(default=False, kw_only=True)

    def figures(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Stage:
    """A stage's name and the version of its code; raise the version when the same inputs must give another result."""

    name: str
    version: int
    event: str = "run.finished"


@cache
def lock_digest() -> str:
    """Digest of the installed versions of the libraries that decide results."""
    return hashlib.sha256(canonical_json(library_versions())).hexdigest()


def library_versions() -> dict[str, str]:
    """Installed version of each library that decides results; absent ones are left out."""
    found = {}
    for name in " ".join(_DECIDING).split():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run_key(stage: Stage, spec_part: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """The key of a run, in hexadecimal."""
    parts = {"stage": stage.name, "version": stage.version, "spec": spec_part, "inputs": inputs, "lock": lock_digest()}
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def once(  # noqa: PLR0913 - a run is made of these parts, and every stage names them here alone
    stage: Stage,
    spec: ModelSpec,
    store: Store,
    key: str,
    work: Callable[[str], R],
    *,
    result: type[R],
    actor: str = "",
    check: Callable[[State], None] | None = None,
    record: Callable[[R, State], Mapping[str, Any]] | None = None,
) -> R:
    """The result of the run of that *key*: an earlier one if the ledger has it, else *work*'s, committed as one event.

    Args:
        stage: The stage.
        spec: The model.
        store: Where the event is committed.
        key: From :func:`run_key`.
        work: Given the run's id, does the work and returns the result; it may write objects and tables, which must not
            depend on anything but the inputs.
        result: The class of the result.
        actor: Who asked for the run.
        check: Called with the state just before the commit, on each attempt; raises to refuse.
        record: Fields for the event beside the result, for events that change the state.
    """
    run = f"{stage.name}-{key[:16]}"
    known = store.ledger.find(stage.event, spec.name, key)
    if known is not None:
        return dataclasses.replace(_result_of(known, result), reused=True)
    faultpoint(f"{stage.name}.begin")
    started = time.monotonic()
    made = dataclasses.replace(work(run), run=run)
    faultpoint(f"{stage.name}.worked")
    payload = {
        "stage": stage.name,
        "run": run,
        "seconds": round(time.monotonic() - started, 3),
        "spec": store.objects.put_json(spec.model_dump(mode="json")),
        "result": made.figures(),
    }
    if record is not None:
        payload |= record(made, store.ledger.state())
    event = store.ledger.append(stage.event, spec.name, payload, key=key, actor=actor, check=check)
    faultpoint(f"{stage.name}.committed")
    _tell_trackers(spec, stage, made)
    return _result_of(event, result)


def find_result(store: Store, spec: ModelSpec, run: str, result: type[R]) -> R:
    """The result of the finished run of that id.

    Raises:
        StageError: ``run_not_found``, with the newest runs that there are.
    """
    stage = run.partition("-")[0]
    events = [event for event in store.ledger.read(model=spec.name) if event.data.get("stage") == stage]
    for event in reversed(events):
        if event.data["run"] == run:
            return _result_of(event, result)
    known = [str(event.data["run"]) for event in events[-3:]]
    message = f"{spec.name} has no finished run {shown(run)}. Newest: {', '.join(known) or 'none'}."
    raise StageError(message, code="run_not_found")


def newest_id(store: Store, spec: ModelSpec, stage: str, field: str) -> str:
    """The id that the newest finished run of *stage* left in that *field* of its result.

    Raises:
        StageError: ``run_not_found``: the stage has never finished.
    """
    event = store.ledger.state().model(spec.name).latest.get(stage)
    value = event.data["result"].get(field) if event else None
    if not value:
        raise StageError(f"{spec.name} has no finished {stage}; run it first.", code="run_not_found")
    return str(value)


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


def champion_of(store: Store, spec: ModelSpec) -> tuple[int, Event]:
    """The champion's number and the event that registered it; raises NotFound when nothing was deployed yet."""
    model = store.ledger.state().model(spec.name)
    if model.retired is not None:
        message = f"{spec.name} is retired: no version serves; deploy one with --again to bring it back."
        raise NotFound(message, code="champion_missing")
    if model.champion is None:
        raise NotFound(f"{spec.name} has no champion yet; train and deploy a version first.", code="champion_missing")
    return model.champion, model.versions[model.champion]


def _result_of(event: Event, result: type[R]) -> R:
    return msgspec.convert(event.data["result"], result)


def _tell_trackers(spec: ModelSpec, stage: Stage, made: Result) -> None:
    """Trackers hear of the run after it is committed; a tracker that fails is reported and changes nothing."""
    import logging

    for config in spec.trackers:
        try:
            TRACKER.build(config, allow_code=spec.allow_code).record(spec.name, stage.name, made.run, made.figures())
        except (SlipstreamError, OSError) as error:
            logging.getLogger("slipstream").warning(
                "tracker %s was not told of %s: %s", config["type"], made.run, error
            )
