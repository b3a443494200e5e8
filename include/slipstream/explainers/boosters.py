"""Contributions and scores that LightGBM, XGBoost and CatBoost compute themselves: TreeSHAP on their own categories."""

from __future__ import annotations

from typing import Any

BOOSTERS = ("lightgbm", "xgboost", "catboost")


def library_of(model: Any) -> str:
    """Which of the libraries fitted *model*; "" for none."""
    roots = (kind.__module__.partition(".")[0] for kind in type(model).__mro__)
    return next((root for root in roots if root in BOOSTERS), "")


def booster_contributions(model: Any, prepared: Any) -> tuple[Any, Any]:
    """Contributions of shape ``(n, columns)`` and bases ``(n,)``, on the scale of :func:`booster_scores`.

    Of several classes the shapes are ``(n, columns, classes)`` and ``(n, classes)``.
    """
    import numpy as np

    library = library_of(model)
    if library == "lightgbm":
        both = np.asarray(model.predict(prepared, pred_contrib=True))
        columns = prepared.shape[1] + 1
        both = both.reshape(len(both), -1, columns) if both.shape[1] > columns else both
    elif library == "xgboost":
        both = np.asarray(model.get_booster().predict(_matrix(model, prepared), pred_contribs=True), dtype=np.float64)
    else:
        both = np.asarray(model.get_feature_importance(_pool(model, prepared), type="ShapValues"))
    values, bases = both[..., :-1], both[..., -1]
    return (values.transpose(0, 2, 1), bases) if values.ndim == 3 else (values, bases)


def booster_scores(model: Any, prepared: Any) -> Any:
    """What the trees add up to, before any link: shape ``(n,)``, of several classes ``(n, classes)``."""
    import numpy as np

    library = library_of(model)
    if library == "lightgbm":
        return np.asarray(model.predict(prepared, raw_score=True))
    if library == "xgboost":
        return np.asarray(model.get_booster().predict(_matrix(model, prepared), output_margin=True), dtype=np.float64)
    return np.asarray(model.predict(_pool(model, prepared), prediction_type="RawFormulaVal"))


def _matrix(model: Any, prepared: Any) -> Any:
    import xgboost

    types = model.get_booster().feature_types
    return xgboost.DMatrix(prepared, feature_types=types, enable_categorical=bool(types and "c" in types), nthread=1)


def _pool(model: Any, prepared: Any) -> Any:
    import catboost

    return catboost.Pool(prepared, cat_features=model.get_cat_feature_indices())
