"""How every trainer of ours fits: with bounded threads, and with the errors of libraries put in words."""

from __future__ import annotations

from typing import Any

from slipstream.errors import SpecError, StageError
from slipstream.label_types import label_values
from slipstream.spec.model import ModelSpec
from slipstream.trainers.threads import threads_for
from slipstream.trainers.traces import forget_traces


def fitted(spec: ModelSpec, what: str, estimator: Any, frame: Any) -> Any:
    """*estimator*, fitted on the inputs and the target of *frame*.

    Args:
        spec: The model.
        what: The estimator's name, for messages.
        estimator: One of scikit-learn's kind that takes a frame of the inputs.
        frame: Inputs and target, shape ``(n, inputs + 1)``.

    Raises:
        SpecError: ``spec_parameter_invalid``.
        StageError: ``training_failed`` with what the estimator said.
    """
    from joblib import cpu_count, parallel_config
    from sklearn.utils._param_validation import InvalidParameterError
    from threadpoolctl import threadpool_limits

    inputs = frame[list(spec.inputs)]
    threads = threads_for(inputs.size)
    try:
        # Sums in BLAS come out differently on another number of threads, so it gets one; trees do not depend on it.
        with threadpool_limits({"blas": 1, "openmp": threads}), parallel_config("threading", n_jobs=cpu_count()):
            estimator.fit(inputs, label_values(frame[spec.target]))
    except InvalidParameterError as error:
        raise SpecError(f"{spec.name}: train.trainer.parameters: {error}", code="spec_parameter_invalid") from error
    except ValueError as error:
        raise StageError(f"{spec.name}: {what} cannot be fitted: {error}", code="training_failed") from error
    forget_traces(estimator)
    return estimator
