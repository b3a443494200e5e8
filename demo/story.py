"""The steps of the demo. Each looks into the ledger first: what is done already is told, not done again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runs import Runs, Trouble
from traffic import Answers, Asked, Client, SteadyClient, rows_after

from slipstream.model_file import find_spec
from slipstream.stages.history import sentence
from slipstream.stages.terms import terms
from slipstream.store import Store
from slipstream.store.state import Event, ModelState
from slipstream_airflow.rest import Airflow, DagRun, Task
from slipstream_airflow.stack_settings import Layout, Ports

if TYPE_CHECKING:
    from screen import Screen

MODEL = "flights"
INGEST, TRAIN, MONITOR = (f"{MODEL}__{verb}" for verb in ("ingest", "train", "monitor"))
REQUESTS, ROWS_EACH, STEADY_ROWS = 40, 25, 200
LANDING = 6.0
"""Seconds until the flights have landed; the endpoint writes every 5 s what it answered, so that labels find it."""
LABELLED = 0.8
"""Share of the predictions whose truth is told; in life, too, some never comes."""
DECISIONS = (
    "retrain.requested",
    "retrain.skipped",
    "approval.decided",
    "deployment.finished",
    "deployment.rolled_back",
)
ROLLOUT = ("deployment.started", "deployment.shifted", *DECISIONS[2:])


class Story:
    """Drives the flights model through Airflow and tells what happens."""

    def __init__(self, layout: Layout, ports: Ports, screen: Screen) -> None:
        self.screen = screen
        self.endpoint = ports.endpoint_url
        self.airflow = Airflow.of(layout, ports.airflow_url)
        self.store = Store.open(layout.store)
        self.runs = Runs(self.airflow, screen)
        self.spec = find_spec(layout.models, MODEL)
        self.chapter = screen.chapter
        self.client = Client(self.endpoint, MODEL)
        self.steady: SteadyClient | None = None
        self.last_request = datetime.now(UTC)
        self._open = ExitStack()
        self._seen = self.store.ledger.state().seq

    def close(self) -> None:
        """Stop asking for predictions, and close the connections."""
        self._open.close()
        self.client.close()
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
        self.runs.run(INGEST)
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
            self.runs.run(TRAIN, {"reason": "The demo needs a first champion."}, self._told)
        self.airflow.unpause(MONITOR)

    def predictions(self, month: str) -> Answers:
        """Send flights of *month* to the endpoint; from the first time on, a steady client asks on beside it."""
        year, number = month.split("-")
        asked = rows_after(self.spec, f"{year}-{int(number) - 1:02d}", REQUESTS * ROWS_EACH)
        self._ask_steadily(asked[:STEADY_ROWS])
        answers = Answers()
        for first in range(0, len(asked), ROWS_EACH):
            self.client.send(asked[first : first + ROWS_EACH], answers)
        self.last_request = datetime.now(UTC)
        if answers.failures:
            raise Trouble(f"{len(answers.failures)} of {REQUESTS} requests failed, first: {answers.failures[0]}")
        self.screen.step(
            "predict over HTTP",
            f"{answers.rows:,} flights of {month} in {REQUESTS} requests by version {answers.last['version']}, "
            f"median {answers.median:.1f} ms for {ROWS_EACH} flights",
        )
        self.screen.note(_spoken(asked[-1].row, answers.last))
        return answers

    def _ask_steadily(self, asked: list[Asked]) -> None:
        """Let the steady client ask about these flights from now on."""
        if self.steady is None:
            self.steady = self._open.enter_context(SteadyClient(self.endpoint, MODEL, asked))
            self.screen.step("steady client", "asks for one prediction every 50 ms from now on, whatever happens")
        self.steady.asked = asked

    def watched_month(self, month: str) -> None:
        """Ask about flights of *month*, tell what became of most, bring the month, and wait for the monitoring."""
        if self.state.watermark >= month:
            self.screen.step(f"month {month}", "is in the data table already", reused=True)
            return
        answers = self.predictions(month)
        with self.screen.doing("the flights are in the air"):
            time.sleep(LANDING)
        self.truth(answers)
        self.month(month)
        self.runs.started_by_asset(MONITOR, self.state.datasets[str(self.state.dataset)])
        for stage in ("join", "monitor"):
            self.screen.step(f"{stage} {month}", _shorter(sentence(self.state.latest[stage])))
        self.tell(DECISIONS)

    def truth(self, answers: Answers) -> None:
        """Tell the labels of most predictions: some twice, one that contradicts, one of an unknown prediction."""
        known = list(answers.truths.items())
        told = known[: int(LABELLED * len(known))]
        failures: list[str] = []
        new = self.client.tell(told, failures)
        again = self.client.tell(told, failures)
        one, truth = told[0]
        odd = self.client.tell([(one, 1 - truth), (f"{0:032x}", truth)], failures)
        if failures:
            raise Trouble(f"labels were not taken: {failures[0]}")
        text = f"{new:,} flights have landed; told again: {again} new; one contradicts, one is of nobody: {odd} kept"
        self.screen.step("labels over HTTP", text)

    def tell(self, kinds: tuple[str, ...]) -> None:
        """Print each event of these kinds that was not told yet, with its sentence."""
        for event in self.store.ledger.read(after=self._seen, model=MODEL):
            self._seen = event.seq
            if event.kind in kinds:
                self.screen.step(event.kind, _shorter(sentence(event)))

    def retrain(self) -> None:
        """Wait for the training that was asked for, and for the rollout of what it makes."""
        asked = self.asked
        if asked is None:
            self.screen.step("retraining", "was never asked for: no month was different enough")
            return
        if self.answered:
            self.screen.step("retraining", "was asked for and has ended", reused=True)
            return
        run = self._challenged(asked)
        if run is not None and run.started:
            waited = (datetime.fromisoformat(run.started) - self.last_request).total_seconds()
            self.screen.step(
                "window to retraining", f"{waited:.0f} s from its last request to the start of the training"
            )
        self.tell(ROLLOUT)
        self.still_asked()

    def _challenged(self, asked: Event) -> DagRun | None:
        """The train run that *asked* has started; None if an alarm took its version back, which ends no story."""
        try:
            return self.runs.started_by_asset(TRAIN, asked, self._told)
        except Trouble:
            ended = self.store.ledger.read(model=MODEL)[-1]
            if ended.kind == "deployment.rolled_back" and ended.data.get("alarm"):
                return None
            raise

    def still_asked(self) -> None:
        """How the steady client fares; a single failure ends the story."""
        if self.steady is None:
            return
        answers = self.steady.answers
        seen = ", ".join(f"{count:,} by version {version}" for version, count in sorted(answers.versions.items()))
        self.screen.step("steady client", f"{answers.requests:,} requests, {len(answers.failures)} failed ({seen})")
        if answers.failures:
            raise Trouble(f"the steady client saw a failure: {answers.failures[0]}")

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

    def another_month(self) -> None:
        """Watch the champion for the month after the newest, unless that was done."""
        watched = self.state.latest.get("monitor")
        if watched is not None and watched.data["version"] == self.state.champion:
            self.screen.step("the champion", f"version {self.state.champion} was watched already", reused=True)
            return
        self.watched_month(f"2013-{int(self.state.watermark[5:]) + 1:02d}")

    def terms(self) -> None:
        """Which version was in production when, and why."""
        for term in terms(self.spec, self.store):
            until = term.until[11:19] or "now"
            self.screen.step(f"version {term.version}", f"{term.since[11:19]} to {until}: {term.why}")

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
            case "replay":
                text = found["sentence"]
            case "gate":
                refused = [verdict["sentence"] for verdict in found["verdicts"] if not verdict["passed"]]
                text = " ".join(refused) or f"passed all {len(found['verdicts'])} gates"
            case _:
                text = f"version {self.state.champion} answers"
        return f"{text} ({task.seconds or 0:.1f} s)"

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
