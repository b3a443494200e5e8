"""Who may ask: every path of the endpoint, with every kind of key, where keys are due and where they are not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipstream.errors import BackendError, RequestError
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.app import Front, Guards
from slipstream.serving.http.auth import AUTO, OFF, REQUIRED, Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.router import Route
from slipstream.serving.http.routes import PATHS
from slipstream.serving.message import ANONYMOUS, Request
from slipstream.serving.metrics.metrics import Metrics
from slipstream.store import Store
from slipstream.store.api_keys import SCOPES, digest_of
from slipstream.store.state import IssuedKey

LOOPBACK, ELSEWHERE = ("127.0.0.1", 8900), ("10.0.0.7", 8900)
PROBES = {"livez", "readyz"}
KINDS = ("none", "foreign", "unknown", "wrong", "expired", "revoked", *SCOPES)


def secret_of(key_id: str) -> str:
    return f"slipstream_{key_id}_{'k' * 43}"


def issue(number: int, *scopes: str, days: int = 0, revoked: bool = False) -> IssuedKey:
    key_id = f"{number:012x}"
    expires = (datetime.now(UTC) + timedelta(days=days)).isoformat() if days else ""
    return IssuedKey(key_id, digest_of(secret_of(key_id)), f"caller-{number}", scopes, expires, revoked)


ISSUED = {
    **{scope: issue(number, scope, days=1) for number, scope in enumerate(SCOPES, start=1)},
    "expired": issue(11, "admin", days=-1),
    "revoked": issue(12, "admin", revoked=True),
    "wrong": issue(13, "admin"),
}
KEYS = {issued.id: issued for issued in ISSUED.values()}
GIVEN = {
    "none": "",
    "foreign": "ya29.a0Af",
    "unknown": secret_of("f" * 12),
    "wrong": secret_of(ISSUED["wrong"].id)[:-1] + "x",
    **{kind: secret_of(ISSUED[kind].id) for kind in ("expired", "revoked", *SCOPES)},
}


class Nothing:
    """No model at all: whoever gets past the guards is told so."""

    def ready(self) -> bool:
        return True

    def unread_since(self) -> float | None:
        return None

    def split(self, model: str) -> None:
        return None

    def describe(self, model: str) -> None:
        return None

    def names(self) -> list[str]:
        return []

    def keep(self, answered: Any, split: Any) -> None:
        raise AssertionError


def front_with(access: Access, limits: RequestLimits | None = None) -> Front:
    return Front(Nothing(), Metrics(), Guards(limits or RequestLimits(), access, AccessLog(0.0)))


def ask(
    front: Front,
    path: Route | str,
    headers: Mapping[str, str],
    *,
    server: Any = ELSEWHERE,
    method: str = "",
    body: bytes = b"",
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the answer to one request that came in on *server*."""
    raw = path if isinstance(path, str) else re.sub(r"\{(\w+)\}", "m1", path.pattern)
    given = {"host": "127.0.0.1:8900", **headers}
    scope = {
        "type": "http",
        "method": method or (path.method if isinstance(path, Route) else "POST"),
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "server": server,
        "client": ("10.0.0.9", 1234),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(front(scope, receive, send))
    text = b"".join(message.get("body", b"") for message in sent)
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], said, json.loads(text) if said["content-type"] == "application/json" else text


def code_of(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str]:
    status, _, body = answer
    error = body.get("error") if isinstance(body, dict) else None
    # KServe V2 has the parts of an error beside it.
    return status, error["code"] if isinstance(error, dict) else body["code"] if error else ""


@pytest.fixture(scope="module")
def fronts() -> Iterator[dict[str, Front]]:
    made = {mode: front_with(Access(KEYS, mode)) for mode in (AUTO, REQUIRED, OFF)}
    yield made
    for front in made.values():
        front.close()


def bearer(kind: str) -> dict[str, str]:
    return {"authorization": f"Bearer {GIVEN[kind]}"} if GIVEN[kind] else {}


def expected(path: Route, kind: str, *, due: bool) -> tuple[int, str] | None:
    """The refusal that is due; None where the request passes."""
    if path.scope is None:
        return None
    if kind in {"none", "foreign"}:
        return (401, "key_missing" if kind == "none" else "key_invalid") if due else None
    if kind not in SCOPES:
        return 401, "key_invalid"
    return None if kind in {path.scope, "admin"} else (403, "scope_missing")


class TestEveryPath:
    @pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.method} {path.pattern}")
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("mode", "server", "due"),
        [(REQUIRED, LOOPBACK, True), (AUTO, ELSEWHERE, True), (AUTO, LOOPBACK, False), (OFF, ELSEWHERE, False)],
        ids=["required", "from elsewhere", "from this machine", "off"],
    )
    def test_with_every_kind_of_key(
        self, fronts: dict[str, Front], path: Route, kind: str, mode: str, server: Any, due: bool
    ) -> None:
        refusal = expected(path, kind, due=due)
        for headers in (bearer(kind), {"x-api-key": GIVEN[kind]} if GIVEN[kind] else {}):
            found = code_of(ask(fronts[mode], path, headers, server=server))
            if refusal is None:
                assert found[1] not in {"key_missing", "key_invalid", "scope_missing"}
            else:
                assert found == refusal

    def test_has_a_scope_but_for_the_probes(self) -> None:
        assert {path.name for path in PATHS if path.scope is None} >= PROBES
        for path in PATHS:
            assert path.scope in SCOPES or path.method == "GET"
            # What can be read without a key says whether the endpoint, or a model, is up; nothing else.
            assert path.scope in SCOPES or re.search(r"live|ready|health|ping|version|^/v2$|^/$", path.pattern), path

    def test_what_is_no_path_tells_nothing(self, fronts: dict[str, Front]) -> None:
        assert code_of(ask(fronts[REQUIRED], "/docs.json", {}, method="GET")) == (404, "route_not_found")


@pytest.mark.parametrize(
    "path", ["/models/m1/predict", "/", "/predict", "/invocations", "/schema.json", "/call", "/__metrics__"]
)
@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "application/octet-stream", "application/x-pickle"])
def test_nothing_takes_a_pickle(fronts: dict[str, Front], path: str, kind: str) -> None:
    headers = {"content-type": kind, "payload-container": "PickleContainer", "args-number": "1"}
    body = b"cposix\nsystem\n(S'touch /tmp/slipstream-was-here'\ntR."
    found = code_of(ask(fronts[AUTO], path, headers, server=LOOPBACK, body=body))
    assert found in {
        (415, "content_type"),
        (404, "route_not_found"),
        (404, "model_not_found"),
        (405, "method_not_allowed"),
    }


def call(headers: Mapping[bytes, bytes], server: Any = ELSEWHERE) -> Request:
    async def receive() -> Any:
        raise AssertionError

    return Request({"type": "http", "server": server}, headers, receive, "r")


def shown(kind: str) -> Request:
    return call({b"authorization": f"Bearer {GIVEN[kind]}".encode()})


class TestTheKey:
    def test_says_who_asks(self) -> None:
        caller = Access(KEYS).check(shown("label"), "label")
        assert (caller.name, caller.id, caller.scopes) == ("caller-2", ISSUED["label"].id, {"label"})
        assert Access(KEYS).check(call({}, LOOPBACK), "label") is ANONYMOUS

    def test_what_is_wrong_with_it_is_not_said(self) -> None:
        said = set()
        for kind in ("unknown", "wrong", "expired", "revoked", "foreign"):
            with pytest.raises(RequestError) as caught:
                Access(KEYS).check(shown(kind), "predict")
            said.add((caught.value.status, caught.value.code, str(caught.value)))
            assert GIVEN[kind] not in str(caught.value)
        assert len(said) == 1

    @pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
    def test_the_scheme_in_any_case(self, scheme: str) -> None:
        assert Access(KEYS).check(call({b"authorization": (scheme + GIVEN["predict"]).encode()}), "predict").id

    def test_other_schemes_are_not_ours(self) -> None:
        for given in (b"AWS4-HMAC-SHA256 Credential=x", b"Basic eDp5", b"Bearer ya29.x", b"Bearer", b""):
            assert Access(KEYS).check(call({b"authorization": given}, LOOPBACK), "predict") is ANONYMOUS
            ours = {b"authorization": given, b"x-api-key": GIVEN["predict"].encode()}
            assert Access(KEYS).check(call(ours), "predict").name == "caller-1"

    @pytest.mark.parametrize("tail", [b"k", b" ", b"\xff", b"\x00"])
    def test_more_than_the_key_is_another_key(self, tail: bytes) -> None:
        with pytest.raises(RequestError):
            Access(KEYS).check(call({b"x-api-key": GIVEN["predict"].encode() + tail}), "predict")

    @pytest.mark.parametrize("given", [b"slipstream_", b"slipstream_" + b"\xff" * 56, b"slipstream_" + b"0" * 30_000])
    def test_what_only_begins_like_one(self, given: bytes) -> None:
        for server in (LOOPBACK, ELSEWHERE):
            with pytest.raises(RequestError) as caught:
                Access(KEYS).check(call({b"x-api-key": given}, server), "predict")
            assert caught.value.code == "key_invalid"

    def test_it_ends_when_it_expires(self, monkeypatch: pytest.MonkeyPatch) -> None:
        access, clock = Access(KEYS), [0.0]
        monkeypatch.setattr("slipstream.serving.http.auth.time.time", lambda: clock[0])
        until = datetime.fromisoformat(ISSUED["predict"].expires).timestamp()
        clock[0] = until - 1
        assert access.check(shown("predict"), "predict")
        clock[0] = until
        with pytest.raises(RequestError):
            access.check(shown("predict"), "predict")


class TestTheLedger:
    def test_a_key_counts_as_soon_as_the_ledger_was_read(self, store: Store) -> None:
        from slipstream.store.api_keys import create, revoke

        endpoint = Store.open(store.url)
        access = Access(endpoint.ledger.known.keys, REQUIRED)
        made = create(store, "me", ["predict"])
        asked = call({b"x-api-key": made.key.encode()})
        with pytest.raises(RequestError):
            access.check(asked, "predict")
        endpoint.ledger.state()
        assert access.check(asked, "predict").name == "me"
        revoke(store, made.issued.id)
        assert access.check(asked, "predict")
        endpoint.ledger.state()
        with pytest.raises(RequestError) as caught:
            access.check(asked, "predict")
        assert caught.value.code == "key_invalid"

    def test_before_there_is_a_key_the_refusal_says_how_to_make_one(self) -> None:
        with pytest.raises(RequestError, match="slipstream key create --caller NAME --scopes predict") as caught:
            Access({}, REQUIRED).check(call({}), "predict")
        assert (caught.value.status, caught.value.code) == (401, "key_missing")
        with pytest.raises(RequestError, match="Authorization: Bearer KEY") as caught:
            Access(KEYS, REQUIRED).check(call({}), "predict")
        assert "key create" not in str(caught.value)


class TestTheAddress:
    @pytest.mark.parametrize(
        "server", [LOOPBACK, ("127.9.9.9", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), ("/run/s", None)]
    )
    def test_of_this_machine(self, server: Any) -> None:
        assert Access(KEYS).check(call({}, server), "predict") is ANONYMOUS

    @pytest.mark.parametrize(
        "server",
        [ELSEWHERE, ("::", 1), ("0.0.0.0", 1), ("::ffff:10.0.0.1", 1), ("localhost", 1), ("12.7.0.0", 1), None],
    )
    def test_of_another(self, server: Any) -> None:
        with pytest.raises(RequestError):
            Access(KEYS).check(call({}, server), "predict")


class TestTheSetting:
    @pytest.mark.parametrize(("value", "mode"), [("", AUTO), ("auto", AUTO), ("Required", REQUIRED), (" off ", OFF)])
    def test_a_mode(self, monkeypatch: pytest.MonkeyPatch, value: str, mode: str) -> None:
        monkeypatch.setenv("SLIPSTREAM_AUTH", value)
        assert Access.from_environment({}).mode == mode

    def test_off_is_said(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setenv("SLIPSTREAM_AUTH", "off")
        with caplog.at_level(logging.WARNING, "slipstream"):
            Access.from_environment({})
        assert "anybody who reaches this endpoint may ask it" in caplog.text

    @pytest.mark.parametrize("value", ["no", "none", "0", "on", "required!"])
    def test_another_word_is_refused(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("SLIPSTREAM_AUTH", value)
        with pytest.raises(BackendError) as caught:
            Access.from_environment({})
        assert caught.value.code == "setting_invalid"


def test_a_refusal_says_what_to_send(fronts: dict[str, Front]) -> None:
    status, headers, body = ask(fronts[REQUIRED], "/models", {}, method="GET")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="slipstream"')
    assert body["error"]["request_id"] == headers["x-request-id"]


def test_a_probe_may_come_by_any_name(fronts: dict[str, Front]) -> None:
    other = {"host": "10.0.0.7:8900"}
    assert ask(fronts[REQUIRED], "/livez", other, method="GET")[0] == 200
    assert code_of(ask(fronts[REQUIRED], "/models", other, method="GET")) == (421, "host_not_allowed")


def test_no_key_is_logged(capfdbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture) -> None:
    front = Front(Nothing(), Metrics(), Guards(RequestLimits(), Access(KEYS), AccessLog(1.0)))
    for kind in KINDS:
        for headers in (bearer(kind), {"x-api-key": GIVEN[kind]}):
            ask(front, "/models", headers, method="GET")
    front.close()
    logged = capfdbinary.readouterr().err.decode() + caplog.text
    assert logged.count('"route":"models"') == 2 * len(KINDS)
    assert '"caller":"caller-1"' in logged
    assert "k" * 20 not in logged


class TestLimits:
    def test_a_caller_that_asks_too_often_is_told_when_to_come_again(self) -> None:
        front = front_with(Access(KEYS), RequestLimits(rate=0.5))
        answers = [ask(front, "/models", bearer("predict"), method="GET") for _ in range(3)]
        other = ask(front, "/models", bearer("admin"), method="GET")
        front.close()
        assert [status for status, _, _ in answers] == [200, 429, 429]
        assert code_of(answers[1]) == (429, "rate_limited")
        assert answers[1][1]["retry-after"] == "2"
        assert other[0] == 200

    def test_who_has_no_key_is_counted_by_address(self) -> None:
        front = front_with(Access(KEYS), RequestLimits(rate=1.0))
        answers = [ask(front, "/models", {}, method="GET", server=LOOPBACK)[0] for _ in range(3)]
        probe = ask(front, "/livez", {}, method="GET")[0]
        front.close()
        assert answers == [200, 200, 429]
        assert probe == 200

    def test_many_at_once_are_told_to_wait_but_probes_are_answered(self) -> None:
        front = front_with(Access(KEYS), RequestLimits(concurrency=0))
        status, headers, body = ask(front, "/models", bearer("predict"), method="GET")
        probe = ask(front, "/readyz", {}, method="GET")[0]
        front.close()
        assert (status, body["error"]["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert probe == 200

    def test_a_key_is_asked_for_before_anything_is_read(self) -> None:
        front = front_with(Access(KEYS), RequestLimits(body=10))
        found = code_of(ask(front, "/models/m1/predict", {"content-length": "9" * 9}))
        front.close()
        assert found == (401, "key_missing")
