"""What the demo leaves behind: a table of what to open, and how to stop."""

from __future__ import annotations

import json
import shlex

from slipstream_stack.settings import USER, Layout, Ports
from story import MODEL, Story


def summary(story: Story, layout: Layout, ports: Ports) -> None:
    """Print the closing table."""
    state, console = story.state, story.screen.console
    latest = {stage: event.content.result.report for stage, event in state.latest.items()}
    versions = f"{len(state.versions)} made, version {state.champion} serves"
    lines = [
        ("model", f"{MODEL}: {versions}; data up to {state.watermark}"),
        ("Airflow", f"{ports.airflow_url}   user {USER}, password in {layout.passwords}"),
        ("model's page", f"{ports.airflow_url}/slipstream/models/{MODEL}   (log in to Airflow first)"),
    ]
    for stage, name in (("validate", "data"), ("evaluate", "scores"), ("explain", "explanation"), ("monitor", "drift")):
        digest = latest.get(stage)
        if digest:
            lines.append((f"report: {name}", f"{ports.airflow_url}/slipstream/reports/{digest}"))
    lines.append(("endpoint", f"{ports.endpoint_url}/models/{MODEL}   metrics at /metrics, health at /readyz"))
    lines.append(("store", layout.store))
    console.print("\n[bold]To open[/bold]")
    for name, text in lines:
        console.print(f"{name:<21}{text}", soft_wrap=True)
    console.print("\n[bold]Ask for a prediction[/bold]")
    console.print(curl(story, ports), markup=False, soft_wrap=True)
    console.print(f"\nDone in {story.screen.seconds:.0f} s. Everything stays up; stop it with: make down\n")


def curl(story: Story, ports: Ports) -> str:
    """A command that asks the endpoint for the prediction of one flight."""
    row = {
        "carrier": "UA", "origin": "EWR", "dest": "ORD", "distance": 719, "departs": 18.5, "weekday": 5,
        "plane_age": 12, "seats": 149, "manufacturer": "BOEING",
        "temp": 71.1, "humid": 84.0, "wind_speed": 12.7, "precip": 0.1,
        "pressure": 1008.2, "visib": 6.0,
    }  # fmt: skip
    body = json.dumps({"rows": [{name: row.get(name) for name in story.spec.inputs}]})
    url = f"{ports.endpoint_url}/models/{MODEL}/predict"
    return f"curl -s {url} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
