"""Reads a suite of Great Expectations, of 0.18 or 1.x, as the expectations of a contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.commands.flow import flow
from slipstream.errors import SpecError
from slipstream.spec.backends import expectation_problems

_SILENT = {"batch_id", "result_format", "catch_exceptions", "include_config", "condition_parser"}
"""Arguments that choose how the library runs, and change no verdict."""


@dataclass(frozen=True)
class ImportedSuite:
    """A suite as a contract has it.

    Attributes:
        name: Its name.
        rules: The expectations that are taken, as the model file writes them.
        left_out: ``(type, reason)`` of each that is not.
    """

    name: str
    rules: tuple[dict[str, Any], ...]
    left_out: tuple[tuple[str, str], ...]

    def contract(self) -> str:
        """The block of model.yaml, with a comment for each that was left out."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# From the suite {json.dumps(self.name, ensure_ascii=False)}."
        yield "contract:"
        yield "  on_failure: quarantine"
        yield "  expectations:" if self.rules else "  expectations: []"
        for rule in self.rules:
            yield f"    - {flow(rule)}"
        for kind, reason in self.left_out:
            yield f"    # ? {kind}: {reason}"


def read_suite(path: Path) -> ImportedSuite:
    """The suite in the JSON file at *path*.

    Raises:
        SpecError: ``suite_invalid``: it cannot be read, or is no suite.
    """
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(path, f"cannot be read as JSON: {error}") from error
    listed = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _invalid(path, "is no suite: it has no list 'expectations'; save it as JSON from Great Expectations")
    rules: list[dict[str, Any]] = []
    left_out: list[tuple[str, str]] = []
    for one in listed:
        kind = str(one.get("type") or one.get("expectation_type"))
        rule = {"type": kind} | _arguments(one.get("kwargs"))
        problems = list(_problems(rule))
        if problems:
            left_out.append((kind, "; ".join(problems)))
        elif rule not in rules:
            rules.append(rule)
    name = str(suite.get("name") or suite.get("expectation_suite_name") or path.stem)
    return ImportedSuite(name, tuple(rules), tuple(left_out))


def _arguments(kwargs: Any) -> dict[str, Any]:
    plain = kwargs if isinstance(kwargs, Mapping) else {}
    return {key: value for key, value in plain.items() if key not in _SILENT and value is not None}


def _problems(rule: Mapping[str, Any]) -> Iterator[str]:
    """Why a rule cannot stand in a contract."""
    if "row_condition" in rule:
        yield f"row_condition {json.dumps(rule['row_condition'])}: a contract judges every row of a batch"
        return
    later = [key for key, value in rule.items() if isinstance(value, Mapping) and "$PARAMETER" in value]
    if later:
        yield f"{later[0]} is given later ($PARAMETER); write its value"
        return
    for problem in expectation_problems(rule):
        place = problem.place[-1] if problem.place else ""
        text = str(problem)
        yield text if place in {"", "type"} or str(place) in text else f"{place}: {text}"


def _invalid(path: Path, problem: str) -> SpecError:
    return SpecError(f"{path}: {problem}.", code="suite_invalid")
