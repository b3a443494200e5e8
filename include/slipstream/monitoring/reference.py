"""What is monitored: the champion with its bundle, its training reference, and the columns that count."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from slipstream.bundle.bundle import Bundle, open_bundle
from slipstream.errors import SpecError, shown
from slipstream.evaluation.candidate_answers import Candidate, load_candidate
from slipstream.newest import champion_of
from slipstream.profiling.column_drift import Methods
from slipstream.profiling.parquet import from_parquet
from slipstream.profiling.profile import Profile
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


@dataclass(frozen=True)
class Champion:
    """The version that is watched, and the runs that it came from."""

    number: int
    bundle: str
    candidate: str
    evaluation: str
    dataset: str


def watched_champion(spec: ModelSpec, store: Store) -> Champion:
    """The champion; raises NotFound ``champion_missing`` when nothing was deployed yet."""
    number, packaged = champion_of(store, spec)
    return Champion(number, packaged.bundle, packaged.candidate, packaged.evaluation, packaged.dataset)


@dataclass(frozen=True)
class Subject:
    """One champion under one model file."""

    spec: ModelSpec
    store: Store
    champion: Champion

    @cached_property
    def bundle(self) -> Bundle:
        """The verified bundle; raises BundleError if it cannot be trusted."""
        return open_bundle(self.store, self.champion.bundle)

    @cached_property
    def reference(self) -> Profile:
        """The profile of the rows that it was trained on."""
        return from_parquet(self.bundle.files["profile.parquet"])

    @cached_property
    def candidate(self) -> Candidate:
        """Its fitted estimator, with the records of its training."""
        return load_candidate(self.spec, self.store, self.champion.candidate)

    @cached_property
    def watched(self) -> tuple[str, ...]:
        """The inputs that count for the verdict; raises SpecError ``spec_column_unknown``."""
        inputs = tuple(name for name, column in self.reference.columns.items() if column.role == "input")
        for name in self.spec.monitor.drift.columns:
            if name not in inputs:
                message = (
                    f"{self.spec.name}: monitor.drift.columns: {shown(name)} is no input of version "
                    f"{self.champion.number}; inputs: {', '.join(inputs[:30])}."
                )
                raise SpecError(message, code="spec_column_unknown")
        return self.spec.monitor.drift.columns or inputs

    @property
    def level(self) -> float:
        """The budget of false alarms, shared among the signals that count."""
        return self.spec.monitor.drift.false_alarms / len(self.spec.monitor.drift.signals)

    @property
    def methods(self) -> Methods:
        """How columns are judged."""
        drift = self.spec.monitor.drift
        return Methods(drift.numeric, drift.categorical, drift.threshold, self.level)
