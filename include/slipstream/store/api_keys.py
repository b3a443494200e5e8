"""API keys of the endpoint: made, brought, revoked and listed. Only their digests are kept.

A key reads ``slipstream_<id>_<secret>``: twelve hexadecimal digits that name it, and 32 random bytes. The secret is
longer than anybody can guess, so one round of sha256 protects it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipstream.errors import BackendError, Conflict, NotFound, StageError, shown
from slipstream.store import Store
from slipstream.store.state import IssuedKey, State

SCOPES = ("predict", "label", "metrics", "admin")
ADMIN = "admin"
PREFIX = "slipstream_"
MOST_LIVE = 2
"""Of one caller: the one in use, and the one that takes over from it."""
MOST_FILE = 1 << 20

KEY = re.compile(r"slipstream_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_CALLER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key: The key itself, to be shown once.
        issued: What the ledger keeps of it.
    """

    key: str
    issued: IssuedKey

    def __repr__(self) -> str:
        """Without the key."""
        return f"NewKey({self.issued.id})"


def create(
    store: Store, caller: str, scopes: Iterable[str], *, lasts: timedelta | None = None, actor: str = ""
) -> NewKey:
    """Make a key for *caller*, good for *scopes*.

    Args:
        store: The store.
        caller: Whose key it is; what logs and captured predictions call it.
        scopes: Of :data:`SCOPES`.
        lasts: How long it lives; None: until it is revoked.
        actor: Who asked for it.

    Raises:
        StageError: ``caller_invalid`` or ``scope_unknown``.
        Conflict: ``keys_enough`` if the caller has two live keys.
    """
    key_id = secrets.token_hex(6)
    key = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    expires = (datetime.now(UTC) + lasts).isoformat(timespec="seconds") if lasts is not None else ""
    issued = IssuedKey(key_id, digest_of(key), _caller(caller), _scopes(scopes), expires)
    store.ledger.append("key.issued", "", _payload(issued), actor=actor, check=lambda state: _check_few(state, issued))
    return NewKey(key, issued)


def add(store: Store, caller: str, scopes: Iterable[str], key: str, *, actor: str = "") -> IssuedKey:
    """Register a *key* that was made elsewhere; the same one again changes nothing.

    Raises:
        StageError: ``key_shape``, ``caller_invalid`` or ``scope_unknown``.
        Conflict: ``key_not_live``, ``key_differs`` or ``keys_enough``.
    """
    shape = KEY.fullmatch(key)
    if shape is None:
        message = "the key does not read slipstream_<12 hexadecimal digits>_<43 of A-Z a-z 0-9 _ ->"
        raise StageError(f"{message}; make one with `slipstream key create`.", code="key_shape")
    issued = IssuedKey(shape[1], digest_of(key), _caller(caller), _scopes(scopes))
    if issued.id not in store.ledger.state().keys:
        payload = _payload(issued)
        store.ledger.append(
            "key.issued", "", payload, key=issued.id, actor=actor, check=lambda state: _check_few(state, issued)
        )
    # Of two at once with one id, the first counts.
    known = store.ledger.state().keys[issued.id]
    _check_same(known, issued)
    return known


def revoke(store: Store, key_id: str, *, actor: str = "") -> IssuedKey:
    """Take a key back; endpoints refuse it as soon as they have read that. Again, it changes nothing.

    Raises:
        NotFound: ``key_not_found``.
    """
    known = store.ledger.state().keys.get(key_id)
    if known is None:
        raise NotFound(f"no key has the id {shown(key_id)}; see `slipstream key list`.", code="key_not_found")
    if not known.revoked:
        store.ledger.append("key.revoked", "", {"id": key_id}, key=key_id, actor=actor)
    return store.ledger.state().keys[key_id]


def listed(store: Store) -> list[IssuedKey]:
    """Every key that was ever issued, oldest first."""
    return list(store.ledger.state().keys.values())


def is_live(issued: IssuedKey, at: datetime | None = None) -> bool:
    """Whether the key is good at that time; now unless given."""
    if issued.revoked:
        return False
    return not issued.expires or datetime.fromisoformat(issued.expires) > (at or datetime.now(UTC))


def can_predict(issued: IssuedKey) -> bool:
    """Whether the key lets its caller ask for predictions."""
    return bool({"predict", ADMIN} & set(issued.scopes)) and is_live(issued)


def digest_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


# As files, for endpoints without a store.


def exported(store: Store) -> str:
    """The live keys as JSON lines: digests, no secrets."""
    return "".join(json.dumps(_payload(issued)) + "\n" for issued in listed(store) if is_live(issued))


def read_keys(path: Path) -> Mapping[str, IssuedKey]:
    """The keys of a file that :func:`exported` gave, by id.

    Raises:
        BackendError: ``keys_file_invalid``, with the line.
    """
    try:
        if path.stat().st_size > MOST_FILE:
            raise _bad_file(path, f"larger than {MOST_FILE} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_file(path, f"cannot be read: {error}") from error
    keys = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                issued = _from_line(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, StageError) as error:
                raise _bad_file(path, f"line {number}: {type(error).__name__}: {error}") from error
            keys[issued.id] = issued
    return keys


def _from_line(record: Mapping[str, object]) -> IssuedKey:
    key_id, digest, expires, scopes = (record[name] for name in ("id", "digest", "expires", "scopes"))
    if not (isinstance(key_id, str) and _ID.fullmatch(key_id)):
        raise ValueError("id is not twelve hexadecimal digits")
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise ValueError("digest is no sha256")
    if not isinstance(scopes, list):
        raise ValueError("scopes is no list")
    if not isinstance(expires, str) or (expires and datetime.fromisoformat(expires).tzinfo is None):
        raise ValueError("expires is no time with its zone")
    return IssuedKey(key_id, digest, _caller(str(record["caller"])), _scopes(scopes), expires)


def _bad_file(path: Path, what: str) -> BackendError:
    message = f"{path}: {what}; write it anew with `slipstream key export`."
    return BackendError(message, code="keys_file_invalid")


# What must hold.


def _caller(name: str) -> str:
    if not _CALLER.fullmatch(name):
        message = f"caller {shown(name)}: a name is lower case, digits, '.', '_' and '-', at most 64 of them."
        raise StageError(message, code="caller_invalid")
    return name


def _scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    wanted = set(scopes)
    unknown = sorted(str(scope) for scope in wanted - set(SCOPES))
    if unknown or not wanted:
        what = f"no scope is called {shown(unknown[0])}" if unknown else "name at least one scope"
        raise StageError(f"{what}; there are {', '.join(SCOPES)}.", code="scope_unknown")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _payload(issued: IssuedKey) -> dict[str, object]:
    return {
        "id": issued.id,
        "digest": issued.digest,
        "caller": issued.caller,
        "scopes": list(issued.scopes),
        "expires": issued.expires,
    }


def _check_few(state: State, issued: IssuedKey) -> None:
    """Refuse a third live key of one caller. The ledger asks again if somebody else was first."""
    live = [one.id for one in state.keys.values() if one.caller == issued.caller and is_live(one)]
    if len(live) >= MOST_LIVE:
        message = f"{issued.caller} has {len(live)} live keys, {' and '.join(live)}; revoke one of them first."
        raise Conflict(message, code="keys_enough")


def _check_same(known: IssuedKey, issued: IssuedKey) -> None:
    if (known.digest, known.caller, known.scopes) != (issued.digest, issued.caller, issued.scopes):
        raise _differs(known)
    if not is_live(known):
        message = f"key {known.id} of {known.caller} was revoked or has expired; bring another one."
        raise Conflict(message, code="key_not_live")


def _differs(known: IssuedKey) -> Conflict:
    message = (
        f"a key with the id {known.id} is registered already, of {known.caller} with {', '.join(known.scopes)}; "
        "bring another one, or say what it was registered with."
    )
    return Conflict(message, code="key_differs")
