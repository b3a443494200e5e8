"""The command that does the whole way: from what the source has to a version that serves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from slipstream.cli.output import ACTOR, AsJson, Model, err, open_store, out, settings_now, spec_of
from slipstream.errors import SlipstreamError, StageError
from slipstream.runs import Result
from slipstream.settings import Settings, serve_command
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

whole = typer.Typer()


@whole.command()
def run(
    model: Model,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="First derive the data table anew, after an edit of features.py, data.schema or data.join.",
        ),
    ] = False,
    candidate: Annotated[
        str | None,
        typer.Option(help="Go on from this training or import: evaluate, explain, package, gate and deploy."),
    ] = None,
    json_: AsJson = False,
) -> None:
    """Ingest, validate, train, evaluate, explain, package, gate and deploy; each step that is done already is reused.

    Without a running endpoint the version is proved in this process and becomes the champion; the endpoint serves it as
    soon as it runs. A model that callers ask already waits for the endpoint. Ends with exit code 2 where a gate refuses
    or a person has to decide first, and for a version that was taken out of service by a rollback.
    """
    spec, store = spec_of(model), open_store()
    way = _Way(spec, store, settings_now(), rebuild=rebuild, quiet=json_)
    try:
        code = way.go(candidate or way.trained())
    finally:
        # What was done before a stage failed is done: it is told beside the error.
        if json_:
            out.file.write(json.dumps(way.told) + "\n")
    raise typer.Exit(code)


class _Way:
    """One run through all stages."""

    def __init__(self, spec: ModelSpec, store: Store, settings: Settings, *, rebuild: bool, quiet: bool) -> None:
        self.spec, self.store, self.settings = spec, store, settings
        self.rebuild, self.quiet = rebuild, quiet
        self.told: dict[str, Any] = {}

    def trained(self) -> str:
        """The candidate of what the source has now."""
        return self._candidate(self._data())

    def go(self, candidate: str) -> int:
        """Run the stages from that candidate on; returns the exit code."""
        if candidate == self._served():
            unchanged = "Nothing has changed: this candidate serves already."
            self._say(
                f"{unchanged}{self._champion()} What evaluate, explain, gates and deploy say is for the next version."
            )
            return 0
        version = self._version(candidate)
        verdict = self._step("gate", lambda: _gate(self, version))
        if not verdict.passed:
            self._say("The version does not serve: a gate refused it." + self._champion())
            return 2
        refused = self._refused(version)
        if refused:
            self._say(refused + self._champion())
            return 2
        self._deploy(version)
        return 0

    def _data(self) -> str:
        from slipstream.stages.ingest import ingest
        from slipstream.stages.validate import validate

        self._derived()
        landed = self._step("ingest", lambda: ingest(self.spec, self.store, actor=ACTOR))
        if landed.empty:
            dataset = self.store.ledger.state().model(self.spec.name).dataset
            if dataset is None:
                raise StageError(f"{self.spec.name}: the source has nothing, and there is no data yet.")
            self._say("nothing new; the newest dataset version is taken")
            return dataset
        for note in landed.notes:
            self._say(f"  {note}")
        checked = self._step("validate", lambda: validate(self.spec, self.store, landed.batch, actor=ACTOR))
        for reason in checked.aside:
            self._say(f"  set aside: {reason}")
        return str(checked.dataset)

    def _derived(self) -> None:
        """See to it that the rows that are there are as features.py and data.schema say now."""
        from slipstream.data.derived import derived_otherwise
        from slipstream.stages.rebuild import rebuild

        spec, store = self.spec, self.store
        dataset = store.ledger.state().model(spec.name).dataset
        difference = derived_otherwise(spec, store, dataset) if dataset else None
        if difference is None:
            return
        if self.rebuild:
            self._step("rebuild", lambda: rebuild(spec, store, actor=ACTOR))
        elif difference.rederivable:
            remedy = f"slipstream run {spec.name} --rebuild derives them anew first"
            raise StageError(f"{spec.name}: {difference.sentence}; {remedy}.", code="rebuild_needed")
        else:
            self._say(
                f"look at this: {difference.sentence}, and cannot be derived anew: what was delivered is not kept"
            )

    def _candidate(self, dataset: str) -> str:
        from slipstream.stages.train import train

        return str(self._step("train", lambda: train(self.spec, self.store, dataset, actor=ACTOR)).candidate)

    def _served(self) -> str:
        """The candidate that the champion was."""
        model = self.store.ledger.state().model(self.spec.name)
        return model.packaged(model.champion).candidate if model.champion else ""

    def _version(self, candidate: str) -> int:
        from slipstream.stages.evaluate import evaluate
        from slipstream.stages.explain import explain
        from slipstream.stages.package import package

        spec, store = self.spec, self.store
        judged = self._step("evaluate", lambda: evaluate(spec, store, candidate, actor=ACTOR))
        explained = self._step("explain", lambda: explain(spec, store, candidate, actor=ACTOR))
        ids = (candidate, judged.run, explained.run)
        places: dict[str, Any] = {"keys": self.settings.keys, "bentos": self.settings.bentos}
        packaged = self._step("package", lambda: package(spec, store, *ids, **places, actor=ACTOR))
        if any(gate.type == "replay" for gate in spec.gates):
            from slipstream.stages.replay import replay

            self._step("replay", lambda: replay(spec, store, packaged.version, actor=ACTOR))
        return int(packaged.version)

    def _refused(self, version: int) -> str:
        """Why a version that passed its gates is not put into service by this command; "" if it is."""
        from slipstream.rollout.approval import require_approval
        from slipstream.store.predictions import TABLE

        spec, store = self.spec, self.store
        model = store.ledger.state().model(spec.name)
        again = f"slipstream deploy {spec.name} --version {version}"
        if model.retired is not None:
            return f"{spec.name} is retired; {again} --again brings it back."
        if version in model.left:
            left = f"{spec.name}/{version} was taken out of service by a rollback"
            return f"{left}; {again} puts it into service all the same."
        try:
            require_approval(spec, store, version)
        except StageError as error:
            return str(error)
        callers = model.champion is not None and bool(store.tables.sound(spec.name, TABLE).files)
        if callers and spec.deploy.target["type"] == "endpoint" and not endpoint_answers(self.settings):
            # Callers are on the champion: its successor is not to take over unwatched because the endpoint is down.
            command = serve_command(self.settings.endpoint)
            start = f"start it ({command}), then slipstream run {spec.name} goes on from here."
            return f"{self.settings.endpoint}: no endpoint answers, to watch {spec.name}/{version} by; {start}"
        return ""

    def _deploy(self, version: int) -> None:
        from slipstream.stages.deploy import deploy

        spec, settings = self.spec, self.settings
        running = endpoint_answers(settings)
        if spec.deploy.target["type"] == "endpoint" and not running:
            local = spec.deploy.model_copy(update={"target": {"type": "local"}})
            spec = spec.model_copy(update={"deploy": local}).at(spec.folder, allow_code=spec.allow_code)
        place: dict[str, Any] = {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key, "actor": ACTOR}
        self._step("deploy", lambda: deploy(spec, self.store, version, **place, how="steps", progress=self._say))
        name = f"{spec.name}/{version}"
        if running:
            self._say(f"{name} serves at {settings.endpoint}/models/{spec.name}/predict.")
        else:
            self._say(
                f"{name} is the champion. No endpoint answers at {settings.endpoint}: "
                f"{serve_command(settings.endpoint)} starts one."
            )
        self._say(f"Ask it: slipstream predict {spec.name} '{self._example()}'")
        self._say(f"Or for a file: slipstream predict {spec.name} --file rows.csv")

    def _example(self) -> str:
        """A row that it was packaged with."""
        from slipstream.bundle.bundle import open_bundle

        model = self.store.ledger.state().model(self.spec.name)
        bundle = open_bundle(self.store, model.packaged(model.champion or 0).bundle)
        line = bundle.files["golden.jsonl"].splitlines()[0]
        return json.dumps(json.loads(line)["row"], ensure_ascii=False).replace("'", "'\\''")

    def _champion(self) -> str:
        champion = self.store.ledger.state().model(self.spec.name).champion
        return f" {self.spec.name}/{champion} serves on." if champion else ""

    def _step(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            result: Result = work()
        except SlipstreamError as error:
            self._say(f"{stage:<9} failed after {time.monotonic() - began:.1f} s")
            error.args = (f"{stage}: {error}",)
            raise
        self.told[stage] = result.figures()
        how = "reused" if result.reused else f"{time.monotonic() - began:.1f} s"
        self._say(f"{stage:<9} {how:>7}  {_FIGURES[stage](result)}")
        return result

    def _say(self, line: str) -> None:
        if not self.quiet:
            err.print(line, markup=False, highlight=False, soft_wrap=True)


def _gate(way: _Way, version: int) -> Any:
    from slipstream.stages.gate import gate

    return gate(way.spec, way.store, version, actor=ACTOR)


def endpoint_answers(settings: Settings) -> bool:
    """Whether an endpoint runs where the settings say."""
    import httpx

    try:
        httpx.get(f"{settings.endpoint}/livez", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return True  # also one that wants a key, or has no time


def _score(result: Any) -> str:
    value = result.scores.get(result.metric)
    score = f"{result.metric} {value:.4f}" if value is not None else f"{result.metric} is not defined on these rows"
    against = f", {result.gain:+.4f} against champion version {result.champion}" if result.gain is not None else ""
    return f"{score} on {result.rows:,} held-out rows{against}"


def _verdict(result: Any) -> str:
    failed = [verdict.sentence for verdict in result.verdicts if not verdict.passed]
    return "passed" if result.passed else f"refused: {'; '.join(failed)}"


_FIGURES: dict[str, Callable[[Any], str]] = {
    "rebuild": lambda result: f"{result.rows:,} rows of {result.batches:,} batches, {result.quarantined:,} set aside",
    "ingest": lambda result: "nothing new" if result.empty else f"{result.rows:,} rows, {result.columns} columns",
    "validate": lambda result: f"{result.good:,} good, {result.quarantined:,} set aside, {result.added:,} added",
    "train": lambda result: f"{result.rows_train:,} rows, {result.rows_holdout:,} held out",
    "evaluate": _score,
    "explain": lambda result: "most important: " + ", ".join(name for name, _ in result.importance[:3]),
    "package": lambda result: f"version {result.version}",
    "replay": lambda result: "captured requests answered again",
    "gate": _verdict,
    "deploy": lambda result: f"version {result.version}",
}
