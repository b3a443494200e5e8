"""The suite of targets: those that we ship keep it, with a running endpoint, and each broken target fails its check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from slipstream.slots import TARGET, Rollout
from slipstream.store import Store
from slipstream.testing import TARGET_CHECKS, CheckFailed, TargetCase
from tests.contract.running_endpoint import run_endpoint

BROKEN = "tests.unit.testing.broken:BrokenTarget"


@contextmanager
def endpoint(store: str) -> Iterator[str]:
    running = run_endpoint(Store.open(store))
    try:
        yield running.url
    finally:
        running.stop()


def serves(rollout: Rollout) -> bool:
    answer = httpx.get(f"{rollout.endpoint}/models/{rollout.model}").json()
    return (answer.get("version"), answer.get("bundle")) == (rollout.version, rollout.bundle)


SHIPPED = {
    "local": TargetCase({"type": "local"}),
    "endpoint": TargetCase({"type": "endpoint"}, endpoint, serves),
}


def test_every_target_is_here() -> None:
    assert SHIPPED.keys() == TARGET.builtin.keys()


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("check", TARGET_CHECKS)
def test_every_target_keeps_its_promises(check: Callable[[TargetCase], None], name: str) -> None:
    check(SHIPPED[name])


@pytest.mark.parametrize(
    ("breaks", "check", "text"),
    [
        ("early", "returns_when_the_version_answers", "it returned before the version answers"),
        ("early", "a_version_that_never_comes_is_an_error_in_time", "returned for a version that nobody registered"),
        ("late", "a_version_that_never_comes_is_an_error_in_time", "with a timeout of 2 s; stop at rollout.timeout"),
        ("nameless", "a_version_that_never_comes_is_an_error_in_time", "the error does not name checked/2"),
        ("error", "a_version_that_never_comes_is_an_error_in_time", "raised ValueError"),
        ("deaf", "stops_when_nobody_wants_it", "waited to its end instead of calling still()"),
        ("key", "hides_the_key", "the error shows rollout.endpoint_key"),
    ],
)
def test_a_broken_target_fails_the_right_check(breaks: str, check: str, text: str) -> None:
    case = TargetCase({"type": BROKEN, "breaks": breaks}, serves=lambda rollout: breaks != "early", grace=0.5)
    with pytest.raises(CheckFailed) as caught:
        next(one for one in TARGET_CHECKS if one.__name__ == check)(case)
    assert str(caught.value).startswith(f"target '{BROKEN}' fails {check}: ")
    assert text in str(caught.value)
