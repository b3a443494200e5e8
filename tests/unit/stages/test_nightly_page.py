"""The page about a nightly job on a database, followed as it stands."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs/nightly.md").read_text()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    for name in ("shop.py", "include/models/leaving/model.yaml"):
        block = re.search(rf"```\w+\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
        assert block is not None, name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block[1])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLIPSTREAM_MODELS": "include/models", "SLIPSTREAM_STORE": (tmp_path / "store").as_uri()}
    outputs = []
    (shell,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in shell.splitlines():
        command = line.removeprefix("$ ").partition("#")[0].split()
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
        outputs.append(done.stdout + done.stderr)
    _, _, first, second, _, labelled, joined, _ = outputs
    assert re.search(r"rows\s+400", first), first
    assert re.search(r"captured\s+400", first), first
    assert re.search(r"reused\s+true", second), second
    assert re.search(r"new\s+400", labelled), labelled
    assert re.search(r"labelled\s+400", joined), joined
    with sqlite3.connect(tmp_path / "include/models/leaving/shop.db") as shop:
        columns = [name for _, name, *_ in shop.execute("PRAGMA table_info(scores)")]
        assert shop.execute("SELECT count(*), count(DISTINCT run) FROM scores").fetchone() == (400, 1)
    listed = re.search(r"for each customer: (.*?);", PAGE, re.DOTALL)
    assert listed is not None
    assert re.findall(r"`([a-z_]+)`", listed[1]) == columns
    plan = subprocess.run(
        ["slipstream", "plan", "leaving"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    for dag in ("leaving__ingest", "leaving__train", "leaving__score", "leaving__monitor"):
        assert dag in plan.stdout
