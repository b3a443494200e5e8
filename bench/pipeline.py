"""``make bench SUITE=pipeline``: what Airflow adds to a training of the flights model.

Ours is the wall time of a run of ``flights__train`` through a real Airflow, from its trigger to its end. The peers are
the same stages on the same dataset version as a plain script: in a process that is warm (libraries imported, one
training done before), and in a new process (imports included). Each training has a seed of its own, so that nothing is
reused; rounds alternate. The gap between tasks is the time from the end of the last task that a task waits for until
it starts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "demo"))

from report import QUICK, ROOT, Row, report, row

from airflow_client.client import Airflow, DagRun
from slipstream_stack.lifecycle import down, up
from slipstream_stack.ports import choose
from slipstream_stack.settings import Layout, Ports, process_environment

ROUNDS = 1 if QUICK else 3
MODEL = "flights"
AFTER = {
    "evaluate": ("train",),
    "explain": ("train",),
    "package": ("evaluate", "explain"),
    "replay": ("package",),
    "gate": ("replay",),
    "deploy": ("gate",),
}
SCRIPT = Path(__file__).resolve().parent / "scripts" / "pipeline.py"


def main() -> None:
    """Start a stack of its own, measure in rounds, and stop it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped then, too
    with TemporaryDirectory(prefix="slipstream-bench-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "include" / "models" / MODEL, folder / "models" / MODEL)
        layout = Layout.under(ROOT, folder / "var", folder / "models")
        ports, _ = choose({"SLIPSTREAM_AIRFLOW_PORT": "", "SLIPSTREAM_ENDPOINT_PORT": ""})
        up(layout, ports, say=lambda line: print(line, file=sys.stderr))
        try:
            rows = measure(layout, ports)
        finally:
            down(layout, say=lambda line: None)
    report("pipeline", rows)


def measure(layout: Layout, ports: Ports) -> list[Row]:
    """Rounds of ours, warm and cold; the first round of each warms up and is not counted."""
    airflow = Airflow.of(layout, ports.airflow_url)
    for verb in ("ingest", "train"):
        airflow.unpause(f"{MODEL}__{verb}")
    for _ in range(3):
        finished(airflow, f"{MODEL}__ingest")
    environment = process_environment(layout, ports, os.environ)
    series: dict[str, list[float]] = {"ours": [], "warm": [], "cold": [], "gap": []}
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), MODEL], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as warm:
        for number in range(ROUNDS + 1):
            run = trained(airflow, layout, 3 * number)
            seed(layout, 3 * number + 1)
            took = asked(warm)
            seed(layout, 3 * number + 2)
            begin = time.monotonic()
            words = [sys.executable, str(SCRIPT), MODEL, "once"]
            subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
            told(number, run, took)
            if number:
                series["cold"].append(time.monotonic() - begin)
                series["warm"].append(took)
                series["ours"].append(run[0])
                series["gap"] += gaps(run[1])
        assert warm.stdin is not None
        warm.stdin.close()
    airflow.close()
    gap = statistics.median(series["gap"])
    return [
        row("3 months of flights, train to deploy", "s", series["ours"], series["warm"], "warm-script"),
        row("3 months of flights, train to deploy", "s", series["ours"], series["cold"], "cold-script"),
        Row("gap between two tasks, target 0.3", "s", round(gap, 4), 0.3, "target", round(0.3 / gap, 3)),
    ]


def told(number: int, run: tuple[float, DagRun], warm: float) -> None:
    """Say how a round went, so that an outlier can be explained."""
    tasks = ", ".join(f"{task.name} {task.seconds:.1f}" for task in run[1].tasks)
    print(f"round {number}: Airflow {run[0]:.1f} s ({tasks}), warm script {warm:.1f} s", file=sys.stderr)


def trained(airflow: Airflow, layout: Layout, number: int) -> tuple[float, DagRun]:
    """Seconds from trigger to end of one run of the train DAG, and the run."""
    seed(layout, number)
    run = finished(airflow, f"{MODEL}__train")
    assert run.ended is not None
    queued = airflow.get(f"/dags/{run.dag}/dagRuns/{run.id}")["queued_at"]
    return (instant(run.ended) - instant(queued)).total_seconds(), run


def finished(airflow: Airflow, dag: str) -> DagRun:
    """A new run of *dag*, ended well."""
    run = airflow.wait(dag, airflow.trigger(dag), seconds=300, poll=0.2)
    if not run.ended_well or any(task.state not in {"success", "skipped"} for task in run.tasks):
        raise SystemExit(airflow.why_failed(run))
    return airflow.run(dag, run.id)


def seed(layout: Layout, number: int) -> None:
    """Give the next training a seed of its own, so that it cannot be reused."""
    file = layout.models / MODEL / "model.yaml"
    text = (ROOT / "include" / "models" / MODEL / "model.yaml").read_text()
    # The script deploys at once, so the DAG does: steps and their bakes would be measured else.
    text = re.sub(r"(?m)^deploy:\n(?:  .*\n)+", "deploy: {target: {type: local}}\n", text)
    # The champion must not refuse the same model with another seed.
    text = text.replace("train:\n", f"train:\n  seed: {1000 + number}\n", 1).replace("margin: 0.01", "margin: 0.5")
    file.write_text(text)


def asked(script: subprocess.Popen[str]) -> float:
    """Seconds that the warm script needs for one training."""
    assert script.stdin is not None
    assert script.stdout is not None
    script.stdin.write("train\n")
    script.stdin.flush()
    line = script.stdout.readline()
    if not line:
        raise SystemExit("the warm script has ended")
    return float(json.loads(line))


def gaps(run: DagRun) -> list[float]:
    """Seconds from the end of what a task waits for until it starts, for each task that waits."""
    tasks = {task.name: task for task in run.tasks}
    found = []
    for name, before in AFTER.items():
        started = tasks[name].started
        assert started is not None
        ends = [tasks[other].ended for other in before]
        found.append((instant(started) - max(instant(end) for end in ends if end)).total_seconds())
    return found


def instant(text: str) -> datetime:
    """The time that Airflow writes."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


if __name__ == "__main__":
    main()
