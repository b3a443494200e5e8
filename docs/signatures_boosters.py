"""What LightGBM, XGBoost and CatBoost take, for the table that `docs/signatures.py` writes.

Their classes say names and, some of them, kinds; what they say nothing of takes anything. One parameter has one word
here: the one of the library's scikit-learn class, else its first name; the other names are listed as aliases.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

_ANY = [["any"]]
_MAPPING_OR_LIST = [["mapping"], ["list"]]
_WEIGHTS = [["words", "balanced"], ["mapping"]]
_POINTING: Mapping[str, list[list[Any]]] = {
    "monotone_constraints": _MAPPING_OR_LIST,
    "interaction_constraints": [["list"]],
    **{name: [["list"]] for name in ("categorical_feature", "categorical_features", "cat_features")},
}
_ROUNDS = [["whole", 1, None, "[)"]]
_KINDS: Mapping[type, list[Any]] = {
    bool: ["flag"],
    int: ["whole", None, None, "()"],
    float: ["number", None, None, "()"],
    str: ["text"],
}
_XGBOOST_MORE: Mapping[str, list[list[Any]]] = {
    **{name: [_KINDS[float]] for name in ("tweedie_variance_power", "huber_slope", "expectile_alpha")},
    **{name: [_KINDS[float]] for name in ("rate_drop", "skip_drop")},
    **{name: [_KINDS[int]] for name in ("one_drop", "max_cached_hist_node")},
    **{name: [_KINDS[str]] for name in ("sample_type", "normalize_type")},
    "quantile_alpha": [_KINDS[float]],
    "refresh_leaf": _ANY,
}
"""What XGBoost reads beside its constructor's arguments."""
_XGBOOST_ALIASES = {
    **dict.fromkeys(("num_round", "num_rounds", "num_boost_round", "num_iterations", "iterations"), "n_estimators"),
    "eta": "learning_rate",
    "alpha": "reg_alpha",
    "lambda": "reg_lambda",
    "min_split_loss": "gamma",
    "monotonic_cst": "monotone_constraints",
    "cat_features": "categorical_features",
    "categorical_feature": "categorical_features",
}
_CATBOOST_ALIASES = {
    **dict.fromkeys(("n_estimators", "num_boost_round", "num_trees"), "iterations"),
    "eta": "learning_rate",
    "max_depth": "depth",
    "reg_lambda": "l2_leaf_reg",
    "colsample_bylevel": "rsm",
    "objective": "loss_function",
    "max_bin": "border_count",
    "min_child_samples": "min_data_in_leaf",
    "num_leaves": "max_leaves",
    "class_weight": "class_weights",
    "monotonic_cst": "monotone_constraints",
    "categorical_feature": "cat_features",
    "categorical_features": "cat_features",
}


def boosters() -> dict[str, Any]:
    """Booster -> its parameters and the aliases of them."""
    found = {"lightgbm": _lightgbm(), "xgboost": _xgboost(), "catboost": _catboost()}
    return {word: _without_settled(word, *parts) for word, parts in found.items()}


def _without_settled(
    word: str, parameters: Mapping[str, list[list[Any]]], aliases: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    from slipstream.spec.boosters import SETTLED

    kept = {name: {"takes": takes} for name, takes in sorted(parameters.items()) if name not in SETTLED[word]}
    return {"parameters": kept, "aliases": dict(sorted(aliases.items()))}


def _lightgbm() -> tuple[dict[str, list[list[Any]]], dict[str, str]]:
    import lightgbm
    from lightgbm.basic import _ConfigAliases

    own = inspect.signature(lightgbm.LGBMClassifier).parameters
    kinds = {name: _kinds(one.annotation) for name, one in own.items() if name != "kwargs"}
    aliases: dict[str, str] = {}
    for name, names in _ConfigAliases._get_all_param_aliases().items():
        if name.startswith(("predict_", "pred_", "lambdarank_")) or name in _LIGHTGBM_NO_TRAINING:
            continue
        word = next((one for one in names if one in own), name)
        kinds.setdefault(word, _ANY)
        aliases |= {one: word for one in names if one != word}
    return {
        **kinds,
        **_pointing(kinds),
        "class_weight": _WEIGHTS,
        "objective": [["text"]],
        "n_estimators": _ROUNDS,
    }, aliases


_LIGHTGBM_NO_TRAINING = {
    *("start_iteration_predict", "num_iteration_predict", "refit_decay_rate", "is_provide_training_metric"),
    *("eval_at", "label_gain", "auc_mu_weights", "metric_freq", "pre_partition", "num_machines", "local_listen_port"),
    *("time_out", "machines", "precise_float_parser"),
}
"""What LightGBM reads for ranking, for prediction by its command line and for many machines."""


def _xgboost() -> tuple[dict[str, list[list[Any]]], dict[str, str]]:
    import xgboost

    hints = inspect.signature(xgboost.XGBModel).parameters
    kinds = {name: _kinds(one.annotation) for name, one in hints.items() if name != "kwargs"}
    kinds |= {**_XGBOOST_MORE, "categorical_features": _ANY, "class_weight": _WEIGHTS, "objective": [["text"]]}
    return {**kinds, **_pointing(kinds), "eval_metric": [["text"]], "n_estimators": _ROUNDS}, _XGBOOST_ALIASES


def _catboost() -> tuple[dict[str, list[list[Any]]], dict[str, str]]:
    import catboost

    names = inspect.signature(catboost.CatBoostClassifier).parameters
    kinds = {name: _ANY for name in names if name not in _CATBOOST_ALIASES}
    kinds |= {"class_weights": [["mapping"]], "auto_class_weights": [["words", "Balanced", "SqrtBalanced"]]}
    kinds |= {"loss_function": [["text"]], "iterations": _ROUNDS}
    return {**kinds, **_pointing(kinds)}, _CATBOOST_ALIASES


def _pointing(kinds: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
    return {name: takes for name, takes in _POINTING.items() if name in kinds}


def _kinds(annotation: Any) -> list[list[Any]]:
    """The kinds of an annotation: plain types and None; anything where it says more."""
    members = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Union else (annotation,)
    known = [_KINDS[one] for one in members if one in _KINDS]
    rest = [one for one in members if one not in _KINDS and one is not type(None)]
    return _ANY if rest or not known else known
