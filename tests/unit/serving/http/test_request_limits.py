"""Limits: read from the environment once, and kept for each caller."""

from __future__ import annotations

import pytest

from slipstream.errors import BackendError, RequestError
from slipstream.serving.http.request_limits import LOOPBACK_NAMES, MOST_CALLERS, Rate, RequestLimits, host_name


class Clock:
    """The clock of the buckets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("slipstream.serving.http.request_limits.time", made)
    return made


def refused(rate: Rate, caller: str = "me") -> int:
    """Seconds to wait; 0 if the request is let through."""
    try:
        rate.take(caller)
    except RequestError as error:
        return error.retry_after if (error.status, error.code) == (429, "rate_limited") else -1
    return 0


class TestRate:
    def test_a_burst_of_two_seconds_then_the_rate(self, clock: Clock) -> None:
        rate = Rate(5)
        assert [refused(rate) for _ in range(11)] == [0] * 10 + [1]
        clock.now += 0.2
        assert [refused(rate) for _ in range(2)] == [0, 1]
        clock.now += 1000
        assert sum(refused(rate) == 0 for _ in range(30)) == 10

    def test_over_a_long_time_the_rate_is_kept(self, clock: Clock) -> None:
        rate, passed = Rate(3), 0
        for _ in range(10_000):
            clock.now += 0.01
            passed += refused(rate) == 0
        assert passed == pytest.approx(306, abs=2)

    def test_who_waits_as_told_is_let_through(self, clock: Clock) -> None:
        rate = Rate(0.1)
        assert refused(rate) == 0
        wait = refused(rate)
        assert wait == 10
        clock.now += wait - 1
        assert refused(rate) == 1
        clock.now += 1
        assert refused(rate) == 0

    def test_callers_do_not_share(self, clock: Clock) -> None:
        rate = Rate(1)
        assert [refused(rate, caller) for caller in "aab" for _ in range(1)] == [0, 0, 0]
        assert refused(rate, "a") == 1
        assert refused(rate, "b") == 0

    def test_it_remembers_a_bounded_number(self, clock: Clock) -> None:
        rate = Rate(1)
        for number in range(MOST_CALLERS):
            rate.take(f"early-{number}")
        clock.now += 1.9
        for _ in range(2):
            refused(rate, "early-0")
        clock.now += 0.2
        rate.take("late")
        assert len(rate._buckets) == 2
        assert refused(rate, "early-0") == 1, "whoever still owes is not forgotten"
        for number in range(2 * MOST_CALLERS):
            rate.take(f"late-{number}")
        assert len(rate._buckets) <= MOST_CALLERS


class TestTheEnvironment:
    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("MAX_BODY", "MAX_ROWS", "CONCURRENCY", "RATE", "HOSTS"):
            monkeypatch.delenv(f"SLIPSTREAM_{name}", raising=False)

    def test_without_any(self) -> None:
        assert RequestLimits.from_environment() == RequestLimits()

    def test_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {"MAX_BODY": "100", "MAX_ROWS": "7", "CONCURRENCY": "9", "RATE": "0.5", "HOSTS": " A.example ,,b:80"}
        for name, value in given.items():
            monkeypatch.setenv(f"SLIPSTREAM_{name}", value)
        limits = RequestLimits.from_environment()
        assert (limits.body, limits.rows, limits.concurrency, limits.rate) == (100, 7, 9, 0.5)
        assert limits.hosts == LOOPBACK_NAMES | {"a.example", "b"}

    @pytest.mark.parametrize("value", ["-1", "x", "nan", "inf", "1e99", "1 MiB"])
    @pytest.mark.parametrize("name", ["MAX_BODY", "MAX_ROWS", "CONCURRENCY", "RATE"])
    def test_what_is_no_number(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(f"SLIPSTREAM_{name}", value)
        with pytest.raises(BackendError, match=f"SLIPSTREAM_{name}") as caught:
            RequestLimits.from_environment()
        assert caught.value.code == "setting_invalid"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Models.Example:8900", "models.example"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("*", "*"),
    ],
)
def test_a_host_name(given: str, name: str) -> None:
    assert host_name(given) == name
