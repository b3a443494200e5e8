"""The commands around the endpoint: run it, and ask it."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from slipstream.cli_show import AsJson, Model, print_value, settings_now

endpoint = typer.Typer()


@endpoint.command()
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

    start(settings_now(), host, port, workers)


@endpoint.command()
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
    settings = settings_now()
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
    print_value(reply.json(), json_)
