"""The page about joined tables, followed as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from slipstream.store import Store

PAGE = (Path(__file__).parents[4] / "docs/joins.md").read_text()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    for name, text in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    store = (tmp_path / "store").as_uri()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLIPSTREAM_STORE": store, "SLIPSTREAM_MODELS": str(tmp_path / "include/models")}
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    outputs = []
    for line in block[1].splitlines():
        command = line.removeprefix("$ ").partition("#")[0].split()
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert "get a value of its 26,115 rows" in " ".join(outputs[1].split())
    (path,) = Store.open(store).tables.paths("delays", "data")
    rows = pq.read_table(path)
    assert rows.num_rows > 5000
    assert rows["temp"].null_count < rows.num_rows / 100
