"""The steps of the demo. Each looks into the ledger first: what is done already is told, not done again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from traffic import Answers, Client, SteadyClient, rows_after

from slipstream.model_file import find_spec
from slipstream.stages.history import sentence
from slipstream.store import Store
from slipstream.store.state import Event, ModelState
from slipstream_airflow.rest import Airflow, DagRun
from slipstream_airflow.stack_settings import Layout, Ports

if TYPE_CHECKING:
    from screen import Screen

MODEL = "flights"
INGEST, TRAIN, MONITOR = (f"{MODEL}__{verb}" for verb in ("ingest", "train", "monitor"))
REQUESTS, ROWS_EACH = 40, 25
_ASSET_SECONDS = 60.0


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
        self.swap: Answers | None = None

    def close(self) -> None:
        """Close the connections."""
        self.airflow.close()

    @property
    def state(self) -> ModelState:
        """What the ledger says of the model now."""
        return self.store.ledger.state().model(MODEL)

    @property
    def retrained(self) -> bool:
        """Whether a request for retraining has been answered, by a challenger that the gates have judged."""
        asked = self.store.ledger.read(model=MODEL, kind="retrain.requested")
        judged = self.state.latest.get("gate")
        return bool(asked and judged and judged.seq > asked[0].seq and not self.state.retrain)

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
            run = self._run(TRAIN, {"reason": "The demo needs a first champion."})
            self._tell_training(run)
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

    def watched_month(self, month: str) -> bool:
        """Bring *month* and wait for the monitoring that its asset event starts; whether it asked for retraining."""
        before = {dag: self._ids(dag) for dag in (MONITOR, TRAIN)}
        if self.month(month):
            self._asset_run(MONITOR, before[MONITOR])
            event = self.state.latest["monitor"]
            self.screen.step(f"monitor {month}", _shorter(sentence(event)))
        if self.state.retrain is None:
            return False
        self.screen.note(f"retraining was asked for: {_shorter(self.state.retrain.data['reason'])}")
        rows = rows_after(self.spec, month, 200)
        with SteadyClient(self.endpoint, MODEL, rows) as steady:
            run = self._asset_run(TRAIN, before[TRAIN])
        self.swap = steady.answers
        self._tell_training(run)
        return True

    def retraining(self) -> None:
        """Say who won, in figures, and who serves."""
        asked = self.store.ledger.read(model=MODEL, kind="retrain.requested")
        if not asked:
            self.screen.step("retraining", "was never asked for: no month was different enough")
            return
        challenger = self._result("evaluate")
        metric = self.spec.evaluate.metric
        if challenger["gain"] is not None:
            score, gain = challenger["scores"][metric], challenger["gain"]
            verdict = "the challenger is better" if gain > 0 else "the champion is not beaten" if gain < 0 else "equal"
            self.screen.step(
                "same held-out flights",
                f"challenger {metric} {score:.4f}, gain over champion {challenger['champion']}: {gain:+.4f}: {verdict}",
            )
        gated = self._result("gate")
        for verdict in gated["verdicts"]:
            self.screen.note(
                f"gate {verdict['gate']}: {'passed' if verdict['passed'] else 'refused'}. {verdict['sentence']}"
            )
        self.screen.step("serves now", f"version {self.state.champion} of {len(self.state.versions)}")
        if self.swap is not None:
            seen = ", ".join(f"version {version}: {count}" for version, count in self.swap.versions.items())
            total = len(self.swap.milliseconds) + len(self.swap.failures)
            self.screen.note(
                f"a steady client during the change: {total} requests, {len(self.swap.failures)} failed ({seen})"
            )

    def _tell_training(self, run: DagRun) -> None:
        trained, evaluated = self._result("train"), self._result("evaluate")
        packaged, deployed = self._result("package"), _ended_well(run, "deploy")
        seconds = {task.name: task.seconds or 0 for task in run.tasks}
        self.screen.step(
            "train", f"{trained['rows_train']:,} flights before {trained['cutoff'][:10]} ({seconds['train']:.1f} s)"
        )
        figures = ", ".join(f"{name} {value:.4f}" for name, value in evaluated["scores"].items())
        self.screen.step("evaluate", f"{evaluated['rows']:,} later flights: {figures}")
        self.screen.step("explain", f"most important: {', '.join(list(self._result('explain')['importance'])[:4])}")
        self.screen.step("package", f"signed bundle {packaged['bundle'][:12]} and a Bento ({seconds['package']:.1f} s)")
        gated = self._result("gate")
        refused = [verdict["sentence"] for verdict in gated["verdicts"] if not verdict["passed"]]
        self.screen.step("gate", " ".join(refused) or f"passed all {len(gated['verdicts'])} gates")
        self.screen.step(
            "deploy", f"version {self.state.champion} answers" if deployed else "skipped: the champion stays"
        )

    def _run(self, dag: str, conf: dict[str, Any] | None = None) -> DagRun:
        return self._waited(dag, self.airflow.trigger(dag, conf))

    def _waited(self, dag: str, run_id: str) -> DagRun:
        def show(run: DagRun) -> None:
            busy = [task.name for task in run.tasks if task.state in {"running", "queued", "scheduled", "up_for_retry"}]
            self.screen.now(f"{dag}: {', '.join(busy) or run.state}")

        with self.screen.doing(dag):
            run = self.airflow.wait(dag, run_id, on_progress=show, poll=0.25)
        if not run.ended_well:
            raise Trouble(self.airflow.why_failed(run))
        return run

    def _ids(self, dag: str) -> set[str]:
        return {run.id for run in self.airflow.runs(dag)}

    def _asset_run(self, dag: str, before: set[str]) -> DagRun:
        """The finished run that an asset event has started, other than those of *before*."""
        end = time.monotonic() + _ASSET_SECONDS
        with self.screen.doing(f"waiting for the asset event to start {dag}"):
            while time.monotonic() < end:
                new = self._ids(dag) - before
                if new:
                    return self._waited(dag, min(new))
                time.sleep(0.25)
        raise Trouble(f"no asset event has started {dag} in {_ASSET_SECONDS:.0f} s")

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


def _ended_well(run: DagRun, name: str) -> bool:
    return any(task.name == name and task.state == "success" for task in run.tasks)


def _shorter(text: str) -> str:
    return text if len(text) < 240 else text[:239] + "…"
