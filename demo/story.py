"""The steps of the demo. Each looks into the ledger first: what is done already is told, not done again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_client.client import Airflow, DagRun, Task
from runs import Runs, Trouble
from slipstream.commands.history import sentence
from slipstream.rollout.production_periods import production_periods
from slipstream.spec.loader import find_spec
from slipstream.store import Store
from slipstream.store.payloads import (
    DatasetCommitted,
    DeploymentRolledBack,
    EvaluateFinished,
    ExplainFinished,
    GateFinished,
    ReplayFinished,
    TrainFinished,
    VersionRegistered,
)
from slipstream.store.state import Event, ModelState
from slipstream_stack.settings import Layout, Ports
from traffic import Answers, Asked, Client, SteadyClient, rows_after

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
        committed = self.state.latest["validate"].content_as(DatasetCommitted)
        validated = committed.result
        self.screen.step(
            f"ingest {month}",
            f"{validated.rows or 0:,} flights: {validated.good:,} good, {validated.quarantined:,} quarantined; "
            f"dataset {committed.dataset[:12]}",
        )
        if validated.failed:
            self.screen.note(f"quarantined by {', '.join(validated.failed)}")
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
            ended = self.state.events[-1].content
            if isinstance(ended, DeploymentRolledBack) and ended.alarm:
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
        found, metric = self.state.latest["evaluate"].content_as(EvaluateFinished).result, self.spec.evaluate.metric
        score = found.scores[metric]
        if found.gain is not None and score is not None:
            better = "the challenger is better" if found.gain > 0 else "the challenger is not better"
            self.screen.step(
                "same held-out flights",
                f"{metric}: challenger {score:.4f}, champion {found.champion} {score - found.gain:.4f}: {better}",
            )
        for verdict in self.state.latest["gate"].content_as(GateFinished).result.verdicts:
            self.screen.note(f"gate {'passed' if verdict.passed else 'refused'}: {verdict.sentence}")
        self.screen.step("serves now", f"version {self.state.champion} of {len(self.state.versions)}")

    def another_month(self) -> None:
        """Watch the champion for the month after the newest, unless that was done."""
        watched = self.state.latest.get("monitor")
        if watched is not None and watched.content.version == self.state.champion:
            self.screen.step("the champion", f"version {self.state.champion} was watched already", reused=True)
            return
        self.watched_month(f"2013-{int(self.state.watermark[5:]) + 1:02d}")

    def terms(self) -> None:
        """Which version was in production when, and why."""
        for term in production_periods(self.spec, self.store):
            until = term.until[11:19] or "now"
            self.screen.step(f"version {term.version}", f"{term.since[11:19]} to {until}: {term.why}")

    def _told(self, task: Task) -> str:
        """What an ended task of the train DAG has brought."""
        if task.state == "skipped":
            return "skipped: the champion stays"
        event = self.state.latest.get(task.name)
        match event.content if event is not None else None:
            case TrainFinished(result=trained):
                text = f"{trained.rows_train or 0:,} flights before {trained.cutoff[:10]}"
            case EvaluateFinished(result=evaluated):
                scores = ", ".join(
                    f"{name} {value:.4f}" for name, value in evaluated.scores.items() if value is not None
                )
                text = f"{evaluated.rows:,} later flights: {scores}"
            case ExplainFinished(result=explained):
                text = f"most important: {', '.join(name for name, _ in (explained.importance or ())[:4])}"
            case VersionRegistered(result=packaged):
                text = f"signed bundle {packaged.bundle[:12]} and a Bento"
            case ReplayFinished(result=replayed):
                text = replayed.sentence
            case GateFinished(result=judged):
                text = " ".join(judged.refusals) or f"passed all {len(judged.verdicts)} gates"
            case _:
                text = f"version {self.state.champion} answers"
        return f"{text} ({task.seconds or 0:.1f} s)"


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
