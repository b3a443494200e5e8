"""A slice: one server under load by wrk for some seconds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from load.server import Running

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "post.lua"
CAPTURED, DROPPED = "slipstream_captured_total", "slipstream_capture_dropped_total"


@dataclass(frozen=True)
class Slice:
    """What was seen.

    Attributes:
        rate: Requests a second.
        p50: Milliseconds that half of the requests took at most.
        p99: Milliseconds that 99 % of the requests took at most.
        cpu: Milliseconds of CPU of all the server's processes for each request.
    """

    rate: float
    p50: float
    p99: float
    cpu: float


def wrk() -> str:
    """Where wrk is."""
    found = shutil.which("wrk")
    if found is None:
        raise FileNotFoundError("wrk is not installed: apt-get install wrk")
    return found


def load(one: Running, body: Path, connections: int, seconds: float) -> Slice:
    """Post the same *body* over and over; refuses what is not answered well.

    What a server still has to write is waited for and counted to it; what it works in vain on requests that were cut
    off at the end is waited for too, so that it does not disturb the next one, but not counted.
    """
    key = one.server.authorization
    environment = {**os.environ, "BODY": str(body), **({"AUTHORIZATION": key} if key else {})}
    url = f"http://127.0.0.1:{one.port}{one.server.path}"
    words = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url]
    before = one.cpu()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    after = one.cpu()
    seen = json.loads(done.stderr) if done.returncode == 0 else {}
    if not seen.get("requests") or seen["socket"] or seen["status"] or seen["timeout"]:
        raise SystemExit(one.fault(f"at {connections} connections: {seen or done.stderr.strip()}"))
    if one.server.captures:
        written(one)
        after = one.cpu()
    one.quiet()
    cpu = (after - before) / seen["requests"] * 1000
    return Slice(seen["requests"] / seen["seconds"], seen["p50"], seen["p99"], cpu)


def written(one: Running) -> None:
    """Return when the server has written, or given up, every row that it has answered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if figure(one, CAPTURED) + figure(one, DROPPED) >= figure(one, "slipstream_predictions_total"):
            return
        time.sleep(0.25)
    raise SystemExit(one.fault("does not write what it has captured"))


def figure(one: Running, pattern: str) -> float:
    """The sum of the figures in the server's ``/metrics`` whose names match."""
    status, text = one.get("/metrics")
    found = re.findall(rf"(?m)^(?:{pattern})(?:{{.*}})? (\S+)$", text.decode())
    if status != 200:
        raise SystemExit(one.fault(f"answered {status} for /metrics"))
    return sum(map(float, found))
