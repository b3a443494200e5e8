"""Who may ask: who shows a key with the scope, or anybody from this machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from slipstream.errors import BackendError, RequestError, shown
from slipstream.serving.message import ANONYMOUS, Caller, Request, Scope
from slipstream.settings import number
from slipstream.store.state import IssuedKey

AUTO, REQUIRED, OFF = "auto", "required", "off"
ADMIN = "admin"
KEYS_AGE = 3600.0
"""Seconds for which keys are believed while the ledger cannot be read."""
_MARK = b"slipstream_"
_SEND = "send the header 'Authorization: Bearer KEY' or 'x-api-key: KEY'"

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class _Known:
    """A key, prepared for the comparison."""

    issued: IssuedKey
    digest: bytes
    until: float
    caller: Caller


_NOBODY = _Known(IssuedKey("", "", "", ()), bytes(32), 0.0, ANONYMOUS)


class Access:
    """Knows the callers.

    Args:
        keys: Id -> key, as the ledger or a file says; a mapping that changes is followed.
        mode: ``auto`` (keys are due unless a request came in on a loopback address), ``required`` or ``off``. A key
            that is shown all the same must be a good one.
        most_age: Seconds for which the keys are good after the ledger was last read; 0: for ever.

    Attributes:
        age: Says how many seconds ago that was.
    """

    def __init__(
        self, keys: Mapping[str, IssuedKey] | None = None, mode: str = AUTO, *, most_age: float = KEYS_AGE
    ) -> None:
        self.keys: Mapping[str, IssuedKey] = {} if keys is None else keys
        self.mode = mode
        self.most_age = most_age
        self.age: Callable[[], float] = float
        self._known: dict[bytes, _Known] = {}

    @classmethod
    def from_environment(cls, keys: Mapping[str, IssuedKey]) -> Access:
        """As ``SLIPSTREAM_AUTH`` and ``SLIPSTREAM_KEYS_AGE`` (seconds) say.

        Raises:
            BackendError: ``setting_invalid``.
        """
        mode = auth_mode()
        if mode == OFF:
            _log.warning("SLIPSTREAM_AUTH=off: anybody who reaches this endpoint may ask it; keys are not due.")
        return cls(keys, mode, most_age=number("SLIPSTREAM_KEYS_AGE", KEYS_AGE))

    def check(self, request: Request, scope: str) -> Caller:
        """Who asks, if it may do what *scope* names.

        Raises:
            RequestError: ``key_missing`` or ``key_invalid`` (401), ``scope_missing`` (403), ``keys_stale`` (503).
        """
        key = _presented_key(request.headers)
        if key[:11] != _MARK:
            if self.mode != REQUIRED and (self.mode == OFF or _is_loopback(request.scope)):
                return ANONYMOUS
            raise self._missing() if not key else _invalid()
        if self.most_age and self.age() > self.most_age:
            # A key may have been revoked since.
            message = f"the store could not be read for {self.most_age:g} s, so no key is believed; see /readyz"
            raise RequestError(message, code="keys_stale", status=503)
        known = self._known.get(key[11:23], _NOBODY)
        if known is _NOBODY or self.keys.get(known.issued.id) is not known.issued:
            known = self._look_up(key[11:23])
        # Nothing is said, not even by the time it takes, about what is wrong with a key.
        right = compare_digest(sha256(key).digest(), known.digest)
        if not right or time.time() >= known.until:
            raise _invalid()
        caller = known.caller
        if scope not in caller.scopes and ADMIN not in caller.scopes:
            raise RequestError(f"this key has no scope {scope!r}", code="scope_missing", status=403)
        return caller

    def _look_up(self, key_id: bytes) -> _Known:
        """The key of that id, prepared; kept until it changes, so that as many are kept as there are keys."""
        issued = self.keys.get(key_id.decode("latin-1"))
        if issued is None or issued.revoked:
            self._known.pop(key_id, None)
            return _NOBODY
        until = datetime.fromisoformat(issued.expires).timestamp() if issued.expires else float("inf")
        caller = Caller(issued.caller, issued.id, frozenset(issued.scopes))
        known = self._known[key_id] = _Known(issued, bytes.fromhex(issued.digest), until, caller)
        return known

    def _missing(self) -> RequestError:
        message = _SEND
        if not self.keys:
            make = "slipstream key create --caller NAME --scopes predict"
            message = f"a key is due here, but none exists yet: make one with `{make}`, then {_SEND}"
        return RequestError(message, code="key_missing", status=401)


def auth_mode() -> str:
    """What ``SLIPSTREAM_AUTH`` says: ``auto``, ``required`` or ``off``.

    Raises:
        BackendError: ``setting_invalid``.
    """
    mode = (os.environ.get("SLIPSTREAM_AUTH") or AUTO).strip().lower()
    if mode not in {AUTO, REQUIRED, OFF}:
        message = f"SLIPSTREAM_AUTH: {shown(mode)} is none of auto, required and off; mend it."
        raise BackendError(message, code="setting_invalid")
    return mode


def _presented_key(headers: Mapping[bytes, bytes]) -> bytes:
    """What the request shows as its key: ours, or else whatever it is; b"" if nothing. Other schemes are not ours."""
    authorization = headers.get(b"authorization", b"")
    token = authorization[7:].strip() if authorization[:7].lower() == b"bearer " else b""
    if token[:11] == _MARK:
        return token
    other = headers.get(b"x-api-key", b"")
    return other if other[:11] == _MARK else token or other


def _invalid() -> RequestError:
    return RequestError("this key is not good here", code="key_invalid", status=401)


def _is_loopback(scope: Scope) -> bool:
    """Whether the request came in on an address of this machine's own, or by a unix socket."""
    server = scope.get("server")
    if server is None:
        return False
    host, port = server
    return port is None or host.startswith(("127.", "::ffff:127.")) or host == "::1"
