"""What every benchmark ends with: a table on the terminal and ``var/bench/<suite>.json`` for scripts."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
QUICK = bool(os.environ.get("QUICK"))
"""Whether the same code runs on tiny sizes, in seconds: to see that it runs, not to measure."""


@dataclass(frozen=True)
class Row:
    """One comparison: medians of interleaved rounds. ``ratio`` above 1 always means that ours is better."""

    case: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float


def row(case: str, unit: str, ours: Sequence[float], peer: Sequence[float], peer_name: str) -> Row:
    """The comparison of two series of measurements where less is better (seconds, megabytes)."""
    own, other = statistics.median(ours), statistics.median(peer)
    return Row(case, unit, round(own, 4), round(other, 4), peer_name, round(other / own, 3))


def row_more(case: str, unit: str, ours: Sequence[float], peer: Sequence[float], peer_name: str) -> Row:
    """The comparison of two series of measurements where more is better (requests a second)."""
    own, other = statistics.median(ours), statistics.median(peer)
    return Row(case, unit, round(own, 4), round(other, 4), peer_name, round(own / other, 3))


def report(suite: str, rows: Sequence[Row], details: Any = None) -> Path:
    """Print the table and write the JSON, with *details* if there are any; returns the file."""
    machine = {
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
    }
    word = " (QUICK: tiny sizes, no figures to quote)" if QUICK else ""
    print(f"\n{suite}{word}: {machine['cpus']} CPUs, {machine['memory_gb']} GB, load {machine['load']}")
    print(f"{'case':44} {'unit':10} {'ours':>10} {'peer':>10}  {'peer is':18} {'ratio':>7}")
    for item in rows:
        print(
            f"{item.case:44} {item.unit:10} {item.ours:10.3f} {item.peer:10.3f}  {item.peer_name:18} {item.ratio:6.2f}x"
        )
    folder = ROOT / "var" / "bench"
    file = (folder / "quick" if QUICK else folder) / f"{suite}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"suite": suite, "date": datetime.now(UTC).date().isoformat(), "machine": machine}
    found["rows"] = [asdict(item) for item in rows]
    if details is not None:
        found["details"] = details
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file.relative_to(ROOT)}")
    return file
