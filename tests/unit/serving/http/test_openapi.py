"""The description of the endpoint is true: schemathesis, with all its checks, finds nothing."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.serving.capture.labels import LabelKeeper
from slipstream.serving.http.auth import REQUIRED, Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.routes import PATHS
from slipstream.store import Store
from slipstream.store.state import IssuedKey
from tests.unit.fixed_model import LETTERS, NUMBERS, SCHEMA, Few, asking, guards, listening, served

CONFIG = """
[auth.openapi.bearer]
bearer = "KEY"
[auth.openapi.key]
api_key = "KEY"
"""


def background() -> bytes:
    """Rows of a training, for the explanations."""
    sink = io.BytesIO()
    rows = {"dep delay": [1.0, None], "seats": [1, 2], "carrier": ["AA", "UA"], "night": [None, True]}
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


def described(models: Few, **changes: Any) -> dict[str, Any]:
    with asking(models, guards(**changes)) as ask:
        found: dict[str, Any] = ask("GET", "/openapi.json").json()
    return found


def test_every_path_is_described() -> None:
    paths = described(Few())["paths"]
    for path in PATHS:
        concrete = path.pattern.replace("{model}", "m").replace("{version}", "3")
        if path.name != "v2_infer":  # whose shapes and data JSON Schema cannot bring together
            assert path.method.lower() in paths[concrete], concrete


def test_the_rows_of_each_model() -> None:
    document = described(Few(served("m"), served("n", NUMBERS)))
    row = document["components"]["schemas"]["m.Row"]
    assert row["additionalProperties"] is False
    assert row["required"] == ["dep delay", "seats", "carrier", "night"]
    assert row["properties"]["dep delay"]["type"] == ["number", "null"]
    assert row["properties"]["carrier"] == {"type": "string", "maxLength": 10_000, "description": "In training: AA, UA"}
    body = document["paths"]["/models/n/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["rows"]["items"] == {"$ref": "#/components/schemas/n.Row"}
    assert "post" not in document["paths"].get("/invocations", {}), "which model it means depends on a header"


def test_it_follows_the_models_and_is_made_once() -> None:
    models = Few()
    with asking(models, guards()) as ask:
        first = ask("GET", "/openapi.json").content
        assert ask("GET", "/openapi.json").content == first
        models.known |= Few(served("n", LETTERS)).known
        assert "/models/n/predict" in ask("GET", "/openapi.json").json()["paths"]


@pytest.mark.parametrize(("mode", "expected"), [("off", []), ("auto", [{"bearer": []}, {"key": []}, {}])])
def test_who_may_ask(mode: str, expected: list[Any]) -> None:
    document = described(Few(), access=Access(mode=mode))
    assert document["paths"]["/models/m/predict"]["post"]["security"] == expected
    assert document["paths"]["/livez"]["get"]["security"] == []


def test_schemathesis_finds_nothing(tmp_path: Path, store: Store) -> None:
    key = "slipstream_0123456789ab_" + "k" * 43
    issued = IssuedKey("0123456789ab", hashlib.sha256(key.encode()).hexdigest(), "tester", ("admin",))
    schema = replace(SCHEMA, task="binary", classes=("no", "yes"), positive="yes")
    models = Few(served(schema=schema, rows=1000, background=background()))
    models.labels = LabelKeeper(store)
    with listening(models, guards(RequestLimits(), Access({issued.id: issued}, REQUIRED))) as url:
        description = httpx.get(f"{url}/openapi.json", headers={"x-api-key": key})
        assert description.json()["paths"]["/models/m/predict"]["post"]["security"] == [{"bearer": []}, {"key": []}]
        (tmp_path / "openapi.json").write_bytes(description.content)
        (tmp_path / "schemathesis.toml").write_text(CONFIG.replace("KEY", key))
        words = ["run", "openapi.json", "--url", url, "--checks", "all", "--max-examples", "5", "--seed", "1"]
        command = [str(Path(sys.executable).with_name("schemathesis")), *words, "--continue-on-failure"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, "\n".join(line[:500] for line in done.stdout.splitlines())
    assert "No issues found" in done.stdout
    assert "Stateful" in done.stdout
    assert len(models.kept) > 50
    assert store.tables.paths("m", "labels"), "some labels came through"
