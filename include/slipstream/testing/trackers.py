"""Checks of a tracker: the promises of :class:`slipstream.slots.Tracker`, proven by telling it of made-up runs."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from slipstream.slot import Slot
from slipstream.slots import TRACKER
from slipstream.testing.suite import (
    SHARED_CHECKS,
    BackendCase,
    BrokenPromise,
    in_another_process,
    promise,
    run_checks,
)

_FOLDER = "{folder}"
_RUNS = 40
_PROCESSES = ("a", "b")
_SECONDS = 60.0
PLAIN: Mapping[str, Any] = {"candidate": "train-1", "rows_train": 240, "reused": False, "scores": {"roc_auc": 0.5}}
ODD: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "not a number": {"score": float("nan"), "bound": float("inf")},
    "no value": {"champion": None, "scores": {}, "slices": []},
    "nested": {"scores": {"by": [{"slice": ["a", 1, None]}]}, "pair": (1, 2)},
    "words": {"a b": "line\nend", 'it\'s "q"': "<b>é🚲</b>", "": "\x00\t"},
    "large": {"text": "x" * 100_000, "whole": 10**30, "list": list(range(10_000))},
    "a number for a name": {1: "one", None: "none"},  # type: ignore[dict-item]
}
"""Figures that a stage may bring, or a later one."""


@dataclass(frozen=True)
class TrackerCase(BackendCase):
    """A tracker that is to be checked.

    Attributes:
        config: As in model.yaml; ``{folder}`` in a text is a temporary folder, another one for each check.
        read: Of that folder, the runs that were told: mappings with ``model``, ``stage``, ``run`` and ``figures``, in
            their order. None: what was told cannot be read back, and is not compared.
    """

    read: Callable[[Path], Sequence[Mapping[str, Any]]] | None = None
    slot: ClassVar[Slot[Any]] = TRACKER

    def within(self, folder: Path) -> TrackerCase:
        """The same case with its temporary folder."""
        return TrackerCase(_placed(self.config, folder), self.read)

    def record(self, run: str, figures: Mapping[str, Any]) -> None:
        """Tell a new instance of one run, as a stage does."""
        self.build().record("checked", "train", run, figures)

    def runs(self, folder: Path) -> list[str] | None:
        """The runs that were told, where they can be read."""
        return [str(entry["run"]) for entry in self.read(folder)] if self.read else None


def check_tracker(config: Mapping[str, Any], read: Callable[[Path], Sequence[Mapping[str, Any]]] | None = None) -> None:
    """Run every check of :data:`TRACKER_CHECKS`; raises CheckFailed with all promises that are broken."""
    run_checks(TrackerCase(config, read), TRACKER_CHECKS)


@promise
def takes_a_run(case: TrackerCase) -> None:
    """A run is told, and stands there with its model, stage, number and figures."""
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        placed = case.within(Path(name))
        placed.record("train-1", PLAIN)
        if placed.read is None:
            return
        entries = [dict(entry) for entry in placed.read(Path(name))]
        expected = {"model": "checked", "stage": "train", "run": "train-1", "figures": dict(PLAIN)}
        if entries != [expected]:
            raise BrokenPromise(f"{entries} is read back instead of {[expected]}", "write all four, as they come")


@promise
def takes_odd_figures(case: TrackerCase) -> None:
    """No figures make it fail: they are the run's, which is committed already."""
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        placed = case.within(Path(name))
        for what, figures in ODD.items():
            try:
                placed.record(what, figures)
            except Exception as error:
                remedy = "write as text what the other side has no type for"
                raise BrokenPromise(f"{what}: it raised {type(error).__name__}: {error}", remedy) from error
        runs = placed.runs(Path(name))
        if runs is not None and runs != list(ODD):
            raise BrokenPromise(f"told of {list(ODD)}, it has {runs}", "leave no run out")


@promise
def leaves_the_figures_alone(case: TrackerCase) -> None:
    """The figures are not changed: the stage returns them after."""
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        figures = copy.deepcopy(dict(PLAIN))
        case.within(Path(name)).record("train-1", figures)
        if figures != PLAIN:
            raise BrokenPromise(f"{dict(PLAIN)} became {figures}", "work on a copy of them")


@promise
def two_processes_tell_at_once(case: TrackerCase) -> None:
    """Runs that two processes tell at the same time all stand there, each whole."""
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        placed = case.within(Path(name))
        with TemporaryDirectory(prefix="slipstream-check-") as gate, ThreadPoolExecutor() as pool:
            jobs = [{"config": dict(placed.config), "process": one, "gate": gate} for one in _PROCESSES]
            list(pool.map(lambda job: in_another_process(__name__, "tell_runs", job), jobs))
        placed.record("here", PLAIN)
        try:
            runs = placed.runs(Path(name))
        except Exception as error:
            what = f"what two processes told cannot be read: {type(error).__name__}: {error}"
            raise BrokenPromise(what, "write each run at one go") from error
        expected = sorted([f"{job['process']}-{number}" for job in jobs for number in range(_RUNS)] + ["here"])
        if runs is not None and sorted(runs) != expected:
            absent = sorted(set(expected) - set(runs))
            what = f"of {len(expected)} runs it has {len(runs)}, {', '.join(absent[:3]) or 'none'} missing"
            raise BrokenPromise(what, "add to what another process wrote, and overwrite nothing")


def tell_runs(job: Mapping[str, Any]) -> None:
    """Tell of some runs, every fourth with many figures, once all processes are there; what the others run."""
    gate = Path(job["gate"])
    (gate / job["process"]).touch()
    deadline = time.monotonic() + _SECONDS
    while len(list(gate.iterdir())) < len(_PROCESSES) and time.monotonic() < deadline:
        time.sleep(0.001)
    for number in range(_RUNS):
        figures = {"number": number, "text": "x" * (50_000 if number % 4 == 0 else 10)}
        TrackerCase(job["config"]).record(f"{job['process']}-{number}", figures)


def _placed(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration with the folder's path in its texts."""
    text = json.dumps(dict(config)).replace(_FOLDER, json.dumps(str(folder))[1:-1])
    placed: dict[str, Any] = json.loads(text)
    return placed


TRACKER_CHECKS: tuple[Callable[[TrackerCase], None], ...] = (
    *SHARED_CHECKS,
    takes_a_run,
    takes_odd_figures,
    leaves_the_figures_alone,
    two_processes_tell_at_once,
)
"""Every check of a tracker, for ``pytest.mark.parametrize``."""
