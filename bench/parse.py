"""``make bench SUITE=parse``: what 1,000 model projects cost Airflow's dag-processor, in CPU seconds.

Ours parses ``dags/models.py``, which makes four DAGs of each project; the peer is what it would cost if the file also
imported the libraries that the tasks need. Also: what a task's process pays at its start for being one of 1,000 models.
Each measurement is a process of its own; what importing Airflow costs is paid by everybody and left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report import QUICK, ROOT, report, row

ROUNDS = 1 if QUICK else 5
MODELS = 20 if QUICK else 1000
EACH = 4
HEAVY = ("sklearn", "pandas", "great_expectations", "evidently", "bentoml", "shap", "duckdb", "deltalake", "pyarrow")

_PARSE = """
import json, sys, time
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
begin = time.process_time()
dags = Path(sys.argv[1])
bag = DagBag(dags / sys.argv[2], bundle_path=dags, bundle_name="dags")
took = time.process_time() - begin
assert not bag.import_errors, bag.import_errors
heavy = sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(sys.argv[3].split()))
print(json.dumps([took, len(bag.dags), heavy]))
"""
_WARM = "\nimport sklearn.ensemble, pandas, great_expectations, evidently, bentoml, duckdb, deltalake\n"


def main() -> None:
    """Measure in interleaved rounds and report."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_projects(folder / "models", MODELS)
        shutil.copytree(ROOT / "dags", folder / "dags")
        models = folder / "dags" / "models.py"
        (folder / "dags" / "heavy_dag.py").write_text(_WARM + models.read_text() + "\n# airflow dag\n")
        series: dict[str, list[float]] = {"ours": [], "heavy": [], "one": []}
        for _ in range(ROUNDS):
            series["ours"].append(measured(folder, "models.py", EACH * MODELS))
            series["heavy"].append(measured(folder, "heavy_dag.py", EACH * MODELS, heavy=True))
            series["one"].append(measured(folder, "models.py", EACH, dag=f"model-{MODELS // 2}__train"))
        rows = [
            row(f"{MODELS} models, dag-processor", "CPU s", series["ours"], series["heavy"], "eager imports"),
            row(f"1 of {MODELS} models, task start", "CPU s", series["one"], series["ours"], "all models"),
        ]
    report("parse", rows)


def make_projects(folder: Path, count: int) -> None:
    """*count* projects, each with the flights model file under a name of its own."""
    text = (ROOT / "include" / "models" / "flights" / "model.yaml").read_text()
    for number in range(count):
        project = folder / f"model-{number}"
        project.mkdir(parents=True)
        (project / "model.yaml").write_text(text.replace("name: flights", f"name: model-{number}"))


def measured(folder: Path, file: str, dags: int, *, heavy: bool = False, dag: str = "") -> float:
    """CPU seconds to parse *file* in a new process; proves the number of DAGs and that nothing heavy was imported."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "SLIPSTREAM_MODELS": str(folder / "models"),
        "SLIPSTREAM_STORE": str(folder / "store"),
    }
    env |= {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag} if dag else {}
    words = [sys.executable, "-c", _PARSE, str(folder / "dags"), file, " ".join(HEAVY)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    took, found, imported = json.loads(done.stdout.splitlines()[-1])
    assert found == dags, f"{found} DAGs instead of {dags}"
    assert heavy or not imported, f"imported while parsing: {imported}"
    return float(took)


if __name__ == "__main__":
    main()
