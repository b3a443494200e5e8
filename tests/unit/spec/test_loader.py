"""Model files that are right: those of the repository, and what is held against the store and the installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipstream.commands.plan import plan
from slipstream.errors import BackendError, SpecError
from slipstream.spec.loader import load_specs
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

ROOT = Path(__file__).parents[3]
HEAVY = "bentoml boto3 deltalake duckdb evidently great_expectations numpy pandas pyarrow scipy shap sklearn skops"
MakeSpec = Callable[..., ModelSpec]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slipstream.cli", *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_the_examples_are_right() -> None:
    found = list(load_specs(ROOT / "include" / "models", pools=("default_pool",)))
    assert {spec.name for spec in found if isinstance(spec, ModelSpec)} == {
        "bikes",
        "credit",
        "flights",
        "juice",
        "wages",
    }
    assert [str(error) for error in found if isinstance(error, SpecError)] == []


@pytest.mark.slow  # `make check` does it too
def test_what_libraries_take_is_what_the_table_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "signatures.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_reading_a_model_file_imports_nothing_heavy() -> None:
    code = f"""
import sys
from pathlib import Path
from slipstream.spec.loader import load_specs
list(load_specs(Path({str(ROOT / "include" / "models")!r})))
print(sorted(set({HEAVY!r}.split()) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_broken_models_stand_in_the_list_and_fail_it(make_spec: MakeSpec, tmp_path: Path) -> None:
    make_spec()
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "model.yaml").write_text("name: broken\n")
    places = {"SLIPSTREAM_MODELS": str(tmp_path / "models"), "SLIPSTREAM_STORE": str(tmp_path / "store")}
    for verb in ("models", "plan"):
        done = run(verb, "--json", **places)
        assert done.returncode == 1
        rows = {row["model"]: row for row in json.loads(done.stdout)}
        assert set(rows) == {"small", "broken"}
        assert rows["broken"]["error"]["code"] == "spec_key_missing"
        assert "broken/model.yaml:1:1: task: this key is missing" in rows["broken"]["error"]["message"]
        told = run(verb, **places)
        assert told.returncode == 1
        assert "small" in told.stdout
        assert "error [spec_key_missing]: broken/model.yaml" in told.stderr


def test_json_of_keys_and_of_an_endpoint_that_cannot_start(tmp_path: Path) -> None:
    places = {"SLIPSTREAM_STORE": str(tmp_path / "store"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    made = json.loads(run("key", "create", "--caller", "ada", "--scopes", "predict", "--json", **places).stdout)
    listed = json.loads(run("key", "export", "--json", **places).stdout)
    assert [key["id"] for key in listed] == [made["id"]]
    refused = run("serve", "--host", "nowhere", "--json", **places)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "bind_not_allowed"


def test_the_plan_says_what_the_newest_data_cannot_do(
    store: Store, make_spec: MakeSpec, committed: Any, make_rows: Any
) -> None:
    spec = make_spec(evaluate={"metric": "roc_auc", "slices": ["carier"]}, train=make_spec().part("train")["train"])
    assert plan(spec, store).notes == ()
    words = pa.array(["late" if one else "early" for one in make_rows()["late"].to_pylist()])
    committed(spec, make_rows(late=words))
    column, labels = plan(spec, store).notes
    assert column.startswith("evaluate.slices names column 'carier', which dataset version")
    assert column.endswith("does not have; did you mean 'carrier'?")
    assert "write positive: late or positive: early" in labels
    assert plan(make_spec(positive="late"), store).notes == ()


def test_the_plan_refuses_installed_code_that_takes_other_arguments(make_spec: MakeSpec, store: Store) -> None:
    tracker = {"type": "slipstream.trackers.jsonl:JsonLinesTracker", "pth": "x"}
    spec = make_spec()
    named = spec.model_copy(update={"trackers": (tracker,)}).at(spec.folder, allow_code=True)
    with pytest.raises(BackendError, match="Its arguments: path"):
        plan(named, store)


def test_the_plan_refuses_a_function_that_is_not_there(make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(data={"source": {"type": "python", "function": "next_mont"}})
    with pytest.raises(SpecError, match=r"no such file, but model\.yaml names a function of it"):
        plan(spec, store)
    (spec.folder / "features.py").write_text("def next_month(watermark, duck):\n    return None\n")
    with pytest.raises(SpecError, match=r"no function 'next_mont'; did you mean 'next_month'\?"):
        plan(spec, store)
