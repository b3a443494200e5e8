"""The first five minutes: a file becomes a model file, a model and answers, by three commands and no edit."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.init.choose import InitOptions, choose
from slipstream.commands.init.look import look
from slipstream.commands.init.write import model_file
from slipstream.errors import SlipstreamError, SpecError
from slipstream.spec.loader import load_spec, parse_spec
from slipstream.spec.model import ModelSpec
from tests.sweeps import one_of
from tests.web_server import serving

Command = Callable[..., Any]
ROWS = 600


@pytest.fixture
def slipstream(tmp_path: Path) -> Command:
    """``slipstream("run", "churn")``: the command, in folders of its own, with no endpoint anywhere."""
    place = {
        "SLIPSTREAM_MODELS": str(tmp_path / "models"),
        "SLIPSTREAM_STORE": (tmp_path / "store").as_uri(),
        "SLIPSTREAM_KEYS": str(tmp_path / "keys"),
        "SLIPSTREAM_ENDPOINT": "http://127.0.0.1:9",
    }

    def command(*words: str, **more: Any) -> Any:
        return CliRunner().invoke(app, list(words), env=place, **more)

    return command


def churn() -> pd.DataFrame:
    r = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "CustomerID": [f"C{number:05d}" for number in range(ROWS)],
            "tenure": r.integers(0, 70, ROWS),
            "contract": r.choice(["month", "one year", "two years"], ROWS),
            "charges": r.uniform(20, 120, ROWS).round(2),
            "senior": r.choice(["Yes", "No"], ROWS),
            "region": "EU",
            "note": [f"called {number} times about {r.integers(1e6)}" for number in range(ROWS)],
        }
    )
    gone = (rows["contract"] == "month") * 2 - rows["tenure"] / 30 + r.normal(size=ROWS) > 0.5
    rows["Churn"] = np.where(gone, "Yes", "No")
    return rows.assign(refund=np.where(gone, 10.0, 0.0) + r.uniform(0, 1, ROWS))


def test_three_commands_from_a_file_to_answers(slipstream: Command, tmp_path: Path) -> None:
    rows = churn()
    (tmp_path / "churn.csv").write_text("sep=;\n" + rows.to_csv(sep=";", decimal=","))
    made = slipstream("init", "churn", "--from", str(tmp_path / "churn.csv"), "--target", "Churn")
    assert made.exit_code == 0, made.output
    spec = load_spec(tmp_path / "models" / "churn")
    assert (spec.task, spec.target, spec.positive, spec.data.key) == ("binary", "Churn", None, ("CustomerID",))
    assert spec.inputs == ("tenure", "contract", "charges", "senior")
    text = (spec.folder / "model.yaml").read_text()
    for said in ("# ? refund: alone it tells the target", "# ? note: it looks like free text", "region: it is always"):
        assert said in text
    assert "no name, as the index that pandas and R write" in text

    ran = slipstream("run", "churn")
    assert ran.exit_code == 0, ran.output
    for stage in ("ingest", "validate", "train", "evaluate", "explain", "package", "gate", "deploy"):
        assert f"\n{stage}" in f"\n{ran.stderr}"
    hint = "churn/1 is the champion. No endpoint answers at http://127.0.0.1:9: slipstream serve --port 9 starts one."
    assert hint in ran.stderr
    again = slipstream("run", "churn", "--json")
    told = json.loads(again.stdout)
    assert list(told) == ["ingest", "train"]  # the champion is what they lead to
    assert told["train"]["reused"]

    shown = ran.stderr.split("Ask it: slipstream predict churn '")[1].split("'\n")[0]
    one = slipstream("predict", "churn", shown, "--json")
    assert one.exit_code == 0, one.output
    assert json.loads(one.stdout)["positive"] == "Yes"
    asked = slipstream("predict", "churn", "--file", str(tmp_path / "churn.csv"))
    answers = list(csv.DictReader(io.StringIO(asked.stdout)))
    assert [row["CustomerID"] for row in answers] == rows["CustomerID"].tolist()
    assert np.mean([row["prediction"] for row in answers] == rows["Churn"]) > 0.8
    assert "no inputs: region, note, Churn, refund" in asked.stderr

    (spec.folder / "model.yaml").write_text(text.replace("type: files", "type: files, encoding: cp1252"))
    rows.assign(note="Größe").to_csv(tmp_path / "excel.csv", sep=";", decimal=",", encoding="cp1252")
    assert slipstream("predict", "churn", "--file", str(tmp_path / "excel.csv")).stdout == asked.stdout


@pytest.mark.parametrize("ending", one_of(3, ["csv", "parquet", "jsonl"]))
def test_answers_into_a_file(ending: str, slipstream: Command, tmp_path: Path) -> None:
    rows = churn().drop(columns=["note", "refund", "region"])
    rows.to_parquet(tmp_path / "churn.parquet")
    assert slipstream("init", "churn", "--from", str(tmp_path / "churn.parquet"), "--target", "Churn").exit_code == 0
    assert slipstream("run", "churn").exit_code == 0
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    into = tmp_path / f"answers.{ending}"
    for source in ("churn.parquet", "rows.jsonl"):
        asked = slipstream("predict", "churn", "--file", str(tmp_path / source), "--into", str(into))
        assert asked.exit_code == 0, asked.output
        read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda file: pd.read_json(file, lines=True)}
        answers = read[ending](into)
        assert list(answers.columns) == ["CustomerID", "prediction", "probability"]
        assert len(answers) == ROWS

    (tmp_path / "wrong.csv").write_text("CustomerID,tenure,contract,charges,senior\nC1,5,month,cheap,No\n")
    before = into.read_bytes()
    wrong = slipstream("predict", "churn", "--file", str(tmp_path / "wrong.csv"), "--into", str(into))
    assert isinstance(wrong.exception, SlipstreamError)
    assert "line 2.charges: 'cheap' is not a number" in str(wrong.exception)
    assert into.read_bytes() == before
    late = rows.astype({"charges": object})
    late.loc[ROWS - 1, "charges"] = "cheap"
    late.to_json(tmp_path / "late.jsonl", orient="records", lines=True)
    wrong = slipstream("predict", "churn", "--file", str(tmp_path / "late.jsonl"))
    assert f"row {ROWS}.charges" in str(wrong.exception)
    late.astype({"charges": str}).to_parquet(tmp_path / "late.parquet")
    wrong = slipstream("predict", "churn", "--file", str(tmp_path / "late.parquet"))
    assert isinstance(wrong.exception, SlipstreamError)
    assert "row 1.charges" in str(wrong.exception)


def test_what_a_person_took_back_stays_back(slipstream: Command, tmp_path: Path) -> None:
    churn().drop(columns=["note", "refund", "region"]).to_parquet(tmp_path / "churn.parquet")
    assert slipstream("init", "churn", "--from", str(tmp_path / "churn.parquet"), "--target", "Churn").exit_code == 0
    assert slipstream("run", "churn").exit_code == 0
    file = tmp_path / "models" / "churn" / "model.yaml"
    changed = file.read_text().replace("\ntrain:\n", "\ntrain:\n  seed: 5\n")
    file.write_text(changed + "deploy: {target: {type: local}}\n")
    ran = slipstream("run", "churn")
    assert ran.exit_code == 0, ran.output
    assert "churn/2 is the champion" in ran.stderr
    assert slipstream("rollback", "churn").exit_code == 0
    again = slipstream("run", "churn")
    assert again.exit_code == 2, again.output
    assert "churn/2 was taken out of service by a rollback" in again.stderr
    assert "churn/1 serves on." in again.stderr


def test_where_a_person_decides_run_stops(slipstream: Command, tmp_path: Path) -> None:
    churn().drop(columns=["note", "refund", "region"]).to_parquet(tmp_path / "churn.parquet")
    assert slipstream("init", "churn", "--from", str(tmp_path / "churn.parquet"), "--target", "Churn").exit_code == 0
    file = tmp_path / "models" / "churn" / "model.yaml"
    file.write_text(file.read_text() + "approval: {mode: manual}\n")
    ran = slipstream("run", "churn")
    assert ran.exit_code == 2, ran.output
    assert "churn/1 waits for approval; decide in Airflow under Required Actions." in ran.stderr


TASKS: dict[str, tuple[list[Any], str, Any, bool]] = {
    "truth": ([True, False], "binary", None, False),
    "two numbers": ([1, 2, 2], "binary", 1, True),
    "two words": (["legit", "legit", "fraud"], "binary", "fraud", True),
    "three words": (["a", "b", "c"], "multiclass", None, False),
    "few whole numbers": ([1, 2, 3, 4], "multiclass", None, True),
    "amounts": ([1.5, 2.25, 3.0, 7.5], "regression", None, False),
    "many whole numbers": (list(range(40)), "regression", None, False),
}


@pytest.mark.parametrize("case", TASKS)
def test_the_task_follows_from_the_target_and_doubts_are_said(case: str, tmp_path: Path) -> None:
    labels, task, positive, doubtful = TASKS[case]
    r = np.random.default_rng(0)
    file = tmp_path / "rows.csv"
    rows = pd.DataFrame({"x": r.normal(size=400), "y": [labels[n % len(labels)] for n in range(400)]})
    rows.to_csv(file, index=False)
    text = model_file("m", '{type: files, path: "*.csv"}', look(file), choose(look(file), "y", InitOptions()))
    spec = parse_spec(text)
    assert (spec.task, spec.positive) == (task, positive)
    assert ("# ? task" in text or "# ? positive" in text) == doubtful


def test_a_packed_file_becomes_a_model_that_reads_it(slipstream: Command, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "churn.zip", "w") as archive:
        archive.writestr("churn.csv", churn().to_csv(index=False))
    done = slipstream("init", "churn", "--from", str(tmp_path / "churn.zip"), "--target", "Churn")
    assert done.exit_code == 0, done.output
    assert 'path: "*.zip"' in (tmp_path / "models/churn/model.yaml").read_text()
    assert re.search(rf"rows\s+{ROWS}", slipstream("ingest", "churn").output)


def test_a_url_becomes_a_model_that_reads_it(
    slipstream: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_SOURCE_HOSTS", "127.0.0.1")
    with serving() as site:
        site.pages["/churn.csv"] = churn().to_csv(index=False).encode()
        for name, query in (("open", ""), ("signed", "?sig=s3cret")):
            done = slipstream("init", name, "--from", f"{site.url}/churn.csv{query}", "--target", "Churn")
            assert done.exit_code == 0, done.output
            text = (tmp_path / f"models/{name}/model.yaml").read_text()
            source = "{env: SIGNED_URL}" if query else f'"{site.url}/churn.csv"'
            assert f"source: {{type: http, url: {source}}}" in text
            assert "s3cret" not in text
            assert ("set SIGNED_URL to it" in done.output) is bool(query)
            assert re.search(rf"rows\s+{ROWS}", slipstream("ingest", name).output)
            monkeypatch.delenv("SIGNED_URL", raising=False)


def test_what_init_says_no_to(slipstream: Command, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = pd.DataFrame({"x": range(200), "same": 1, "when": pd.date_range("2024-01-01", periods=200)})
    rows.to_csv(file, index=False)
    assert slipstream("init", "m", "--from", str(file)).exit_code == 2
    for words, code in (
        (["--target", "xx"], "init_column_unknown"),
        (["--target", "same"], "init_target_unusable"),
        (["--target", "when"], "init_target_unusable"),
        (["--target", "x", "--key", "id"], "init_column_unknown"),
    ):
        refused = slipstream("init", "m", "--from", str(file), *words)
        assert isinstance(refused.exception, SpecError)
        assert refused.exception.code == code
        assert not (tmp_path / "models" / "m").exists()
    missing = slipstream("init", "m", "--from", str(tmp_path / "no.csv"), "--target", "x")
    assert getattr(missing.exception, "code", "") == "source_no_files"


def test_time_and_groups_are_seen(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    file = tmp_path / "rows.csv"
    columns = {"order_id": range(500), "ordered_at": pd.date_range("2024-01-01", periods=500, freq="h")}
    columns |= {"customer": r.integers(0, 60, 500), "birthday": r.choice(pd.date_range("1960-01-01", periods=90), 500)}
    pd.DataFrame(columns | {"x": r.normal(size=500), "y": r.normal(size=500)}).to_csv(file, index=False)
    found = look(file)
    choice = choose(found, "y", InitOptions())
    assert (choice.key, choice.time, choice.groups) == (("order_id",), "ordered_at", ("customer",))
    assert choice.inputs == ("birthday", "x")
    text = model_file("m", '{type: files, path: "*.csv"}', found, choice)
    assert "# ? group: customer" in text
    assert "# ? time: birthday" in text


NAMES = st.lists(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip),
    min_size=3,
    max_size=6,
    unique_by=lambda name: name.strip().lower(),
)


WORDS = st.sampled_from(["yes", "null", "1", "a: b", "#", "'", '"', "[x]"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=NAMES,
    words=st.lists(st.sampled_from(["yes", "null", "1", "a: b", "#", "'", '"', "[x]"]), min_size=2, unique=True),
)
def test_any_name_and_word_is_written_so_that_it_reads_back(names: list[str], words: list[str], tmp_path: Path) -> None:
    names = [name.strip() for name in names]
    file = tmp_path / "rows.parquet"
    r = np.random.default_rng(0)
    columns: dict[str, Any] = {name: r.normal(size=300) for name in names[1:]}
    columns[names[0]] = [words[n % len(words)] for n in range(300)]
    pd.DataFrame(columns).to_parquet(file)
    try:
        choice = choose(look(file), names[1], InitOptions(task="regression"))
    except SpecError as refused:
        assert "case" in str(refused) or refused.code == "init_target_unusable"  # noqa: PT017 - either is right
        return
    spec: ModelSpec = parse_spec(model_file("m", '{type: files, path: "*.parquet"}', look(file), choice))
    assert (spec.target, spec.inputs) == (choice.target, choice.inputs)


def test_what_looks_like_markup_is_printed_as_it_is(slipstream: Command, tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    rate = r.normal(size=200).round(2)
    rows = pd.DataFrame(
        {"rate[/h]": rate, "speed [rpm]": r.normal(size=200), "ok": np.where(rate > 0, "[yes]", "[/no]")}
    )
    rows.to_csv(tmp_path / "rows.csv", index=False)
    listed = slipstream("init", "m", "--from", str(tmp_path / "rows.csv"))
    assert listed.exit_code == 2, listed.exception
    for said in ("rate[/h]", "speed [rpm]", "[yes]", "[/no]"):
        assert said in listed.stdout
    words = ("--target", "ok", "--positive", "[yes]")
    assert slipstream("init", "m", "--from", str(tmp_path / "rows.csv"), *words).exit_code == 0
    file = tmp_path / "models" / "m" / "model.yaml"
    text = file.read_text()
    file.write_text(text.replace("inputs: [", "# ").replace("# ", 'inputs: ["rate[/h]", "speed [rpm]"]\n# ', 1))
    assert slipstream("run", "m").exit_code == 0
    asked = slipstream("predict", "m", json.dumps({"rate[/h]": 2.5, "speed [rpm]": 0.1}))
    assert asked.exit_code == 0, asked.exception
    assert '["[yes]"]' in asked.stdout


def test_dates_and_durations_are_asked_as_pandas_writes_them(slipstream: Command, tmp_path: Path) -> None:
    rows = churn()[["CustomerID", "tenure", "Churn"]]
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rows["tenure"], unit="D")
    rows = rows.assign(since=days.dt.date, held=pd.to_timedelta(rows["tenure"] * 7 + 1e-6, unit="s"))
    rows.to_parquet(tmp_path / "churn.parquet")
    assert slipstream("init", "churn", "--from", str(tmp_path / "churn.parquet"), "--target", "Churn").exit_code == 0
    assert {"since", "held"} <= set(load_spec(tmp_path / "models" / "churn").inputs)
    ran = slipstream("run", "churn")
    assert ran.exit_code == 0, ran.output
    assert "column 'held' is a duration, read as a whole number of nanoseconds." in ran.stderr

    def asked(changed: pd.DataFrame) -> str:
        changed.to_parquet(tmp_path / "asked.parquet")
        found = slipstream("predict", "churn", "--file", str(tmp_path / "asked.parquet"))
        assert found.exit_code == 0, found.exception
        return str(found.stdout)

    said = asked(rows)
    assert asked(rows.assign(since=days)) == asked(rows.assign(since=days.dt.tz_localize("UTC"))) == said
    assert asked(rows.assign(held=rows["held"].astype("timedelta64[us]"))) == said
    with pytest.raises(AssertionError, match="'2020-01-01 00:00:01' is not a date"):
        asked(rows.head(1).assign(since=pd.Timestamp("2020-01-01 00:00:01")))
    row = {"tenure": 1, "since": "2020-01-02T00:00:00", "held": 7_000_001_000}
    plain = slipstream("predict", "churn", json.dumps({**row, "since": "2020-01-02"}), "--json")
    midnight = slipstream("predict", "churn", json.dumps(row), "--json")
    assert json.loads(midnight.stdout)["probabilities"] == json.loads(plain.stdout)["probabilities"]


def test_a_column_of_one_word_and_blanks_is_not_called_constant(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    flag = np.where(np.arange(400) % 2, "yes", "")
    rows = pd.DataFrame({"x": r.normal(size=400), "flag": flag, "same": 1, "y": np.arange(400) % 2})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    found = look(tmp_path / "rows.csv")
    text = model_file("m", '{type: files, path: "*.csv"}', found, choose(found, "y", InitOptions()))
    assert "# ? flag: it is always 'yes', or missing (50%)" in text
    assert "#   same: it is always 1" in text


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        ("regression", "words", "target 'words' holds 'a', and a regression predicts numbers"),
        ("binary", "words", "target 'words' has 3 different values, and a binary task two"),
        ("binary", "amount", "target 'amount' has 300 different values"),
        ("multiclass", "amount", "target 'amount' holds decimals"),
    ],
)
def test_a_task_that_the_target_cannot_have_is_refused_in_a_line(
    task: str, target: str, said: str, slipstream: Command, tmp_path: Path
) -> None:
    amount = np.random.default_rng(0).normal(size=300)
    rows = pd.DataFrame({"x": amount[::-1], "words": ["a", "b", "c"] * 100, "amount": amount})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = ("--target", target, "--task", task)
    refused = slipstream("init", "m", "--from", str(tmp_path / "rows.csv"), *words).exception
    assert isinstance(refused, SpecError)
    assert refused.code == "init_target_unusable"
    assert said in str(refused)


def test_where_all_is_doubtful_the_file_is_written_all_the_same(slipstream: Command, tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    y = r.normal(size=400).round(3)
    price = [str(value) if n % 20 else "many" for n, value in enumerate(y)]
    pd.DataFrame({"leak": y * 2, "price": price, "same": 1, "y": y}).to_csv(tmp_path / "rows.csv", index=False)
    made = slipstream("init", "m", "--from", str(tmp_path / "rows.csv"), "--target", "y")
    assert made.exit_code == 2, made.output
    assert "It cannot run yet: decide the lines '# ? inputs: ...' in it" in made.stderr
    file = tmp_path / "models" / "m" / "model.yaml"
    text = file.read_text()
    assert "\n# ? inputs: [leak, price]   # keep those" in text
    assert parse_spec(text.replace("# ? inputs: [leak, price]", "inputs: [leak]")).inputs == ("leak",)
    assert "many" in text

    made = slipstream("init", "m", "--from", str(tmp_path / "rows.csv"), "--target", "price", "--force")
    assert made.exit_code == 2, made.output
    assert "decide the lines '# ? price: ...'" in made.stderr
    text = file.read_text()
    assert "task: regression" in text
    assert "# ? price: is text, but 95.0% of its values are numbers; in the way: 'many' (20)" in text

    pd.DataFrame({"same": 1, "y": y}).to_csv(tmp_path / "bare.csv", index=False)
    refused = slipstream("init", "bare", "--from", str(tmp_path / "bare.csv"), "--target", "y").exception
    assert str(refused) == "no column of the file can be an input for 'y': 'same': it is always 1."


def test_run_tells_as_json_what_was_done_before_a_stage_failed(slipstream: Command, tmp_path: Path) -> None:
    churn().drop(columns=["note", "refund", "region"]).to_parquet(tmp_path / "churn.parquet")
    assert slipstream("init", "churn", "--from", str(tmp_path / "churn.parquet"), "--target", "Churn").exit_code == 0
    file = tmp_path / "models" / "churn" / "model.yaml"
    file.write_text(file.read_text().replace("\ntrain:\n", "\ntrain:\n  min_rows: 9999\n"))
    failed = slipstream("run", "churn", "--json")
    assert isinstance(failed.exception, SlipstreamError)
    assert str(failed.exception).startswith("train: ")
    told = json.loads(failed.stdout)
    assert (list(told), told["validate"]["good"]) == (["ingest", "validate"], ROWS)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database whose table ``customers`` has the rows of :func:`churn`, and a time."""
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        rows = churn().assign(number=range(ROWS))
        rows.to_sql("customers", connection, index=False)
        connection.execute("CREATE TABLE others (id INTEGER)")
    return file


@pytest.mark.parametrize("watermark", ["", "number"])
def test_a_table_of_a_database_becomes_a_model(slipstream: Command, shop: Path, tmp_path: Path, watermark: str) -> None:
    more = ["--watermark", watermark] if watermark else []
    words = ["init", "churn", "--from", f"sqlite:///{shop}", "--table", "customers", "--target", "Churn", *more]
    done = slipstream(*words)
    assert done.exit_code == 0, done.output
    spec = load_spec(tmp_path / "models/churn")
    expected = {"type": "sql", "url": f"sqlite:///{shop}", "table": "customers"}
    assert spec.data.source == expected | ({"watermark": watermark} if watermark else {})
    assert spec.data.key == ("CustomerID",)
    ingested = slipstream("ingest", "churn", "--json")
    assert json.loads(ingested.stdout)["rows"] == ROWS, ingested.output


def test_a_database_without_its_table_is_asked_which(slipstream: Command, shop: Path) -> None:
    done = slipstream("init", "churn", "--from", f"sqlite:///{shop}", "--target", "Churn")
    assert "Name one with --table: customers, others" in str(done.exception or done.output)
    done = slipstream("init", "churn", "--from", f"sqlite:///{shop}", "--table", "custmers", "--target", "Churn")
    assert "did you mean 'customers'" in str(done.exception or done.output)


@pytest.mark.parametrize("given", ["connection:shop", "env:SHOP", "sqlite:///{shop}?password=hush-word"])
def test_a_password_is_not_written(
    slipstream: Command, shop: Path, tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(shop)}))
    monkeypatch.setenv("SHOP", f"sqlite:///{shop}?password=hush-word")
    monkeypatch.delenv("CHURN_DATABASE", raising=False)
    monkeypatch.setenv("CHURN_DATABASE", "")
    words = ["init", "churn", "--from", given.format(shop=shop), "--table", "customers", "--target", "Churn"]
    done = slipstream(*words)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "models/churn/model.yaml").read_text()
    assert "hush-word" not in text + done.output
    assert ("set CHURN_DATABASE" in done.output) == given.startswith("sqlite")
    assert load_spec(tmp_path / "models/churn").data.source["table"] == "customers"
