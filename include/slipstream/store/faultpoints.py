"""Named points at which a test can have this process killed, to prove that a rerun finishes what was begun.

``SLIPSTREAM_FAULTPOINT=ledger.append:2`` kills at the second arrival at that point. Without the variable a point
costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_arrivals: Counter[str] = Counter()


def faultpoint(name: str) -> None:
    """Die here, as by kill -9, if the environment asks for it."""
    asked = os.environ.get("SLIPSTREAM_FAULTPOINT")
    if not asked:
        return
    wanted, _, count = asked.partition(":")
    if wanted == name:
        _arrivals[name] += 1
        if _arrivals[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
