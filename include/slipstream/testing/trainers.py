"""Checks of a trainer: the promises of :class:`slipstream.slots.Trainer`, each proven by fitting small tables.

``check_trainer({"type": "my_package.module:Class", ...}, tasks=["regression"])`` runs them all.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slipstream.bundle import skops_file
from slipstream.bundle.project_code import ProjectCode
from slipstream.errors import BackendError, SlipstreamError, SpecError
from slipstream.slot import Slot
from slipstream.slots import TRAINER, Coded
from slipstream.spec.model import ModelSpec, Task
from slipstream.testing.suite import (
    SEED,
    SHARED_CHECKS,
    BackendCase,
    BrokenPromise,
    in_another_process,
    other_global_seed,
    promise,
    run_checks,
)
from slipstream.testing.tables import LABELS, NUMBERS, TARGET, TASKS, WORD, refuse_change, spec_of, table

_UNKNOWN = "no_such_parameter"
_CLOSE = 1e-6


@dataclass(frozen=True)
class TrainerCase(BackendCase):
    """A trainer that is to be checked.

    Attributes:
        tasks: The tasks that it does with these arguments.
        folder: The model project's, for a trainer that reads files of it.
    """

    tasks: Sequence[Task] = TASKS
    folder: Path = Path()
    slot: ClassVar[Slot[Any]] = TRAINER

    def spec(self, task: Task, inputs: Sequence[str]) -> ModelSpec:
        """A model file with this trainer."""
        return spec_of(task, inputs=list(inputs), train={"trainer": dict(self.config)}).at(self.folder)

    @property
    def code(self) -> ProjectCode:
        """The code that its models are kept with."""
        trainer = self.build()
        return ProjectCode(trainer.code(self.spec(self.tasks[0], NUMBERS)) if isinstance(trainer, Coded) else {})

    def fit(self, task: Task, frame: Any = None, seed: int = SEED) -> Any:
        """What a new instance fits on *frame*; None: on a table of two numbers without missing values."""
        frame = table(task) if frame is None else frame
        inputs = [name for name in frame.columns if name != TARGET]
        return self.build().fit(self.spec(task, inputs), frame, seed)


def check_trainer(config: Mapping[str, Any], *, tasks: Sequence[Task] = TASKS, folder: Path = Path()) -> None:
    """Run every check of :data:`TRAINER_CHECKS`; raises CheckFailed with all promises that are broken."""
    run_checks(TrainerCase(config, tasks, folder), TRAINER_CHECKS)


@promise
def works_for_each_task(case: TrainerCase) -> None:
    """A fitted estimator answers each row: ``predict``, and ``predict_proba`` for classification."""
    for task in case.tasks:
        frame = table(task)
        _refuse_wrong_answers(task, case.fit(task, frame), frame.drop(columns=TARGET))


@promise
def probabilities_follow_the_classes(case: TrainerCase) -> None:
    """Of a binary task the second column is the positive label's; else the columns are in the order of the labels."""
    for task in (task for task in case.tasks if task != "regression"):
        frame = table(task)
        answers = np.asarray(case.fit(task, frame).predict_proba(frame.drop(columns=TARGET)))
        for place, label in enumerate(LABELS[task]):
            rows = (frame[TARGET] == label).to_numpy()
            with_label, without = float(answers[rows, place].mean()), float(answers[~rows, place].mean())
            if with_label < without - _CLOSE:
                what = (
                    f"{task}: column {place} of predict_proba is {with_label:.2f} on average for rows of label "
                    f"{label!r} and {without:.2f} for the others"
                )
                raise BrokenPromise(what, f"put the columns in the order {list(LABELS[task])}")


@promise
def same_seed_gives_the_same_model(case: TrainerCase) -> None:
    """The same rows and seed give the same bytes, whatever the global random generators are at."""
    for task in case.tasks:
        digests = []
        for global_seed in (1, 2):
            with other_global_seed(global_seed):
                digests.append(_digest(case, task))
        if digests[0] != digests[1]:
            what = f"{task}: two fits with seed {SEED} gave other bytes (sha256 {digests[0][:12]}, {digests[1][:12]})"
            raise BrokenPromise(what, "draw every random number from the seed, and store no clock and no address")


@promise
def another_process_gives_the_same_model(case: TrainerCase) -> None:
    """The same rows and seed give the same bytes in a new process, with another order of sets."""
    here = {task: _digest(case, task) for task in case.tasks}
    there = in_another_process(
        __name__, "print_digests", {"config": dict(case.config), "tasks": list(case.tasks), "folder": str(case.folder)}
    )
    digests = dict(line.split() for line in there.splitlines() if len(line.split()) == 2)
    for task, digest in here.items():
        if digests.get(task) != digest:
            what = (
                f"{task}: another process gave other bytes (sha256 {digest[:12]}, there {digests.get(task, '')[:12]})"
            )
            raise BrokenPromise(what, "sort what comes from a set, and store nothing of the process or the machine")


def print_digests(case: Mapping[str, Any]) -> None:
    """Print each task with the digest of its model; what the other process runs."""
    import sys

    for task in case["tasks"]:
        trained = TrainerCase(case["config"], case["tasks"], Path(case["folder"]))
        sys.stdout.write(f"{task} {_digest(trained, task)}\n")


@promise
def leaves_the_frame_alone(case: TrainerCase) -> None:
    """The frame that is fitted is not changed: other stages use it after."""
    for task in case.tasks:
        frame = table(task)
        before = frame.copy(deep=True)
        case.fit(task, frame)
        refuse_change(before, frame, f"{task}: fit")


@promise
def model_can_be_stored(case: TrainerCase) -> None:
    """skops stores the estimator with the library's trusted types alone, and what is read back answers the same."""
    for task in case.tasks:
        frame = table(task)
        estimator = case.fit(task, frame)
        inputs = frame.drop(columns=TARGET)
        try:
            again = skops_file.load(skops_file.dump(estimator, case.code), case.code)
        except SlipstreamError as error:
            remedy = "build it of scikit-learn's own parts and of NumPy arrays; bundle/skops_file.py has the list"
            raise BrokenPromise(f"{task}: {error}".rstrip("."), remedy) from error
        _refuse_difference(_answers(task, estimator, inputs), _answers(task, again, inputs), f"{task}: once stored")


@promise
def one_row_is_answered_as_among_many(case: TrainerCase) -> None:
    """An answer follows from its row alone: the endpoint is asked for one row, and evaluation for all."""
    for task in case.tasks:
        frame = table(task)
        estimator, inputs = case.fit(task, frame), frame.drop(columns=TARGET)
        many = _answers(task, estimator, inputs)[:3]
        single = np.concatenate([_answers(task, estimator, inputs.iloc[[place]]) for place in range(3)])
        _refuse_difference(many, single, f"{task}: asked for one row")


@promise
def missing_values_are_taken_or_refused(case: TrainerCase) -> None:
    """Rows with missing inputs are fitted and answered, or refused with an error that says so."""
    _take_or_refuse(
        case, {"missing": True}, (*NUMBERS, "missing", "NaN"), "impute them, or name a column that has them"
    )


@promise
def words_are_taken_or_refused(case: TrainerCase) -> None:
    """An input of words is fitted and answered, also a word that training had not; or it is refused by name."""
    _take_or_refuse(case, {"words": True}, (WORD,), "encode words, or name the column that has them")


@promise
def refuses_unknown_parameters(case: TrainerCase) -> None:
    """A key of ``parameters`` that it does not take is refused by SpecError or BackendError, by name."""
    if "parameters" not in inspect.signature(type(case.build())).parameters:
        return
    parameters = {**case.config.get("parameters", {}), _UNKNOWN: 1}
    remedy = "raise SpecError or BackendError that names it"
    try:
        replace(case, config={**case.config, "parameters": parameters}).fit(case.tasks[0])
    except (SpecError, BackendError) as error:
        if _UNKNOWN not in str(error):
            raise BrokenPromise(f"the refusal does not name {_UNKNOWN!r}: {error}", remedy) from error
        return
    except Exception as error:
        raise BrokenPromise(f"{_UNKNOWN!r} raised {type(error).__name__}: {error}", remedy) from error
    raise BrokenPromise(f"it took the parameter {_UNKNOWN!r}", remedy)


def _digest(case: TrainerCase, task: Task) -> str:
    return hashlib.sha256(skops_file.dump(case.fit(task), case.code)).hexdigest()


def _answers(task: Task, estimator: Any, inputs: Any) -> Any:
    """Values, shape ``(n,)``, or probabilities, shape ``(n, classes)``."""
    return np.asarray(estimator.predict(inputs) if task == "regression" else estimator.predict_proba(inputs))


def _refuse_wrong_answers(task: Task, estimator: Any, inputs: Any) -> None:
    rows, labels = len(inputs), LABELS[task]
    predictions = np.asarray(estimator.predict(inputs))
    if predictions.shape != (rows,):
        what = f"{task}: predict gave shape {predictions.shape} for {rows} rows"
        raise BrokenPromise(what, f"give shape ({rows},)")
    answers = _answers(task, estimator, inputs)
    if not np.all(np.isfinite(answers.astype(np.float64))):
        raise BrokenPromise(f"{task}: {int(np.sum(~np.isfinite(answers)))} answers are not finite", "give numbers")
    if task == "regression":
        return
    if getattr(estimator, "classes_", np.array([])).tolist() != list(labels):
        what = f"{task}: classes_ is {getattr(estimator, 'classes_', None)}"
        raise BrokenPromise(what, f"let the estimator have classes_ {list(labels)}, in that order")
    if not set(predictions.tolist()) <= set(labels):
        what = f"{task}: predict gave {sorted(map(repr, set(predictions.tolist()) - set(labels)))[:3]}"
        raise BrokenPromise(what, f"give labels of {list(labels)}")
    whole = answers.shape == (rows, len(labels)) and answers.min() >= 0
    if not whole or np.abs(answers.sum(axis=1) - 1).max() > _CLOSE:
        what = f"{task}: predict_proba gave shape {answers.shape}, with {np.min(answers):.3g} as the least value"
        raise BrokenPromise(what, f"give shape ({rows}, {len(labels)}), from 0 to 1, with the sum 1 in each row")


def _refuse_difference(expected: Any, seen: Any, when: str) -> None:
    if expected.shape != seen.shape or not np.allclose(expected, seen, rtol=1e-9, atol=1e-12):
        apart = float(np.abs(expected - seen).max()) if expected.shape == seen.shape else float("nan")
        what = f"{when}, it answers otherwise (by {apart:.3g}, shapes {expected.shape} and {seen.shape})"
        raise BrokenPromise(what, "let an answer follow from the fitted values and its row alone")


def _take_or_refuse(case: TrainerCase, columns: Mapping[str, bool], words: Sequence[str], remedy: str) -> None:
    """Fit a table with such *columns* and answer it; a refusal has to have one of the *words* in it."""
    for task in case.tasks:
        frame = table(task, **columns)
        try:
            estimator = case.fit(task, frame)
        except SlipstreamError as error:
            if not any(word in str(error) for word in words):
                raise BrokenPromise(f"{task}: the refusal names none of {', '.join(words)}: {error}", remedy) from error
            continue
        except Exception as error:
            raise BrokenPromise(f"{task}: fit raised {type(error).__name__}: {error}", remedy) from error
        inputs = frame.drop(columns=TARGET)
        if WORD in inputs:
            inputs.loc[0, WORD] = "a word that training had not"
        try:
            _refuse_wrong_answers(task, estimator, inputs)
        except BrokenPromise:
            raise
        except Exception as error:
            what = f"{task}: it was fitted, but its answer raised {type(error).__name__}: {error}"
            raise BrokenPromise(what, remedy) from error


TRAINER_CHECKS: tuple[Callable[[TrainerCase], None], ...] = (
    *SHARED_CHECKS,
    works_for_each_task,
    probabilities_follow_the_classes,
    same_seed_gives_the_same_model,
    another_process_gives_the_same_model,
    leaves_the_frame_alone,
    model_can_be_stored,
    one_row_is_answered_as_among_many,
    missing_values_are_taken_or_refused,
    words_are_taken_or_refused,
    refuses_unknown_parameters,
)
"""Every check of a trainer, for ``pytest.mark.parametrize``."""
