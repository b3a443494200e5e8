"""What the trainers of LightGBM, XGBoost and CatBoost share: preparation, names, weights, and when to stop.

The pipeline is ``Pipeline(prepare=ColumnTransformer(...), model=booster)``. Words, and the inputs that are named as
categories, become whole numbers that the booster knows to be categories; what was not seen in training is missing.
With early stopping a first fit finds the number of rounds on rows that are set aside; the model that is kept is then
fitted on all training rows with exactly so many.
"""

from __future__ import annotations

import logging
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from slipstream.errors import SpecError, StageError
from slipstream.label_types import label_values
from slipstream.spec.boosters import CATEGORIES, GROUPS, SIGNS, STOPPING_SHARE, booster_problems
from slipstream.spec.model import ModelSpec, Task
from slipstream.trainers.positions import Meaning, Prepared, categories_of, placed
from slipstream.trainers.preparation import Needs, category_places, places_of, preparation
from slipstream.trainers.threads import threads_for
from slipstream.trainers.traces import forget_traces

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class BoosterRows:
    """Prepared rows: an array, or a frame, of shape ``(n, columns)``, with target and perhaps weights of shape (n,)."""

    table: Any
    target: Any
    weights: Any
    categories: list[int]

    def where(self, mask: Any) -> BoosterRows:
        """The rows of a mask of shape ``(n,)``."""
        weights = None if self.weights is None else self.weights[mask]
        return BoosterRows(self.table[mask], self.target[mask], weights, self.categories)


@dataclass(frozen=True)
class BoosterPlan:
    """How a booster is to be made: its parameters, the place of its categories, seed and threads."""

    task: Task
    parameters: Mapping[str, Any]
    categories: list[int]
    seed: int
    threads: int


class BoosterTrainer(ABC):
    """A trainer around one of the libraries; each has the two arguments ``parameters`` and ``early_stopping``."""

    word: ClassVar[str]
    rounds_word: ClassVar[str]
    weights_word: ClassVar[str]
    whole_categories: ClassVar[bool] = False

    parameters: Mapping[str, Any]
    early_stopping: Mapping[str, Any]

    @abstractmethod
    def _fit(self, plan: BoosterPlan, rows: BoosterRows) -> Any:
        """A fitted model."""

    @abstractmethod
    def _rounds(self, plan: BoosterPlan, rows: BoosterRows, watched: BoosterRows, patience: int) -> int:
        """After how many rounds the *watched* rows were answered best, once *patience* more brought nothing."""

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """What the library raises."""

    @property
    def share_aside(self) -> float:
        """The share of the training rows that decide when to stop; 0: none do."""
        return float(self.early_stopping.get("share", STOPPING_SHARE)) if self.early_stopping else 0.0

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        """A fitted pipeline that takes a frame of the inputs; with early stopping a seeded random share is set aside.

        Args:
            spec: The model.
            frame: Inputs (float64 or str, missing NaN or None) and target, shape ``(n, inputs + 1)``; of a binary task
                the target is 1 for the positive label and 0 for the other.
            seed: Seeds whatever the library draws.

        Raises:
            SpecError: ``spec_parameter_unknown``, ``spec_parameter_invalid`` or ``backend_argument``.
            StageError: ``training_failed`` with what the library said.
        """
        import numpy as np

        watched = np.zeros(len(frame), dtype=bool)
        if self.share_aside:
            watched = np.random.default_rng(seed).random(len(frame)) < self.share_aside
        return self.fit_until(spec, frame, seed, ~watched, watched)

    def fit_until(self, spec: ModelSpec, frame: Any, seed: int, fitted: Any, watched: Any) -> Any:
        """As :meth:`fit`, with the rows that the search for the number of rounds fits and watches.

        Args:
            fitted: Mask of shape ``(n,)``.
            watched: Mask of shape ``(n,)``; no row is in both.
        """
        from sklearn.pipeline import Pipeline

        self._refuse(spec)
        inputs = frame[list(spec.inputs)]
        name = CATEGORIES[self.word]
        named = categories_of(spec, name, self.parameters.get(name))
        prepare = preparation(inputs, Needs(whole_categories=self.whole_categories, categories=named))
        parameters = self._placed(spec, places_of(prepare, inputs, len(inputs)), named)
        weighing = parameters.pop(self.weights_word, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = prepare.fit_transform(inputs)
            places = category_places(prepare)
            rows = BoosterRows(table, label_values(frame[spec.target]), None, places)
            if weighing is not None:
                rows = BoosterRows(table, rows.target, _weights(weighing, rows.target), places)
            plan = BoosterPlan(spec.task, parameters, places, seed, threads_for(inputs.size))
            errors: tuple[type[Exception], ...] = (*self._errors(), ValueError, TypeError)
            try:
                if self.share_aside:
                    plan = self._stopped(spec, plan, rows.where(fitted), rows.where(watched))
                model = self._fit(plan, rows)
            except errors as error:
                message = f"{spec.name}: {self.word} cannot be fitted: {_first_line(error)}"
                raise StageError(message, code="training_failed") from error
        pipeline = Pipeline([("prepare", prepare), ("model", model)])
        forget_traces(pipeline)
        return pipeline

    def _refuse(self, spec: ModelSpec) -> None:
        """Refuse what the check of the model file refuses: a trainer is also made without one."""
        config = {"parameters": self.parameters, "early_stopping": self.early_stopping}
        for problem in booster_problems(self.word, spec.task, spec.inputs, config, ()):
            place = ".".join(map(str, ("train", "trainer", *problem.place)))
            raise SpecError(f"{spec.name}: {place}: {problem}.", code=problem.code)

    def _placed(self, spec: ModelSpec, prepared: Prepared, named: list[str]) -> dict[str, Any]:
        """The parameters, with names of inputs put to where their columns stand."""
        signs, groups, categories = SIGNS[self.word], GROUPS.get(self.word), CATEGORIES[self.word]
        written = {key: value for key, value in self.parameters.items() if key != categories}
        constrained = written.get(signs)
        if isinstance(constrained, Mapping):
            for name in named:
                if constrained.get(name):
                    text = f"input {name!r} stands in {categories} too; categories neither rise nor fall, take one out"
                    message = f"{spec.name}: train.trainer.parameters.{signs}: {text}."
                    raise SpecError(message, code="spec_parameter_invalid")
        meanings: dict[str, Meaning] = {signs: "signs", **({groups: "groups"} if groups else {})}
        settled = placed(spec, written, prepared, meanings)
        if groups and isinstance(settled.get(groups), list):
            # What no group names may act with what else none names: the libraries would leave it out, or let it free.
            rest = set(range(prepared.width)).difference(*settled[groups])
            settled[groups] = [*settled[groups], *([sorted(rest)] if rest else [])]
        return settled

    def _stopped(self, spec: ModelSpec, plan: BoosterPlan, rows: BoosterRows, watched: BoosterRows) -> BoosterPlan:
        """The plan with the number of rounds that the rows set aside are answered best after."""
        import numpy as np

        if spec.task != "regression":
            known = np.isin(watched.target, rows.target)
            watched = watched.where(known)
        if not len(watched.target) or not len(rows.target):
            message = (
                f"{spec.name}: early stopping has {len(rows.target):,} rows to fit and {len(watched.target):,} to "
                "watch; give early_stopping another share, or take it out."
            )
            raise StageError(message, code="training_failed")
        rounds = max(1, self._rounds(plan, rows, watched, int(self.early_stopping["rounds"])))
        _log.info("%s: %s rounds, by %s training rows set aside", spec.name, f"{rounds:,}", f"{len(watched.target):,}")
        return BoosterPlan(
            plan.task, {**plan.parameters, self.rounds_word: rounds}, plan.categories, plan.seed, plan.threads
        )


def _first_line(error: Exception) -> str:
    """What a library says, without the line of its source and the calls that led there."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^(?:\[[\d:]+\] )?\S+\.(?:cpp|cc|h):\d+: ", "", lines[0])


def _weights(weighing: Any, target: Any) -> Any:
    """The weight of each row, shape ``(n,)``, of weights by label or ``balanced``."""
    import numpy as np
    from sklearn.utils.class_weight import compute_sample_weight

    return np.asarray(compute_sample_weight(weighing, target), dtype=np.float64)
