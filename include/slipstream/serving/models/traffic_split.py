"""Which version answers a request: champion or challenger, by a key that sticks, with a shadow that only listens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from slipstream.bundle.scorer import Columns
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store.predictions import CHALLENGER, CHAMPION, Role

_SPAN = 1 << 32
_HEADER = "header:"


@dataclass(frozen=True)
class TrafficSplit:
    """The versions of one model that are loaded, and who answers what.

    Attributes:
        champion: Answers whatever the challenger does not.
        challenger: Answers a share *weight* of the keys; None when there is none.
        weight: From 0 to 1.
        sticky: What keeps a caller with one version: ``header:<name>``, the name of an input (of the first row), or
            "" for the whole body.
        shadow: Answers everything too, but to nobody: its answers are only compared.
        previous: The champion before, still loaded, so that going back takes one assignment.
    """

    champion: LoadedVersion
    challenger: LoadedVersion | None = None
    weight: float = 0.0
    sticky: str = ""
    shadow: LoadedVersion | None = None
    previous: LoadedVersion | None = None

    @cached_property
    def quick(self) -> bool:
        """Whether every version that may answer is compiled."""
        answering = (self.champion, self.challenger)
        return all(one.scorer.engine_name == "compiled" for one in answering if one is not None)

    def choose(self, headers: Mapping[bytes, bytes], body: bytes, columns: Columns) -> tuple[LoadedVersion, Role]:
        """The version that answers, and its role."""
        if self.challenger is None or self.weight <= 0:
            return self.champion, CHAMPION
        key = self._key(headers, body, columns)
        # Salted by the version: another canary takes other callers. A larger weight keeps those that it has.
        digest = hashlib.blake2b(key, digest_size=4, salt=str(self.challenger.version).encode()[:16]).digest()
        if int.from_bytes(digest, "big") < self.weight * _SPAN:
            return self.challenger, CHALLENGER
        return self.champion, CHAMPION

    def answering(self) -> list[tuple[Role, LoadedVersion]]:
        """Role and version of each that answers, if only to nobody."""
        roles: tuple[tuple[Role, LoadedVersion | None], ...] = (
            ("champion", self.champion),
            ("challenger", self.challenger),
            ("shadow", self.shadow),
        )
        return [(role, one) for role, one in roles if one is not None]

    def compared_with(self, role: str) -> LoadedVersion | None:
        """The version that answers too, to nobody, what the one of that *role* answered; None if there is none."""
        return self.champion if role == CHALLENGER else self.shadow

    def loaded(self, version: str) -> LoadedVersion | None:
        """The loaded version of that number, if any."""
        versions = (self.champion, self.challenger, self.previous)
        return next((one for one in versions if one is not None and str(one.version) == version), None)

    def _key(self, headers: Mapping[bytes, bytes], body: bytes, columns: Columns) -> bytes:
        if self.sticky.startswith(_HEADER):
            return headers.get(self.sticky[len(_HEADER) :].lower().encode(), b"") or body
        if self.sticky in columns:
            return str(columns[self.sticky][0]).encode("utf-8", "replace")
        return body
