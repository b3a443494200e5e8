"""What fitted estimators answer on frames, in the form that the metrics take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.bundle import skops_file
from slipstream.errors import StageError
from slipstream.label_types import class_numbers, label_values
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.training.candidate import Trained, Training, load_code, load_training

Label = bool | int | str


@dataclass(frozen=True)
class Candidate:
    """A fitted estimator with the records of its training."""

    trained: Trained
    training: Training
    estimator: Any

    @property
    def inputs(self) -> list[str]:
        """The names of its inputs, in order."""
        return [name for name, _ in self.training.inputs]

    def answer(self, frame: Any, classes: Sequence[Label] = ()) -> Any:
        """Its answers on *frame*: values, probabilities of the positive class, or ``(n, classes)`` probabilities.

        Args:
            frame: A frame of :class:`~slipstream.training.split.Split`.
            classes: For multiclass the classes in the order wanted; one that it does not know gets probability 0.
        """
        import numpy as np
        from threadpoolctl import threadpool_limits

        rows = frame[self.inputs]
        # One thread: sums come out the same on any machine, and short predictions do not wait for other threads.
        with threadpool_limits(limits=1):
            if self.training.task == "regression":
                return np.asarray(self.estimator.predict(rows), dtype=np.float64)
            if not hasattr(self.estimator, "predict_proba"):
                message = f"{self.trained.candidate}: its estimator has no predict_proba; choose one that has."
                raise StageError(message, code="stage_input_invalid")
            probabilities = np.asarray(self.estimator.predict_proba(rows), dtype=np.float64)
        if self.training.task == "binary":
            return probabilities[:, 1]
        ordered = np.zeros((len(rows), len(classes)))
        for column, label in enumerate(self.training.classes):
            ordered[:, list(classes).index(label)] = probabilities[:, column]
        return ordered


def load_candidate(spec: ModelSpec, store: Store, candidate: str) -> Candidate:
    """The candidate of that id.

    Raises:
        StageError: ``run_not_found``.
        BundleError: its estimator cannot be loaded.
    """
    trained, training = load_training(spec, store, candidate)
    estimator = skops_file.load(store.objects.get(trained.model), load_code(store, training))
    return Candidate(trained, training, estimator)


def truth_of(training: Training, target: Any) -> tuple[Any, tuple[Label, ...]]:
    """The target column as the metrics take it, and the classes that its numbers stand for.

    A class that did not occur in training follows those that did.

    Args:
        target: The column of a frame, shape ``(n,)``.
    """
    import numpy as np

    if training.task == "regression":
        return target.to_numpy(dtype=np.float64), ()
    numbers, classes = class_numbers(label_values(target).tolist(), training.classes)
    if training.task == "binary" and len(classes) > 2:
        message = f"target {training.target!r} holds {str(classes[2])!r}, which the candidate never saw; train again."
        raise StageError(message, code="data_target_unusable")
    return numbers, classes
