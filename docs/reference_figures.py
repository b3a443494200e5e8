"""The figures of the benchmarks, from the JSON of the run that `make figures` took over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "bench" / "figures"
SERVERS = {
    "ours": "Slipstream",
    "fastapi-compiled": "FastAPI with this scorer",
    "fastapi": "FastAPI",
    "bentoml": "BentoML",
    "mlflow": "MLflow",
    "echo": "echo, no model",
}


def suites() -> dict[str, Callable[[], Iterator[str]]]:
    """``figures_<suite>`` -> what prints its table, of every suite that was taken over."""
    named = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}
    found = {f"figures_{name}": _printer(file, compared) for name, file in named.items()}
    if "serving" in named:
        found["figures_servers"] = _printer(named["serving"], servers)
    return found


def _printer(file: Path, rows: Callable[[Any], Iterator[str]]) -> Callable[[], Iterator[str]]:
    def printed() -> Iterator[str]:
        found = json.loads(file.read_text())
        yield from rows(found)
        machine = found["machine"]
        yield (
            f"\n`make bench SUITE={found['suite']}` on {found['date']}: {machine['cpus']} CPUs, "
            f"{machine['memory_gb']:.0f} GB, {machine['system']}, Python {machine['python']}, load {machine['load']}."
        )

    return printed


def compared(found: Any) -> Iterator[str]:
    """Each case, ours against the peer; above 1 ours is better."""
    yield "| case | unit | Slipstream | peer | peer is | ratio |\n|---|---|---|---|---|---|"
    for one in found["rows"]:
        ours, peer = number(one["ours"]), number(one["peer"])
        yield f"| {one['case']} | {one['unit']} | {ours} | {peer} | {one['peer_name']} | {one['ratio']:.2f} |"


def servers(found: Any) -> Iterator[str]:
    """The medians of each server under load and at its start."""
    loads = {(one["server"], one["rows"], one["connections"]): one for one in found["details"]["loads"]}
    starts = {one["server"]: one for one in found["details"]["starts"]}
    yield (
        "| server | 1 row: CPU ms | requests/s at 32 connections | p50 / p99 ms at 32 | 1,000 rows: CPU ms | "
        "start: CPU s | MB | first / 100th request ms |\n|---|---|---|---|---|---|---|---|"
    )
    for name, title in SERVERS.items():
        one, many, start = loads[name, 1, 32], loads[name, 1000, 4], starts[name]
        p50, p99 = number(one["p50"][0]), number(one["p99"][0])
        first, hundredth = number(start["first"]), number(start["hundredth"])
        yield (
            f"| {title} | {number(one['cpu'][0])} | {one['rate'][0]:,.0f} | {p50} / {p99} | {number(many['cpu'][0])} | "
            f"{start['cpu']:.1f} | {start['memory']:.0f} | {first} / {hundredth} |"
        )


def number(value: float) -> str:
    """Three digits that count, as people read them."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
