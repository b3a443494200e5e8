"""What the suites of all slots share: the error that names a broken promise, and the checks that fit every back end.

A check is a plain function of a case. A case holds the back end as a model file would (``{"type": ..., ...}``), and
what the suite needs beside it. A check returns None, or raises :class:`CheckFailed`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from slipstream.errors import BackendError, shown
from slipstream.slot import Slot

SEED = 7
_UNKNOWN = "no_such_argument"
_SECONDS = 300.0

C = TypeVar("C", bound="BackendCase")


class CheckFailed(AssertionError):
    """A back end broke a promise of its slot; the text names slot, back end and check, and says what to do."""


class BrokenPromise(Exception):
    """Raised inside a check: what was seen, and what to do; :func:`promise` adds where."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}.")


@dataclass(frozen=True)
class BackendCase:
    """A back end that is to be checked.

    Attributes:
        config: What stands in model.yaml: ``type`` (a word, or ``package.module:Class``) and the arguments beside it.
    """

    config: Mapping[str, Any]
    slot: ClassVar[Slot[Any]]

    @property
    def backend(self) -> str:
        """The word that names it."""
        return str(self.config.get("type", ""))

    def build(self) -> Any:
        """A new instance, as every stage makes one; raises BackendError as :meth:`slipstream.slots.Slot.build`."""
        return self.slot.build(self.config, allow_code=True)


def promise(function: Callable[[C], None]) -> Callable[[C], None]:
    """A check made of *function*: whatever it raises becomes :class:`CheckFailed` with slot, back end and name."""
    name = function.__name__

    @functools.wraps(function)
    def check(case: C) -> None:
        try:
            function(case)
        except CheckFailed:
            raise
        except BrokenPromise as broken:
            raise CheckFailed(f"{case.slot.name} {case.backend!r} fails {name}: {broken}") from broken.__cause__
        except Exception as error:
            text = f"{case.slot.name} {case.backend!r} fails {name}: it raised {type(error).__name__}: {error}"
            raise CheckFailed(text) from error

    return check


def run_checks(case: C, checks: Sequence[Callable[[C], None]]) -> None:
    """Run every check; raises one CheckFailed with the text of each that failed."""
    failures = []
    for check in checks:
        try:
            check(case)
        except CheckFailed as error:
            failures.append(str(error))
    if failures:
        raise CheckFailed("\n".join(failures))


@promise
def stores_its_arguments(case: BackendCase) -> None:
    """A back end is a frozen dataclass whose constructor only stores its arguments."""
    backend = case.build()
    parameters = getattr(type(backend), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise BrokenPromise(
            f"{type(backend).__name__} is no frozen dataclass", "write @dataclass(frozen=True) above it"
        )
    for name, value in case.config.items():
        stored = getattr(backend, name, None)
        if name != "type" and stored != value:
            what = f"argument {name}: {shown(value)} is stored as {shown(stored)}"
            raise BrokenPromise(what, "store it as it is and compute from it later")


@promise
def takes_plain_arguments(case: BackendCase) -> None:
    """The arguments are plain data: they stand in a model file, and in the key of a run."""
    try:
        again = json.loads(json.dumps(dict(case.config), allow_nan=False))
    except (TypeError, ValueError) as error:
        remedy = "take numbers, texts, lists and mappings, and make objects of them later"
        raise BrokenPromise(f"its arguments are no JSON: {error}", remedy) from error
    if again != dict(case.config):
        what = f"its arguments {shown(dict(case.config))} are {shown(again)} once they were JSON"
        raise BrokenPromise(what, "take lists for tuples and texts for the keys of mappings")
    if case.build() != case.build():
        raise BrokenPromise("two instances with the same arguments are not equal", "let the dataclass compare them")


@promise
def refuses_unknown_arguments(case: BackendCase) -> None:
    """An argument that it does not take is refused when it is built, by name."""
    remedy = "list the arguments by name, without **arguments"
    try:
        case.slot.build({**case.config, _UNKNOWN: 1}, allow_code=True)
    except BackendError as error:
        if _UNKNOWN not in str(error):
            raise BrokenPromise(f"the refusal does not name {_UNKNOWN!r}: {error}", remedy) from error
        return
    raise BrokenPromise(f"it was built with the argument {_UNKNOWN!r}", remedy)


SHARED_CHECKS: tuple[Callable[[Any], None], ...] = (
    stores_its_arguments,
    takes_plain_arguments,
    refuses_unknown_arguments,
)
"""What every back end keeps, whatever its slot."""


@contextlib.contextmanager
def other_global_seed(seed: int) -> Iterator[None]:
    """The global generators of Python and NumPy seeded otherwise within the block, and put back behind it."""
    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


def in_another_process(module: str, function: str, argument: Any) -> str:
    """What ``function(argument)`` of *module* prints in a fresh Python process; *argument* goes there as JSON.

    Raises:
        BrokenPromise: it failed there, with the end of what it wrote.
    """
    program = f"import json, sys; from {module} import {function} as run; run(json.loads(sys.argv[1]))"
    # Another order of sets and the same import path, so that code of a test folder is found too.
    env = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}  # noqa: PTH109
    command = [sys.executable, "-c", program, json.dumps(argument)]
    reply = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if reply.returncode:
        lines = reply.stderr.strip().splitlines() or ["it wrote nothing"]
        raise BrokenPromise(f"in another process it failed: {lines[-1]}", "import and open all that it needs by itself")
    return reply.stdout
