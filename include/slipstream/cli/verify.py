"""`slipstream verify`: whether everything in the store is what was written."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.output import AsJson, err, open_store, print_value, settings_now

if TYPE_CHECKING:
    from slipstream.commands.verify.check import Progress, Verified

looking = typer.Typer()
_EVERY = 64 << 20


@looking.command()
def verify(
    new: Annotated[bool, typer.Option("--new", help="Only files that are new or changed since the last look.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended from other copies; nothing is thrown away.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Check everything in the store: ledger, objects, tables, versions and Bentos. Exit code 1: a line a finding.

    A bit that a disk flips changes no file's time: look at everything (without --new) now and then.
    """
    from slipstream.commands.verify.check import verify as check
    from slipstream.commands.verify.mend import mend
    from slipstream.store.files import atomic_write
    from slipstream.store.objects import canonical_json

    store, bentos = open_store(), settings_now().bentos
    memory = bentos.parent / f"verified-{hashlib.sha256(store.url.encode()).hexdigest()[:16]}.json"
    known = json.loads(memory.read_text()) if new and memory.exists() else None
    verified = check(store, bentos=bentos, known=known, progress=_progress())
    if repair and verified.findings:
        verified = mend(store, verified, bentos)
    atomic_write(memory, canonical_json(dict(verified.stamps)))
    _tell(verified, json_)
    if verified.open:
        raise typer.Exit(1)


def _tell(verified: Verified, as_json: bool) -> None:
    if not as_json:
        for one in verified.findings:
            done = f" ({one.mended})" if one.mended else ""
            sys.stdout.write(f"{one.part} [{one.code}]: {one.message}{done}\n")
    left = {"stamps"} if as_json else {"stamps", "findings"}
    print_value({name: value for name, value in vars(verified).items() if name not in left}, as_json)


def _progress() -> Progress:
    """Tells people, not files, how far it is."""
    if not sys.stderr.isatty():
        return lambda *_: None

    def show(files: int, done: int, total: int) -> None:
        if done == total or done % _EVERY < 1 << 20:
            err.print(f"{files:,} files, {done / 1e9:.1f} of {total / 1e9:.1f} GB", end="\r")

    return show
