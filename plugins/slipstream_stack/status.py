"""What runs of a stack, and how well: told by its processes and by what each of them says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipstream_stack import processes
from slipstream_stack.health import HEALTHY, health
from slipstream_stack.settings import USER, Layout, Ports
from slipstream_stack.state import ComponentState, read_notes, silence

_SILENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """What ``stack.json`` says of the stack that runs.

    Attributes:
        ports: Where it listens.
        names: Its components.
        environment: The settings that it was started with, without secrets.
    """

    ports: Ports
    names: tuple[str, ...]
    environment: Mapping[str, str]


def running_stack(layout: Layout) -> Running | None:
    """The stack of which processes live, with or without a supervisor, or None."""
    if not processes.members(layout.run):
        return None
    try:
        plan = json.loads((layout.run / "stack.json").read_text())
        names = tuple(component["name"] for component in plan["components"])
        return Running(Ports(**plan["ports"]), names, plan["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # lost or torn: `up` clears the processes away and starts anew


def supervision(layout: Layout) -> str:
    """``healthy`` if a supervisor lives and is awake, else what is wrong with it."""
    if not processes.supervisors(layout.run):
        return "gone"
    quiet = silence(layout.run)
    return HEALTHY if quiet < _SILENCE_SECONDS else f"silent for {quiet:.0f} s"


def states(layout: Layout, running: Running) -> dict[str, str]:
    """``healthy`` or the reason why not, by component: its process runs, and says by itself that it works."""
    living = {process.pid for process in processes.members(layout.run)}
    notes = read_notes(layout.run)
    known = {name: notes.get(name, ComponentState()) for name in running.names}
    alive = {name: note.started for name, note in known.items() if note.pid in living}
    answers = health(running.ports, alive)
    return {name: answers.get(name) or _gone(note) for name, note in known.items()}


def _gone(note: ComponentState) -> str:
    if not note.ended and note.pid is None:
        return "not started yet"
    return f"{note.last_end}, not started again yet"


def status(layout: Layout) -> dict[str, Any]:
    """The running stack as plain values: URLs, components with state and restarts, memory. Empty if nothing runs."""
    running = running_stack(layout)
    if running is None:
        return {}
    component_states, supervisor = states(layout, running), supervision(layout)
    restarts = {name: note.ended for name, note in read_notes(layout.run).items()}
    return {
        "airflow": running.ports.airflow_url,
        "endpoint": running.ports.endpoint_url,
        "user": USER,
        "password_file": str(layout.passwords),
        "logs": str(layout.logs),
        "components": {
            name: {"state": state, "restarts": restarts.get(name, 0)} for name, state in component_states.items()
        },
        "supervisor": {"state": supervisor, "restarts": restarts.get(processes.SUPERVISOR, 0)},
        "memory_mb": round(processes.memory(layout.run) / 1e6),
        "healthy": all(state == HEALTHY for state in (supervisor, *component_states.values())),
    }
