"""An estimator of scikit-learn in a skops file."""

from __future__ import annotations

from typing import Any

from slipstream.adapters.sklearn import SklearnModel
from slipstream.bundle import skops_file
from slipstream.errors import BundleError
from slipstream.importing.opened import OpenedModel, OutputKind, unsuitable

_REMEDIES = {
    "model_type_untrusted": (
        "a model with classes or functions of its own is made here, with its code: trainer: {type: python}"
    ),
    "model_version_mismatch": "load it where it was fitted, and fit it again there with the version that runs here",
}


def open_skops(place: str, content: bytes) -> OpenedModel:
    """What the file's estimator says of itself.

    Raises:
        BundleError: as :func:`slipstream.bundle.skops_file.load`; ``import_unsuitable``: it is no fitted estimator.
    """
    try:
        estimator = skops_file.load(content)
    except BundleError as error:
        what = str(error).partition(";")[0].removeprefix("model: ").rstrip(".")
        remedy = _REMEDIES.get(error.code, "write it again: skops.io.dump(model, 'model.skops')")
        raise BundleError(f"{place}: {what}; {remedy}.", code=error.code) from error
    if not hasattr(estimator, "predict"):
        raise unsuitable(place, f"holds {type(estimator).__name__}, which answers nothing; dump a fitted estimator")
    names = getattr(estimator, "feature_names_in_", None)
    labels = getattr(estimator, "classes_", None)
    return OpenedModel(
        format="skops",
        library="sklearn",
        estimator=_called(estimator),
        build=lambda columns, _: SklearnModel(estimator, columns, named=names is not None),
        names=None if names is None else tuple(map(str, names)),
        width=getattr(estimator, "n_features_in_", None),
        words=None,
        outputs=_outputs(place, estimator),
        labels=None if labels is None else tuple(labels.tolist()),
        fitted=estimator,
    )


def _called(estimator: Any) -> str:
    steps = [type(step).__name__ for _, step in getattr(estimator, "steps", ())]
    return f"{type(estimator).__name__}({', '.join(steps)})" if steps else type(estimator).__name__


def _outputs(place: str, estimator: Any) -> OutputKind:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise unsuitable(place, f"{type(estimator).__name__} is not fitted; dump it after fit") from error
    except TypeError:  # no estimator of scikit-learn's kind: its answers will tell
        return ""
    if is_classifier(estimator):
        if not hasattr(estimator, "predict_proba"):
            kind = type(estimator).__name__
            raise unsuitable(place, f"{kind} has no predict_proba; wrap it where it was fitted: CalibratedClassifierCV")
        return "classification"
    return "regression" if is_regressor(estimator) else ""
