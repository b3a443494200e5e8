"""Versions that pass the proof at the endpoint and go wrong when they are asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from slipstream.bundle import skops_file
from slipstream.bundle.bundle import Bundle
from slipstream.bundle.scorer import load_scorer

Files = dict[str, bytes | None]
ODD = {"distance": 50.0, "hour": 23, "carrier": "A"}
"""A row unlike the golden ones; the first version answers it."""


def one_class(bundle: Bundle) -> Files:
    """It answers yes to everything."""
    return _replanned(bundle, lambda head: head["base"].__setitem__(0, 100.0))


def inverted(bundle: Bundle) -> Files:
    """It answers no where the first version answers yes."""

    def turn(head: dict[str, Any]) -> None:
        head["base"] = [-value for value in head["base"]]
        head["weights"] = [[-value for value in row] for row in head["weights"]]

    return _replanned(bundle, turn)


def not_a_number(bundle: Bundle) -> Files:
    """Its answer to :data:`ODD` is no number, on every processor: its distance becomes infinite, times zero."""

    def overflow(steps: list[dict[str, Any]]) -> None:
        steps += [{"kind": "mul", "at": [0], "by": [by], "to": [0.0]} for by in (1e308, 0.0)]

    return _replanned(bundle, overflow, near=True, part="steps")


def crashing(bundle: Bundle) -> Files:
    """Carrier A is an error to it."""
    model = skops_file.load(bundle.files["model.skops"])
    encoder = next(part for part in _parts(model) if type(part).__name__ == "OneHotEncoder")
    encoder.handle_unknown, encoder._infrequent_enabled = "error", False
    for values in encoder.categories_:
        values[values == "A"] = "0"
    golden = [line for line in bundle.files["golden.jsonl"].splitlines() if b'"B"' in line or b'"C"' in line]
    return {"scorer/plan.json": None, "model.skops": skops_file.dump(model), "golden.jsonl": b"\n".join(golden) + b"\n"}


def _parts(model: Any) -> Any:
    for _, part in getattr(model, "steps", None) or [(name, one) for name, one, _ in model.transformers_]:
        if hasattr(part, "steps") or hasattr(part, "transformers_"):
            yield from _parts(part)
        elif not isinstance(part, str):
            yield part


def _replanned(bundle: Bundle, change: Any, *, near: bool = False, part: str = "head") -> Files:
    """The files of *bundle*, a compiled linear model, with another *part*, and golden rows that it answers so."""
    plan = json.loads(bundle.files["scorer/plan.json"])
    change(plan[part])
    files = {**bundle.files, "scorer/plan.json": json.dumps(plan).encode()}
    scorer = load_scorer(replace(bundle, files=files))
    rows = [entry["row"] for entry in scorer.golden]
    if near:
        rows = [row for row in rows if abs(row["distance"] or 0) < 0.5 and 8 < row["hour"] < 15]
    said = scorer.predict({name: [row[name] for row in rows] for name in scorer.schema.names})
    assert said.probabilities is not None
    answers = zip(rows, said.predictions, said.probabilities, strict=True)
    golden = [json.dumps({"row": row, "prediction": label, "probability": p}).encode() for row, label, p in answers]
    return {"scorer/plan.json": files["scorer/plan.json"], "golden.jsonl": b"\n".join(golden) + b"\n"}
