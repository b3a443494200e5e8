"""``make bench SUITE=serving``: our endpoint with all that guards it, against what people serve models with.

All servers run at once, one worker each. Each start is measured alone. Then they must give the same answers, and are
loaded by wrk one after the other, for a few seconds each, at 1, 8, 32 and 64 connections with one row and at 4 with
1,000 rows; the order is reversed each round. CPU is that of all processes of a server, so that it hardly depends on
what else the machine does; ours asks for a key, limits, counts, captures each answer, and is charged for the writing.
``echo`` parses and replies without a model, ``fastapi-compiled`` has our scorer without our endpoint.

SLIPSTREAM_BENCH_ROUNDS: 3. Needs wrk; installs MLflow into var/peers (with QUICK it takes part if it is there).
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from load.lineup import Fixture, make_fixture, servers
from load.server import Running, Server, Start, running, started
from load.slices import CAPTURED, DROPPED, Slice, figure, load, wrk
from report import QUICK, ROOT, Row, report, row, row_more

ROUNDS = 1 if QUICK else int(os.environ.get("SLIPSTREAM_BENCH_ROUNDS") or 3)
# Rows of a request, connections, seconds.
LOADS = ((1, 32, 1), (1000, 4, 1)) if QUICK else ((1, 1, 2), (1, 8, 2), (1, 32, 3), (1, 64, 3), (1000, 4, 2))
SHOWN = 32
CHECKED = 20
CLOSE = 1e-6

PLAIN = ("bentoml", "mlflow", "fastapi")
CPU, P99, MANY = "1 row, CPU per request", f"1 row, p99 at {SHOWN} connections", "1000 rows, CPU per request"
START_CPU, START_MEMORY = "start, CPU beyond the supervisor", "start, memory beyond the supervisor"
FIRST = "start, first request to hundredth"
CPU_LIMIT, MEMORY_LIMIT = 2.0, 150.0

Slices = dict[tuple[str, int, int], list[Slice]]
Starts = dict[str, list[Start]]


@dataclass(frozen=True)
class Target:
    """The least ratio that a case must have against a peer."""

    case: str
    peer: str
    ratio: float


TARGETS = (
    *(Target(CPU, peer, 40) for peer in PLAIN),
    Target(CPU, "echo", 0.25),
    *(Target(MANY, peer, 4) for peer in PLAIN),
    *(Target(P99, peer, 20) for peer in PLAIN),
    Target(START_CPU, "target", 1),
    Target(START_MEMORY, "target", 1),
    # As fast, but for what one measurement of a millisecond is off by chance.
    Target(FIRST, "target", 0.5),
)


def main() -> int:
    """Prepare, measure and report; 2 if something is missing."""
    signal.signal(signal.SIGTERM, end)
    try:
        wrk()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 0 if QUICK else 2
    if not QUICK and subprocess.run([str(ROOT / ".ci" / "install"), "peers"], stdout=sys.stderr).returncode:
        return 2
    with TemporaryDirectory(prefix="slipstream-bench-") as name:
        told("making the champion ...")
        fixture = make_fixture(Path(name))
        lineup = servers(fixture)
        with running() as up:
            starts = start_all(fixture, lineup, up)
            slices = measure(fixture, up)
            captured = what_was_captured(up["ours"])
    rows = [*compared(lineup, slices), *start_rows(lineup, starts)]
    details = {"loads": load_table(slices), "starts": start_table(starts), "captured": captured}
    show(details)
    report("serving", rows, details)
    judge(rows)
    return 0


def end(*_: object) -> None:
    """Stop the servers and end, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def start_all(fixture: Fixture, lineup: Sequence[Server], up: dict[str, Running]) -> Starts:
    """Start each server alone, ROUNDS times; those of the last round stay up."""
    found: Starts = defaultdict(list)
    for turn in range(ROUNDS):
        for server in lineup:
            if server.name in up:
                up.pop(server.name).stop()
            body = body_file(fixture, server, 1).read_bytes()
            up[server.name], start = started(server, fixture.folder, body)
            found[server.name].append(start)
            told(f"start {turn + 1}: {server.name} ready after {start.wall:.1f} s, {start.cpu:.1f} s of CPU")
    return found


def measure(fixture: Fixture, up: dict[str, Running]) -> Slices:
    """All rounds, after all servers have shown that they answer alike."""
    same_answers(fixture, up)
    refuses_strangers(fixture, up["ours"])
    found: Slices = defaultdict(list)
    for one in up.values():
        load(one, body_file(fixture, one.server, 1), 8, 1)
    for turn in range(ROUNDS):
        for rows, connections, seconds in LOADS:
            for one in list(up.values())[:: -1 if turn % 2 else 1]:
                seen = load(one, body_file(fixture, one.server, rows), connections, seconds)
                found[one.server.name, rows, connections].append(seen)
        told(f"round {turn + 1} of {ROUNDS} is done")
    return found


def same_answers(fixture: Fixture, up: dict[str, Running]) -> None:
    """Stop unless every server that has the model gives the same probabilities for some rows."""
    said = {}
    for name, one in up.items():
        if one.server.answers is not None:
            body = json.dumps(one.server.body(fixture.rows[:CHECKED])).encode()
            connection = one.connect()
            said[name] = one.server.answers(one.post(connection, body))
            connection.close()
    expected = said["fastapi"]
    assert len(set(expected)) > CHECKED / 2, "the rows are too much alike to prove anything"
    for name, answers in said.items():
        far = max(abs(mine - other) for mine, other in zip(answers, expected, strict=True))
        if far > CLOSE:
            raise SystemExit(f"{name} answers otherwise than fastapi: by {far}")
    told(f"{len(said)} servers give the same {CHECKED} probabilities")


def refuses_strangers(fixture: Fixture, ours: Running) -> None:
    """Stop unless our endpoint asks for the key."""
    connection = ours.connect()
    body = json.dumps(ours.server.body(fixture.rows[:1]))
    connection.request("POST", ours.server.path, body, {"content-type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    if status != 401:
        raise SystemExit(f"our endpoint answered {status} without a key: this would be no fair comparison")


def what_was_captured(ours: Running) -> dict[str, float]:
    """How many answered rows our endpoint has written, and how many it had no time for."""
    written = figure(ours, CAPTURED)
    if not written:
        raise SystemExit("our endpoint has captured nothing: this would be no fair comparison")
    return {"written": written, "dropped": figure(ours, DROPPED)}


def body_file(fixture: Fixture, server: Server, rows: int) -> Path:
    """The body of so many rows in the server's form."""
    file = fixture.folder / f"{server.name}-{rows}.json"
    if not file.exists():
        file.write_text(json.dumps(server.body(fixture.rows[:rows])), encoding="utf-8")
    return file


def compared(lineup: Sequence[Server], slices: Slices) -> list[Row]:
    """Ours against each peer."""

    def series(name: str, what: str, rows: int, connections: int | None = None) -> list[float]:
        keys = [(name, *one[:2]) for one in LOADS if one[0] == rows and connections in (None, one[1])]
        return [getattr(seen, what) for key in keys for seen in slices[key]]

    found = []
    for peer in [server.name for server in lineup[1:]]:
        for case, unit, make, what in (
            (CPU, "ms", row, ("cpu", 1)),
            (f"1 row, p50 at {SHOWN} connections", "ms", row, ("p50", 1, SHOWN)),
            (P99, "ms", row, ("p99", 1, SHOWN)),
            (f"1 row, requests/s at {SHOWN} connections", "1/s", row_more, ("rate", 1, SHOWN)),
            (MANY, "ms", row, ("cpu", 1000)),
        ):
            found.append(make(case, unit, series("ours", *what), series(peer, *what), peer))
    return found


def start_rows(lineup: Sequence[Server], starts: Starts) -> list[Row]:
    """What starts cost, against the peers that have a model, and against what we want."""

    def series(name: str, what: str) -> list[float]:
        return [getattr(start, what) for start in starts[name]]

    found = []
    for peer in [server.name for server in lineup[1:] if server.answers is not None]:
        for case, unit, what in (
            ("start, CPU until ready", "s", "cpu"),
            ("start, memory", "MB", "memory"),
            ("start, first request", "ms", "first"),
        ):
            found.append(row(case, unit, series("ours", what), series(peer, what), peer))
    return [
        *found,
        row(START_CPU, "s", series("ours", "cpu_beyond"), [CPU_LIMIT], "target"),
        row(START_MEMORY, "MB", series("ours", "memory_beyond"), [MEMORY_LIMIT], "target"),
        row(FIRST, "ms", series("ours", "first"), series("ours", "hundredth"), "target"),
    ]


def load_table(slices: Slices) -> list[dict[str, Any]]:
    """Medians of all rounds for each server and load, and between what they lay."""
    found = []
    for (name, rows, connections), seen in slices.items():
        figures = {what: [getattr(one, what) for one in seen] for what in ("rate", "p50", "p99", "cpu")}
        spread = {what: [statistics.median(each), min(each), max(each)] for what, each in figures.items()}
        found.append({"server": name, "rows": rows, "connections": connections, **spread})
    return found


def start_table(starts: Starts) -> list[dict[str, Any]]:
    """Medians of all starts of each server."""
    return [
        {"server": name} | {what: statistics.median(asdict(start)[what] for start in seen) for what in asdict(seen[0])}
        for name, seen in starts.items()
    ]


def show(details: dict[str, Any]) -> None:
    """The whole tables."""
    print(
        f"\n{'server':17} {'rows':>5} {'conn':>4} {'requests/s':>11} {'p50 ms':>9} {'p99 ms':>9} {'CPU ms/request':>15}"
    )
    for one in sorted(details["loads"], key=lambda one: (one["rows"], one["connections"])):
        figures = [one[what][0] for what in ("rate", "p50", "p99", "cpu")]
        print(
            f"{one['server']:17} {one['rows']:5} {one['connections']:4} {figures[0]:11.1f} {figures[1]:9.2f}"
            f" {figures[2]:9.2f} {figures[3]:15.3f}"
        )
    print(
        f"\n{'start':17} {'wall s':>7} {'CPU s':>7} {'beyond':>7} {'MB':>7} {'beyond':>7}"
        f" {'first ms':>9} {'100th ms':>9}"
    )
    for one in details["starts"]:
        print(
            f"{one['server']:17} {one['wall']:7.2f} {one['cpu']:7.2f} {one['cpu_beyond']:7.2f} {one['memory']:7.0f}"
            f" {one['memory_beyond']:7.0f} {one['first']:9.2f} {one['hundredth']:9.2f}"
        )
    written, dropped = details["captured"]["written"], details["captured"]["dropped"]
    print(f"\nours captured {written:,.0f} answered rows and dropped {dropped:,.0f}")


def judge(rows: Sequence[Row]) -> None:
    """Say which targets are met, of the peers that took part."""
    ratios = {(one.case, one.peer_name): one.ratio for one in rows}
    print()
    for target in (one for one in TARGETS if (one.case, one.peer) in ratios):
        ratio = ratios[target.case, target.peer]
        word = "met" if ratio >= target.ratio else "MISSED"
        print(f"{word:7} {target.case} against {target.peer}: {ratio:.2f}x, target {target.ratio:g}x")


def told(line: str) -> None:
    """Progress, which is no result."""
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
