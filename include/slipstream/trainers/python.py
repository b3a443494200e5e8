"""Trains what a function of the project's ``model.py`` builds: any estimator of scikit-learn's kind.

``trainer: {type: python, function: build, parameters: {C: 0.5}}`` calls ``build(C=0.5)``, which returns an estimator
that is not fitted: a ``Pipeline``, a ``StackingClassifier``, a class of the project's own. It takes a frame of the
inputs (numbers as float64, words as str, missing NaN or None). What it holds is kept by skops, own classes with the
source that defines them (:mod:`slipstream.bundle.project_code`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slipstream.bundle.project_code import FILE, ProjectCode, read_code
from slipstream.errors import SlipstreamError, SpecError, StageError, shown
from slipstream.hints import did_you_mean
from slipstream.spec.model import ModelSpec
from slipstream.trainers.fitting import fitted


@dataclass(frozen=True)
class PythonTrainer:
    """Fits the estimator that a function builds.

    Attributes:
        function: Its name in ``model.py``.
        parameters: Its arguments.
    """

    function: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def code(self, spec: ModelSpec) -> Mapping[str, bytes]:
        """``model.py`` and what it imports of the files beside it: name -> source.

        Raises:
            SpecError: ``code_not_found`` or ``code_not_loadable``.
        """
        return read_code(spec.folder, spec.name).files

    def check(self, spec: ModelSpec) -> None:
        """Prove that the function is there and takes the parameters; executes ``model.py``.

        Raises:
            SpecError: as :meth:`fit`, before anything is fitted.
        """
        self._builder(spec)

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        """The fitted estimator.

        Args:
            spec: The model.
            frame: Inputs and target, shape ``(n, inputs + 1)``; see :class:`slipstream.slots.Trainer`.
            seed: Becomes every ``random_state`` that the function leaves at None.

        Raises:
            SpecError: ``code_not_found``, ``code_not_loadable``, ``code_function_unknown``, ``spec_parameter_unknown``.
            StageError: ``trainer_result_invalid``: what the function returns cannot be trained for this task;
                ``training_failed``: it could not be fitted.
        """
        place = f"{spec.name}/{FILE}: {self.function}"
        try:
            estimator = self._builder(spec)(**self.parameters)
        except SlipstreamError:
            raise
        except Exception as error:
            message = f"{place}() raised {type(error).__name__}: {error}; mend it."
            raise StageError(message, code="trainer_result_invalid") from error
        _refuse(place, spec, estimator)
        _seed(estimator, seed)
        try:
            fitted(spec, place, estimator, frame)
        except SlipstreamError:
            raise
        except Exception as error:  # own code may raise anything
            message = f"{place}: fit raised {type(error).__name__}: {error}; mend it."
            raise StageError(message, code="training_failed") from error
        return estimator

    def _builder(self, spec: ModelSpec) -> Callable[..., Any]:
        code = read_code(spec.folder, spec.name)
        module = _executed(spec, code)
        function: Callable[..., Any] | None = getattr(module, self.function, None)
        if function is None or not callable(function):
            own = [word for word, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            hint = did_you_mean(self.function, own, "it has")
            message = f"{spec.name}/{FILE}: no function {self.function!r}; {hint}"
            raise SpecError(message, code="code_function_unknown")
        try:
            inspect.signature(function).bind(**self.parameters)
        except TypeError as error:
            takes = ", ".join(inspect.signature(function).parameters) or "none"
            message = f"{spec.name}: train.trainer.parameters: {self.function}: {error}. Its arguments: {takes}."
            raise SpecError(message, code="spec_parameter_unknown") from error
        return function


def _executed(spec: ModelSpec, code: ProjectCode) -> Any:
    try:
        return code.module()
    except SlipstreamError:
        raise
    except Exception as error:
        message = f"{spec.name}/{FILE}: {type(error).__name__}: {error}; {_remedy(spec, error)}."
        raise SpecError(message, code="code_not_loadable") from error


def _remedy(spec: ModelSpec, error: Exception) -> str:
    name = str(error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if name and (spec.folder / f"{name}.py").is_file():
        return f"a file beside it is imported relatively: from .{name} import ..., or from . import {name}"
    return f"install {name!r}, or take the import out" if name else "mend the file"


def _refuse(place: str, spec: ModelSpec, estimator: Any) -> None:
    """Refuse what is no unfitted estimator for the task."""

    def refuse(text: str) -> StageError:
        return StageError(f"{place}() {text}.", code="trainer_result_invalid")

    if estimator is None:
        raise refuse("returned nothing; end it with: return the estimator")
    if isinstance(estimator, type):
        raise refuse(f"returned the class {estimator.__name__}; return an instance: {estimator.__name__}()")
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        kind = shown(type(estimator).__name__)
        raise refuse(f"returned {kind}, which has no fit and predict; return an estimator such as a Pipeline")
    if _is_fitted(estimator):
        raise refuse(
            "returned a model that is fitted already, perhaps on rows that are held out here; return it unfitted, or "
            "register it as it is with slipstream import"
        )
    _refuse_task(refuse, spec, estimator)


def _refuse_task(refuse: Callable[[str], StageError], spec: ModelSpec, estimator: Any) -> None:
    from sklearn.base import is_classifier, is_regressor

    kind = type(estimator).__name__
    if spec.task == "regression" and is_classifier(estimator):
        raise refuse(f"returned the classifier {kind}, but task is regression; return a regressor or change 'task'")
    if spec.task == "regression":
        return
    if is_regressor(estimator):
        raise refuse(f"returned the regressor {kind}, but task is {spec.task}; return a classifier or change 'task'")
    if not hasattr(estimator, "predict_proba"):
        raise refuse(
            f"returned {kind}, which has no predict_proba as it is set up; choose one that has it, or wrap it: "
            "CalibratedClassifierCV(...)"
        )


def _is_fitted(estimator: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import get_tags
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
        return bool(get_tags(estimator).requires_fit)
    except (NotFittedError, TypeError, AttributeError):  # the last two: it is no BaseEstimator
        return False


def _seed(estimator: Any, seed: int) -> None:
    """Give every ``random_state`` that is None the seed, so that equal inputs give an equal model."""
    if hasattr(estimator, "get_params"):
        unset = {
            name: seed
            for name, value in sorted(estimator.get_params(deep=True).items())
            if value is None and name.rpartition("__")[2] == "random_state"
        }
        if unset:
            estimator.set_params(**unset)
