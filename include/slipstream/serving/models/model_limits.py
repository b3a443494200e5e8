"""How much one version may take of the endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.settings import number, words


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
            size=int(number("SLIPSTREAM_MAX_MODEL", usual.size, above_zero=True)),
            latency=number("SLIPSTREAM_MAX_LATENCY_MS", usual.latency, above_zero=True),
            trusted=pinned_keys(),
        )


def pinned_keys() -> frozenset[str]:
    """The names of the only signing keys to believe, by ``SLIPSTREAM_TRUSTED_KEYS``."""
    return frozenset(words("SLIPSTREAM_TRUSTED_KEYS"))
