"""One GET of a file: conditional, bounded in bytes, time, redirects and attempts, and known to be whole at its end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpcore
import httpx

from slipstream.errors import SourceError, shown
from slipstream.sources.http.address import WebAddress
from slipstream.sources.http.guard import GuardedBackend, is_named

ATTEMPTS, REDIRECTS = 3, 5
_LONGEST = 3600
"""Seconds that a file may take, however steadily it comes."""
_LONGEST_WAIT = 10.0
_CHUNK = 1 << 20
_PACKINGS = {"": "", "identity": "", "gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}
"""How the server packed what it sends -> the ending of a file that is packed so."""


@dataclass(frozen=True)
class FetchBounds:
    """At most so many bytes; seconds that the server may be silent."""

    max_bytes: int
    timeout: int


@dataclass(frozen=True)
class FetchedFile:
    """A file that came.

    Attributes:
        sha256: Of its bytes.
        etag: What its server calls this content; "" for nothing.
        modified: When it was changed last, as its server writes it; "" for nothing.
        packing: The ending that tells how the server packed it on its way: ``.gz``; "" for not.
    """

    sha256: str
    etag: str
    modified: str
    packing: str


class _AgainError(Exception):
    """What may go well another time."""

    def __init__(self, error: SourceError, wait: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


def fetch(address: WebAddress, known: dict[str, str], bounds: FetchBounds, target: Path) -> FetchedFile | None:
    """Write the file to *target*; None if it is still the one that *known* tells (headers of a conditional GET).

    Raises:
        SourceError: ``source_host_forbidden``, ``source_redirect_refused``, ``source_login_refused``,
            ``source_no_files``, ``source_answer_unusable``, ``source_too_large``, ``source_unreachable``,
            ``source_timeout`` or ``source_connection_lost``.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _followed(address, known, bounds, target)
        except _AgainError as again:
            if attempt == ATTEMPTS:
                raise again.error from again
            time.sleep(min(_LONGEST_WAIT, max(again.wait, 0.25 * 2**attempt)))
    raise AssertionError


def _followed(address: WebAddress, known: dict[str, str], bounds: FetchBounds, target: Path) -> FetchedFile | None:
    """The file, through redirects."""
    headers = {"User-Agent": "slipstream", "Accept": "*/*", "Accept-Encoding": "identity", **known}
    if address.authorization:
        headers["Authorization"] = address.authorization
    url = address.url
    context = httpx.create_ssl_context()
    with httpcore.ConnectionPool(ssl_context=context, network_backend=GuardedBackend()) as pool:
        for _ in range(REDIRECTS + 1):
            if "Authorization" in headers and url.scheme == "http" and not is_named(url.host):
                message = f"{address.name}: a password or token is not sent unencrypted; write https."
                raise SourceError(
                    message, code="source_redirect_refused" if url != address.url else "source_url_insecure"
                )
            with _answer(pool, url, headers, bounds, address.name) as answer:
                if answer.status not in {301, 302, 303, 307, 308}:
                    return _received(answer, bounds, target, address.name)
                following = _following(url, answer, address.name)
            if following.host != url.host or (following.scheme == url.scheme and following.port != url.port):
                headers.pop("Authorization", None)
            url = following
    message = f"{address.name}: more than {REDIRECTS} redirects; write the URL where they end."
    raise SourceError(message, code="source_redirect_refused")


@contextmanager
def _answer(
    pool: httpcore.ConnectionPool, url: httpx.URL, headers: dict[str, str], bounds: FetchBounds, name: str
) -> Iterator[httpcore.Response]:
    """The answer to one request, its body still to come; failures on the way are told by the name of the file."""
    place = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    seconds = float(bounds.timeout)
    timeouts = {"connect": min(seconds, 10.0), "read": seconds, "write": seconds, "pool": seconds}
    lines = [(key.encode(), value.encode()) for key, value in {"Host": url.netloc.decode(), **headers}.items()]
    try:
        with pool.stream("GET", place, headers=lines, extensions={"timeout": timeouts}) as answer:
            yield answer
    except httpcore.TimeoutException as error:
        message = f"{name}: the server was silent for {bounds.timeout} seconds; run again later, or raise timeout."
        raise _AgainError(SourceError(message, code="source_timeout")) from error
    except httpcore.ConnectError as error:
        message = f"{name}: its server cannot be reached: {error}; mend the URL, or run again later."
        raise _AgainError(SourceError(message, code="source_unreachable")) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        message = f"{name}: the connection was lost before the file had come: {error}; nothing was kept of it."
        raise _AgainError(SourceError(message, code="source_connection_lost")) from error
    except SourceError as error:
        if error.code != "source_host_forbidden":
            raise
        raise SourceError(f"{name}: {error}", code=error.code) from error


def _following(url: httpx.URL, answer: httpcore.Response, name: str) -> httpx.URL:
    """Where a redirect leads."""
    try:
        following = url.join(_header(answer, "location")).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError):
        following = httpx.URL("")
    if following.scheme not in {url.scheme, "https"} or not following.host or following.userinfo:
        where = shown(following.scheme or "nowhere")
        message = f"{name}: redirects from {url.scheme} to {where}, which is not followed; write where the file is."
        raise SourceError(message, code="source_redirect_refused")
    return following


def _received(answer: httpcore.Response, bounds: FetchBounds, target: Path, name: str) -> FetchedFile | None:
    if answer.status == 304:
        return None
    _refuse_status(answer, name)
    packing = _PACKINGS.get(_header(answer, "content-encoding").strip().lower())
    kind = _header(answer, "content-type").partition(";")[0].strip().lower()
    if packing is None or kind == "text/html":
        what = "a web page (text/html)" if packing is not None else "a packing that is not read here"
        message = f"{name}: answers with {what}, not with a file of rows; look at it in a browser."
        raise SourceError(message, code="source_answer_unusable")
    if not _header(answer, "content-length") and "chunked" not in _header(answer, "transfer-encoding").lower():
        message = f"{name}: its server does not say how long the file is, so nothing tells whether it came whole."
        raise SourceError(message, code="source_answer_unusable")
    size, digest, begin = 0, hashlib.sha256(), time.monotonic()
    with target.open("wb") as file:
        for chunk in answer.iter_stream():
            size += len(chunk)
            if size > bounds.max_bytes:
                message = f"{name}: more than {bounds.max_bytes} bytes; raise the source's max_bytes."
                raise SourceError(message, code="source_too_large")
            if time.monotonic() - begin > _LONGEST:
                raise SourceError(f"{name}: has not come whole in {_LONGEST} seconds.", code="source_timeout")
            digest.update(chunk)
            file.write(chunk)
    return FetchedFile(digest.hexdigest(), _header(answer, "etag"), _header(answer, "last-modified"), packing)


def _refuse_status(answer: httpcore.Response, name: str) -> None:
    status = answer.status
    if status == 200:
        return
    if status in {401, 403}:
        message = f"{name}: its server refuses ({status}); show it a token or a connection, or mend what they hold."
        raise SourceError(message, code="source_login_refused")
    if status in {404, 410}:
        raise SourceError(f"{name}: its server has no such file ({status}); mend the URL.", code="source_no_files")
    error = SourceError(f"{name}: its server answers with status {status}; run again later.", code="source_unreachable")
    if status in {408, 425, 429} or status >= 500:
        wait = _header(answer, "retry-after")
        raise _AgainError(error, float(wait) if wait.isdigit() else 0.0)
    raise error


def _header(answer: Any, name: str) -> str:
    values = [value for key, value in answer.headers if key.lower() == name.encode()]
    return values[0].decode("latin-1") if values else ""
