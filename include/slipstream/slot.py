"""How a slot is filled: a word of its table, an installed entry point, or code where the installation allows it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from slipstream.errors import BackendError, shown
from slipstream.hints import similar

T = TypeVar("T")


@dataclass(frozen=True)
class Slot(Generic[T]):
    """A place that exactly one of several back ends fills.

    Attributes:
        name: The word for it in model.yaml, in errors and in the entry-point group.
        contract: The protocol that each back end keeps.
        builtin: Word -> ``module:Class``, imported only when chosen.
        extras: Word -> the extra that must be installed first, and the module by which that is seen.
    """

    name: str
    contract: type[T]
    builtin: Mapping[str, str]
    extras: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def build(self, config: Mapping[str, Any], *, allow_code: bool = False) -> T:
        """The back end that ``config["type"]`` names, made with the other keys as arguments.

        ``package.module:Class`` is taken only with *allow_code*, which is the installation's to give.

        Raises:
            BackendError: unknown word, wrong argument or missing extra.
        """
        backend, arguments = self._bound(config, allow_code)
        built: T = backend(**arguments)
        return built

    def _bound(self, config: Mapping[str, Any], allow_code: bool) -> tuple[Any, dict[str, Any]]:
        """The class and the arguments that it takes."""
        word = str(config.get("type", ""))
        arguments = {key: value for key, value in config.items() if key != "type"}
        backend = self._load(word, allow_code)
        try:
            inspect.signature(backend).bind(**arguments)
        except TypeError as error:
            takes = ", ".join(inspect.signature(backend).parameters) or "none"
            message = f"{self.name}: {word!r}: {error}. Its arguments: {takes}."
            raise BackendError(message, code="backend_argument") from error
        return backend, arguments

    def check(self, config: Mapping[str, Any], *, allow_code: bool = False) -> None:
        """Raise what :meth:`build` would, as far as the model file's own check cannot: it imports nothing.

        Raises:
            BackendError: missing extra, or an installed back end that takes other arguments.
        """
        word = str(config.get("type", ""))
        if word in self.builtin:
            self._check_extra(word)
        else:
            self._bound(config, allow_code)

    def known(self) -> list[str]:
        """All words that :meth:`build` takes here, built-in and installed."""
        return sorted({*self.builtin, *(point.name for point in entry_points(group=f"slipstream.{self.name}"))})

    def _check_extra(self, word: str) -> None:
        extra, needs = self.extras.get(word, ("", ""))
        if needs and find_spec(needs) is None:
            hint = f"pip install --require-hashes -r requirements-{extra}.txt"
            message = f"{self.name} {word!r} needs {needs!r}, which is not installed; {hint}."
            raise BackendError(message, code="missing_extra")

    def _load(self, word: str, allow_code: bool) -> Any:
        self._check_extra(word)
        path = self.builtin.get(word)
        if path is None:
            path = next((p.value for p in entry_points(group=f"slipstream.{self.name}", name=word)), None)
        if path is None and ":" in word:
            path = self._own_code(word, allow_code)
        if path is None:
            raise self._unknown(word)
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise BackendError(f"{self.name} {word!r}: {path} cannot be imported: {error}.") from error

    def _own_code(self, word: str, allow_code: bool) -> str:
        if allow_code:
            return word
        raise BackendError(
            f"{self.name}: {shown(word)} names code, which is not allowed here; set SLIPSTREAM_ALLOW_CODE=1 "
            f"if you trust every author of model files, or install it as an entry point of 'slipstream.{self.name}'.",
            code="backend_code_forbidden",
        )

    def _unknown(self, word: str) -> BackendError:
        known = self.known()
        near = similar(word, known)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return BackendError(f"No {self.name} is called {shown(word)}. Known: {', '.join(known)}.{hint}")
