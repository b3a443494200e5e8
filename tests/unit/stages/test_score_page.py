"""The page about batch scoring, followed as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[3]
MODELS = str(ROOT / "include/models")
PAGE = (ROOT / "docs/score.md").read_text()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLIPSTREAM_STORE": (tmp_path / "store").as_uri(), "SLIPSTREAM_MODELS": MODELS}
    (tmp_path / "scores_in").mkdir()
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    outputs = []
    for line in block[1].splitlines():
        command = line.removeprefix("$ ").partition("#")[0].split()
        if "--input" in command:
            header = "hour,hr,weekday,holiday,workingday,weather,temp,humidity,windspeed\n"
            rows = "2012-01-01 00:00:00,0,6,0,0,clear,0.24,0.81,0.0\n2012-01-01 01:00:00,1,6,0,0,hail,lots,0.8,0.1\n"
            (tmp_path / "scores_in/rows.csv").write_text(header + rows)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout + done.stderr)
    _, first, second, third, fourth = outputs
    assert re.search(r"reused\s+false", first)
    assert re.search(r"reused\s+true", second)
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == 688, third
    (answers,) = (tmp_path / "answers").glob("*.parquet")
    table = pq.read_table(answers).to_pylist()
    assert [row["prediction"] is None for row in table] == [False, True], fourth
    assert "temp" in table[1]["error"]
    listed = re.findall(r"^\| `?([a-z_]+)`? \|", PAGE, re.MULTILINE)
    assert {"prediction", "version", "warnings", "error", "scored_at"} <= {*listed} & {*table[0]}
