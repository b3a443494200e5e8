"""Named points at which a test can have this process killed, or a read or write fail, to prove what happens then.

``SLIPSTREAM_FAULTPOINT=ledger.before_commit:2`` kills at the second arrival at that point; ``store.io:7:fail`` lets the
seventh read or write of the store fail as a disk would. Without the variable a point costs one dictionary look-up.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter

_arrivals: Counter[str] = Counter()


def faultpoint(name: str) -> None:
    """Die here, as by kill -9, or raise OSError, if the environment asks for it."""
    setting = os.environ.get("SLIPSTREAM_FAULTPOINT")
    if not setting:
        return
    wanted, count, how = (*setting.split(":"), "", "")[:3]
    if wanted == name:
        _arrivals[name] += 1
        if _arrivals[name] == int(count or 1):
            if how == "fail":
                raise OSError(errno.EIO, f"arrival {count} at {name} fails, as SLIPSTREAM_FAULTPOINT asks")
            os.kill(os.getpid(), signal.SIGKILL)


def arrivals(name: str) -> int:
    """How often this process has come to that point while the environment named it."""
    return _arrivals[name]
