"""Routes as data, and which of them a URL means."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from slipstream.errors import RequestError
from slipstream.serving.message import Request, Response

Handler = Callable[[Any, Request], Awaitable[Response]]
"""Answers a request, given the :class:`~slipstream.serving.http.context.Context` of its process."""

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    """One path.

    Attributes:
        pattern: Segments; ``{model}``, ``{version}`` and ``{item}`` stand for names.
        method: The one that it takes; GET takes HEAD too.
        name: What metrics and logs call it.
        scope: What a caller's key must allow; None: anybody may ask.
        handle: Answers.
        error: Rewrites the ``error`` of a reply into the body that the clients of this path understand; None: they
            take it as it is.
    """

    pattern: str
    method: str
    name: str
    scope: str | None
    handle: Handler
    error: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def failed(self, response: Response) -> Response:
        """An error *response*, as the clients of this path understand it."""
        if self.error is not None:
            reply = json.loads(response.body)
            response.body = json.dumps(self.error(reply["error"])).encode() if "error" in reply else response.body
        return response


class Router:
    """Finds paths.

    Args:
        paths: In the order in which they are tried.
    """

    def __init__(self, paths: Iterable[Route]) -> None:
        self.all = tuple(paths)
        self._matchers = [(_matcher(path.pattern), path) for path in self.all]

    def find(self, raw: bytes) -> tuple[Route, dict[str, str]]:
        """The path that the bytes of a URL's path mean, with the names in it.

        Raises:
            RequestError: ``route_not_found`` or ``name_invalid``.
        """
        parts = (unquote_to_bytes(part).decode("utf-8", "replace").replace("/", "%2F") for part in raw.split(b"/"))
        text = "/".join(parts)
        for matcher, path in self._matchers:
            match = matcher.fullmatch(text)
            if match:
                names = match.groupdict()
                if not all(map(_NAME.match, names.values())):
                    message = "a name in a path is lower case, digits, '.', '_' and '-'"
                    raise RequestError(message, code="name_invalid", status=404)
                return path, names
        raise RequestError("there is no such route", code="route_not_found", status=404)


def _matcher(pattern: str) -> re.Pattern[str]:
    # A name is whatever stands between slashes and colons: whether it is a good one is told afterwards.
    parts: list[Any] = _FIELD.split(pattern)
    expression = "".join(f"(?P<{part}>[^/]*?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return re.compile(expression)
