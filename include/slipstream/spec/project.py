"""A model project's own Python: the functions of its features.py, loaded by path and never through ``sys.path``."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from slipstream.errors import SlipstreamError, SpecError
from slipstream.hints import did_you_mean
from slipstream.spec.model import ModelSpec

FILE = "features.py"

_loading = threading.Lock()


def load_function(spec: ModelSpec, name: str) -> Callable[..., Any]:
    """The function called *name* of the model's features.py.

    The file stands alone: it may import what is installed, but no file beside it, so that its digest says all about it.

    Raises:
        SpecError: ``features_not_found``, ``features_not_loadable`` or ``features_function_unknown``.
    """
    module = _module(spec)
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    own = [word for word, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    hint = did_you_mean(name, own, "it has")
    raise SpecError(f"{_place(spec)}: no function {name!r}; {hint}", code="features_function_unknown")


def features_digest(spec: ModelSpec) -> str:
    """The sha256 of features.py, for the key of whatever runs it; ``""`` if the model has none."""
    file = spec.folder / FILE
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _module(spec: ModelSpec) -> ModuleType:
    """features.py as a module; its name in ``sys.modules`` tells place and content: a moved or edited file is new."""
    file = spec.folder / FILE
    if not file.is_file():
        message = f"{_place(spec)}: no such file, but model.yaml names a function of it; write it there."
        raise SpecError(message, code="features_not_found")
    place = hashlib.sha256(str(file).encode()).hexdigest()
    name = f"slipstream_project_{spec.name}_{place[:8]}_{features_digest(spec)[:16]}"
    with _loading:
        return sys.modules.get(name) or _executed(spec, file, name)


class _SourceLoader(SourceFileLoader):
    """Compiles what the file says now: Python's bytecode cache takes two edits within a second for one."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _executed(spec: ModelSpec, file: Path, name: str) -> ModuleType:
    loader = _SourceLoader(name, str(file))
    module_spec = ModuleSpec(name, loader, origin=str(file))
    module_spec.has_location = True  # or the module would not know its __file__
    module = module_from_spec(module_spec)
    sys.modules[name] = module  # dataclasses and typing look their module up while it is executed
    try:
        loader.exec_module(module)
    except SlipstreamError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        message = f"{_place(spec)}: {type(error).__name__}: {error}; mend the file."
        raise SpecError(message, code="features_not_loadable") from error
    return module


def _place(spec: ModelSpec) -> str:
    return f"{spec.name}/{FILE}"
