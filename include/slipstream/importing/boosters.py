"""Models of XGBoost and CatBoost in their own formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slipstream.adapters.catboost import CatboostModel, opened
from slipstream.adapters.xgboost import XgboostModel
from slipstream.errors import SlipstreamError
from slipstream.importing.opened import OpenedModel, OutputKind, damaged, unsuitable

_XGBOOST: Mapping[str, OutputKind] = {
    **dict.fromkeys(("binary:logistic", "multi:softprob"), "classification"),
    "reg:logistic": "",
}
_RANKS = ("YetiRank", "Pair", "Query", "StochasticRank", "LambdaMart", "MultiRMSE")


def open_xgboost(place: str, content: bytes) -> OpenedModel:
    """What XGBoost's JSON or UBJSON says.

    Raises:
        BundleError: ``import_damaged``; ``import_unsuitable``: it answers no probabilities and no numbers.
        BackendError: ``missing_extra``.
    """
    try:
        booster = XgboostModel(content, ()).get_booster()
        learner = json.loads(booster.save_config())["learner"]
        width = int(booster.num_features())
        categories = _stored_categories(booster)
    except UnicodeDecodeError as error:
        what = "its categories hold letters beyond ASCII, which XGBoost writes cut off, so that they are lost"
        raise unsuitable(place, f"{what}; fit it on their numbers, or here (trainer: {{type: xgboost}})") from error
    except SlipstreamError:
        raise
    except Exception as error:  # XGBoost raises its own
        raise damaged(place, error) from error
    objective = learner["objective"]["name"]
    outputs = _XGBOOST.get(objective, "regression")
    if outputs == "regression" and not objective.startswith(("reg:", "count:", "survival:")):
        remedy = {"multi:softmax": "fit it with multi:softprob"}.get(objective, "fit it with binary:logistic")
        raise unsuitable(place, f"its objective {objective} gives no probabilities; {remedy}")
    names = booster.feature_names
    return OpenedModel(
        format="XGBoost UBJSON" if content.startswith(b"{L") else "XGBoost JSON",
        library="xgboost",
        estimator=f"XGBoost, {objective}, {booster.num_boosted_rounds():,} rounds",
        build=lambda columns, known: XgboostModel(content, columns, known),
        names=tuple(names) if names else None,
        width=width,
        categories=categories,
        # Of pandas' categories it counts letters, and writes so many bytes.
        cut=frozenset(place for place, values in categories.items() if not all(map(_ascii, values))),
        outputs=outputs,
    )


def _ascii(value: Any) -> bool:
    return not isinstance(value, str) or value.isascii()


def _stored_categories(booster: Any) -> dict[int, Sequence[Any]]:
    """Place of an input -> the categories that the booster keeps of it."""
    columns = booster.get_categories(export_to_arrow=True).to_arrow()
    return {place: values.to_pylist() for place, (_, values) in enumerate(columns) if values is not None}


def open_catboost(place: str, content: bytes) -> OpenedModel:
    """What CatBoost's cbm or JSON says.

    Raises:
        BundleError: ``import_damaged``; ``import_unsuitable``: it ranks, or reads texts or embeddings.
        BackendError: ``missing_extra``.
    """
    try:
        if not content.startswith(b"CBM1"):
            json.loads(content)  # CatBoost takes JSON that is cut off for the part that is there
        model = opened(content)
    except SlipstreamError:
        raise
    except Exception as error:  # CatBoost raises its own
        raise damaged(place, error) from error
    loss = str(model.get_all_params().get("loss_function", "")) if model.is_fitted() else ""
    labels = tuple(label.item() if hasattr(label, "item") else label for label in model.classes_)
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise unsuitable(place, "it reads texts or embeddings; give it numbers and categories")
    if not labels and loss.startswith(_RANKS):
        raise unsuitable(place, f"its loss {loss} gives scores; fit it for a class or a number")
    names = tuple(model.feature_names_)
    return OpenedModel(
        format="CatBoost cbm" if content.startswith(b"CBM1") else "CatBoost JSON",
        library="catboost",
        estimator=f"CatBoost, {loss}, {model.tree_count_:,} trees",
        build=lambda columns, _: CatboostModel(content, columns),
        names=None if names == tuple(map(str, range(len(names)))) else names,
        width=len(names),
        words=frozenset(model.get_cat_feature_indices()),
        outputs="classification" if labels else "regression",
        labels=labels or None,
    )
