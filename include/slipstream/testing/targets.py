"""Checks of a target: the promises of :class:`slipstream.slots.Target`, proven with a small version in a real store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from slipstream.errors import DeployError
from slipstream.slot import Slot
from slipstream.slots import TARGET, Rollout, Watchable
from slipstream.testing.release import MODEL, released_store
from slipstream.testing.suite import SHARED_CHECKS, BackendCase, BrokenPromise, promise, run_checks

NOWHERE = "http://127.0.0.1:1"
_SHORT = 2.0
"""The timeout, in seconds, of a rollout that cannot succeed."""
_KEY = "a-key-that-must-not-be-shown"


def _nothing_to_start(store: str) -> AbstractContextManager[str]:
    return nullcontext(NOWHERE)


@dataclass(frozen=True)
class TargetCase(BackendCase):
    """A target that is to be checked.

    Attributes:
        start: Of a store's URL, a context in which the place runs that serves its versions; its value is the URL that
            becomes ``Rollout.endpoint``. Without it there is nothing to start.
        serves: Whether the place answers with the version, as it says itself. None: it cannot be asked.
        seconds: How long a sound version may take to come into service.
        grace: Seconds beyond its timeout that the target may need to notice: an answer that it waits for may come late.
    """

    start: Callable[[str], AbstractContextManager[str]] = _nothing_to_start
    serves: Callable[[Rollout], bool] | None = None
    seconds: float = 30.0
    grace: float = 8.0
    slot: ClassVar[Slot[Any]] = TARGET


def check_target(
    config: Mapping[str, Any],
    *,
    start: Callable[[str], AbstractContextManager[str]] = _nothing_to_start,
    serves: Callable[[Rollout], bool] | None = None,
    seconds: float = 30.0,
    grace: float = 8.0,
) -> None:
    """Run every check of :data:`TARGET_CHECKS`; raises CheckFailed with all promises that are broken."""
    run_checks(TargetCase(config, start, serves, seconds, grace), TARGET_CHECKS)


@contextmanager
def _asked_for(case: TargetCase) -> Iterator[Rollout]:
    """The rollout of a version that a deployment has asked for, with the place running."""
    with TemporaryDirectory(prefix="slipstream-check-") as name:
        store, bundle = released_store(Path(name))
        with case.start(store.url) as endpoint:
            event = store.ledger.append("deployment.started", MODEL, {"version": 1, "bundle": bundle}, key="check")
            yield Rollout(MODEL, 1, bundle, store.url, endpoint, event.seq, case.seconds)


def _unknown_bundle(rollout: Rollout) -> Rollout:
    """A rollout of a version that nobody registered: it never comes into service."""
    return replace(rollout, version=2, bundle="0" * 64, timeout=_SHORT)


class _NotWanted(Exception):
    """What ``still`` raises in a check: no target can know it."""


@promise
def returns_when_the_version_answers(case: TargetCase) -> None:
    """``roll_out`` returns once the version answers, and not before."""
    with _asked_for(case) as rollout:
        try:
            case.build().roll_out(rollout)
        except DeployError as error:
            what = f"a sound version was not taken within {case.seconds:g} s: {error}"
            raise BrokenPromise(what, "return when the version answers") from error
        if case.serves is not None and not case.serves(rollout):
            raise BrokenPromise("it returned before the version answers", "ask the place until it names the version")


@promise
def takes_a_version_again(case: TargetCase) -> None:
    """A version that answers already is taken at once: a deployment that was killed is finished by a second call."""
    with _asked_for(case) as rollout:
        case.build().roll_out(rollout)
        began = time.monotonic()
        try:
            case.build().roll_out(rollout)
        except DeployError as error:
            raise BrokenPromise(f"the second time it raised: {error}", "return when the version answers") from error
        if time.monotonic() - began > case.seconds / 2:
            raise BrokenPromise("the second time it took as long as it may", "return when the version answers")


@promise
def a_version_that_never_comes_is_an_error_in_time(case: TargetCase) -> None:
    """A version that does not come into service raises DeployError within the timeout, and the error names it."""
    with _asked_for(case) as rollout:
        absent = _unknown_bundle(rollout)
        began = time.monotonic()
        try:
            case.build().roll_out(absent)
        except DeployError as error:
            seconds = time.monotonic() - began
            if f"{MODEL}/2" not in str(error):
                raise BrokenPromise(
                    f"the error does not name {MODEL}/2: {error}", "begin it with model/version"
                ) from error
            if seconds > absent.timeout + case.grace:
                what = f"it raised after {seconds:.1f} s, with a timeout of {absent.timeout:g} s"
                raise BrokenPromise(what, "stop at rollout.timeout") from error
            return
        except Exception as error:
            what = f"a version that never comes raised {type(error).__name__}: {error}"
            raise BrokenPromise(what, "raise DeployError with the reason") from error
        raise BrokenPromise("it returned for a version that nobody registered", "return only when the version answers")


@promise
def stops_when_nobody_wants_it(case: TargetCase) -> None:
    """``still`` is called while it waits, and what ``still`` raises leaves ``roll_out`` as it is."""

    def still() -> None:
        raise _NotWanted

    with _asked_for(case) as rollout:
        began = time.monotonic()
        try:
            case.build().roll_out(replace(_unknown_bundle(rollout), still=still))
        except _NotWanted:
            return
        except DeployError as error:
            # A target that knows at once that it cannot be has nothing to wait for.
            if time.monotonic() - began < _SHORT / 2:
                return
            what = f"it waited to its end instead of calling still(), or passing on what that raises: {error}"
            raise BrokenPromise(what, "call rollout.still() in each turn, outside of any except") from error
        raise BrokenPromise("it returned though nobody wants it", "call rollout.still() in each turn")


@promise
def hides_the_key(case: TargetCase) -> None:
    """No error shows the endpoint's key."""
    with _asked_for(case) as rollout:
        try:
            case.build().roll_out(replace(_unknown_bundle(rollout), endpoint_key=_KEY, endpoint=NOWHERE))
        except DeployError as error:
            if _KEY in str(error):
                raise BrokenPromise("the error shows rollout.endpoint_key", "leave headers out of texts") from error


@promise
def tells_what_its_versions_answer(case: TargetCase) -> None:
    """``look``, where there is one, gives ``instance`` and ``traffic`` as plain data, or None."""
    target = case.build()
    if not isinstance(target, Watchable):
        return
    with _asked_for(case) as rollout:
        target.roll_out(rollout)
        figures = target.look(rollout)
        if figures is None:
            return
        absent = {"instance", "traffic"} - set(figures)
        if absent:
            raise BrokenPromise(f"look gave no {' and no '.join(sorted(absent))}", "give instance and traffic")
        try:
            json.dumps(dict(figures), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BrokenPromise(f"look gave no plain data: {error}", "give texts, numbers and mappings") from error


TARGET_CHECKS: tuple[Callable[[TargetCase], None], ...] = (
    *SHARED_CHECKS,
    returns_when_the_version_answers,
    takes_a_version_again,
    a_version_that_never_comes_is_an_error_in_time,
    stops_when_nobody_wants_it,
    hides_the_key,
    tells_what_its_versions_answer,
)
"""Every check of a target, for ``pytest.mark.parametrize``."""
