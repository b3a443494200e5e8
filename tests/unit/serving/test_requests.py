"""The endpoint's front, request by request: every wrong one has its status, its code and the place of the mistake."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.version.answer import prediction_ids
from tests.unit.fixed_model import ROW, Ask, Few, asking, guards, listening


@pytest.fixture
def models() -> Few:
    return Few()


@pytest.fixture
def ask(models: Few) -> Iterator[Ask]:
    with asking(models) as send:
        yield send


def predict(ask: Ask, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else str(body).encode()
    return ask("POST", "/models/m/predict", content=content, headers={"content-type": "application/json"} | headers)


def rows(*found: str) -> str:
    return f'{{"rows": [{", ".join(found)}]}}'


def row(**changed: str) -> str:
    values = {"dep delay": "1.5", "seats": "2", "carrier": '"AA"', "night": "null"} | changed
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


class TestAnswers:
    def test_rows(self, ask: Ask, models: Few) -> None:
        reply = predict(ask, rows(ROW, row(seats="7")), **{"x-request-id": "mine-1"})
        assert reply.status_code == 200
        said = reply.json()
        assert (said["model"], said["version"], said["predictions"]) == ("m", 3, [2.0, 7.0])
        assert len(set(said["ids"])) == 2
        assert reply.headers["x-request-id"] == "mine-1"
        answered = models.kept[0]
        assert (answered.ids, answered.request.id) == (said["ids"], "mine-1")
        assert answered.decoded.columns == {
            "dep delay": [1.5, 1.5],
            "seats": [2, 7],
            "carrier": ["AA"] * 2,
            "night": [None] * 2,
        }

    def test_columns(self, ask: Ask) -> None:
        columns = {"dep delay": [None, 1], "seats": [4, 5], "carrier": ["a:b", "UA"], "night": [True, False]}
        reply = predict(ask, json.dumps({"columns": columns}))
        assert reply.json()["predictions"] == [4.0, 5.0]

    @pytest.mark.parametrize("value", ["2.0", "2e0", "  2"])
    def test_a_whole_number_may_be_written_with_a_point(self, ask: Ask, value: str) -> None:
        assert predict(ask, rows(row(seats=value))).json()["predictions"] == [2.0]

    def test_an_unseen_category_and_a_value_out_of_range_are_answered_with_a_warning(self, ask: Ask) -> None:
        said = predict(ask, rows(ROW, row(carrier='"ZZ"', seats="999"))).json()
        assert said["predictions"] == [2.0, 999.0]
        found = [(warning["field"], warning["code"]) for warning in said["warnings"]]
        assert found == [("rows[1].seats", "outside_training_range"), ("rows[1].carrier", "category_unseen")]
        text = ask("GET", "/metrics").text
        for feature in ("seats", "carrier"):
            assert f'slipstream_inputs_unlike_training_total{{feature="{feature}",model="m"}} 1.0' in text

    def test_ids_are_uuids_that_sort_by_time(self) -> None:
        import uuid

        first, second = prediction_ids(1000), prediction_ids(1)
        assert len(set(first)) == 1000
        assert {uuid.UUID(one).version for one in first} == {7}
        assert first[0][:12] <= second[0][:12]


WRONG = [
    (1, b"", 400, "body_empty", None),
    (2, b"x", 400, "json_invalid", None),
    (2, rows(ROW) + "]", 400, "json_invalid", None),
    (3, rows(ROW, row(**{"dep delay": "NaN"})), 400, "not_finite", "rows[1].dep delay"),
    (3, rows(row(**{"dep delay": "-Infinity"})), 400, "not_finite", "rows[0].dep delay"),
    (4, rows(row(**{"dep delay": "1e999"})), 400, "not_finite", "rows[0].dep delay"),
    (5, rows(row(**{"dep delay": '"nan"'})), 400, "type", "rows[0].dep delay"),
    (5, rows(row(carrier="7")), 400, "type", "rows[0].carrier"),
    (5, rows(row(night="1")), 400, "type", "rows[0].night"),
    (5, rows(row(seats="2.5")), 400, "type", "rows[0].seats"),
    (6, rows(row(seats="null")), 400, "null_not_allowed", "rows[0].seats"),
    (7, rows(row(seats="true")), 400, "type", "rows[0].seats"),
    (7, rows(row(seats="[1]")), 400, "type", "rows[0].seats"),
    (8, rows(ROW, '{"dep delay": 1, "carrier": "AA", "night": null}'), 400, "field_missing", "rows[1].seats"),
    (9, rows(row(seets="2")), 400, "field_unknown", "rows[0].seets"),
    (9, '{"rows": [' + ROW + '], "instances": 1}', 400, "field_unknown", "instances"),
    (10, rows(row().replace('"seats": 2', '"seats": 2, "seats": 3')), 400, "duplicate_key", "seats"),
    (10, '{"rows": [], "rows": []}', 400, "duplicate_key", "rows"),
    (11, rows(row(**{"dep delay": "9" * 5000})), 400, "number_range", "rows[0].dep delay"),
    (11, rows(row(seats="9" * 30)), 400, "number_range", "rows[0].seats"),
    (12, b"[" * 19_000, 400, "too_deep", None),
    (12, b'{"a":' * 100, 400, "too_deep", None),
    (13, rows(ROW).encode().replace(b"AA", b"\xff\xfe"), 400, "encoding", None),
    (13, rows(row(carrier='"\\ud800"')), 400, "encoding", "rows[0].carrier"),
    (15, rows(*[ROW] * 6), 413, "too_many_rows", "rows"),
    (16, rows(), 400, "rows_empty", "rows"),
    (16, '{"columns": {"dep delay": [], "seats": [], "carrier": [], "night": []}}', 400, "rows_empty", "rows"),
    (0, "[]", 400, "body_shape", None),
    (0, "{}", 400, "body_shape", None),
    (0, '{"rows": [' + ROW + '], "columns": {}}', 400, "body_shape", None),
    (0, '{"rows": 1}', 400, "type", "rows"),
    (0, '{"rows": [1]}', 400, "type", "rows[0]"),
    (0, '{"columns": 1}', 400, "type", "columns"),
    (0, '{"columns": {"dep delay": 1, "seats": [], "carrier": [], "night": []}}', 400, "type", "columns.dep delay"),
    (
        0,
        '{"columns": {"dep delay": [1], "seats": [1, 2], "carrier": ["AA"], "night": [null]}}',
        400,
        "columns_unequal",
        "columns.seats",
    ),
    (0, rows(row(carrier=json.dumps("x" * 10_001))), 400, "string_too_long", "rows[0].carrier"),
]


@pytest.mark.parametrize(("number", "body", "status", "code", "field"), WRONG)
def test_a_wrong_body(ask: Ask, models: Few, number: int, body: Any, status: int, code: str, field: str | None) -> None:
    reply = predict(ask, body)
    said = reply.json()["error"]
    assert (reply.status_code, said["code"], said["field"]) == (status, code, field), said["message"]
    assert said["request_id"] == reply.headers["x-request-id"]
    assert len(said["message"]) < 300
    assert models.kept == []


def test_messages_say_what_to_do(ask: Ask) -> None:
    def message(body: Any) -> str:
        return str(predict(ask, body).json()["error"]["message"])

    assert message(b"{\n x") == "not JSON: Expecting property name enclosed in double quotes at line 2 column 2"
    assert message(rows(row(seets="2"))) == "rows[0].seets: unknown field; did you mean 'seats'?"
    assert message(rows(row(**{"dep delay": '"nan"'}))) == "rows[0].dep delay: expected number, got string 'nan'"
    assert message(rows(row(seats="true"))) == "rows[0].seats: expected integer, got boolean"
    assert message(rows(*[ROW] * 6)) == "6 > 5 rows; send several requests"


class TestTransport:
    def test_a_large_body_is_refused_before_it_is_read(self, ask: Ask) -> None:
        reply = predict(ask, b"x" * 20_001)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
        assert "limit 20000 bytes" in reply.json()["error"]["message"]

    @pytest.mark.parametrize("length", [True, False])
    def test_a_body_of_exactly_the_limit_is_taken(self, ask: Ask, length: bool) -> None:
        whole = rows(ROW).ljust(20_000).encode()

        async def chunks() -> Any:
            yield whole[:10_000]
            yield whole[10_000:]

        kind = {"content-type": "application/json"}
        reply = ask("POST", "/models/m/predict", content=whole if length else chunks(), headers=kind)
        assert reply.status_code == 200, reply.text

    def test_so_is_one_that_comes_with_its_headers(self, models: Few) -> None:
        whole, kind = rows(ROW).encode(), {"content-type": "application/json"}
        with listening(models, guards(RequestLimits(body=len(whole)))) as url:
            taken = httpx.post(f"{url}/models/m/predict", content=whole, headers=kind)
            refused = httpx.post(f"{url}/models/m/predict", content=whole + b" ", headers=kind)
        assert (taken.status_code, refused.status_code) == (200, 413)

    def test_a_large_body_without_length_is_refused_while_it_comes(self, ask: Ask) -> None:
        sent = 0

        async def chunks() -> Any:
            nonlocal sent
            for _ in range(1000):
                sent += 1
                yield b"x" * 1000

        reply = ask("POST", "/models/m/predict", content=chunks(), headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
        assert sent < 50

    def test_a_slow_body_is_given_up(self, ask: Ask) -> None:
        async def chunks() -> Any:
            while True:
                yield b"x"
                await asyncio.sleep(0.05)

        reply = ask("POST", "/models/m/predict", content=chunks(), headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (408, "body_too_slow")

    @pytest.mark.parametrize(
        "kind",
        [
            "",
            "text/plain",
            "application/vnd.bentoml+pickle",
            "multipart/form-data; boundary=x",
            "application/json; charset=latin-1",
        ],
    )
    def test_another_content_type(self, ask: Ask, kind: str) -> None:
        reply = predict(ask, rows(ROW), **{"content-type": kind})
        assert (reply.status_code, reply.json()["error"]["code"]) == (415, "content_type")

    def test_json_with_a_charset_is_taken(self, ask: Ask) -> None:
        assert predict(ask, rows(ROW), **{"content-type": "application/json; charset=UTF-8"}).status_code == 200

    def test_a_compressed_body(self, ask: Ask) -> None:
        reply = predict(ask, gzip.compress(rows(ROW).encode()), **{"content-encoding": "gzip"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (415, "content_encoding")

    def test_large_headers(self, ask: Ask) -> None:
        reply = predict(ask, rows(ROW), **{"x-large": "x" * 100_000})
        assert (reply.status_code, reply.json()["error"]["code"]) == (431, "headers_too_large")

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80"])
    def test_another_host(self, ask: Ask, host: str) -> None:
        reply = ask("GET", "/models", headers={"host": host})
        assert (reply.status_code, reply.json()["error"]["code"]) == (421, "host_not_allowed")

    @pytest.mark.parametrize("host", ["127.0.0.1:8900", "localhost", "[::1]:8900"])
    def test_this_host(self, ask: Ask, host: str) -> None:
        assert ask("GET", "/livez", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize("name", ["%2e%2e%2fx", "a;b", "a%23b", "a%00b", "x" * 300, "A", "%ff"])
    def test_a_name_that_is_none(self, ask: Ask, name: str) -> None:
        for method, path in (("GET", f"/models/{name}"), ("POST", f"/models/{name}/predict")):
            reply = ask(method, path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "name_invalid")

    def test_an_unknown_model(self, ask: Ask) -> None:
        for reply in (ask("GET", "/models/other"), predict(ask, rows(ROW))):
            if reply.status_code != 200:
                assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
                assert "known: m" in reply.json()["error"]["message"]

    @pytest.mark.parametrize("path", ["/", "/docs.json", "/models/m/x", "/models/../x/predict", "/predict", "//models"])
    def test_another_path(self, ask: Ask, path: str) -> None:
        assert ask("GET", path).json()["error"]["code"] == "route_not_found"

    def test_another_method(self, ask: Ask) -> None:
        reply = ask("GET", "/models/m/predict")
        assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")
        assert reply.headers["allow"] == "POST"
        assert ask("DELETE", "/models").status_code == 405

    @pytest.mark.parametrize("given", ["x" * 65, "a b", "<script>", "a\tb"])
    def test_a_request_id_that_is_none_is_replaced(self, ask: Ask, given: str) -> None:
        assert ask("GET", "/livez", headers={"x-request-id": given}).headers["x-request-id"] != given


class TestTheModelFails:
    def test_an_answer_that_is_no_number(self, ask: Ask, models: Few) -> None:
        reply = predict(ask, rows(row(seats="400")))
        assert (reply.status_code, reply.json()["error"]["code"]) == (500, "answer_not_finite")
        assert models.kept == []

    def test_whatever_it_raises_stays_in_the_log(self, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
        reply = predict(ask, rows(row(seats="13")))
        assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal")
        assert "secret" not in reply.text
        assert "secret" in caplog.text


def test_what_is_counted(ask: Ask) -> None:
    predict(ask, rows(ROW, ROW))
    predict(ask, b"")
    text = ask("GET", "/metrics").text
    assert 'slipstream_requests_total{route="predict",status="200"} 1.0' in text
    assert 'slipstream_requests_total{route="predict",status="400"} 1.0' in text
    assert 'slipstream_rejected_total{code="body_empty"} 1.0' in text
    assert 'slipstream_predictions_total{label="",model="m",version="3"} 2.0' in text
    assert 'slipstream_request_seconds_count{route="predict"} 2.0' in text


def test_many_at_once_are_told_to_wait(models: Few) -> None:
    with asking(models, guards(RequestLimits(concurrency=0))) as ask:
        reply = predict(ask, rows(ROW))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "overloaded")
    assert reply.headers["retry-after"] == "1"


def test_as_many_at_once_as_are_allowed_are_answered(models: Few) -> None:
    with asking(models, guards(RequestLimits(concurrency=1))) as ask:
        assert [predict(ask, rows(ROW)).status_code for _ in range(3)] == [200] * 3


def test_one_who_asks_too_often_is_told_when_to_come_again(models: Few) -> None:
    with asking(models, guards(RequestLimits(rate=0.5))) as ask:
        replies = [predict(ask, rows(ROW)) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 429]
    assert (replies[1].json()["error"]["code"], replies[1].headers["retry-after"]) == ("rate_limited", "2")
