"""A version in service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slipstream.bundle.scorer import Scorer
from slipstream.input_warnings import InputMonitor
from slipstream.serving.version.capture_policy import ALL_KEPT, Policy
from slipstream.serving.version.json_body import Decoder


@dataclass(frozen=True)
class LoadedVersion:
    """One loaded version.

    Attributes:
        version: Its number; in a Bento the Bento's version.
        bundle: Id of its bundle.
        monitor: Looks for values unlike those of training.
        policy: What of its answers is kept.
        card: Its model card.
        trained: Unix time when it was registered, in seconds; 0 if not known.
        background: Rows of its training to compare with in explanations, a Parquet file.
    """

    model: str
    version: int | str
    bundle: str
    scorer: Scorer
    decoder: Decoder
    monitor: InputMonitor
    policy: Policy = ALL_KEPT
    card: Mapping[str, Any] = field(default_factory=dict)
    trained: float = 0.0
    background: bytes = b""
