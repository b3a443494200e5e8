"""The steps of ``train.trainer.prepare``: what a column goes through before the model, by name.

Their classes and arguments are scikit-learn's; :mod:`slipstream.spec.signatures` has what each takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slipstream.errors import shown
from slipstream.hints import nearest
from slipstream.spec.plain import FileValues
from slipstream.spec.signatures import table, wrong_arguments
from slipstream.spec.values import Place, SpecProblem, as_written, unknown

Takes = Literal["number", "word", "any"]
KINDS = ("numbers", "words", "dates")
"""What stands for all inputs of a kind, in place of their names."""


@dataclass(frozen=True)
class PrepareStep:
    """One step.

    Attributes:
        path: The transformer's import path.
        takes: What its columns have to hold: numbers, words or dates written as words, or either.
        together: Whether what it makes of a column depends on the other columns of the step.
        settled: Arguments that are not the file's to give.
    """

    path: str
    takes: Takes = "number"
    together: bool = False
    settled: tuple[str, ...] = ()


_MISSING = ("missing_values",)
_SPARSE = ("sparse_output", "dtype", "categories", "feature_name_combiner")
_TEXT = ("input", "encoding", "decode_error", "preprocessor", "tokenizer", "token_pattern", "dtype", "vocabulary")
STEPS: Mapping[str, PrepareStep] = {
    "impute": PrepareStep("sklearn.impute.SimpleImputer", "any", settled=(*_MISSING, "copy", "keep_empty_features")),
    "scale": PrepareStep("sklearn.preprocessing.StandardScaler", settled=("copy",)),
    "min_max": PrepareStep("sklearn.preprocessing.MinMaxScaler", settled=("copy",)),
    "robust": PrepareStep("sklearn.preprocessing.RobustScaler", settled=("copy",)),
    "quantile": PrepareStep("sklearn.preprocessing.QuantileTransformer", settled=("copy", "ignore_implicit_zeros")),
    "power": PrepareStep("sklearn.preprocessing.PowerTransformer", settled=("copy",)),
    "bins": PrepareStep("sklearn.preprocessing.KBinsDiscretizer", settled=("dtype", "encode")),
    "spline": PrepareStep("sklearn.preprocessing.SplineTransformer", settled=("sparse_output", "order")),
    "polynomial": PrepareStep("sklearn.preprocessing.PolynomialFeatures", together=True, settled=("order",)),
    "pca": PrepareStep("sklearn.decomposition.PCA", together=True, settled=("copy",)),
    "select_k_best": PrepareStep("sklearn.feature_selection.SelectKBest", together=True, settled=("score_func",)),
    "one_hot": PrepareStep("sklearn.preprocessing.OneHotEncoder", "any", settled=_SPARSE),
    "ordinal": PrepareStep(
        "sklearn.preprocessing.OrdinalEncoder", "any", settled=("dtype", "categories", "handle_unknown")
    ),
    "target": PrepareStep(
        "sklearn.preprocessing.TargetEncoder", "any", settled=("categories", "target_type", "cv", "shuffle")
    ),
    "tf_idf": PrepareStep("sklearn.feature_extraction.text.TfidfVectorizer", "word", settled=_TEXT),
    "hashing": PrepareStep("sklearn.feature_extraction.text.HashingVectorizer", "word", settled=_TEXT),
    "date_parts": PrepareStep("slipstream.trainers.date_parts.DateParts", "word"),
}


def prepare_problems(values: FileValues) -> Iterator[SpecProblem]:
    """Everything that is wrong with the steps of a model file."""
    place = ("train", "trainer", "prepare")
    steps = values.value(*place)
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        yield from _step(values, step, (*place, number))


def _step(values: FileValues, step: Any, place: Place) -> Iterator[SpecProblem]:
    if not isinstance(step, Mapping) or not isinstance(step.get("step"), str):
        message = f"expected a step such as {{step: impute, columns: [age]}}, got {as_written(step)}"
        yield SpecProblem(message, *place, code="spec_step_invalid")
        return
    name = step["step"]
    if name not in STEPS:
        message = f"no step is called {shown(name)}; {nearest(name, STEPS)}"
        yield SpecProblem(message, *place, "step", code="spec_step_unknown")
        return
    arguments = {key: value for key, value in step.items() if key not in ("step", "columns")}
    yield from wrong_arguments(f"step {name!r}", arguments, table()["steps"][name], place, "spec_step_invalid")
    yield from _columns(values.inputs, step.get("columns"), (*place, "columns"))


def _columns(inputs: Sequence[str], columns: Any, place: Place) -> Iterator[SpecProblem]:
    named = [columns] if isinstance(columns, str) else columns
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        kinds = ", ".join(KINDS)
        message = f"expected inputs such as [age, fare], or one of {kinds}, got {as_written(columns)}"
        yield SpecProblem(message, *place, code="spec_step_invalid")
        return
    for number, name in enumerate(named or ()):
        if inputs and name not in inputs and not (columns == name and name in KINDS):
            where = (*place, number) if isinstance(columns, list) else place
            words = [*inputs, *(KINDS if isinstance(columns, str) else ())]
            yield unknown("input", name, words, "spec_step_invalid", *where)
