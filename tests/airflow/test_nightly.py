"""A nightly job on PostgreSQL, by the generated DAGs: learned from it, answered into it, held against its outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from slipstream_airflow import dags
from slipstream_airflow.assets import scores_asset
from slipstream_airflow.operators import LabelsOperator, ScoreOperator
from tests.databases import Server

from .conftest import Project
from .test_operators import _run, context, store

if TYPE_CHECKING:
    import pytest

MODELS = Path(__file__).parents[2] / "dags" / "models.py"
COLUMNS = "id BIGINT, day DATE, a DOUBLE PRECISION, b DOUBLE PRECISION, kind TEXT"


def test_from_the_database_into_the_database(
    postgresql: Server, database: None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", postgresql.owner_url.replace("postgresql+psycopg", "postgres"))
    here = {"type": "sql", "connection": "shop"}
    project(
        data={"source": {**here, "table": "past"}, "time": "day", "key": ["id"]},
        score={"source": {**here, "query": "SELECT * FROM today"}, "table": {"connection": "shop", "table": "scores"}},
        monitor={"source": "predictions", "min_rows": 50, "evidently": False, "labels": {**here, "table": "outcomes"}},
        schedule={"score": ["0 3 * * *"], "monitor": ["0 4 * * *"]},
    )
    engine = create_engine(postgresql.owner_url)
    with engine.begin() as shop:
        shop.execute(text(f"CREATE TABLE past ({COLUMNS}, large BOOLEAN)"))
        shop.execute(text(f"CREATE TABLE today ({COLUMNS})"))
        drawn = (
            "SELECT n, DATE '2026-01-01' + n % 28, sin(n * 7.1) * 2 AS a, cos(n * 3.3) * 2 AS b, "
            "substr('xyz', 1 + n % 3, 1) FROM generate_series({}, {}) n"
        )
        shop.execute(text(f"INSERT INTO past SELECT *, a + b > 0 FROM ({drawn.format(0, 399)}) AS drawn"))
        shop.execute(text(f"INSERT INTO today {drawn.format(1000, 1199)}"))
        shop.execute(text("CREATE TABLE outcomes AS SELECT id, a + b > 0 AS large FROM today"))
    try:
        assert _run(MODELS, "tiny__ingest")["validate"] == "success"
        assert set(_run(MODELS, "tiny__train").values()) == {"success"}
        assert _run(MODELS, "tiny__score") == {"score": "success"}
        assert _run(MODELS, "tiny__score") == {"score": "success"}
        with engine.connect() as shop:
            rows = shop.execute(
                text("SELECT s.prediction = o.large FROM scores s JOIN outcomes o USING (id)")
            ).fetchall()
        assert len(rows) == 200
        assert sum(right for (right,) in rows) > 180
        states = _run(MODELS, "tiny__monitor")
        assert states == {"labels": "success", "join": "success", "monitor": "success", "decide": "success"}
        joined = store().ledger.state().model("tiny").latest["join"].content.result
        assert joined.sentence.startswith(("roc_auc 0.9", "roc_auc 1.0"))
        assert "100 % labelled of 200 predictions" in joined.sentence
        told = context()
        done = ScoreOperator(task_id="s", model="tiny").execute(told)
        assert done["reused"]
        assert told["outlet_events"][scores_asset("tiny")].extra["rows"] == 200
    finally:
        with engine.begin() as shop:
            for table in ("past", "today", "outcomes", "scores"):
                shop.execute(text(f"DROP TABLE IF EXISTS {table}"))
        engine.dispose()


def test_a_model_without_a_batch_job_has_no_dag_for_it(project: Project) -> None:
    from slipstream.spec.loader import load_spec

    plain = load_spec(project())
    assert [dag.dag_id for dag in dags.dags_of(plain)] == [
        f"tiny__{verb}" for verb in ("ingest", "train", "monitor", "rollback")
    ]
    empty = project(name="empty", score={})
    with_score = dags.dags_of(load_spec(empty))[-1]
    assert (with_score.dag_id, with_score.schedule, [*with_score.params]) == (
        "empty__score",
        None,
        ["path", "destination", "version", "every"],
    )
    assert not [task for dag in dags.dags_of(plain) for task in dag.tasks if isinstance(task, LabelsOperator)]
