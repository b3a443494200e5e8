"""``make bench SUITE=ingest``: a CSV of 1M rows and 19 columns to typed Parquet and to a Delta table, against pandas.

Ours is all of the stages (checks, hashing, objects, ledger events); the peer is ``pandas.read_csv`` and a write.
Each measurement is a process of its own; rounds alternate, so that a change of load meets both. The libraries are
imported before the clock starts, on both sides, as in an Airflow worker of ours; memory is that of the whole process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report import QUICK, Row, report, row

ROUNDS = 1 if QUICK else 5
ROWS, SIZE = (20_000, "20k") if QUICK else (1_000_000, "1M")

_MEASURED = """
import json, resource, sys, time
{imports}
started = time.perf_counter()
{work}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - started, peak]))
"""
_OUR_IMPORTS = """
from pathlib import Path
import deltalake, duckdb, jinja2, pandas, pyarrow.parquet
import slipstream.sources.files
from slipstream.spec.loader import load_spec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
"""
_PANDAS_IMPORTS = """
import pandas, pyarrow.parquet
from deltalake import write_deltalake
"""
_INGEST = """
spec, store = load_spec(Path(sys.argv[1])), Store.open(Path(sys.argv[2]).as_uri())
batch = ingest(spec, store).batch
"""
_READ = "rows = pandas.read_csv(sys.argv[1] + '/big.csv', parse_dates=['ts'])"
WORK = {
    "ours Parquet": (_OUR_IMPORTS, _INGEST),
    "pandas Parquet": (_PANDAS_IMPORTS, f"{_READ}\nrows.to_parquet(sys.argv[2] + '.parquet', compression='zstd')"),
    "ours Delta": (_OUR_IMPORTS, f"{_INGEST}\nvalidate(spec, store, batch)"),
    "pandas Delta": (_PANDAS_IMPORTS, f"{_READ}\nwrite_deltalake(sys.argv[2], rows)"),
}
MODEL = """
name: big
task: binary
target: target
inputs: [f0, f1, s0]
data: {source: {type: files, path: big.csv}, time: ts}
train: {trainer: {type: sklearn, estimator: sklearn.linear_model.LogisticRegression}}
evaluate: {metric: roc_auc}
"""


def make_data(folder: Path) -> None:
    """A model project whose source is one CSV of random numbers, texts of 5 to 5,000 values, times and truth values."""
    import duckdb

    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL, encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1; SET enable_progress_bar = false; SELECT setseed(0.5)")
        connection.execute(
            f"""
            COPY (
                SELECT i AS id, TIMESTAMP '2020-01-01' + to_seconds(i * 30) AS ts,
                    random() AS f0, random() * 100 AS f1, CASE WHEN random() < 0.03 THEN NULL ELSE random() END AS f2,
                    random() AS f3, random() AS f4, random() AS f5, random() AS f6,
                    (random() * 1000)::INT AS n0, (random() * 10)::INT AS n1, random() < 0.3 AS b0,
                    'c' || (random() * 5)::INT AS s0, 'cat' || (random() * 50)::INT AS s1,
                    'sku' || (random() * 5000)::INT AS s2, 'w' || (random() * 500)::INT AS s3,
                    random() < 0.2 AS target, random() AS pred, round(random() * 10000, 2) AS amount
                FROM range({ROWS}) AS t(i)
            ) TO '{folder / "big.csv"}' (HEADER)
            """
        )


def measured(imports: str, work: str, model: Path, target: Path) -> tuple[float, float]:
    """Seconds of *work* and peak megabytes of the process of its own that does it."""
    command = [sys.executable, "-c", _MEASURED.format(imports=imports, work=work), str(model), str(target)]
    seconds, peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return seconds, peak


def main() -> list[Row]:
    """Run all rounds and report."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WORK}
    with TemporaryDirectory() as name:
        model = Path(name) / "big"
        make_data(model)
        for turn in range(ROUNDS):
            for case, (imports, work) in WORK.items():
                found[case].append(measured(imports, work, model, Path(name) / f"{case.replace(' ', '-')}-{turn}"))
    rows = []
    for kind in ("Parquet", "Delta"):
        for at, unit, what in ((0, "seconds", "CSV to"), (1, "MB peak", "memory, CSV to")):
            ours, peer = ([pair[at] for pair in found[f"{who} {kind}"]] for who in ("ours", "pandas"))
            rows.append(row(f"{SIZE} rows {what} {kind}", unit, ours, peer, "pandas"))
    report("ingest", rows)
    return rows


if __name__ == "__main__":
    main()
