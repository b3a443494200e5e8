"""One suite of checks for each slot: what a back end has to keep, proven by running it.

As one call, which raises :class:`CheckFailed` with every promise that is broken::

    check_trainer({"type": "my_package.module:Class"}, tasks=["regression"])

or as one test for each promise::

    @pytest.mark.parametrize("check", checks_of("trainer"))
    def test_my_trainer(check):
        check(TrainerCase({"type": "my_package.module:Class"}, tasks=["regression"]))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream.errors import BackendError, shown
from slipstream.testing.explainers import EXPLAINER_CHECKS, ExplainerCase, check_explainer
from slipstream.testing.sources import SOURCE_CHECKS, SourceCase, arrive_as_csv, arrive_as_parquet, check_source
from slipstream.testing.suite import BackendCase, CheckFailed
from slipstream.testing.targets import TARGET_CHECKS, TargetCase, check_target
from slipstream.testing.trackers import TRACKER_CHECKS, TrackerCase, check_tracker
from slipstream.testing.trainers import TRAINER_CHECKS, TrainerCase, check_trainer

__all__ = [
    "EXPLAINER_CHECKS",
    "SOURCE_CHECKS",
    "TARGET_CHECKS",
    "TRACKER_CHECKS",
    "TRAINER_CHECKS",
    "BackendCase",
    "CheckFailed",
    "ExplainerCase",
    "SourceCase",
    "TargetCase",
    "TrackerCase",
    "TrainerCase",
    "arrive_as_csv",
    "arrive_as_parquet",
    "check_explainer",
    "check_source",
    "check_target",
    "check_tracker",
    "check_trainer",
    "checks_of",
]

_SUITES: dict[str, tuple[Callable[[Any], None], ...]] = {
    "source": SOURCE_CHECKS,
    "trainer": TRAINER_CHECKS,
    "explainer": EXPLAINER_CHECKS,
    "target": TARGET_CHECKS,
    "tracker": TRACKER_CHECKS,
}


def checks_of(slot: str) -> tuple[Callable[[Any], None], ...]:
    """The checks of that slot, each a function of the slot's case; raises BackendError for a word that is no slot."""
    if slot not in _SUITES:
        raise BackendError(f"No slot is called {shown(slot)}. Known: {', '.join(_SUITES)}.")
    return _SUITES[slot]
