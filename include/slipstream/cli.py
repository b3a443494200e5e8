"""The command line: the same stages without Airflow. Results go to standard output, the rest to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from slipstream import model_file
from slipstream.cli_keys import keys
from slipstream.errors import SlipstreamError, SpecError, StageError
from slipstream.settings import Settings
from slipstream.spec import ModelSpec
from slipstream.stages.contract import Result, newest_id, newest_version
from slipstream.store import Store

app = typer.Typer(
    name="slipstream",
    help=(
        "From a table of data to a deployed model that is kept good.\n\n"
        "The stages pass ids: each prints the id that the next one takes, and takes the newest one if you give none."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(keys)
out, err = Console(), Console(stderr=True)

Model = Annotated[str, typer.Argument(help="The model's name: its folder below SLIPSTREAM_MODELS.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ACTOR = "cli"


def main() -> None:
    """Run the command line; an error that Slipstream raises on purpose is one line, with exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("great_expectations", "bentoml", "evidently", "botocore", "numexpr", "circus", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except SlipstreamError as error:
        if "--json" in sys.argv:
            sys.stderr.write(json.dumps({"error": {"code": error.code, "message": str(error)}}) + "\n")
        else:
            err.print(f"error [{error.code}]: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def _settings() -> Settings:
    return Settings.from_environment()


def _spec(name: str) -> ModelSpec:
    settings = _settings()
    return model_file.find_spec(settings.models, name, allow_code=settings.allow_code)


def _store() -> Store:
    return Store.open(_settings().store)


def _show(result: Result, as_json: bool) -> None:
    _print(result.figures(), as_json)


def _print(value: Any, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(value)) + "\n")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, entry in msgspec.to_builtins(value).items():
        text = entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)
        table.add_row(f"[bold]{key}[/bold]", text if len(text) < 400 else text[:399] + "…")
    out.print(table, highlight=False)


@app.command()
def models(json_: AsJson = False) -> None:
    """List the model projects: task, champion, newest dataset version."""
    settings = _settings()
    state = _store().ledger.state()
    rows = []
    for found in model_file.load_specs(settings.models, allow_code=settings.allow_code):
        if isinstance(found, SpecError):
            err.print(f"error [{found.code}]: {found}", markup=False, highlight=False, soft_wrap=True)
            continue
        now = state.model(found.name)
        rows.append(
            {
                "model": found.name,
                "task": found.task,
                "target": found.target,
                "versions": len(now.versions),
                "champion": now.champion,
                "dataset": (now.dataset or "")[:12],
            }
        )
    _print_rows(rows, json_)


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if value in (None, "") else str(value) for value in row.values()))
    out.print(table, highlight=False)


@app.command()
def plan(
    model: Annotated[str | None, typer.Argument(help="The model's name; without it, all.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of model.yaml, for editors.")] = False,
    json_: AsJson = False,
) -> None:
    """Show which DAGs, tables and schedules a model file gives, and what a change to it will change."""
    if schema:
        sys.stdout.write(json.dumps(model_file.json_schema(), indent=2) + "\n")
        return
    from slipstream.stages.plan import plan as make

    settings, store = _settings(), _store()
    names = [model] if model else sorted(file.parent.name for file in settings.models.glob(f"*/{model_file.FILE}"))
    plans = [make(_spec(name), store) for name in names]
    if json_:
        sys.stdout.write(json.dumps(msgspec.to_builtins(plans)) + "\n")
        return
    for made in plans:
        out.print(f"[bold]{made.model}[/bold]   predictions at POST {made.endpoint}", highlight=False)
        for dag in made.dags:
            out.print(
                f"  {dag.id:<24} {dag.does}   (starts: {dag.starts})", highlight=False, markup=False, soft_wrap=True
            )
        for name, uri in made.tables:
            out.print(f"  table {name:<18} {uri}", highlight=False, markup=False, soft_wrap=True)
        for change in made.changes:
            anew = ", ".join(change.anew) or "nothing"
            text = f"  changed {change.key}: {change.before!r} -> {change.after!r}; works anew: {anew}"
            out.print(text, highlight=False, markup=False, soft_wrap=True)
        if made.compared and not made.changes:
            out.print(f"  unchanged since {made.compared}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def ingest(model: Model, json_: AsJson = False) -> None:
    """Bring the next batch from the source."""
    from slipstream.stages.ingest import ingest as stage

    _show(stage(_spec(model), _store(), actor=ACTOR), json_)


@app.command()
def validate(
    model: Model,
    batch: Annotated[str | None, typer.Option(help="Batch id; default: the newest.")] = None,
    json_: AsJson = False,
) -> None:
    """Check a batch against the contract and commit its good rows."""
    from slipstream.stages.validate import validate as stage

    spec, store = _spec(model), _store()
    _show(stage(spec, store, batch or newest_id(store, spec, "ingest", "batch"), actor=ACTOR), json_)


@app.command()
def train(
    model: Model,
    dataset: Annotated[str | None, typer.Option(help="Dataset version; default: the newest.")] = None,
    json_: AsJson = False,
) -> None:
    """Fit a candidate on a dataset version."""
    from slipstream.stages.train import train as stage

    spec, store = _spec(model), _store()
    dataset = dataset or store.ledger.state().model(spec.name).dataset
    if dataset is None:
        raise StageError(
            f"{model} has no data yet; run `slipstream ingest {model}` and `slipstream validate {model}` first."
        )
    _show(stage(spec, store, dataset, actor=ACTOR), json_)


Candidate = Annotated[str | None, typer.Option(help="Id of a training run; default: the newest.")]


@app.command()
def evaluate(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Score a candidate on the held-out rows, beside the champion."""
    _on_candidate(model, candidate, json_, "evaluate")


@app.command()
def explain(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Say which inputs move a candidate's answers."""
    _on_candidate(model, candidate, json_, "explain")


def _on_candidate(model: str, candidate: str | None, as_json: bool, name: str) -> None:
    import importlib

    stage: Callable[..., Result] = getattr(importlib.import_module(f"slipstream.stages.{name}"), name)
    spec, store = _spec(model), _store()
    _show(stage(spec, store, candidate or newest_id(store, spec, "train", "run"), actor=ACTOR), as_json)


@app.command()
def package(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Make the signed bundle and the Bento of an evaluated and explained candidate; registers a version."""
    from slipstream.stages.package import package as stage

    spec, store, settings = _spec(model), _store(), _settings()
    ids = [candidate or newest_id(store, spec, "train", "run")]
    ids += [newest_id(store, spec, stage_before, "run") for stage_before in ("evaluate", "explain")]
    _show(stage(spec, store, *ids, keys=settings.keys, bentos=settings.bentos, actor=ACTOR), json_)


Version = Annotated[int | None, typer.Option(help="Version number; default: the newest.")]


@app.command()
def gate(model: Model, version: Version = None, json_: AsJson = False) -> None:
    """Judge a version by the gates of the model file."""
    from slipstream.stages.gate import gate as stage

    spec, store = _spec(model), _store()
    result = stage(spec, store, version or newest_version(store, spec), actor=ACTOR)
    _show(result, json_)
    if not result.passed:
        raise typer.Exit(2)


@app.command()
def deploy(
    model: Model,
    version: Version = None,
    weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the keys that it answers, as a canary; default: all.")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="It answers too, but to nobody.")] = False,
    json_: AsJson = False,
) -> None:
    """Make a version that passed its gates the champion, once the endpoint answers with it; or a canary or a shadow."""
    from slipstream.stages.deploy import deploy as stage

    spec, store, settings = _spec(model), _store(), _settings()
    version = version or newest_version(store, spec)
    place = {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key}
    _show(stage(spec, store, version, **place, weight=weight, shadow=shadow, actor=ACTOR), json_)


@app.command()
def rollback(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Take back the canary, shadow or deployment that is under way; without one, go back to the champion before."""
    from slipstream.stages.deploy import roll_back as stage

    settings = _settings()
    place = {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key}
    _show(stage(_spec(model), _store(), **place, reason=reason, actor=ACTOR), json_)


@app.command()
def monitor(model: Model, json_: AsJson = False) -> None:
    """Compare what came since training with the training reference; may ask for retraining."""
    from slipstream.stages.monitor import monitor as stage

    _show(stage(_spec(model), _store(), actor=ACTOR), json_)


@app.command()
def history(model: Model, newest: Annotated[int, typer.Option(min=1, max=10_000)] = 30, json_: AsJson = False) -> None:
    """What happened to a model, newest first, in plain sentences."""
    from slipstream.stages.history import history as read

    entries = read(_spec(model), _store(), newest=newest)
    if json_:
        sys.stdout.write(json.dumps(msgspec.to_builtins(entries)) + "\n")
        return
    _print_rows([{"seq": e.seq, "time": e.time[:19], "who": e.actor, "what": e.text} for e in entries], as_json=False)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to bind; before there is a key only the loopback is allowed.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=1,
            max=65535,
            envvar=["SLIPSTREAM_PORT", "AIP_HTTP_PORT"],
            help="Port to bind; by SLIPSTREAM_PORT or AIP_HTTP_PORT too.",
        ),
    ] = 8900,
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=64, envvar="SLIPSTREAM_WORKERS", help="Processes that answer; by SLIPSTREAM_WORKERS too."
        ),
    ] = 1,
) -> None:
    """Run the endpoint: it follows the ledger and serves every model's champion."""
    from slipstream.serving.start import start

    start(_settings(), host, port, workers)


@app.command()
def predict(
    model: Model,
    rows: Annotated[
        str, typer.Argument(help='JSON: {"rows": [...]}, a list of rows, or one row; "-" reads standard input.')
    ],
    json_: AsJson = False,
) -> None:
    """Ask the running endpoint for predictions."""
    import httpx

    from slipstream.errors import DeployError, RequestError
    from slipstream.targets.endpoint import key_header

    try:
        given = json.loads(sys.stdin.read() if rows == "-" else rows)
    except ValueError as error:
        raise RequestError(f"rows: not JSON: {error}.", code="json_invalid") from error
    body = (
        given
        if isinstance(given, dict) and ({"rows", "columns"} & given.keys())
        else {"rows": given if isinstance(given, list) else [given]}
    )
    settings = _settings()
    url = f"{settings.endpoint}/models/{model}/predict"
    try:
        reply = httpx.post(url, json=body, timeout=30, trust_env=False, headers=key_header(settings.endpoint_key))
    except httpx.HTTPError as error:
        raise DeployError(
            f"{url}: {error}; start the endpoint with `make up` or `slipstream serve`.", code="endpoint_unreachable"
        ) from error
    if reply.status_code != 200:
        said = reply.json().get("error", {})
        raise RequestError(said.get("message", reply.text[:200]), code=said.get("code"), status=reply.status_code)
    _print(reply.json(), json_)


@app.command()
def verify(json_: AsJson = False) -> None:
    """Check the store: the ledger's chain, and every file of every dataset version and bundle against its checksum."""
    from slipstream.stages.verify import verify as check

    _print(check(_store()), json_)


class Part(StrEnum):
    """What `slipstream bundle` prints."""

    manifest = "manifest"
    card = "card"
    lineage = "lineage"
    schema = "schema"


@app.command()
def bundle(
    model: Model,
    version: Version = None,
    part: Annotated[Part, typer.Option(help="What to print.")] = Part.manifest,
    into: Annotated[Path | None, typer.Option(help="Write all files of the bundle to this new folder.")] = None,
) -> None:
    """Show or export the verified files of a version."""
    from slipstream.stages.verify import export_bundle, read_bundle

    spec, store = _spec(model), _store()
    number = version or newest_version(store, spec)
    if into is not None:
        out.print(
            f"{export_bundle(spec, store, number, into)} files of {model}/{number} written to {into}", highlight=False
        )
        return
    sys.stdout.write(json.dumps(read_bundle(spec, store, number, part.value), indent=2) + "\n")


if __name__ == "__main__":
    main()
