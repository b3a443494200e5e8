"""What every stage keeps: the same inputs give the same run, committed once, whatever is killed in between.

A run's key is the digest of the stage's code version, the parts of the spec that it reads, its input ids and the
versions of the libraries that decide its result. The key is looked up in the ledger first; a run that is there is
returned, shown as *reused*. Else the stage works, writes objects, and commits ONE event last.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from itertools import islice
from typing import Any, TypeVar

import msgspec

from slipstream.errors import StageError, shown
from slipstream.slots import TRACKER
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.objects import canonical_json
from slipstream.store.state import State

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
    versions = {}
    for name in " ".join(_DECIDING).split():
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Installed versions of what brings those modules, by distribution, without those that are not there."""
    wanted = sorted(set(modules) - sys.stdlib_module_names - {"slipstream"})
    providers = _providers() if wanted else {}
    return {name: version(name) for module in wanted for name in sorted(set(providers.get(module, ())))}


@cache
def _providers() -> Mapping[str, list[str]]:
    return packages_distributions()


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
        return dataclasses.replace(known.result_as(result), reused=True)
    faultpoint(f"{stage.name}.begin")
    started = time.monotonic()
    finished = dataclasses.replace(work(run), run=run)
    faultpoint(f"{stage.name}.worked")
    payload = {
        "stage": stage.name,
        "run": run,
        "seconds": round(time.monotonic() - started, 3),
        "spec": store.objects.put_json(spec.model_dump(mode="json")),
        "result": finished.figures(),
    }
    if record is not None:
        payload |= record(finished, store.ledger.state())
    event = store.ledger.append(stage.event, spec.name, payload, key=key, actor=actor, check=check)
    faultpoint(f"{stage.name}.committed")
    _tell_trackers(spec, stage, finished)
    return event.result_as(result)


def find_result(store: Store, spec: ModelSpec, run: str, result: type[R]) -> R:
    """The result of the finished run of that id.

    Raises:
        StageError: ``run_not_found``, with the newest runs that there are.
    """
    model, stage = store.ledger.state().model(spec.name), run.partition("-")[0]
    event = model.runs.get(run)
    if event is not None and event.content.stage == stage:
        return event.result_as(result)
    newest = islice((event.content.run for event in reversed(model.events) if event.content.stage == stage), 3)
    known = ", ".join(reversed(list(newest)))
    message = f"{spec.name} has no finished run {shown(run)}. Newest: {known or 'none'}."
    raise StageError(message, code="run_not_found")


def read_until(store: Store, spec: ModelSpec, stage: str, source: str) -> str:
    """Where the last run of *stage* that read *source* ended: its watermark; "" if none did.

    Args:
        store: The store.
        spec: The model.
        stage: A stage whose results have ``source`` and ``watermark``.
        source: What tells the source.
    """
    for event in reversed(store.ledger.state().model(spec.name).events):
        if event.kind == "run.finished" and event.content.stage == stage:
            result: Mapping[str, Any] = event.data["result"]
            if result.get("source") == source:
                return str(result["watermark"])
    return ""


def _tell_trackers(spec: ModelSpec, stage: Stage, result: Result) -> None:
    """Trackers hear of the run after it is committed; a tracker that fails is reported and changes nothing."""
    import logging

    for config in spec.trackers:
        try:
            TRACKER.build(config, allow_code=spec.allow_code).record(
                spec.name, stage.name, result.run, result.figures()
            )
        except Exception as error:  # a tracker of somebody else may raise anything
            logging.getLogger("slipstream").warning(
                "tracker %s was not told of %s: %s", config["type"], result.run, error
            )
