"""The suite of trackers: those that we ship keep it, and each broken tracker fails its check."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipstream.testing import TRACKER_CHECKS, CheckFailed, TrackerCase, check_tracker

BROKEN = "tests.unit.testing.broken:BrokenTracker"


def read_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


SHIPPED = {
    "none": TrackerCase({"type": "none"}),
    "jsonl": TrackerCase({"type": "jsonl", "path": "{folder}/runs.jsonl"}, read_lines),
}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("check", TRACKER_CHECKS)
def test_every_tracker_keeps_its_promises(check: Callable[[TrackerCase], None], name: str) -> None:
    check(SHIPPED[name])


@pytest.mark.parametrize(
    ("breaks", "check", "text"),
    [
        ("stage", "takes_a_run", "'stage': ''"),
        ("odd", "takes_odd_figures", "not a number: it raised ValueError"),
        ("figures", "leaves_the_figures_alone", "work on a copy of them"),
        ("overwrites", "two_processes_tell_at_once", "process"),
    ],
)
def test_a_broken_tracker_fails_the_right_check(breaks: str, check: str, text: str) -> None:
    case = TrackerCase({"type": BROKEN, "breaks": breaks, "path": "{folder}/runs.jsonl"}, read_lines)
    with pytest.raises(CheckFailed) as caught:
        next(one for one in TRACKER_CHECKS if one.__name__ == check)(case)
    assert str(caught.value).startswith(f"tracker '{BROKEN}' fails {check}: ")
    assert text in str(caught.value)


def test_one_call_checks_all() -> None:
    check_tracker({"type": "none"})


def test_whatever_a_tracker_raises_the_run_stands(
    make_spec: Any, make_rows: Any, committed: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from slipstream.stages.train import train

    broken = {"type": BROKEN, "breaks": "figures", "path": "/"}
    spec = make_spec(allow_code=True, trackers=[broken, {"type": "os:getcwd"}])
    with caplog.at_level(logging.WARNING, "slipstream"):
        trained = train(spec, store, committed(spec, make_rows()).id)
    assert not trained.reused
    assert "tracker os:getcwd was not told of" in caplog.text
