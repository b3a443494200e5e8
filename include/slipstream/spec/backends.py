"""Whether the back ends, estimators and expectations that a model file names exist and take what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from slipstream.errors import shown
from slipstream.hints import nearest
from slipstream.spec.boosters import BOOSTERS, booster_problems
from slipstream.spec.estimators import CLASSIFIERS, REFUSED, REGRESSORS, SETTLED
from slipstream.spec.expectations import EXPECTATIONS, REFUSED_EXPECTATIONS
from slipstream.spec.http_source import http_problems
from slipstream.spec.joins import joined_tables
from slipstream.spec.plain import FileValues
from slipstream.spec.prepare import prepare_problems
from slipstream.spec.relatives import relatives
from slipstream.spec.signatures import table, wrong_arguments
from slipstream.spec.sql_source import sql_problems
from slipstream.spec.values import Place, SpecProblem, as_written, unknown

_ALONE: tuple[tuple[Place, str], ...] = (
    (("data", "source"), "source"),
    (("score", "source"), "source"),
    (("monitor", "labels"), "source"),
    (("train", "trainer"), "trainer"),
    (("explain",), "explainer"),
    (("deploy", "target"), "target"),
)
_LISTED = (("alerts", "alert"), ("trackers", "tracker"))
_MEANT = {
    **dict.fromkeys(("csv", "tsv", "parquet", "s3", "local"), "write {type: files, path: ...}"),
    **dict.fromkeys(
        ("database", "postgres", "postgresql", "mysql", "mariadb", "sqlite"),
        "write {type: sql, connection: ..., table: ...}",
    ),
    **dict.fromkeys(("https", "url", "web"), "write {type: http, url: ...}"),
    **dict.fromkeys(("xlsx", "excel", "zip", "jsonl"), "write {type: files, path: ...}"),
    "api": "a call is a function of features.py: write {type: python, function: ...}",
}
"""Words for sources that people look for, and what is written for them."""


def backend_problems(values: FileValues, allow_code: bool) -> Iterator[SpecProblem]:
    """Everything that is wrong with the back ends, the estimator and the expectations."""
    chosen = [(place, slot, values.value(*place)) for place, slot in _ALONE]
    chosen += [(place, slot, part) for at, slot in _LISTED for place, part in values.parts(at)]
    chosen += [((*place, "source"), "source", table.get("source")) for place, table in joined_tables(values)]
    for place, slot, config in chosen:
        if isinstance(config, Mapping):
            yield from _backend(place, slot, config, allow_code)
    yield from sql_problems(values)
    yield from http_problems(values)
    word = values.text("train", "trainer", "type")
    if word == "sklearn":
        yield from _estimator(values)
        yield from prepare_problems(values)
    elif word in BOOSTERS:
        trainer = values.value("train", "trainer")
        yield from booster_problems(word, values.task, tuple(values.inputs), trainer, ("train", "trainer"))
    for place, rule in values.parts("contract", "expectations"):
        yield from expectation_problems(rule, place)


def _backend(place: Place, slot: str, config: Mapping[str, Any], allow_code: bool) -> Iterator[SpecProblem]:
    known = table()["slots"][slot]
    word = config.get("type")
    if not isinstance(word, str):
        got = f", got {as_written(word)}" if "type" in config else ""
        message = f"needs a 'type' that names the {slot}: {' or '.join(known)}{got}"
        yield SpecProblem(message, *place, *(["type"] if "type" in config else []), code="unknown_backend")
    elif word in known:
        arguments = {key: value for key, value in config.items() if key != "type"}
        yield from wrong_arguments(f"{slot} {word!r}", arguments, known[word], place, "backend_argument")
    elif word not in _installed(slot):
        yield from _unknown(place, slot, word, allow_code)


@cache
def _installed(slot: str) -> frozenset[str]:
    """The words that installed packages add; looking for them takes longer than all else here."""
    return frozenset(entry_points(group=f"slipstream.{slot}").names)


def _unknown(place: Place, slot: str, word: str, allow_code: bool) -> Iterator[SpecProblem]:
    if ":" not in word:
        words = [*table()["slots"][slot], *sorted(_installed(slot))]
        hint = _MEANT.get(word.lower(), "") if slot == "source" else ""
        message = f"no {slot} is called {shown(word)}; {hint or nearest(word, words)}"
        yield SpecProblem(message, *place, "type", code="unknown_backend")
    elif not allow_code:
        message = (
            f"{shown(word)} names code, which is not allowed here; set SLIPSTREAM_ALLOW_CODE=1 if you trust every "
            f"author of model files, or install it as an entry point of 'slipstream.{slot}'"
        )
        yield SpecProblem(message, *place, "type", code="backend_code_forbidden")


def _estimator(values: FileValues) -> Iterator[SpecProblem]:
    place = ("train", "trainer")
    estimator = values.text(*place, "estimator")
    known = CLASSIFIERS + REGRESSORS
    allowed = {"": known, "regression": REGRESSORS}.get(values.task, CLASSIFIERS)
    if estimator in allowed:
        parameters = values.value(*place, "parameters")
        yield from (
            _parameters(values, estimator, parameters, (*place, "parameters"))
            if isinstance(parameters, Mapping)
            else ()
        )
    elif estimator in known:
        message = f"{shown(estimator)} does not do task {values.task}; {relatives(estimator, allowed)}"
        yield SpecProblem(message, *place, "estimator")
    elif estimator in REFUSED:
        message = f"{shown(estimator)} is not an estimator that may be named: {REFUSED[estimator]}"
        yield SpecProblem(message, *place, "estimator", code="spec_estimator_unknown")
    elif estimator:
        of_task = (
            f" for task {values.task}; {relatives(estimator, allowed)}" if values.task else "; the task says which may"
        )
        message = f"{shown(estimator)} is not an estimator that may be named{of_task}"
        yield SpecProblem(message, *place, "estimator", code="spec_estimator_unknown")


def _parameters(
    values: FileValues, estimator: str, parameters: Mapping[str, Any], place: Place
) -> Iterator[SpecProblem]:
    name = estimator.rpartition(".")[2]
    for key in SETTLED.keys() & parameters.keys():
        yield SpecProblem(f"{name} takes no {key!r} here; {SETTLED[key]}", *place, key, code="spec_parameter_unknown")
    rest = {key: value for key, value in parameters.items() if key not in SETTLED}
    for problem in wrong_arguments(name, rest, table()["estimators"][estimator], place, "spec_parameter_invalid"):
        absent = problem.place[-1] not in table()["estimators"][estimator]
        code = "spec_parameter_unknown" if absent else problem.code
        yield SpecProblem(str(problem), *problem.place, code=code)
    for at, column in _pointed(parameters):
        if values.inputs and column not in values.inputs:
            yield unknown("input", column, values.inputs, "spec_parameter_invalid", *place, *at)


def _pointed(parameters: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The inputs that parameters name."""
    signs, groups, categories = (
        parameters.get(name) for name in ("monotonic_cst", "interaction_cst", "categorical_features")
    )
    yield from ((("monotonic_cst", name), name) for name in (signs if isinstance(signs, dict) else ()))
    for number, one in enumerate(categories if isinstance(categories, list) else ()):
        if isinstance(one, str):
            yield ("categorical_features", number), one
    for number, group in enumerate(groups if isinstance(groups, list) else ()):
        for at, one in enumerate(group if isinstance(group, list) else ()):
            if isinstance(one, str):
                yield ("interaction_cst", number, at), one


def expectation_problems(rule: Mapping[str, Any], place: Place = ()) -> Iterator[SpecProblem]:
    """What is wrong with an expectation of a contract, which stands at *place*."""
    kind = rule.get("type")
    if not isinstance(kind, str):
        return
    if kind in REFUSED_EXPECTATIONS:
        message = f"{kind} is not judged here: {REFUSED_EXPECTATIONS[kind]}"
        yield SpecProblem(message, *place, "type", code="spec_expectation_unknown")
        return
    if kind not in EXPECTATIONS:
        yield unknown("expectation", kind, EXPECTATIONS, "spec_expectation_unknown", *place, "type")
        return
    arguments = {key: value for key, value in rule.items() if key != "type"}
    takes = table()["expectations"][kind]
    code = "spec_expectation_invalid"
    yield from wrong_arguments(kind, arguments, takes, place, code)
    if "min_value" in takes and "threshold" not in takes:
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if low is None and high is None:
            yield SpecProblem(f"{kind} needs min_value, max_value or both", *place, code=code)
        elif isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            message = f"min_value {low} is above max_value {high}; nothing lies between"
            yield SpecProblem(message, *place, "min_value", code=code)
