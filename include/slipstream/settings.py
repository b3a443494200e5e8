"""The process's settings, read from the environment at the edges (CLI, endpoint, Airflow) and passed down as values.

Not by pydantic-settings: to import it takes three times as long as to import pydantic itself
(``python -X importtime``), in every process that parses a DAG file or starts a command.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from slipstream.errors import BackendError, shown

ENDPOINT_FILE = "endpoint.url"
"""Below ``var``: the URL of the endpoint that the stack there started last."""
_PORT = 8900
_TRUE = {"1", "true", "yes"}


@dataclass(frozen=True)
class Settings:
    """Where things are.

    Attributes:
        store: URL of the store, ``file:///...`` or ``s3://bucket/prefix``.
        models: Folder of the model projects.
        keys: Folder of the signing key; only those who package need it.
        endpoint: URL of the endpoint that deployments wait for.
        bentos: BentoML's home.
        allow_code: Whether a slot may name ``package.module:Class`` (code the operator has installed).
        pools: Airflow's pools that a model file may name.
        endpoint_key: The API key that the endpoint is asked with; "" for none. Never shown, never stored.
    """

    store: str
    models: Path
    keys: Path
    endpoint: str
    bentos: Path
    allow_code: bool = False
    pools: tuple[str, ...] = ("default_pool",)
    endpoint_key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Settings:
        """Settings by ``SLIPSTREAM_*`` variables; relative folders are taken from the working directory."""
        env = os.environ
        store = env.get("SLIPSTREAM_STORE") or "var/store"
        return cls(
            store=store if "://" in store else Path(store).absolute().as_uri(),
            models=Path(env.get("SLIPSTREAM_MODELS") or "include/models").absolute(),
            keys=Path(env.get("SLIPSTREAM_KEYS") or "var/keys").absolute(),
            endpoint=(env.get("SLIPSTREAM_ENDPOINT") or _started() or f"http://127.0.0.1:{_PORT}").rstrip("/"),
            bentos=Path(env.get("BENTOML_HOME") or "var/bentoml").absolute(),
            allow_code=(env.get("SLIPSTREAM_ALLOW_CODE") or "").lower() in _TRUE,
            pools=tuple((env.get("SLIPSTREAM_POOLS") or "default_pool").replace(",", " ").split()),
            endpoint_key=(env.get("SLIPSTREAM_ENDPOINT_KEY") or "").strip(),
        )


def number(name: str, usual: float, *, above_zero: bool = False) -> float:
    """What the variable *name* says, *usual* without it.

    Raises:
        BackendError: ``setting_invalid``: it is no number, or too small a one.
    """
    text = os.environ.get(name) or ""
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15 or (above_zero and not value):
        least = "above 0" if above_zero else "from 0 on"
        raise BackendError(f"{name}: {shown(text)} is no number {least}; mend it.", code="setting_invalid")
    return value


def words(name: str) -> tuple[str, ...]:
    """The words that the variable *name* lists, with commas between them."""
    return tuple(filter(None, map(str.strip, (os.environ.get(name) or "").split(","))))


def serve_command(endpoint: str) -> str:
    """The command that starts an endpoint where that URL leads to."""
    port = urlsplit(endpoint).port or _PORT
    return "slipstream serve" + (f" --port {port}" if port != _PORT else "")


def _started() -> str:
    """The URL of the endpoint that the stack in ``var`` started last; "" if none ever was."""
    try:
        return (Path("var") / ENDPOINT_FILE).read_text().strip()
    except OSError:
        return ""
