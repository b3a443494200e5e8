"""Batch scoring: the rows of files and of the data table, answered as the endpoint answers them, and written once."""

from __future__ import annotations

import csv
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.errors import DataError, NotFound, SlipstreamError, SourceError, SpecError
from slipstream.scoring import job as score_job
from slipstream.scoring.record import BatchScored
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.load import load_served, native_answer
from slipstream.spec.model import ModelSpec
from slipstream.stages.score import score
from slipstream.store import Store
from tests.web_server import serving

FOREST = {"type": "sklearn", "estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}
REGRESSION = {
    "task": "regression",
    "target": "delay",
    "evaluate": {"metric": "rmse", "bootstrap": 50, "min_slice": 20},
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
}
ODD = "id,hour,carrier,distance\n1,3,A,0.5\n2,noon,A,0.5\n3,,B,0.5\n4,3,ZZ,99\n5,4.0,A,\n"
Champion = Callable[..., ModelSpec]


def table(store: Store, spec: ModelSpec) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in store.tables.paths(spec.name, "scores")])


def asked(store: Store, spec: ModelSpec, rows: list[dict[str, Any]], size: int) -> tuple[list[Any], list[Any]]:
    """Predictions and probabilities by the code of the endpoint, in requests of so many rows."""
    model = store.ledger.state().model(spec.name)
    version = model.champion or 0
    served = load_served(open_bundle(store, model.packaged(version).bundle), version, 1000, Policy())
    replies = [
        json.loads(native_answer(served, json.dumps({"rows": rows[at : at + size]}).encode()))
        for at in range(0, len(rows), size)
    ]
    predictions = [one for reply in replies for one in reply["predictions"]]
    return predictions, [one for reply in replies for one in reply.get("probabilities", [])]


def inputs_of(spec: ModelSpec, rows: pa.Table) -> list[dict[str, Any]]:
    return rows.select(list(spec.inputs)).to_pylist()


@pytest.mark.parametrize("model", [{}, {"train": {"trainer": FOREST}}, REGRESSION], ids=["linear", "trees", "numbers"])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_the_numbers_are_those_of_the_endpoint_bit_for_bit(
    ending: str, model: dict[str, Any], champion: Champion, store: Store, make_rows: Any, tmp_path: Path
) -> None:
    spec = champion(**model)
    rows = make_rows(2500, seed=9, first=5000)
    source = tmp_path / f"in.{ending}"
    (pq.write_table if ending == "parquet" else pa.csv.write_csv)(rows, source)
    done = score(spec, store, path=str(source), output=str(tmp_path / "out.parquet"))
    assert (done.rows, done.errors, done.reused) == (2500, 0, False)
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["id"].to_pylist() == rows["id"].to_pylist()
    predictions, probabilities = asked(store, spec, inputs_of(spec, rows), 500)
    assert written["prediction"].to_pylist() == predictions
    if spec.task == "binary":
        assert written["probability"].to_pylist() == probabilities


def test_what_the_endpoint_refuses_is_a_row_with_its_error(champion: Champion, store: Store, tmp_path: Path) -> None:
    spec = champion()
    (tmp_path / "in.csv").write_text(ODD)
    done = score(spec, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))
    assert (done.rows, done.errors, done.warned) == (5, 2, 1)
    assert done.problems == (
        "hour: 'noon' is not a whole number",
        "hour: null is not allowed; training saw none in 'hour'",
    )
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [bool(row["prediction"]) for row in rows] == [True, False, False, True, True]
    assert rows[3]["warnings"].startswith("distance: 99.0 lies outside ")
    assert rows[3]["warnings"].endswith("; carrier: 'ZZ' was not seen in training")


def test_the_data_table_is_answered_once(champion: Champion, store: Store, committed: Any, make_rows: Any) -> None:
    spec = champion()
    first = score(spec, store, actor="ada")
    assert (first.rows, first.files, first.skipped) == (600, 1, 0)
    again = score(spec, store)
    assert again.reused
    assert again.run == first.run
    committed(spec, make_rows(50, seed=3, first=9000))
    second = score(spec, store)
    assert (second.rows, second.files, second.skipped) == (50, 1, 1)
    assert sorted(table(store, spec)["id"].to_pylist()) == sorted([*range(600), *range(9000, 9050)])
    events = [event for event in store.ledger.read(model=spec.name) if event.topic == "score"]
    assert [event.content.result.rows for event in events] == [600, 50]
    assert events[0].actor == "ada"


def test_a_file_that_was_changed_is_written_again(
    champion: Champion, store: Store, make_rows: Any, tmp_path: Path
) -> None:
    spec = champion()
    pq.write_table(make_rows(40), tmp_path / "in.parquet")

    def run() -> BatchScored:
        return score(spec, store, path=str(tmp_path / "in.parquet"), output=str(tmp_path / "answers/out.parquet"))

    first = run()
    assert run().reused
    (tmp_path / "answers/out.parquet").unlink()
    second = run()
    assert not second.reused
    assert second.run != first.run
    assert run() == BatchScored(**(second.figures() | {"reused": True, "problems": ()}))
    assert [file.name for file in (tmp_path / "answers").iterdir()] == ["out.parquet"]


def test_a_folder_takes_a_file_of_each_run(champion: Champion, store: Store, make_rows: Any, tmp_path: Path) -> None:
    spec = champion()
    (tmp_path / "in").mkdir()
    for number in range(3):
        pq.write_table(make_rows(20, seed=number, first=100 * number), tmp_path / "in" / f"{number}.parquet")
    done = score(spec, store, path=f"{tmp_path}/in", output=f"{tmp_path}/out/")
    assert (done.rows, done.files) == (60, 3)
    assert done.output == f"{tmp_path}/out/{done.run}.parquet"
    assert score(spec, store, path=f"{tmp_path}/in/*.parquet", output=f"{tmp_path}/out/").rows == 60
    with pytest.raises(DataError, match="is one of the files that") as caught:
        score(spec, store, path=f"{tmp_path}/in", output=f"{tmp_path}/in/")
    assert caught.value.code == "score_output_is_input"


def test_files_in_an_archive_are_answered_each_for_itself(
    champion: Champion, store: Store, make_rows: Any, tmp_path: Path
) -> None:
    spec = champion()
    for number in range(2):
        pq.write_table(make_rows(20, seed=number, first=100 * number), tmp_path / f"{number}.parquet")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name, number in [("a", 0), ("b", 1), ("b again", 1)]:
            archive.write(tmp_path / f"{number}.parquet", f"{name}.parquet")
    done = score(spec, store, path=str(tmp_path / "in.zip"), output=str(tmp_path / "zip.csv"))
    assert (done.rows, done.files) == (40, 2)
    score(spec, store, path=str(tmp_path / "*.parquet"), output=str(tmp_path / "plain.csv"))
    (tmp_path / "in.csv.xz").write_bytes(lzma.compress(ODD.encode()))
    assert score(spec, store, path=str(tmp_path / "in.csv.xz"), output=str(tmp_path / "xz.csv")).files == 1
    archived, plain = (
        [(row["id"], row["prediction"]) for row in csv.DictReader((tmp_path / name).read_text().splitlines())]
        for name in ("zip.csv", "plain.csv")
    )
    assert archived == plain


def test_a_workbook_and_a_url_are_answered_as_the_same_rows_in_csv(
    champion: Champion, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import xlsxwriter

    spec = champion()
    rows: list[list[Any]] = [
        ["id", "hour", "carrier", "distance"],
        [1, 3, "A", 0.5],
        [2, 14, "B", 2],
        [3, 7, "C", None],
    ]
    with xlsxwriter.Workbook(str(tmp_path / "in.xlsx")) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    monkeypatch.setenv("SLIPSTREAM_SOURCE_HOSTS", "127.0.0.1")
    answers = []
    with serving() as site:
        site.pages["/web.csv"] = (tmp_path / "in.csv").read_bytes()
        for number, path in enumerate([f"{tmp_path}/in.xlsx", f"{tmp_path}/in.csv", f"{site.url}/web.csv"]):
            target = tmp_path / f"out{number}.csv"
            done = score(spec, store, path=path, output=str(target))
            assert (done.rows, done.errors) == (3, 0)
            written = csv.DictReader(target.read_text().splitlines())
            answers.append([(row["id"], row["prediction"], row["probability"], row["warnings"]) for row in written])
        with pytest.raises(SourceError, match="fetch the file first"):
            score(spec, store, path=f"{site.url}/web.csv?token=abc")
    assert answers[0] == answers[1] == answers[2]


def test_errors_say_what_to_do(
    champion: Champion, store: Store, make_spec: Any, make_rows: Any, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="has no champion yet; train and deploy"):
        score(make_spec(), store)
    spec = champion()
    rows = make_rows(10)
    pq.write_table(
        rows.rename_columns([{"distance": "distanse"}.get(n, n) for n in rows.column_names]), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="'distance' is not among its columns; did you mean 'distanse'"):
        score(spec, store, path=str(tmp_path / "a.parquet"))
    with pytest.raises(NotFound, match=r"small has no version 7. Known: 1"):
        score(spec, store, version=7)
    with pytest.raises(SourceError, match="no file matches"):
        score(spec, store, path=str(tmp_path / "none.csv"))
    with pytest.raises(SpecError, match=r"ends in .parquet or .csv"):
        score(spec, store, output=str(tmp_path / "x.txt"))
    pq.write_table(rows.set_column(3, "hour", pa.array(["x"] * 10)), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="none of 10 rows can be answered: hour: 'x' is not a whole number"):
        score(spec, store, path=str(tmp_path / "b.parquet"))
    (tmp_path / "mine.csv").write_text("name,salary\n")
    with pytest.raises(DataError, match="a file with other columns is there"):
        score(spec, store, output=str(tmp_path / "mine.csv"))
    assert (tmp_path / "mine.csv").read_text() == "name,salary\n"
    assert not [event for event in store.ledger.read(model=spec.name) if event.topic == "score"]


def test_another_version_adds_its_own_answers(champion: Champion, store: Store, release: Any, tmp_path: Path) -> None:
    spec = champion()
    second = release(spec, seed=1).version
    assert score(spec, store).rows == 1200
    assert score(spec, store, version=second).rows == 1200
    assert sorted(set(table(store, spec)["version"].to_pylist())) == [1, second]


def test_a_nul_byte_is_an_error_of_its_row(champion: Champion, store: Store, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,hour,carrier,distance\n1,3,A,0.5\n2,3,A\0B,0.5\n")
    done = score(champion(), store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))
    assert (done.rows, done.errors, done.problems) == (2, 1, ("carrier: holds a NUL byte",))


def test_json_lines_are_refused(champion: Champion, store: Store, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "distance": 1.0, "hour": 3, "carrier": "A"}\n')
    with pytest.raises(SourceError, match="give CSV, Parquet or Excel"):
        score(champion(), store, path=str(tmp_path / "in.jsonl"))


def test_a_file_that_changes_while_it_is_read_is_refused(
    champion: Champion, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, write = tmp_path / "in.csv", score_job.write_one
    source.write_text(ODD)

    def written_meanwhile(*arguments: Any) -> Any:
        source.write_text(ODD + "6,3,A,0.5\n")
        return write(*arguments)

    monkeypatch.setattr(score_job, "write_one", written_meanwhile)
    with pytest.raises(SlipstreamError, match="changed while"):
        score(champion(), store, path=str(source), output=str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()
