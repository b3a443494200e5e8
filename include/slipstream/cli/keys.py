"""`slipstream key`: API keys of the endpoint."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipstream.cli.output import print_rows
from slipstream.errors import StageError, shown
from slipstream.settings import Settings
from slipstream.spec.values import duration
from slipstream.store import Store

if TYPE_CHECKING:
    from slipstream.store.state import IssuedKey

ACTOR = "cli"

keys = typer.Typer(
    name="key",
    help=(
        "Make, bring, revoke and list the API keys of the endpoint.\n\n"
        "The store keeps digests: a key is shown once, when it is made. A caller has at most two live keys, the one in "
        "use and the one that takes over from it."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

CallerName = Annotated[str, typer.Option("--caller", help="Whose key it is; logs and captured predictions name it.")]
Scopes = Annotated[str, typer.Option("--scopes", help="Of predict, label, metrics and admin, with commas between.")]
KeyId = Annotated[str, typer.Argument(metavar="id", help="The key's id: twelve hexadecimal digits.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@keys.command()
def create(
    caller: CallerName,
    scopes: Scopes,
    expires: Annotated[
        str | None, typer.Option(help="How long it lasts, such as 12h or 90d; default: until it is revoked.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Make a key and show it: this once."""
    from slipstream.store.api_keys import create as make

    try:
        lasts = duration(expires) if expires else None
    except ValueError as error:
        raise StageError(f"--expires {shown(expires)}: {error}.", code="duration_invalid") from error
    new = make(_store(), caller, _split(scopes), lasts=lasts, actor=ACTOR)
    if json_:
        _write(json.dumps({"key": new.key, **_public_fields(new.issued)}))
        return
    _write(new.key)
    until = f"until {new.issued.expires}" if new.issued.expires else "until it is revoked"
    sys.stderr.write(
        f"key {new.issued.id} of {caller}, good for {', '.join(new.issued.scopes)}, {until}. It is shown only now.\n"
    )


@keys.command()
def add(
    caller: CallerName,
    scopes: Scopes,
    from_env: Annotated[str, typer.Option(help="The environment variable that holds the key.")],
    json_: AsJson = False,
) -> None:
    """Register a key that you bring, such as one of a secret of your cluster; again, it changes nothing."""
    from slipstream.store.api_keys import add as register

    key = (os.environ.get(from_env) or "").strip()
    if not key:
        raise StageError(f"--from-env: the variable {shown(from_env)} is not set or empty.", code="key_shape")
    issued = register(_store(), caller, _split(scopes), key, actor=ACTOR)
    _write(json.dumps(_public_fields(issued)) if json_ else f"key {issued.id} of {caller} is registered")


@keys.command()
def revoke(key_id: KeyId, json_: AsJson = False) -> None:
    """Take a key back; endpoints refuse it within a second."""
    from slipstream.store.api_keys import revoke as take

    issued = take(_store(), key_id, actor=ACTOR)
    _write(json.dumps(_public_fields(issued)) if json_ else f"key {issued.id} of {issued.caller} is revoked")


@keys.command(name="list")
def list_(json_: AsJson = False) -> None:
    """List every key that was ever issued, and whether it is live."""
    from slipstream.store.api_keys import is_live, listed

    rows = [{**_public_fields(issued), "state": _state(issued, is_live(issued))} for issued in listed(_store())]
    if json_:
        _write(json.dumps(rows))
        return
    print_rows([row | {"scopes": ", ".join(row["scopes"])} for row in rows], as_json=False)


@keys.command()
def export(json_: AsJson = False) -> None:
    """Print the live keys for SLIPSTREAM_API_KEYS_FILE of a Bento that runs without the store: digests, no secrets."""
    from slipstream.store.api_keys import exported

    lines = exported(_store())
    sys.stdout.write(json.dumps([json.loads(line) for line in lines.splitlines()]) + "\n" if json_ else lines)


def _store() -> Store:
    return Store.open(Settings.from_environment().store)


def _split(scopes: str) -> list[str]:
    return [scope.strip() for scope in scopes.split(",") if scope.strip()]


def _public_fields(issued: IssuedKey) -> dict[str, Any]:
    """What may be told of a key."""
    fields = dataclasses.asdict(issued)
    return {name: fields[name] for name in ("id", "caller", "scopes", "expires")}


def _state(issued: IssuedKey, live: bool) -> str:
    return "live" if live else "revoked" if issued.revoked else "expired"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
