"""What a model file may give LightGBM, XGBoost and CatBoost, and why some of their parameters are not its to give.

Their parameters stand in the table of :mod:`slipstream.spec.signatures`: names, and kinds where the library has some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slipstream.spec.signatures import table, wrong_arguments
from slipstream.spec.values import Place, SpecProblem, as_written, unknown

BOOSTERS = ("lightgbm", "xgboost", "catboost")
SIGNS = dict.fromkeys(BOOSTERS, "monotone_constraints")
GROUPS = {"lightgbm": "interaction_constraints", "xgboost": "interaction_constraints"}
CATEGORIES = {"lightgbm": "categorical_feature", "xgboost": "categorical_features", "catboost": "cat_features"}
"""The parameters that point at inputs, by name or position; XGBoost's last one is ours, which has none."""
STOPPING = {"rounds": ["whole", 1, None, "[)"], "share": ["number", 0, 0.5, "(]"]}
"""What ``early_stopping`` takes."""
STOPPING_SHARE = 0.1

_SEED = "set train.seed instead"
_THREADS = "threads are the installation's to say, and results do not depend on them"
_QUIET = "a training says nothing but what the run keeps"
_STOPPING = "write early_stopping: {rounds: 50} beside parameters: its rows are then set aside without a leak"
_FILES = "a training reads and writes no files of its own"
_CPU = "models are trained on processors, for results that can be had again"
_DATA = "it follows from the data"
_POSITIONS = "it counts prepared columns, which follow from the data"
_ALWAYS = "results are always the same here"

SETTLED: Mapping[str, Mapping[str, str]] = {
    "lightgbm": {
        **dict.fromkeys(
            ("random_state", "bagging_seed", "feature_fraction_seed", "extra_seed", "drop_seed", "data_random_seed"),
            _SEED,
        ),
        "objective_seed": _SEED,
        "n_jobs": _THREADS,
        "verbosity": _QUIET,
        "early_stopping_round": _STOPPING,
        **dict.fromkeys(("deterministic", "force_col_wise", "force_row_wise"), _ALWAYS),
        **dict.fromkeys(("device_type", "gpu_device_id", "gpu_platform_id", "gpu_use_dp", "num_gpu"), _CPU),
        "gpu_device_id_list": _CPU,
        **dict.fromkeys(("num_class", "header", "label_column", "weight_column", "group_column"), _DATA),
        **dict.fromkeys(("ignore_column", "use_missing", "task"), _DATA),
        **dict.fromkeys(
            ("data", "valid", "config", "input_model", "output_model", "output_result", "save_binary", "two_round"),
            _FILES,
        ),
        **dict.fromkeys(
            ("forcedsplits_filename", "forcedbins_filename", "parser_config_file", "snapshot_freq"), _FILES
        ),
        **dict.fromkeys(("convert_model", "convert_model_language", "machine_list_filename"), _FILES),
        **dict.fromkeys(("max_bin_by_feature", "feature_contri"), _POSITIONS),
        **dict.fromkeys(("cegb_penalty_feature_lazy", "cegb_penalty_feature_coupled"), _POSITIONS),
    },
    "xgboost": {
        **dict.fromkeys(("random_state", "seed"), _SEED),
        **dict.fromkeys(("n_jobs", "nthread"), _THREADS),
        **dict.fromkeys(("verbosity", "validate_parameters"), _QUIET),
        **dict.fromkeys(("early_stopping_rounds", "callbacks"), _STOPPING),
        "device": _CPU,
        "missing": "what is missing in the data is missing for the model",
        "enable_categorical": "words are categories here; name numbers that are in categorical_features",
        "feature_types": "words are categories here; name numbers that are in categorical_features",
        "feature_weights": _POSITIONS,
        "num_class": _DATA,
    },
    "catboost": {
        **dict.fromkeys(("random_seed", "random_state"), _SEED),
        "thread_count": _THREADS,
        **dict.fromkeys(("verbose", "silent", "logging_level", "metric_period", "name", "callback"), _QUIET),
        **dict.fromkeys(
            ("early_stopping_rounds", "od_type", "od_wait", "od_pval", "use_best_model", "best_model_min_trees"),
            _STOPPING,
        ),
        "eval_fraction": _STOPPING,
        **dict.fromkeys(("train_dir", "allow_writing_files", "save_snapshot", "snapshot_file"), _FILES),
        **dict.fromkeys(("snapshot_interval", "input_borders", "output_borders"), _FILES),
        **dict.fromkeys(("task_type", "devices", "device_config", "gpu_ram_part", "pinned_memory_size"), _CPU),
        **dict.fromkeys(("gpu_cat_features_storage", "used_ram_limit"), _CPU),
        **dict.fromkeys(("class_names", "classes_count", "metadata", "text_features", "embedding_features"), _DATA),
        **dict.fromkeys(("tokenizers", "dictionaries", "feature_calcers", "text_processing"), _DATA),
        **dict.fromkeys(("ignored_features", "feature_weights", "first_feature_use_penalties"), _POSITIONS),
        **dict.fromkeys(("per_object_feature_penalties", "per_float_feature_quantization"), _POSITIONS),
        **dict.fromkeys(("per_feature_ctr", "fixed_binary_splits"), _POSITIONS),
        **dict.fromkeys(("custom_loss",), "write custom_metric"),
    },
}
"""Booster -> parameters that a model file does not give, and why."""

_OF_CLASSES = ("class_weight", "class_weights", "auto_class_weights", "scale_pos_weight", "is_unbalance")


def booster_problems(
    word: str, task: str, inputs: tuple[str, ...], config: Mapping[str, Any], place: Place
) -> Iterator[SpecProblem]:
    """What is wrong with the ``parameters`` and ``early_stopping`` of a booster's trainer, which stands at *place*."""
    parameters, stopping = config.get("parameters"), config.get("early_stopping")
    if isinstance(parameters, Mapping):
        yield from _parameters(word, task, parameters, (*place, "parameters"))
        for at, column in _pointed(word, parameters):
            if inputs and column not in inputs:
                yield unknown("input", column, inputs, "spec_parameter_invalid", *place, "parameters", *at)
    if isinstance(stopping, Mapping) and stopping:
        yield from _stopping(stopping, (*place, "early_stopping"))


def _parameters(word: str, task: str, parameters: Mapping[str, Any], place: Place) -> Iterator[SpecProblem]:
    known = table()["boosters"][word]
    rest = dict(parameters)
    for name in parameters:
        reason = _refused(word, task, str(name), known["aliases"])
        if reason:
            del rest[name]
            yield SpecProblem(f"{word} takes no {name!r} here; {reason}", *place, name, code="spec_parameter_unknown")
    for problem in wrong_arguments(word, rest, known["parameters"], place, "spec_parameter_invalid"):
        absent = problem.place[-1] not in known["parameters"]
        code = "spec_parameter_unknown" if absent else problem.code
        yield SpecProblem(str(problem), *problem.place, code=code)


def _refused(word: str, task: str, name: str, aliases: Mapping[str, str]) -> str:
    """Why a parameter is not taken; "" if it may be."""
    meant = aliases.get(name, name)
    if meant in SETTLED[word]:
        return SETTLED[word][meant]
    if task == "regression" and meant in _OF_CLASSES:
        return "it weighs classes, and a regression has none"
    return f"write {meant!r}" if meant != name else ""


def _stopping(stopping: Mapping[str, Any], place: Place) -> Iterator[SpecProblem]:
    takes = {
        name: {"takes": [kind], "required": True} if name == "rounds" else {"takes": [kind]}
        for name, kind in STOPPING.items()
    }
    for name in ("rounds",):
        if name not in stopping:
            text = f"early_stopping needs 'rounds': how many rounds may bring nothing; got {as_written(dict(stopping))}"
            yield SpecProblem(text, *place, code="backend_argument")
            return
    yield from wrong_arguments("early_stopping", stopping, takes, place, "backend_argument")


def _pointed(word: str, parameters: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The inputs that parameters name."""
    signs, groups, categories = (names.get(word, "") for names in (SIGNS, GROUPS, CATEGORIES))
    by_name = parameters.get(signs)
    yield from (((signs, name), name) for name in (by_name if isinstance(by_name, dict) else ()))
    yield from _named(parameters.get(categories), (categories,))
    listed = parameters.get(groups)
    for number, group in enumerate(listed if isinstance(listed, list) else ()):
        yield from _named(group, (groups, number))


def _named(listed: Any, place: Place) -> Iterator[tuple[Place, str]]:
    for number, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, str):
            yield (*place, number), one
