"""What fitted models keep beside what they learnt, of the machine and the hour; equal models must not differ by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_OPEN = (list, tuple, set, dict)


def forget_traces(estimator: Any) -> None:
    """Clear those traces in *estimator* and in all fitted estimators that it holds, in place."""
    for part in _parts(estimator):
        for kind in type(part).__mro__:
            forget = _TRACES.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
            if forget is not None:
                forget(part)
                break


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator and everything of scikit-learn's kind inside it: steps, members, what a member was cloned from."""
    waiting, seen = [estimator], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, _OPEN):
            waiting.extend(part)
        elif hasattr(part, "get_params") and not isinstance(part, type):
            waiting.extend(vars(part).values())
            yield part


def _hist_boosting(model: Any) -> None:
    """How many threads binned the data, what judged an early stop, and a check of its inputs.

    The last two are functions, which no model file may hold; what is checked, the preparation before it has made sure
    of.
    """
    if hasattr(model, "_scorer"):
        model._scorer = None
    mapper = getattr(model, "_bin_mapper", None)
    if mapper is not None:
        mapper.n_threads = 1
    before = getattr(model, "_preprocessor", None)
    if before is not None:
        before.named_transformers_["numerical"].func = None
        before.transformers = before.transformers_[:2]


def _lightgbm(model: Any) -> None:
    """How many threads it was fitted with, which its text tells."""
    booster = getattr(model, "_Booster", None)
    if booster is None:
        return
    for name in [name for name in booster.params if name in _LIGHTGBM_THREADS]:
        booster.params[name] = 1
    state = booster.__getstate__()
    state["_handle"] = re.sub(r"(?m)^\[num_threads: -?\d+\]$", "[num_threads: 1]", state["_handle"])
    booster.free_dataset()
    booster.__setstate__(state)


_LIGHTGBM_THREADS = ("num_threads", "n_jobs", "nthread", "nthreads", "num_thread")


def _xgboost(model: Any) -> None:
    """How many threads it was fitted with."""
    if hasattr(model, "_Booster"):
        model.get_booster().set_param({"nthread": 1})


def _catboost(model: Any) -> None:
    """A random name, the hour, and how many threads it was fitted with."""
    model._init_params.pop("thread_count", None)
    if not model.is_fitted():
        return
    metadata = model.get_metadata()
    metadata["model_guid"] = metadata["train_finish_time"] = ""
    metadata["params"] = re.sub(r'"thread_count":-?\d+', '"thread_count":1', metadata["params"])


_TRACES: dict[str, Callable[[Any], None]] = {
    "sklearn.BaseHistGradientBoosting": _hist_boosting,
    "lightgbm.LGBMModel": _lightgbm,
    "xgboost.XGBModel": _xgboost,
    "catboost.CatBoost": _catboost,
}
