"""The steps of a model file before its model, as a transformer: columns that go through the same steps are one branch.

What no step names is prepared as it would be without any steps. All are fitted inside the pipeline, so on training
rows alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slipstream.errors import SpecError
from slipstream.spec.model import ModelSpec
from slipstream.spec.prepare import KINDS, STEPS, PrepareStep

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "one_hot": {"handle_unknown": "infrequent_if_exist", "max_categories": 30, "sparse_output": False},
    "ordinal": {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -1},
    "bins": {"encode": "onehot-dense", "quantile_method": "averaged_inverted_cdf"},
    "polynomial": {"include_bias": False},
    "quantile": {"n_quantiles": 100},
    "tf_idf": {"max_features": 300},
    "hashing": {"n_features": 256},
    "impute": {"keep_empty_features": True},
}
_MAKES_NUMBERS = frozenset({"one_hot", "ordinal", "target", "tf_idf", "hashing", "date_parts"})


@dataclass(frozen=True)
class Branch:
    """Columns on their way: what they hold by now, and the steps so far.

    Attributes:
        columns: Inputs.
        began: What they held at the start: ``number`` or ``word``.
        holds: What they hold now.
        steps: ``(name, transformer)``.
    """

    columns: tuple[str, ...]
    began: str
    holds: str
    steps: tuple[tuple[str, Any], ...] = ()

    def then(self, name: str, transformer: Any, makes_numbers: bool) -> Branch:
        """The branch with one step more."""
        return replace(self, steps=(*self.steps, (name, transformer)), holds="number" if makes_numbers else self.holds)

    @property
    def way(self) -> tuple[str, ...]:
        """What tells whether another branch went through the same."""
        return (self.began, *(name for name, _ in self.steps))


def preparation_of(
    spec: ModelSpec, steps: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]
) -> tuple[list[Branch], list[tuple[str, Any]]]:
    """The branches of the columns that steps name, and the steps over all that is prepared.

    Args:
        spec: The model.
        steps: As the model file has them.
        kinds: Input -> ``numbers``, ``words`` or ``dates``.

    Raises:
        SpecError: ``spec_step_invalid``, naming the step and the column.
    """
    held = {name: "number" if kind == "numbers" else "word" for name, kind in kinds.items()}
    branches = [Branch((name,), holds, holds) for name, holds in held.items()]
    behind: list[tuple[str, Any]] = []
    for number, step in enumerate(steps):
        where = f"{spec.name}: train.trainer.prepare[{number}] ({step['step']})"
        if step.get("columns") is None:
            behind.append((f"{step['step']}_{number}", _transformer(spec, step, "number")))
            continue
        if behind:
            raise _refusal(f"{where}: names columns behind a step over all that is prepared; move it up")
        named = _named(step, kinds)
        for name in named if step["step"] == "date_parts" else ():
            if kinds[name] != "dates":
                raise _refusal(f"{where}: takes dates, but {name} holds {kinds[name]}; take it out of columns")
        branches = _through(spec, step, number, where, branches, named)
    return _merged([branch for branch in branches if branch.steps]), behind


def _merged(branches: Sequence[Branch]) -> list[Branch]:
    """One branch for all columns that went the same way; a transformer then works on all of them at once."""
    by_way: dict[tuple[str, ...], list[Branch]] = {}
    for branch in branches:
        by_way.setdefault(branch.way, []).append(branch)
    return [
        replace(first, columns=tuple(name for branch in (first, *rest) for name in branch.columns))
        for first, *rest in by_way.values()
    ]


def _named(step: Mapping[str, Any], kinds: Mapping[str, str]) -> list[str]:
    columns = step["columns"]
    if isinstance(columns, str) and columns in KINDS and columns not in kinds:
        return [name for name, kind in kinds.items() if kind == columns]
    return [columns] if isinstance(columns, str) else list(columns)


def _through(
    spec: ModelSpec, step: Mapping[str, Any], number: int, where: str, branches: list[Branch], named: list[str]
) -> list[Branch]:
    """The branches after one step; those of a step over several columns together become one."""
    chosen = [branch for branch in branches if set(branch.columns) & set(named)]
    for branch in chosen:
        _refuse(STEPS[step["step"]], where, branch, named)
    if STEPS[step["step"]].together and chosen:
        if len({branch.way for branch in chosen}) > 1:
            apart = " and ".join(", ".join(branch.columns) for branch in _merged(chosen))
            raise _refusal(f"{where}: its columns went through other steps before ({apart}); give them the same steps")
        chosen_as_one = _merged(chosen)
    else:
        chosen_as_one = chosen
    name, makes_numbers = f"{step['step']}_{number}", step["step"] in _MAKES_NUMBERS
    after = [branch.then(name, _transformer(spec, step, branch.holds), makes_numbers) for branch in chosen_as_one]
    return [*after, *(branch for branch in branches if branch not in chosen)]


def _refuse(known: PrepareStep, where: str, branch: Branch, named: Sequence[str]) -> None:
    """Refuse a step that takes another kind of column, or some of those that became one."""
    columns = ", ".join(branch.columns)
    if not set(branch.columns) <= set(named):
        left = ", ".join(sorted(set(branch.columns) - set(named)))
        raise _refusal(f"{where}: {columns} went through a step together; name {left} too")
    if known.takes not in ("any", branch.holds):
        holds = "words" if branch.holds == "word" else "numbers"
        takes = "texts" if known.takes == "word" else "numbers"
        raise _refusal(f"{where}: takes {takes}, but {columns} holds {holds}; take it out of columns")


def _transformer(spec: ModelSpec, step: Mapping[str, Any], kind: str) -> Any:
    name = step["step"]
    module, _, attribute = STEPS[name].path.rpartition(".")
    arguments = dict(_DEFAULTS.get(name, {}))
    if name == "impute":
        arguments |= {"strategy": "median"} if kind == "number" else _IMPUTES_WORDS
    if name == "target":
        arguments["cv"] = _folds(spec)
    if name == "select_k_best":
        arguments["score_func"] = _score(spec)
    given = {key: value for key, value in step.items() if key not in ("step", "columns")}
    arguments |= {key: tuple(value) if key in _PAIRS else value for key, value in given.items()}
    transformer = getattr(importlib.import_module(module), attribute)(**arguments)
    if "random_state" in transformer.get_params() and name != "target":
        transformer.set_params(random_state=spec.seed)
    if name in ("tf_idf", "hashing"):
        from slipstream.trainers.texts import Texts

        return Texts(transformer)
    return transformer


_PAIRS = ("ngram_range", "feature_range", "quantile_range")
_IMPUTES_WORDS: Mapping[str, Any] = {"strategy": "most_frequent", "missing_values": None}


def _score(spec: ModelSpec) -> Any:
    from sklearn.feature_selection import f_classif, f_regression

    return f_regression if spec.task == "regression" else f_classif


def _folds(spec: ModelSpec) -> Any:
    """The folds within which the means of a target encoder are taken, so that no row sees its own target."""
    from sklearn.model_selection import KFold, StratifiedKFold

    return (KFold if spec.task == "regression" else StratifiedKFold)(5, shuffle=True, random_state=spec.seed)


def _refusal(text: str) -> SpecError:
    return SpecError(f"{text}.", code="spec_step_invalid")
