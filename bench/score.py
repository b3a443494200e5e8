"""``make bench SUITE=score``: the flights model answers rows of Parquet into Parquet, against a script of pandas.

Ours is all of the stage (types, checks, warnings, answers, checksums, the ledger); the peers read the same file in
chunks, answer with the very scikit-learn pipeline, and write the probabilities. Answers are held against each other.
Each measurement is a process of its own with its libraries imported before the clock starts, and its peak memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent))

from load.lineup import MODEL, PEERS, Fixture, make_fixture
from report import QUICK, Row, report, row, row_more

ROUNDS = 1 if QUICK else 3
SIZES = {"20k": 20_000} if QUICK else {"1M": 1_000_000, "10M": 10_000_000}
_MEASURED = """
import json, resource, sys, time
{imports}
started = time.perf_counter()
{work}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - started, peak]))
"""
_OURS = (
    """
import duckdb, pyarrow.parquet
from slipstream.settings import Settings
from slipstream.spec.loader import find_spec
from slipstream.stages.score import score
from slipstream.store import Store
settings = Settings.from_environment()
""",
    "score(find_spec(settings.models, sys.argv[1]), Store.open(settings.store), path=sys.argv[2], output=sys.argv[3])",
)
_CHUNKS = """
with pq.ParquetFile(sys.argv[2]) as file:
    writer = None
    for batch in file.iter_batches(100_000):
        rows = batch.to_pandas()
        rows["probability"] = {answer}
        table = pa.Table.from_pandas(rows[["flight_id", "probability"]], preserve_index=False)
        writer = writer or pq.ParquetWriter(sys.argv[3], table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
"""
_PANDAS = (
    "import os, joblib, pandas, sklearn, pyarrow as pa, pyarrow.parquet as pq\n"
    "model = joblib.load(os.environ['PIPELINE'])",
    _CHUNKS.format(answer="model.predict_proba(rows)[:, 1]"),
)
_MLFLOW = (
    "import os, mlflow, pandas, pyarrow as pa, pyarrow.parquet as pq\n"
    "model = mlflow.pyfunc.load_model(os.environ['MLFLOW_MODEL'])",
    _CHUNKS.format(answer="[late for _, late in model.predict(rows[model.metadata.get_input_schema().input_names()])]"),
)


def make_rows(fixture: Fixture, rows: int) -> Path:
    """So many flights of the data table, again and again, each with a number of its own."""
    import duckdb

    place = fixture.folder / f"rows-{rows}.parquet"
    (folder,) = (fixture.folder / "store/tables").glob(f"{MODEL}/data")
    with duckdb.connect() as connection:
        flights = f"(SELECT * EXCLUDE (flight_id), row_number() OVER () AS n FROM read_parquet('{folder}/*.parquet'))"
        (known,) = connection.execute(f"SELECT count(*) FROM {flights}").fetchone() or (0,)
        connection.execute(
            f"""COPY (SELECT CAST(i AS VARCHAR) AS flight_id, f.* EXCLUDE (n) FROM range({rows}) r(i) JOIN {flights} f
            ON f.n = 1 + i % {known}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)"""
        )
    return place


def measured(fixture: Fixture, who: tuple[str, str], python: str, source: Path, target: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of the process of its own that answers *source* into *target*."""
    imports, work = who
    command = [python, "-c", _MEASURED.format(imports=imports, work=work), MODEL, str(source), str(target)]
    environment = fixture.environment | {"MLFLOW_MODEL": str(fixture.folder / "mlflow")}
    # A batch has the whole machine, unlike a server's request.
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def same_answers(ours: Path, peer: Path) -> None:
    """Refuse to measure what answers otherwise: more than 1e-9 away."""
    import duckdb

    with duckdb.connect() as connection:
        rows, worst = connection.execute(
            "SELECT count(*), max(abs(a.probability - b.probability)) FROM read_parquet(?) a JOIN read_parquet(?) b "
            "USING (flight_id)",
            [str(ours), str(peer)],
        ).fetchone() or (0, None)
    if not rows or worst is None or worst > 1e-9:
        raise SystemExit(f"{peer.name}: {rows} rows are the same, at most {worst} apart: nothing to compare")


def main() -> list[Row]:
    """Run all rounds and report."""
    rows: list[Row] = []
    with TemporaryDirectory() as name:
        fixture = make_fixture(Path(name))
        peers = {"pandas": (_PANDAS, sys.executable)} | ({"mlflow": (_MLFLOW, str(PEERS))} if PEERS.exists() else {})
        for size, count in SIZES.items():
            source = make_rows(fixture, count)
            found: dict[str, list[tuple[float, float]]] = {"ours": [], **{peer: [] for peer in peers}}
            for turn in range(ROUNDS if size != "10M" else 1):
                place = {who: Path(name) / f"{who}-{size}-{turn}.parquet" for who in found}
                found["ours"].append(measured(fixture, _OURS, sys.executable, source, place["ours"]))
                for peer, (work, python) in peers.items():
                    found[peer].append(measured(fixture, work, python, source, place[peer]))
                    same_answers(place["ours"], place[peer])
            for peer in peers:
                rates = [[count / seconds for seconds, _ in found[who]] for who in ("ours", peer)]
                peaks = [[peak for _, peak in found[who]] for who in ("ours", peer)]
                rows.append(row_more(f"{size} rows Parquet to Parquet", "rows/s", *rates, peer))
                rows.append(row(f"{size} rows, memory", "MB peak", *peaks, peer))
    report("score", rows)
    return rows


if __name__ == "__main__":
    main()
