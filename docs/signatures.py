"""Write what back ends, estimators and expectations take to a table: `python docs/signatures.py`, or `--check`.

Model files are read where none of the libraries may be imported, so their signatures are data there. Each argument has
``takes``, the kinds of value that it can be given in YAML, and ``required`` where it must be given. A kind is a list: a
word, then what bounds it: ``["whole", 1, null, "[)"]``, ``["words", "sqrt", "log2"]``.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import inspect
import json
import logging
import os
import sys
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from signatures_boosters import boosters

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "include/slipstream/spec/signatures.json"
_SIDES = {"left": "[)", "right": "(]", "both": "[]", "neither": "()"}
_POINTING = {
    "monotonic_cst": [["mapping"], ["list"], ["none"]],
    "interaction_cst": [["words", "no_interactions", "pairwise"], ["list"], ["none"]],
    "categorical_features": [["list"], ["none"]],
}
"""What points at inputs takes their names here (slipstream.trainers.positions)."""
_STEP_ARGUMENTS = {
    "ngram_range": [["list"]],
    "feature_range": [["list"]],
    "quantile_range": [["list"]],
    "degree": [["whole", 1, None, "[)"]],
    "fill_value": [["text"], ["number", None, None, "()"], ["none"]],
    "drop": [["words", "first", "if_binary"], ["none"]],
}
"""What a tuple or an object is in scikit-learn is this in a model file."""
_PLAIN = {str: "text", bool: "flag", int: "whole", float: "number", list: "list", dict: "mapping"}


def signatures() -> dict[str, Any]:
    """The whole table: slot -> word -> arguments, and the same of estimators, boosters and expectations."""
    from slipstream.slots import SLOTS
    from slipstream_airflow.notifiers import ALERT

    return {
        "slots": {
            slot.name: {word: _backend(_loaded(path)) for word, path in slot.builtin.items()}
            for slot in (*SLOTS, ALERT)
        },
        "estimators": _estimators(),
        "steps": _steps(),
        "boosters": boosters(),
        "expectations": _expectations(),
    }


def _loaded(path: str) -> Any:
    module, _, name = path.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)


def _backend(kind: Any) -> dict[str, Any]:
    """The arguments of a back end of ours, from the annotations of its constructor."""
    if "__init__" not in vars(kind):
        return {}
    hints = typing.get_type_hints(
        kind.__init__, include_extras=True, localns=vars(importlib.import_module(kind.__module__))
    )
    return {
        name: _given(_alternatives(hints[name]), parameter.default is inspect.Parameter.empty)
        for name, parameter in inspect.signature(kind).parameters.items()
    }


def _alternatives(hint: Any) -> list[list[Any]]:
    """The kinds of an annotation, which may be several."""
    several = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [_annotated(one) for one in (typing.get_args(hint) if several else (hint,))]


def _annotated(hint: Any) -> list[Any]:
    """The kind of one annotation; bounds stand beside it as a ``Field`` of pydantic."""
    plain, *notes = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    if typing.get_origin(plain) is typing.Literal:
        return ["words", *typing.get_args(plain)]
    if plain in (int, float):
        bounds = {
            key: value for note in notes for one in note.metadata for key, value in dataclasses.asdict(one).items()
        }
        return [_PLAIN[plain], bounds.get("ge"), bounds.get("le"), "[]"]
    if typing.get_origin(plain) is Sequence:
        return ["list"]
    return [_PLAIN.get(plain) or _PLAIN[dict]]


def _estimators() -> dict[str, Any]:
    """The parameters of each estimator, by scikit-learn's own constraints."""
    from slipstream.spec.estimators import ESTIMATORS, SETTLED

    return {path: _parameters(_loaded(path), {"points": _POINTING, "settled": SETTLED}) for path in ESTIMATORS}


def _steps() -> dict[str, Any]:
    """The arguments of each step of ``prepare``."""
    from slipstream.spec.estimators import SETTLED
    from slipstream.spec.prepare import STEPS

    return {
        name: _parameters(_loaded(step.path), {"points": _STEP_ARGUMENTS, "settled": {*SETTLED, *step.settled}})
        for name, step in STEPS.items()
    }


def _parameters(kind: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a class of scikit-learn, by its own constraints."""
    rules = getattr(kind, "_parameter_constraints", {})
    return {
        name: _argument(
            known["points"].get(name) or [kind for rule in rules[name] for kind in _constraint(rule)], False
        )
        for name in inspect.signature(kind).parameters
        if name not in known["settled"]
    }


def _constraint(rule: Any) -> list[list[Any]]:
    """What a constraint of scikit-learn lets a YAML value be; nothing for objects, and for what is hidden."""
    from sklearn.utils._param_validation import Interval, Options, StrOptions

    if isinstance(rule, StrOptions):
        return [["words", *sorted(rule.options - rule.deprecated)]]
    if isinstance(rule, Interval):
        word = "whole" if rule.type is Integral else "number"
        return [[word, _finite(rule.left), _finite(rule.right), _SIDES[rule.closed]]]
    if isinstance(rule, Options):
        return [["words", *sorted(rule.options)]]
    known: dict[Any, list[list[Any]]] = {
        None: [["none"]],
        "boolean": [["flag"]],
        "verbose": [["flag"], ["whole", 0, None, "[)"]],
        "array-like": [["list"]],
        Integral: [["whole", None, None, "()"]],
        dict: [["mapping"]],
        list: [["list"]],
        str: [["text"]],
    }
    return known.get(rule, []) if isinstance(rule, str | type | None) else []


def _finite(bound: Any) -> Any:
    return None if bound is None or abs(bound) == float("inf") else bound


def _expectations() -> dict[str, Any]:
    """The arguments of each expectation that a contract may give."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.INFO)  # it tells of each of its own functions
        from slipstream.data.expectations_gx import REFUSED, expectation_class
        from slipstream.spec.expectations import EXPECTATIONS

    found: dict[str, Any] = {}
    for name in EXPECTATIONS:
        kind = expectation_class(name)
        # A place among columns says nothing of a batch whose columns are known by name.
        fields = {key: one for key, one in kind.__fields__.items() if key not in {*REFUSED, "column_index"}}
        found[name] = {
            key: _argument(_field(key, one.annotation), one.required or key == "regex") for key, one in fields.items()
        }
    return found


def _field(name: str, annotation: Any) -> list[list[Any]]:
    """What a field of Great Expectations takes; other mappings stand for a value to be given later."""
    special = {
        "mostly": [["number", 0, 1, "[]"]],
        "column_list": [["columns"]],
        "column_set": [["columns"]],
        "regex": [["regex"]],
        "strftime_format": [["text"]],
        "json_schema": [["mapping"]],
        "multiplier": [["number", 0, None, "()"]],
        "internal_weight_holdout": [["number", 0, 1, "[]"]],
        "tail_weight_holdout": [["number", 0, 1, "[]"]],
        "quantile_ranges": [["mapping"]],
        "partition_object": [["mapping"]],
    }
    if name.startswith("column"):
        return special.get(name, [["column"]])
    if name in special:
        return special[name]
    kinds = [kind for one in _members(annotation) if (kind := _member(one))]
    return [kind for number, kind in enumerate(kinds) if kind not in kinds[:number]]


def _member(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return ["words", *typing.get_args(annotation)]
    if annotation in (int, float):
        return [_PLAIN[annotation], None, None, "()"]
    known = {bool: ["flag"], datetime.datetime: ["moment"]}
    return ["list"] if typing.get_origin(annotation) is list else known.get(annotation, [])


def _members(annotation: Any) -> Sequence[Any]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    return (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else [annotation]
    )


def _given(kinds: list[list[Any]], required: bool) -> dict[str, Any]:
    """An argument of ours; a text that must be given says something."""
    return _argument([["filled"] if required and kind == ["text"] else kind for kind in kinds], required)


def _argument(takes: list[list[Any]], required: bool) -> dict[str, Any]:
    return {"takes": takes, "required": True} if required else {"takes": takes}


def text() -> str:
    """The table as it is kept: one argument a line."""
    lines = []
    for part, kinds in signatures().items():
        lines.append(f" {json.dumps(part)}: {_block(kinds, 2, 3 if part in ('slots', 'boosters') else 2)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(value: Mapping[str, Any], indent: int, depth: int) -> str:
    if depth == 0 or not value:
        return json.dumps(value)
    rows = [f"{' ' * indent}{json.dumps(key)}: {_block(one, indent + 1, depth - 1)}" for key, one in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * (indent - 1) + "}"


def main(arguments: list[str]) -> int:
    """Write the table if it is stale, or with ``--check`` only say so."""
    made = text()
    if TABLE.exists() and TABLE.read_text() == made:
        return 0
    if "--check" in arguments:
        sys.stdout.write(f"{TABLE.relative_to(ROOT)} is stale\nRun: python docs/signatures.py\n")
        return 1
    TABLE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
