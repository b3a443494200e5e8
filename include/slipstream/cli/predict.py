"""The command that asks for predictions: of a row, of many, of a whole file; by the endpoint, or in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slipstream.cli.output import AsJson, Model, err, open_store, out, print_value, settings_now, spec_of
from slipstream.cli.run import endpoint_answers
from slipstream.errors import DeployError, RequestError, SpecError, shown
from slipstream.settings import Settings, serve_command

asking = typer.Typer()


@asking.command()
def predict(
    model: Model,
    rows: Annotated[
        str | None,
        typer.Argument(help='JSON: {"rows": [...]}, a list of rows, or one row; "-" reads standard input.'),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help='Rows in a CSV, TSV, Parquet or JSON-lines file; "-" reads CSV from standard input.'),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Write the answers to this .csv, .parquet or .jsonl file; else CSV is printed.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Ask for predictions: the running endpoint or, where none runs, the champion in this process."""
    if (rows is None) == (file is None):
        raise SpecError("predict takes rows as JSON, or --file with a file of them.", code="predict_rows")
    settings = settings_now()
    ask = _endpoint(settings, model) if endpoint_answers(settings) else _in_process(model)
    if file is None:
        print_value(ask(_body(str(rows))), json_)
        return
    from slipstream.commands.predict_file import predict_file

    done = predict_file(spec_of(model), open_store(), file, into, ask)
    for line in done.notes:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    if into is not None and json_:
        out.file.write(json.dumps({"rows": done.rows, "file": str(into), "version": done.version}) + "\n")
    elif into is not None:
        err.print(f"{done.rows:,} answers of {model}/{done.version} in {into}", markup=False, highlight=False)
    else:
        sys.stdout.write(done.lines(json_))


def _body(rows: str) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if rows == "-" else rows)
    except ValueError as error:
        raise RequestError(f"rows: not JSON: {error}.", code="json_invalid") from error
    if isinstance(value, dict) and ({"rows", "columns"} & value.keys()):
        return value
    return {"rows": value if isinstance(value, list) else [value]}


def _endpoint(settings: Settings, model: str) -> Any:
    import httpx

    from slipstream.targets.endpoint import key_header

    url = f"{settings.endpoint}/models/{model}/predict"

    def ask(body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = httpx.post(url, json=body, timeout=30, trust_env=False, headers=key_header(settings.endpoint_key))
        except httpx.HTTPError as error:
            hint = f"start the endpoint with `make up` or `{serve_command(settings.endpoint)}`"
            raise DeployError(f"{url}: {error}; {hint}.", code="endpoint_unreachable") from error
        if reply.status_code != 200:
            try:
                problem = reply.json()["error"]
                message, code = problem["message"], problem.get("code")
            except (ValueError, KeyError, TypeError) as error:
                message = f"{url}: {reply.status_code}: {shown(reply.text[:80])}: no Slipstream endpoint answers there."
                raise DeployError(message, code="endpoint_unreachable") from error
            raise RequestError(message, code=code, status=reply.status_code)
        answer: dict[str, Any] = reply.json()
        return answer

    return ask


def _in_process(model: str) -> Any:
    """The champion's own answers, by the code that the endpoint runs."""
    import msgspec

    from slipstream.bundle.bundle import open_bundle
    from slipstream.newest import champion_of
    from slipstream.serving.version.capture_policy import Policy
    from slipstream.serving.version.load import load_served, native_answer

    store = open_store()
    version, packaged = champion_of(store, spec_of(model))
    err.print(
        f"no endpoint runs; {model}/{version} answers in this process", markup=False, highlight=False, soft_wrap=True
    )
    served = load_served(open_bundle(store, packaged.bundle), version, 1000, Policy())

    def ask(body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(native_answer(served, msgspec.json.encode(body)))
        return answer

    return ask
