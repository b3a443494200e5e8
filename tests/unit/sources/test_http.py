"""A file on the web: fetched when it changed, whole or not at all, and only from where it is allowed."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from slipstream.errors import SlipstreamError, SpecError
from slipstream.sources.http.guard import is_public
from slipstream.sources.http.source import HttpSource
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.rebuild import rebuild
from slipstream.stages.validate import validate
from slipstream.store import Store
from tests.web_server import Answer, Site, send, serving, write_certificate

ROWS = b"id,v\n1,a\n2,b\n"
Make = Callable[..., ModelSpec]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SLIPSTREAM_SOURCE_HOSTS", "127.0.0.1")
    with serving() as made:
        yield made


class Reader:
    """A source, asked again and again."""

    def __init__(self, spec: ModelSpec, into: Path) -> None:
        self.spec, self.into, self.watermark, self.origin = spec, into, "", ""

    def __call__(self, url: Any, **arguments: Any) -> bytes | None:
        """The bytes that come now; None for nothing new. The watermark moves as if they were committed."""
        folder = self.into / f"{len(list(self.into.iterdir()))}"
        folder.mkdir()
        delivery = HttpSource(url, **arguments).deliver(self.spec, self.watermark, folder)
        self.watermark = delivery.watermark
        for file, name in delivery.files.items():
            self.origin = name
            return file.read_bytes()
        return None


@pytest.fixture
def read(make_spec: Make, tmp_path: Path) -> Reader:
    (tmp_path / "into").mkdir()
    return Reader(make_spec(data={"source": {"type": "files", "path": "*"}, "key": ["id"]}), tmp_path / "into")


def test_a_file_comes_once_and_is_asked_for_by_its_etag(site: Site, read: Reader) -> None:
    url = f"{site.url}/rows.csv?month=5"
    site.pages["/rows.csv"], site.etags["/rows.csv"] = ROWS, '"one"'
    assert read(url) == ROWS
    assert read.origin == f"{site.url}/rows.csv"
    assert read(url) is None
    assert site.requests[-1][1]["if-none-match"] == '"one"'
    site.etags["/rows.csv"] = '"two"'
    assert read(url) is None, "another etag, the same content"
    site.pages["/rows.csv"] = ROWS + b"3,c\n"
    assert read(url) == ROWS + b"3,c\n"
    site.pages["/rows.csv"], site.etags["/rows.csv"] = ROWS, '"one again"'
    assert read(url) is None, "a content that was read before"


def test_an_etag_of_another_url_is_not_asked_for(site: Site, read: Reader) -> None:
    site.pages |= {"/a.csv": ROWS, "/b.csv": ROWS + b"3,c\n"}
    site.etags |= {"/a.csv": '"1"', "/b.csv": '"1"'}
    assert read(f"{site.url}/a.csv") == ROWS
    assert read(f"{site.url}/b.csv") == ROWS + b"3,c\n"


def test_where_there_is_no_etag_its_date_is_asked_for(site: Site, read: Reader) -> None:
    def dated(handler: Any) -> None:
        date = "Wed, 01 May 2024 00:00:00 GMT"
        status = 304 if handler.headers.get("If-Modified-Since") == date else 200
        send(handler, status, b"" if status == 304 else ROWS, Last_Modified=date)

    site.pages["/rows.csv"] = dated
    assert read(f"{site.url}/rows.csv") == ROWS
    assert read(f"{site.url}/rows.csv") is None
    assert site.requests[-1][1]["if-modified-since"] == "Wed, 01 May 2024 00:00:00 GMT"


def test_a_changed_file_needs_a_key_or_a_word(site: Site, read: Reader, make_spec: Make) -> None:
    read.spec = make_spec(data={"source": {"type": "files", "path": "*"}})
    site.pages["/rows.csv"] = ROWS
    read(f"{site.url}/rows.csv")
    site.pages["/rows.csv"] = b"id,v\n3,c\n"
    with pytest.raises(SlipstreamError, match="on_change: append") as refused:
        read(f"{site.url}/rows.csv")
    assert refused.value.code == "source_rows_again"
    assert read(f"{site.url}/rows.csv", on_change="append") == b"id,v\n3,c\n"


def test_contents_that_a_files_source_read_are_known(site: Site, read: Reader, make_spec: Make) -> None:
    import hashlib

    read.watermark = json.dumps([hashlib.sha256(ROWS).hexdigest()])
    site.pages["/rows.csv"] = ROWS
    assert read(f"{site.url}/rows.csv") is None
    read.watermark = '{"table":"x","version":3}'
    read.spec = make_spec(data={"source": {"type": "files", "path": "*"}})
    with pytest.raises(SlipstreamError, match="nothing tells which of its rows are known"):
        read(f"{site.url}/rows.csv")


def test_what_the_server_packs_on_its_way_is_unpacked(site: Site, make_spec: Make, store: Store) -> None:
    site.pages["/rows.csv"] = lambda handler: send(handler, 200, gzip.compress(ROWS), Content_Encoding="gzip")
    spec = make_spec(data={"source": {"type": "http", "url": f"{site.url}/rows.csv"}, "key": ["id"]}, inputs=["v"])
    assert ingest(spec, store).rows == 2


def test_rows_are_committed_once_and_derived_anew_without_the_server(
    site: Site, make_spec: Make, store: Store, make_rows: Any
) -> None:
    content = make_rows(50).to_pandas().to_csv(index=False).encode()
    site.pages["/export"] = content
    spec = make_spec(data={"source": {"type": "http", "url": f"{site.url}/export?x=1", "format": "csv"}, "key": ["id"]})
    batch = ingest(spec, store)
    assert validate(spec, store, batch.batch).added == 50
    assert ingest(spec, store).empty
    del site.pages["/export"]
    assert rebuild(spec, store).rows == 50


def secured(handler: Any) -> None:
    login = "Basic " + base64.b64encode(b"ada:p:w").decode()
    answers = {login: b"id\n1\n", "Bearer t0k": b"id\n2\n"}
    body = answers.get(handler.headers.get("Authorization", ""))
    send(handler, 200 if body else 401, body or b"")


def test_passwords_and_tokens_come_from_outside(site: Site, read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/rows.csv"] = secured
    host = site.url.removeprefix("http://")
    url = f"{site.url}/rows.csv"
    with pytest.raises(SlipstreamError, match="401") as refused:
        read(url)
    assert refused.value.code == "source_login_refused"
    monkeypatch.setenv("SECRET_URL", f"http://ada:p%3Aw@{host}/rows.csv?key=s3cret")
    assert read({"env": "SECRET_URL"}) == b"id\n1\n"
    assert read.origin == "$SECRET_URL/rows.csv"
    assert "s3cret" not in read.watermark
    monkeypatch.setenv("TOKEN", "t0k")
    assert read(url, token={"env": "TOKEN"}) == b"id\n2\n"
    monkeypatch.setenv(
        "AIRFLOW_CONN_EXPORTS", json.dumps({"conn_type": "http", "host": "127.0.0.1", "password": "t0k"})
    )
    read.watermark = ""
    assert read(url, connection="exports") == b"id\n2\n"
    monkeypatch.setenv("AIRFLOW_CONN_EXPORTS", "http://ada:p%3Aw@127.0.0.1")
    read.watermark = ""
    assert read(url, connection="exports") == b"id\n1\n"
    monkeypatch.setenv("AIRFLOW_CONN_EXPORTS", "http://ada:p%3Aw@elsewhere.org")
    with pytest.raises(SlipstreamError, match=r"its password is not shown to '127\.0\.0\.1'"):
        read(url, connection="exports")
    monkeypatch.setenv("SECRET_URL", "nonsense s3cret")
    with pytest.raises(SlipstreamError, match=r"\$SECRET_URL: is no URL") as refused:
        read({"env": "SECRET_URL"})
    assert "s3cret" not in str(refused.value)


def redirecting(to: str, status: int = 302) -> Answer:
    return lambda handler: send(handler, status, Location=to)


def test_redirects_are_followed_without_the_password_of_another_host(
    site: Site, read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t0k")
    with serving() as other:
        other.pages["/rows.csv"] = ROWS
        site.pages |= {"/a": redirecting("/b", 301), "/b": redirecting(f"{other.url}/rows.csv", 307)}
        assert read(f"{site.url}/a", token={"env": "TOKEN"}, format="csv") == ROWS
        assert [headers.get("authorization") for _, headers in site.requests] == ["Bearer t0k", "Bearer t0k"]
        assert "authorization" not in other.requests[0][1]


def test_redirects_have_an_end(site: Site, read: Reader) -> None:
    site.pages["/a.csv"] = redirecting("/a.csv")
    with pytest.raises(SlipstreamError, match="more than 5 redirects") as refused:
        read(f"{site.url}/a.csv")
    assert refused.value.code == "source_redirect_refused"
    assert len(site.requests) == 6
    for to in ("ftp://127.0.0.1/rows.csv", "file:///etc/passwd", "", "http://ada:pw@127.0.0.1/"):
        site.pages["/a.csv"] = redirecting(to)
        with pytest.raises(SlipstreamError) as refused:
            read(f"{site.url}/a.csv")
        assert refused.value.code == "source_redirect_refused"


def test_a_redirect_may_lead_to_https_and_never_back(
    site: Site, read: Reader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_certificate(tmp_path / "own.pem")
    with serving(tmp_path / "own.pem") as secure:
        secure.pages |= {"/rows.csv": ROWS, "/back.csv": redirecting(f"{site.url}/rows.csv")}
        site.pages |= {"/rows.csv": redirecting(f"{secure.url}/rows.csv")}
        with pytest.raises(SlipstreamError, match="certificate verify failed") as refused:
            read(f"{secure.url}/rows.csv")
        assert refused.value.code == "source_unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        assert read(f"{site.url}/rows.csv") == ROWS
        with pytest.raises(SlipstreamError, match="redirects from https to 'http'"):
            read(f"{secure.url}/back.csv")


def test_what_is_not_of_the_internet_is_not_asked(
    site: Site, read: Reader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.pages["/rows.csv"] = redirecting(site.url.replace("127.0.0.1", "localhost") + "/inner.csv")
    with pytest.raises(
        SlipstreamError, match=r"'localhost' is .* name it in the setting SLIPSTREAM_SOURCE_HOSTS"
    ) as refused:
        read(f"{site.url}/rows.csv")
    assert refused.value.code == "source_host_forbidden"
    monkeypatch.delenv("SLIPSTREAM_SOURCE_HOSTS")
    for host in (
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "0",
    ):
        with pytest.raises(SlipstreamError) as refused:
            read(f"http://{host}:{site.url.rpartition(':')[2]}/rows.csv")
        assert refused.value.code in {"source_host_forbidden", "source_url_malformed"}, host
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("10.0.0.1", False), ("172.16.3.4", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("fd00::1", False), ("fe80::1%eth0", False), ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False), ("2002:a00:1::", False), ("::", False),
    ],
)  # fmt: skip
def test_addresses_of_own_networks_are_known_in_every_spelling(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_what_goes_wrong_for_a_moment_is_tried_again(site: Site, read: Reader) -> None:
    def second_time(handler: Any) -> None:
        if len(site.requests) == 1:
            send(handler, 503, Retry_After="0")
        else:
            send(handler, 200, ROWS)

    site.pages["/rows.csv"] = second_time
    assert read(f"{site.url}/rows.csv") == ROWS


def cut_off(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(ROWS)
    handler.close_connection = True


def silent(handler: Any) -> None:
    time.sleep(1.5)


def endless(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"10000\r\n" + b"1" * 0x10000 + b"\r\n")


def of_no_length(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(ROWS)
    handler.close_connection = True


BAD: dict[str, tuple[Answer | None, str, str]] = {
    "not there": (None, "source_no_files", "has no such file (404)"),
    "forbidden": (lambda handler: send(handler, 403), "source_login_refused", "(403)"),
    "teapot": (lambda handler: send(handler, 418), "source_unreachable", "status 418"),
    "part": (lambda handler: send(handler, 206, b"id\n"), "source_unreachable", "status 206"),
    "too large": (lambda handler: send(handler, 200, b"1" * 2001), "source_too_large", "more than 2000 bytes"),
    "endless": (endless, "source_too_large", "more than 2000 bytes"),
    "of no length": (of_no_length, "source_answer_unusable", "nothing tells whether it came whole"),
    "login page": (
        lambda handler: send(handler, 200, b"<html>", Content_Type="text/html; charset=utf-8"),
        "source_answer_unusable", "a web page (text/html)",
    ),
    "packed oddly": (
        lambda handler: send(handler, 200, b"x", Content_Encoding="br"), "source_answer_unusable", "a packing that is"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_whole_file_is_refused(case: str, site: Site, read: Reader) -> None:
    answer, code, problem = BAD[case]
    if answer:
        site.pages["/rows.csv"] = answer
    with pytest.raises(SlipstreamError) as refused:
        read(f"{site.url}/rows.csv", max_bytes=2000)
    assert (refused.value.code, problem in str(refused.value)) == (code, True), str(refused.value)
    assert len(site.requests) == 1


def test_attempts_have_an_end(site: Site, read: Reader) -> None:
    begin = time.monotonic()
    for answer, code in ((cut_off, "source_connection_lost"), (silent, "source_timeout")):
        site.requests.clear()
        site.pages["/rows.csv"] = answer
        with pytest.raises(SlipstreamError) as refused:
            read(f"{site.url}/rows.csv", timeout=1)
        assert (refused.value.code, len(site.requests)) == (code, 3)
    assert time.monotonic() - begin < 20
    with pytest.raises(SlipstreamError) as refused:
        read("http://127.0.0.1:9/rows.csv")
    assert refused.value.code == "source_unreachable"


@pytest.mark.parametrize(
    ("source", "code", "problem"),
    [
        ({"url": "https://ada:pw@x.org/a.csv"}, "spec_source_secret", "write url: {env: SMALL_URL}"),
        ({"url": "https://x.org/a.csv?sig=abc"}, "spec_source_secret", "does not stand in a model file"),
        ({"url": "ftp://x.org/a.csv"}, "spec_source_url", "write https://host/path/rows.csv"),
        ({"url": {"envy": "X"}}, "spec_source_url", "expected {env: NAME}"),
        ({"url": "https://x.org/a.csv", "token": {"env": "a b"}}, "spec_source_url", "that holds the token"),
        ({"url": "https://x.org/a", "token": {"env": "T"}, "connection": "c"}, "spec_source_incomplete", "has both"),
        ({"url": "https://x.org/a", "connection": "http://x"}, "spec_source_connection", "is no id"),
        ({"url": "https://x.org/a", "token": "t0k"}, "", "token"),
        ({}, "", "url"),
    ],
)
def test_a_model_file_says_it_whole_and_without_a_secret(
    source: dict[str, Any], code: str, problem: str, make_spec: Make
) -> None:
    with pytest.raises(SpecError) as refused:
        make_spec(data={"source": {"type": "http", **source}})
    assert problem in str(refused.value)
    assert not code or refused.value.code == code
    assert "pw@" not in str(refused.value)


def test_a_path_of_files_says_what_to_write(make_spec: Make, store: Store) -> None:
    with pytest.raises(SlipstreamError, match=r"write {type: http, url: ...}"):
        ingest(make_spec(data={"source": {"type": "files", "path": "https://x.org/a.csv"}}), store)


def test_a_password_is_not_sent_unencrypted(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0k")
    with pytest.raises(SlipstreamError, match="is not sent unencrypted; write https") as refused:
        read("http://x.invalid/a.csv", token={"env": "TOKEN"})
    assert refused.value.code == "source_url_insecure"


def test_bytes_are_those_of_the_file(site: Site, make_spec: Make, store: Store, tmp_path: Path) -> None:
    duckdb.sql("SELECT 1 AS id, 'a' AS v").write_parquet(str(tmp_path / "rows.parquet"))
    site.pages["/rows.parquet"] = (tmp_path / "rows.parquet").read_bytes()
    spec = make_spec(data={"source": {"type": "http", "url": f"{site.url}/rows.parquet"}}, inputs=["v"])
    assert ingest(spec, store).rows == 1
