"""Checks of an explainer: the promises of :class:`slipstream.slots.Explainer`, proven on small fitted models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from slipstream.bundle import skops_file
from slipstream.errors import BackendError
from slipstream.slot import Slot
from slipstream.slots import EXPLAINER, TRAINER, Explanation
from slipstream.spec.model import ModelSpec, Task
from slipstream.testing.suite import (
    SEED,
    SHARED_CHECKS,
    BackendCase,
    BrokenPromise,
    other_global_seed,
    promise,
    run_checks,
)
from slipstream.testing.tables import NUMBERS, ROWS, TASKS, WORD, refuse_change, spec_of, table

INPUTS = (*NUMBERS, WORD)
_SENTENCE = 20
"""A refusal of fewer characters says nothing."""
LINEAR: Mapping[Task, str] = {
    "binary": "sklearn.linear_model.LogisticRegression",
    "multiclass": "sklearn.linear_model.LogisticRegression",
    "regression": "sklearn.linear_model.Ridge",
}
NEIGHBORS: Mapping[Task, str] = {
    "binary": "sklearn.neighbors.KNeighborsClassifier",
    "multiclass": "sklearn.neighbors.KNeighborsClassifier",
    "regression": "sklearn.neighbors.KNeighborsRegressor",
}


@dataclass(frozen=True)
class ExplainerCase(BackendCase):
    """An explainer that is to be checked.

    Attributes:
        tasks: The tasks that it explains.
        estimators: Task -> the estimator of the allow-list that it is to explain; it must be one that it can.
    """

    tasks: Sequence[Task] = TASKS
    estimators: Mapping[Task, str] | None = None
    slot: ClassVar[Slot[Any]] = EXPLAINER

    def fitted(self, task: Task, estimators: Mapping[Task, str] | None = None) -> tuple[ModelSpec, Any, Any]:
        """A spec, an estimator and the frame that it was fitted on, with words and missing values."""
        trainer = {"type": "sklearn", "estimator": (estimators or self.estimators or LINEAR)[task]}
        frame = table(task, words=True, missing=True)
        spec = spec_of(task, inputs=INPUTS, explain=dict(self.config), train={"trainer": trainer})
        return spec, TRAINER.build(trainer).fit(spec, frame, SEED), frame

    def explanation(self, task: Task) -> Explanation:
        """What a new instance says of such a model."""
        spec, estimator, frame = self.fitted(task)
        explanation: Explanation = self.build().explain(spec, estimator, frame, SEED)
        return explanation


def check_explainer(
    config: Mapping[str, Any], *, tasks: Sequence[Task] = TASKS, estimators: Mapping[Task, str] | None = None
) -> None:
    """Run every check of :data:`EXPLAINER_CHECKS`; raises CheckFailed with all promises that are broken."""
    run_checks(ExplainerCase(config, tasks, estimators), EXPLAINER_CHECKS)


@promise
def weighs_every_input(case: ExplainerCase) -> None:
    """``importance`` has one finite number for each input, the largest first."""
    for task in case.tasks:
        importance = case.explanation(task).importance
        if set(importance) != set(INPUTS):
            what = f"{task}: importance has {', '.join(importance) or 'nothing'}, the inputs are {', '.join(INPUTS)}"
            raise BrokenPromise(what, "give every input a number, 0 where it moves nothing")
        _refuse_infinite(task, "importance", importance)
        values = list(importance.values())
        if values != sorted(values, reverse=True):
            raise BrokenPromise(f"{task}: importance is {dict(importance)}", "put the largest first")


@promise
def the_deciding_input_comes_first(case: ExplainerCase) -> None:
    """Of an input that decides and two that do not, the one that decides is the most important."""
    for task in case.tasks:
        importance = case.explanation(task).importance
        first = max(importance, key=lambda name: importance[name])
        if first != "distance":
            what = f"{task}: {first!r} is the most important in {dict(importance)}, though 'distance' alone decides"
            raise BrokenPromise(what, "look whether the columns are those of the inputs, in their order")


@promise
def effects_are_points(case: ExplainerCase) -> None:
    """``effects`` has points (value, finite effect) of inputs, for no more values than there are rows."""
    for task in case.tasks:
        explanation = case.explanation(task)
        if not 1 <= explanation.rows <= ROWS:
            raise BrokenPromise(f"{task}: {explanation.rows} of {ROWS} rows explained", "count the rows explained")
        for name, points in explanation.effects.items():
            if name not in INPUTS:
                raise BrokenPromise(f"{task}: effects has {name!r}, which is no input", "name inputs")
            if not 1 <= len(points) <= explanation.rows:
                what = f"{task}: {name} has {len(points)} points, of {explanation.rows} rows explained"
                raise BrokenPromise(what, "give at least one point, and at most one for each row")
            _refuse_infinite(task, f"effects of {name}", {str(value): effect for value, effect in points})


@promise
def cases_tell_of_every_input(case: ExplainerCase) -> None:
    """Each of ``cases`` has row and effects for every input, and a finite prediction and base."""
    for task in case.tasks:
        for number, single in enumerate(case.explanation(task).cases):
            if set(single) != {"row", "prediction", "base", "effects"}:
                what = f"{task}: case {number} has {', '.join(sorted(single))}"
                raise BrokenPromise(what, "give row, prediction, base and effects")
            for part in ("row", "effects"):
                if set(single[part]) != set(INPUTS):
                    what = f"{task}: {part} of case {number} has {', '.join(single[part])}"
                    raise BrokenPromise(what, f"give {', '.join(INPUTS)}")
            numbers = {**single["effects"], "prediction": single["prediction"], "base": single["base"]}
            _refuse_infinite(task, f"case {number}", numbers)


@promise
def gives_plain_values(case: ExplainerCase) -> None:
    """The explanation is JSON as it is: no NaN, and no value of NumPy or pandas."""
    for task in case.tasks:
        explanation = case.explanation(task)
        try:
            json.dumps(asdict(explanation), allow_nan=False)
        except (TypeError, ValueError) as error:
            what = f"{task}: the explanation is no JSON: {error}"
            raise BrokenPromise(what, "make float, int, str or None of every value") from error
        for name in ("method", "scale"):
            if not str(getattr(explanation, name)).strip():
                raise BrokenPromise(f"{task}: {name} is empty", "say it in words")


@promise
def same_seed_gives_the_same_explanation(case: ExplainerCase) -> None:
    """The same model, rows and seed give the same explanation, whatever the global generators are at."""
    for task in case.tasks:
        spec, estimator, frame = case.fitted(task)
        texts = []
        for global_seed in (1, 2):
            with other_global_seed(global_seed):
                texts.append(json.dumps(asdict(case.build().explain(spec, estimator, frame, SEED)), default=str))
        if texts[0] != texts[1]:
            place = next(at for at, (one, two) in enumerate(zip(*texts, strict=False)) if one != two)
            what = f"{task}: two explanations with seed {SEED} differ: ...{texts[0][place - 40 : place + 20]}..."
            raise BrokenPromise(what, "draw every random number from the seed")


@promise
def leaves_model_and_frame_alone(case: ExplainerCase) -> None:
    """Neither the frame nor the estimator is changed."""
    for task in case.tasks:
        spec, estimator, frame = case.fitted(task)
        before, bytes_before = frame.copy(deep=True), skops_file.dump(estimator)
        case.build().explain(spec, estimator, frame, SEED)
        refuse_change(before, frame, f"{task}: explain")
        if skops_file.dump(estimator) != bytes_before:
            raise BrokenPromise(f"{task}: explain changed the estimator", "work on a copy of it")


@promise
def explains_or_refuses_other_models(case: ExplainerCase) -> None:
    """A model that it may not know (nearest neighbours, a pipeline of other steps) is explained, or refused with
    BackendError that says why.
    """
    for task in case.tasks:
        spec, neighbors, frame = case.fitted(task, NEIGHBORS)
        for what, estimator in (("nearest neighbours", neighbors), ("other steps", _of_other_steps(spec, frame))):
            try:
                explanation = case.build().explain(spec, estimator, frame, SEED)
            except BackendError as error:
                if len(str(error)) < _SENTENCE:
                    raise BrokenPromise(f"{task}: it says only {str(error)!r}", "say what to use instead") from error
                continue
            except Exception as error:
                seen = f"{task}: a model of {what} raised {type(error).__name__}: {error}"
                raise BrokenPromise(seen, "raise BackendError for what it cannot explain") from error
            _refuse_infinite(task, "importance", explanation.importance)


def _of_other_steps(spec: ModelSpec, frame: Any) -> Any:
    """A fitted pipeline as another trainer may make it."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    first = ColumnTransformer(
        [("numbers", SimpleImputer(), list(NUMBERS)), ("words", OneHotEncoder(handle_unknown="ignore"), [WORD])]
    )
    last = Ridge() if spec.task == "regression" else LogisticRegression(max_iter=1000)
    return Pipeline([("first", first), ("last", last)]).fit(frame[list(INPUTS)], frame[spec.target])


def _refuse_infinite(task: Task, what: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise BrokenPromise(f"{task}: {what}: {name} is {value!r}", "give a finite number")


EXPLAINER_CHECKS: tuple[Callable[[ExplainerCase], None], ...] = (
    *SHARED_CHECKS,
    weighs_every_input,
    the_deciding_input_comes_first,
    effects_are_points,
    cases_tell_of_every_input,
    gives_plain_values,
    same_seed_gives_the_same_explanation,
    leaves_model_and_frame_alone,
    explains_or_refuses_other_models,
)
"""Every check of an explainer, for ``pytest.mark.parametrize``."""
