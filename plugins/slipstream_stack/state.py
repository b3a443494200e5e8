"""What a supervisor notes for others: which process each component is, how often it ended; and that it is awake."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

STATE = "state.json"


@dataclass
class ComponentState:
    """What is known of one component.

    Attributes:
        pid: Its process; None while it has none.
        started: Unix time at which that process, or the last one, was started.
        ended: How often it has ended since the stack was started.
        code: The exit code of its last end, negative for a signal; None if it is not known.
    """

    pid: int | None = None
    started: float = 0.0
    ended: int = 0
    code: int | None = None

    @property
    def last_end(self) -> str:
        """How it ended last, in words."""
        if self.code is None:
            return "ended"
        return f"ended with {self.code}" if self.code >= 0 else f"ended by signal {-self.code}"


def write_notes(run: Path, notes: Mapping[str, ComponentState]) -> None:
    """Keep *notes*, by component, in the run folder; whole or not at all."""
    draft = run / f"{STATE}.new"
    draft.write_text(json.dumps({name: asdict(note) for name, note in notes.items()}))
    draft.replace(run / STATE)


def read_notes(run: Path) -> dict[str, ComponentState]:
    """The notes by component; empty if there are none, or none that can be read."""
    try:
        return {name: ComponentState(**note) for name, note in json.loads((run / STATE).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def beat(run: Path) -> None:
    """Say that the supervisor is awake."""
    os.utime(run / STATE)


def silence(run: Path) -> float:
    """Seconds since the supervisor was awake last; infinite if it never was."""
    try:
        return time.time() - (run / STATE).stat().st_mtime
    except OSError:
        return float("inf")
