"""How much one version may take of the endpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass

from slipstream.errors import BackendError, shown


@dataclass(frozen=True)
class ModelLimits:
    """What a version must keep to, or it does not serve.

    Attributes:
        size: Bytes of all files of its bundle.
        latency: Milliseconds for one row, the median of many.
        seconds: For loading it and answering its golden rows.
        memory: Bytes that it may take while it is proved.
        trusted: Names of the only signing keys to believe; empty: those that the ledger records.
    """

    size: int = 1 << 30
    latency: float = 1000.0
    seconds: float = 30.0
    memory: int = 8 << 30
    trusted: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls) -> ModelLimits:
        """Bounds by ``SLIPSTREAM_MAX_MODEL`` (bytes), ``_MAX_LATENCY_MS`` and ``SLIPSTREAM_TRUSTED_KEYS``.

        Raises:
            BackendError: ``setting_invalid``.
        """
        usual = cls()
        return cls(
            size=int(_positive("SLIPSTREAM_MAX_MODEL", usual.size)),
            latency=_positive("SLIPSTREAM_MAX_LATENCY_MS", usual.latency),
            trusted=pinned_keys(),
        )


def pinned_keys() -> frozenset[str]:
    """The names of the only signing keys to believe, by ``SLIPSTREAM_TRUSTED_KEYS``."""
    keys = os.environ.get("SLIPSTREAM_TRUSTED_KEYS") or ""
    return frozenset(filter(None, (name.strip() for name in keys.split(","))))


def _positive(name: str, usual: float) -> float:
    text = os.environ.get(name) or ""
    try:
        value = float(text) if text else float(usual)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e15:
        raise BackendError(f"{name}: {shown(text)} is no number above 0; mend it.", code="setting_invalid")
    return value
