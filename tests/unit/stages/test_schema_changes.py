"""Changed columns wait for a person; what they accept holds for the rows that come and those that are there."""

from __future__ import annotations

import json
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.plan import plan
from slipstream.errors import SlipstreamError, StageError
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.rebuild import rebuild
from slipstream.stages.schema_accept import ColumnChoice, accept
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

PAGE = (Path(__file__).parents[3] / "docs/schema-changes.md").read_text()


def prices(number: int, rows: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(number)
    area = random.normal(90, 20, rows).round(2)
    frame = {"id": range(number * rows, (number + 1) * rows), "area": area, "rooms": random.integers(1, 6, rows)}
    return pd.DataFrame({**frame, "remark": "fine", "zone": random.integers(0, 9, rows), "price": area * 1000})


class Project:
    """A model whose deliveries are files of one kind."""

    def __init__(self, root: Path, kind: str) -> None:
        self.folder, self.kind, self.store = root / "models/prices", kind, Store.open((root / "store").as_uri())
        self.folder.mkdir(parents=True)
        self.environment = {"SLIPSTREAM_MODELS": str(root / "models"), "SLIPSTREAM_STORE": (root / "store").as_uri()}
        self.first = self.brought(prices(0)) or ""

    def spec(self, *inputs: str, **schema: str) -> ModelSpec:
        data = {"source": {"type": "files", "path": f"*.{self.kind}"}, "key": ["id"], "schema": schema}
        trainer = {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}}
        model = {"name": "prices", "task": "regression", "target": "price", "inputs": [*inputs] or ["area", "rooms"]}
        model |= {"data": data, "train": trainer, "evaluate": {"metric": "mae"}}
        (self.folder / "model.yaml").write_text(json.dumps(model))
        return load_spec(self.folder)

    def put(self, frame: pd.DataFrame) -> None:
        file = self.folder / f"{len(list(self.folder.glob('*.*')))}.{self.kind}"
        frame.to_csv(file, index=False) if self.kind == "csv" else frame.to_parquet(file, index=False)

    def brought(self, frame: pd.DataFrame | None = None, *inputs: str) -> str | None:
        """The dataset version that the frame, or what waits, makes; None where it is refused."""
        spec = self.spec(*inputs)
        if frame is not None:
            self.put(frame)
        try:
            return validate(spec, self.store, ingest(spec, self.store).batch).dataset
        except SlipstreamError as error:
            if error.code not in {"data_schema_changed", "data_value_unreadable"}:
                raise
            return None

    def rows(self, dataset: str) -> pd.DataFrame:
        version = load_dataset(self.store.objects, self.store.ledger.state(), "prices", dataset)
        with duckdb.connect() as connection:
            return read_dataset(self.store.tables, version, connection).order("id").df()

    def command(self, line: str) -> Any:
        words = shlex.split(line, comments=True)[1:]
        return CliRunner().invoke(app, [*words, "--json"], env=self.environment)


@pytest.fixture(params=["csv", "parquet"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return Project(tmp_path, request.param)


def test_the_page_can_be_followed(project: Project) -> None:
    old = project.rows(project.first)
    changed = prices(1).drop(columns="remark").assign(colour="red").rename(columns={"area": "surface"})
    assert project.brought(changed) is None
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    diff, accepted, *rest = (line.removeprefix("$ ") for line in block[1].splitlines())
    assert any("waits for a decision" in note for note in plan(project.spec(), project.store).notes)
    shown = {(one["kind"], one["column"]): one for one in json.loads(project.command(diff).stdout)["changes"]}
    assert {kind for kind, _ in shown} == {"added", "removed", "renamed"}
    assert shown["renamed", "area"]["now"] == "surface"
    assert shown["removed", "area"]["used"] == ["inputs"]
    first, second = (json.loads(project.command(accepted).stdout) for _ in range(2))
    assert (first["reused"], second["reused"], second["run"]) == (False, True, first["run"])
    assert "write 'surface' in place of 'area': inputs" in first["next"]
    project.spec("surface", "rooms")
    done = [project.command(line) for line in rest]
    assert [one.exit_code for one in done] == [0, 0], done[-1].output
    dataset = json.loads(done[-1].stdout)["dataset"]
    rows = project.rows(dataset)
    assert rows["surface"].tolist() == [*old["area"], *changed["surface"]]
    assert rows["colour"].isna().sum() == rows["remark"].isna().sum() == 200
    pd.testing.assert_frame_equal(project.rows(project.first), old)
    table = duckdb.read_parquet(project.store.tables.paths("prices", "data"), union_by_name=True)
    assert sorted(table.columns) == sorted(rows.columns)
    assert train(project.spec("surface", "rooms"), project.store, dataset).candidate
    (event,) = project.store.ledger.read(kind="schema.accepted")
    assert (event.actor, event.content.reason) == ("cli", "the new export")
    # Derived anew, old deliveries are read under the new name.
    made = rebuild(project.spec("surface", "rooms", surface="number"), project.store)
    assert project.rows(made.dataset)["surface"].tolist() == rows["surface"].tolist()


def test_a_number_becomes_text_by_name_and_by_what_was_delivered(project: Project) -> None:
    old = project.rows(project.first)
    changed = prices(1)
    assert project.brought(changed.assign(zone="z" + changed["zone"].astype(str))) is None
    with pytest.raises(StageError) as refused:
        accept(project.spec(), project.store)
    assert refused.value.code == "schema_choice_needed"
    with pytest.raises(StageError, match=r"data.schema: \{zone: text\}") as refused:
        accept(project.spec("area", "zone"), project.store, ColumnChoice(["zone"]))
    assert refused.value.code == "schema_column_used"
    accept(project.spec(), project.store, ColumnChoice(["zone"]))
    assert project.brought() is None
    rebuild(project.spec(), project.store)
    dataset = project.brought()
    assert dataset is not None
    assert project.rows(dataset)["zone"].tolist()[:200] == [str(one) for one in old["zone"]]
    pd.testing.assert_frame_equal(project.rows(project.first), old)


def test_what_cannot_be_accepted_says_why(tmp_path: Path) -> None:
    project = Project(tmp_path, "csv")
    spec = project.spec()
    with pytest.raises(StageError) as refused:
        accept(spec, project.store)
    assert refused.value.code == "schema_nothing_pending"
    feet = prices(1).rename(columns={"area": "surface"})
    assert project.brought(feet.assign(surface=feet["surface"] * 10.7639)) is None
    choices = {
        "schema_column_used": ColumnChoice(["area"]),
        "schema_not_pending": ColumnChoice(["rooms"]),
        "schema_rename_unlike": ColumnChoice(renames={"area": "surface"}),
    }
    for code, choice in choices.items():
        with pytest.raises(StageError) as refused:
            accept(spec, project.store, choice)
        assert refused.value.code == code
    assert not project.store.ledger.read(kind="schema.accepted")


def test_two_at_once_are_one_and_widening_asks_nobody(tmp_path: Path) -> None:
    project = Project(tmp_path, "csv")
    wider = project.brought(prices(1).assign(rooms=prices(1)["rooms"] + 0.5))
    assert wider is not None
    assert project.brought(prices(2).assign(colour="red")) is None
    stores = [Store.open(project.environment["SLIPSTREAM_STORE"]) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda store: accept(project.spec(), store, actor="ann"), stores))
    assert done[0].run == done[1].run
    assert len(project.store.ledger.read(kind="schema.accepted")) == 1
    assert project.brought() is not None
