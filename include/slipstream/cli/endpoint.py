"""The command that runs the endpoint."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slipstream.cli.output import AsJson, print_value, settings_now

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
    json_: AsJson = False,
) -> None:
    """Run the endpoint: it follows the ledger and serves every model's champion."""
    from slipstream.serving.launch import ListenAddress, start

    def tell(place: ListenAddress) -> None:
        print_value({"address": str(place.address), "port": place.port, "workers": place.workers}, as_json=True)
        sys.stdout.flush()

    start(settings_now(), host, port, workers, tell if json_ else None)
