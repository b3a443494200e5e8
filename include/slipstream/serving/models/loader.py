"""From a version's number to something that can answer: cheap checks first, then the proof in a child, then loading."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

from slipstream.bundle.bundle import Bundle, open_bundle
from slipstream.errors import BundleError, StoreError
from slipstream.model_schema import Schema
from slipstream.serving.models.desired import DesiredVersion
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.preflight import Preflight
from slipstream.serving.version.capture_policy import NOTHING_KEPT, Policy
from slipstream.serving.version.load import load_served
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint

AT_MOST_DIFFERENCES = 10


@dataclass(frozen=True)
class LoadRequest:
    """A version that is to be loaded.

    Attributes:
        model: Its model.
        version: The version.
        attempt: The event that asked for it.
        beside: The version whose inputs and classes it must have; None if it may have any.
        prove: Whether it must be proved in a child; one that served before need not be.
    """

    model: str
    version: DesiredVersion
    attempt: int
    beside: LoadedVersion | None = None
    prove: bool = True


class Loader:
    """Loads versions of a store.

    Args:
        store: The store.
        max_rows: Rows that a request may have.
        limits: What a version must keep to.
        preflight: Proves versions in child processes.
    """

    def __init__(self, store: Store, max_rows: int, limits: ModelLimits, preflight: Preflight) -> None:
        self.store = store
        self.max_rows = max_rows
        self.limits = limits
        self.preflight = preflight
        self._opened: dict[str, Bundle] = {}

    def load(self, wanted: LoadRequest) -> LoadedVersion | None:
        """The version, ready to answer; None as long as its proof runs.

        Raises:
            BundleError, ChecksumMismatch, NotFound: it must not serve.
            StoreError: it cannot be read just now.
        """
        digest = wanted.version.bundle
        try:
            bundle = self._opened.get(digest) or self._open(wanted)
            self._opened[digest] = bundle
            if wanted.prove:
                verdict = self.preflight.verdict(digest, wanted.attempt)
                if verdict is None:
                    return None
                _check(verdict.code, verdict.reason)
            faultpoint(f"serving.load.{digest[:16]}")
            loaded = load_served(
                bundle, wanted.version.number, self.max_rows, self._policy(wanted.version), wanted.version.registered
            )
        except BaseException:
            self._opened.pop(digest, None)
            raise
        del self._opened[digest]
        return loaded

    def forget(self, keep: set[str]) -> None:
        """Drop what was opened for a proof that nobody waits for any more."""
        self._opened = {digest: bundle for digest, bundle in self._opened.items() if digest in keep}

    def _open(self, wanted: LoadRequest) -> Bundle:
        self._check_size(wanted.version.bundle)
        bundle = open_bundle(self.store, wanted.version.bundle, self.limits.trusted)
        if bundle.model != wanted.model:
            raise BundleError(f"the bundle is of model {bundle.model!r}, not of {wanted.model!r}.")
        if wanted.beside is not None:
            check_schema(bundle, wanted.beside)
        return bundle

    def _check_size(self, digest: str) -> None:
        try:
            size = sum(int(entry["size"]) for entry in json.loads(self.store.objects.get(digest))["files"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # no manifest: opening it says so
        if size > self.limits.size:
            message = f"its files have {size} bytes; SLIPSTREAM_MAX_MODEL allows {self.limits.size}."
            raise BundleError(message, code="version_too_large")

    def _policy(self, version: DesiredVersion) -> Policy:
        if not version.spec:
            return NOTHING_KEPT
        return Policy.of(self.store.objects.get_json(version.spec)["deploy"]["capture"])


def check_schema(bundle: Bundle, beside: LoadedVersion) -> None:
    """Refuse a version that takes or gives something else than the one that serves.

    Raises:
        BundleError: ``schema_incompatible``, with the differences.
    """
    try:
        new = msgspec.json.decode(bundle.files["schema.json"], type=Schema)
    except msgspec.DecodeError as error:
        raise BundleError(f"schema.json: {error}.", code="model_schema_invalid") from error
    changes = differences(beside.scorer.schema, new)
    if changes:
        listed = "; ".join(changes[:AT_MOST_DIFFERENCES]) + ("; ..." if len(changes) > AT_MOST_DIFFERENCES else "")
        message = (
            f"other than version {beside.version}, which serves: {listed}. Set deploy.on_schema_change to allow it."
        )
        raise BundleError(message, code="schema_incompatible")


def differences(old: Schema, new: Schema) -> list[str]:
    """What callers of *old* would notice of *new*: inputs by name and type, the task and the classes."""
    before, after = ({field.name: field.type for field in schema.inputs} for schema in (old, new))
    changes = [f"input {name!r} is gone" for name in before if name not in after]
    changes += [f"input {name!r} ({after[name]}) is new" for name in after if name not in before]
    changes += [
        f"input {name!r}: {before[name]} became {after[name]}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    changes += [
        f"{word} {was!r} became {now!r}"
        for word, was, now in (
            ("task", old.task, new.task),
            ("classes", old.classes, new.classes),
            ("positive label", old.positive, new.positive),
        )
        if repr(was) != repr(now)  # to Python, false equals 0
    ]
    return changes


def _check(code: str, reason: str) -> None:
    if code == "again":
        raise StoreError(reason)
    if code:
        raise BundleError(reason, code=code)
