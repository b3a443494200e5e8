"""The page about one batch: what its contract found, which rows were set aside, what changed in its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream.reports.page import render


def page(result: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON result that the stage *validate* keeps."""
    return render("validation.html", title="Validation", **{**result, **_context(result)})


def _context(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows beside the bare result."""
    done = result["result"]
    rows = max(int(done["rows"]), 1)
    missing = sorted(((name, count) for name, count in result["missing"].items() if count), key=lambda item: -item[1])
    expectations = result["contract"]["expectations"]
    return {
        "met": sum(bool(item["met"]) for item in result["expectations"]),
        "verdict": _verdict(done),
        "missing": [(name, count, count / rows) for name, count in missing],
        "expectations": [
            {
                **item,
                "share": item["unexpected"] / max(int(item["judged"]), 1),
                "asked": _arguments(expectations[item["number"]]),
            }
            for item in result["expectations"]
        ],
    }


def _arguments(rule: Mapping[str, Any]) -> str:
    """The arguments of an expectation beside its columns."""
    arguments = {name: value for name, value in rule.items() if name != "type" and not name.startswith("column")}
    return ", ".join(f"{name} {value}" for name, value in arguments.items())


def _verdict(done: Mapping[str, Any]) -> str:
    """The outcome in one sentence."""
    if not done["success"]:
        return f"Refused: {done['message']}"
    if done["quarantined"]:
        return f"Accepted: {done['good']:,} good rows, {done['quarantined']:,} set aside in quarantine."
    if done["failed"]:
        return f"Accepted with a warning: all {done['good']:,} rows, though the contract was not met."
    return f"Accepted: all {done['good']:,} rows met the contract."
