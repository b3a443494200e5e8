"""The command that runs the endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from slipstream.cli_show import settings_now

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
