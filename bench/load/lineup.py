"""Who takes part: our endpoint as it is installed, and its peers as people write them. One worker each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load.server import JsonRows, Server

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
MODEL = "flights"
PEERS = ROOT / "var" / "peers" / "bin" / "python"


@dataclass(frozen=True)
class Fixture:
    """The champion in a store of its own, and the same pipeline for the peers.

    Attributes:
        folder: Everything is below it.
        environment: What all servers get.
        rows: Rows of real flights.
        bundle: The id of the champion's bundle.
        key: The endpoint's API key.
    """

    folder: Path
    environment: dict[str, str]
    rows: JsonRows
    bundle: str
    key: str


def make_fixture(folder: Path) -> Fixture:
    """Train, package and deploy the flights model by the library's own stages, and make a key.

    A permutation is a quick explanation, and no endpoint waits for a deployment yet.
    """
    project = folder / "models" / MODEL
    shutil.copytree(ROOT / "include" / "models" / MODEL, project)
    text = (project / "model.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^explain: .*\n", "explain: {type: permutation}\n", text)
    # Everything that follows is monitoring and retraining, which no server asks for.
    text = re.sub(r"(?ms)^deploy:.*", "deploy: {target: {type: local}}\n", text)
    (project / "model.yaml").write_text(text, encoding="utf-8")
    # What this shell says about another installation does not count here.
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLIPSTREAM_", "BENTO", "PYTHON"))
    }
    environment = ours | {
        "SLIPSTREAM_STORE": (folder / "store").as_uri(),
        "SLIPSTREAM_MODELS": str(folder / "models"),
        "SLIPSTREAM_KEYS": str(folder / "keys"),
        "BENTOML_HOME": str(folder / "bentos"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Everyone's best: more threads make single rows slower.
        "OMP_NUM_THREADS": "1",
        "PIPELINE": str(folder / "pipeline.joblib"),
    }
    script(sys.executable, environment, "champion.py", str(folder))
    if PEERS.exists():
        script(str(PEERS), environment, "mlflow_model.py", str(folder))
    words = [sys.executable, "-m", "slipstream.cli", "key", "create", "--caller", "bench"]
    key = json.loads(output([*words, "--scopes", "predict,metrics", "--json"], environment))["key"]
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    bundle = json.loads((folder / "champion.json").read_text(encoding="utf-8"))["bundle"]
    return Fixture(folder, environment, rows, bundle, key)


def servers(fixture: Fixture) -> list[Server]:
    """Ours first."""
    common = fixture.environment
    guarded = common | {"SLIPSTREAM_AUTH": "required", "SLIPSTREAM_RATE": "1000000"}
    bentoml = [sys.executable, "-m", "bentoml", "serve", "plain_bentoml:Flights", "--working-dir", peer_folder()]
    mlflow = common | {"__pyfunc_model_path__": str(fixture.folder / "mlflow")}
    every = [
        Server(
            "ours",
            [sys.executable, "-m", "slipstream.cli", "serve", "--port", "{port}"],
            guarded,
            path=f"/models/{MODEL}/predict",
            authorization=f"Bearer {fixture.key}",
            captures=True,
        ),
        Server("echo", uvicorn("echo:app"), common, answers=None, ready="/"),
        Server("fastapi-compiled", uvicorn("compiled_fastapi:app"), common | {"BUNDLE": fixture.bundle}),
        Server("fastapi", uvicorn("plain_fastapi:app"), common),
        Server("bentoml", [*bentoml, "--host", "127.0.0.1", "--port", "{port}"], common),
        Server(
            "mlflow",
            uvicorn("mlflow.pyfunc.scoring_server.app:app", str(PEERS)),
            mlflow,
            path="/invocations",
            ready="/ping",
            body=as_split,
            answers=lambda reply: [late for _, late in reply["predictions"]],
        ),
    ]
    return every if PEERS.exists() else every[:-1]


def uvicorn(app: str, python: str = sys.executable) -> list[str]:
    """The command for an application below uvicorn, quieter than usual in its favour."""
    words = [python, "-m", "uvicorn", app, "--app-dir", peer_folder(), "--host", "127.0.0.1", "--port", "{port}"]
    return [*words, "--no-access-log", "--log-level", "warning"]


def peer_folder() -> str:
    """Where the peers' scripts are."""
    return str(BENCH / "servers")


def as_split(rows: JsonRows) -> Any:
    """MLflow's quickest form."""
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def script(python: str, environment: dict[str, str], name: str, *words: str) -> None:
    """Run one of the scripts beside this folder."""
    output([python, "-W", "ignore", str(BENCH / "scripts" / name), *words], environment)


def output(words: list[str], environment: dict[str, str]) -> str:
    """What a command prints."""
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} has failed:\n{done.stderr[-3000:]}")
    return done.stdout
