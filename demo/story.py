"""The steps of the demo. Each looks into the ledger first: what is done already is told, not done again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from traffic import Answers, Client, SteadyClient, rows_after

from slipstream.model_file import find_spec
from slipstream.stages.history import sentence
from slipstream.store import Store
from slipstream.store.state import Event, ModelState
from slipstream_airflow.rest import Airflow, DagRun, Task
from slipstream_airflow.stack_settings import Layout, Ports

if TYPE_CHECKING:
    from screen import Screen

MODEL = "flights"
INGEST, TRAIN, MONITOR = (f"{MODEL}__{verb}" for verb in ("ingest", "train", "monitor"))
REQUESTS, ROWS_EACH, STEADY_ROWS = 40, 25, 200
ASSET_RUN, ASSET_SECONDS = "asset_triggered__", 60.0


class Trouble(Exception):
    """The story cannot go on; the text holds the end of the failed task's log."""


class Story:
    """Drives the flights model through Airflow and tells what happens."""

    def __init__(self, layout: Layout, ports: Ports, screen: Screen) -> None:
        self.screen = screen
        self.endpoint = ports.endpoint_url
        self.airflow = Airflow.of(layout, ports.airflow_url)
        self.store = Store.open(layout.store)
        self.spec = find_spec(layout.models, MODEL)
        self.chapter = screen.chapter

    def close(self) -> None:
        """Close the connections."""
        self.airflow.close()

    @property
    def state(self) -> ModelState:
        """What the ledger says of the model now."""
        return self.store.ledger.state().model(MODEL)

    @property
    def asked(self) -> Event | None:
        """The first request for retraining."""
        return next(iter(self.store.ledger.read(model=MODEL, kind="retrain.requested")), None)

    @property
    def answered(self) -> bool:
        """Whether a challenger has been judged by the gates since that request."""
        judged = self.state.latest.get("gate")
        return bool(self.asked and judged and judged.seq > self.asked.seq)

    def open(self) -> None:
        """Let the DAGs of the first chapter run."""
        with self.screen.doing("waiting for Airflow to find the model's DAGs"):
            for dag in (INGEST, TRAIN):
                self.airflow.unpause(dag)
        self.screen.step("Airflow", f"{self.airflow.url}   DAGs {INGEST}, {TRAIN}, {MONITOR}")

    def month(self, month: str) -> bool:
        """Bring the batches up to *month*; whether anything was brought."""
        if self.state.watermark >= month:
            self.screen.step(f"ingest {month}", "is in the data table already", reused=True)
            return False
        self._run(INGEST)
        validated = self._result("validate")
        self.screen.step(
            f"ingest {month}",
            f"{validated['rows']:,} flights: {validated['good']:,} good, {validated['quarantined']:,} quarantined; "
            f"dataset {validated['dataset'][:12]}",
        )
        if validated["failed"]:
            self.screen.note(f"quarantined by {', '.join(validated['failed'])}")
        return True

    def first_champion(self) -> None:
        """Train and deploy a first champion, and let monitoring run from now on."""
        if self.state.champion:
            self.screen.step("train", f"version {self.state.champion} serves already", reused=True)
        else:
            self._run(TRAIN, {"reason": "The demo needs a first champion."})
        self.airflow.unpause(MONITOR)

    def predictions(self, month: str) -> None:
        """Send flights of *month* to the endpoint."""
        year, number = month.split("-")
        rows = rows_after(self.spec, f"{year}-{int(number) - 1:02d}", REQUESTS * ROWS_EACH)
        client, answers = Client(self.endpoint, MODEL), Answers()
        for first in range(0, len(rows), ROWS_EACH):
            client.send(rows[first : first + ROWS_EACH], answers)
        client.close()
        if answers.failures:
            raise Trouble(f"{len(answers.failures)} of {REQUESTS} requests failed, first: {answers.failures[0]}")
        self.screen.step(
            "predict over HTTP",
            f"{answers.rows:,} flights of {month} in {REQUESTS} requests by version {answers.last['version']}, "
            f"median {answers.median:.1f} ms for {ROWS_EACH} flights",
        )
        self.screen.note(_spoken(rows[-1], answers.last))

    def watched_month(self, month: str) -> None:
        """Bring *month* and wait for the monitoring that its asset event starts."""
        if self.month(month):
            self._asset_run(MONITOR, self.state.datasets[str(self.state.dataset)])
            event = self.state.latest["monitor"]
            self.screen.step(f"monitor {month}", _shorter(sentence(event)))

    def retrain(self) -> None:
        """Wait for the training that monitoring has asked for, with a client that goes on asking for predictions."""
        asked = self.asked
        if asked is None:
            self.screen.step("retraining", "was never asked for: no month was different enough")
            return
        self.screen.step(
            "retrain asset", f"asks for a training: {_shorter(asked.data['reason'])}", reused=self.answered
        )
        if self.answered:
            return
        rows = rows_after(self.spec, self.state.watermark, STEADY_ROWS)
        with SteadyClient(self.endpoint, MODEL, rows) as steady:
            self._asset_run(TRAIN, asked)
        answers, served = steady.answers, steady.answers.versions
        total = len(answers.milliseconds) + len(answers.failures)
        seen = ", ".join(f"{count} by version {version}" for version, count in served.items())
        self.screen.step("meanwhile over HTTP", f"{total:,} requests, {len(answers.failures)} failed ({seen})")

    def outcome(self) -> None:
        """Who won, in figures, and who serves."""
        found, metric = self._result("evaluate"), self.spec.evaluate.metric
        if found["gain"] is not None:
            better = "the challenger is better" if found["gain"] > 0 else "the challenger is not better"
            score = found["scores"][metric]
            self.screen.step(
                "same held-out flights",
                f"{metric}: challenger {score:.4f}, champion {found['champion']} {score - found['gain']:.4f}: {better}",
            )
        for verdict in self._result("gate")["verdicts"]:
            word = "passed" if verdict["passed"] else "refused"
            self.screen.note(f"gate {word}: {verdict['sentence']}")
        self.screen.step("serves now", f"version {self.state.champion} of {len(self.state.versions)}")

    def _told(self, task: Task) -> str:
        """What an ended task of the train DAG has brought."""
        if task.state == "skipped":
            return "skipped: the champion stays"
        found = self._result(task.name)
        match task.name:
            case "train":
                text = f"{found['rows_train']:,} flights before {found['cutoff'][:10]}"
            case "evaluate":
                scores = ", ".join(f"{name} {value:.4f}" for name, value in found["scores"].items())
                text = f"{found['rows']:,} later flights: {scores}"
            case "explain":
                text = f"most important: {', '.join(name for name, _ in found['importance'][:4])}"
            case "package":
                text = f"signed bundle {found['bundle'][:12]} and a Bento"
            case "gate":
                refused = [verdict["sentence"] for verdict in found["verdicts"] if not verdict["passed"]]
                text = " ".join(refused) or f"passed all {len(found['verdicts'])} gates"
            case _:
                text = f"version {self.state.champion} answers"
        return f"{text} ({task.seconds or 0:.1f} s)"

    def _run(self, dag: str, conf: dict[str, Any] | None = None) -> DagRun:
        return self._waited(dag, self.airflow.trigger(dag, conf))

    def _waited(self, dag: str, run_id: str) -> DagRun:
        tries: dict[str, int] = {}
        told: set[str] = set()

        def show(run: DagRun) -> None:
            busy = [task.name for task in run.tasks if task.state in {"running", "queued", "scheduled", "up_for_retry"}]
            self.screen.now(f"{dag}: {', '.join(busy) or run.state}")
            for task in run.tasks:
                if dag == TRAIN and task.state in {"success", "skipped"} and task.name not in told:
                    told.add(task.name)
                    self.screen.step(task.name, self._told(task))
                if task.state == "up_for_retry" and tries.get(task.name) != task.try_number:
                    tries[task.name] = task.try_number
                    last = self.airflow.log(dag, run_id, task.name, try_number=task.try_number, lines=3)
                    self.screen.note(f"{dag}: try {task.try_number} of {task.name} failed, another follows: {last}")

        with self.screen.doing(dag):
            run = self.airflow.wait(dag, run_id, on_progress=show, poll=0.25)
        if not run.ended_well:
            raise Trouble(self.airflow.why_failed(run))
        return run

    def _asset_run(self, dag: str, cause: Event) -> DagRun:
        """The finished run of *dag* that an asset event after the ledger's event *cause* has started."""
        end = time.monotonic() + ASSET_SECONDS
        with self.screen.doing(f"waiting for the asset event to start {dag}"):
            while time.monotonic() < end:
                # The id holds the time: asset_triggered__2026-01-31T12:00:00.000000+00:00_xxxxxxxx
                ids = [run.id for run in self.airflow.runs(dag) if run.id.startswith(ASSET_RUN)]
                ids = [run_id for run_id in ids if run_id.removeprefix(ASSET_RUN)[:23] >= cause.time[:23]]
                if ids:
                    return self._waited(dag, min(ids))
                time.sleep(0.25)
        raise Trouble(f"no asset event has started {dag} in {ASSET_SECONDS:.0f} s")

    def _result(self, stage: str) -> dict[str, Any]:
        event: Event = self.state.latest[stage]
        result: dict[str, Any] = event.data["result"]
        return result


def _spoken(row: dict[str, Any], reply: dict[str, Any]) -> str:
    """The last flight and its answer, in words."""
    chance = reply["probabilities"][-1]
    if isinstance(chance, list):
        chance = chance[-1]
    elif isinstance(chance, dict):
        chance = list(chance.values())[-1]
    hour = f"{int(row['departs']):02d}:{int(row['departs'] % 1 * 60):02d}"
    return f"e.g. {row['carrier']} from {row['origin']} to {row['dest']} at {hour}: {chance:.0%} likely to be late"


def _shorter(text: str) -> str:
    return text if len(text) < 240 else text[:239] + "…"
