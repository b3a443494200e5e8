"""A model project's own code as part of a model: read from its folder once, kept with the model, loaded from there.

A fitted pipeline may hold classes and functions of the project's ``model.py``. They are imported from bytes that the
model is kept with, never from a path: as modules of a package whose name is the digest of all of them, so that two
versions of a class live side by side in one process, and so that a stored model names the code that it was made by.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

from slipstream.errors import SpecError
from slipstream.store.objects import canonical_json

FILE = "model.py"
FOLDER = "code/"
"""Where the files stand in a bundle."""
MAX_BYTES = 1 << 20
_PREFIX = "slipstream_code_"


@dataclass(frozen=True)
class ProjectCode:
    """The files that a model's own classes and functions are defined in.

    Attributes:
        files: Name -> source, such as ``{"model.py": b"..."}``; they import each other relatively.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Sha256 of all files and their names; "" without any."""
        digests = {name: hashlib.sha256(source).hexdigest() for name, source in self.files.items()}
        return hashlib.sha256(canonical_json(digests)).hexdigest() if digests else ""

    @property
    def package(self) -> str:
        """The name that its modules stand below in ``sys.modules``."""
        return f"{_PREFIX}{self.digest[:32]}"

    @property
    def imports(self) -> tuple[str, ...]:
        """The packages that its files import by name, at their top or within."""
        trees = (ast.parse(source) for source in self.files.values())
        return tuple(sorted({name for tree in trees for name in _absolute(tree)}))

    def defines(self, path: str) -> bool:
        """Whether the class or function at that import path is one of these files'."""
        return bool(self.files) and path.startswith(f"{self.package}.")

    def install(self) -> None:
        """Let its modules be imported, by the names that a stored model has for them."""
        if self.files:
            _FINDER.known[self.package] = self

    def module(self, file: str = FILE) -> ModuleType:
        """The module that *file* is; raises whatever executing it raises."""
        self.install()
        return import_module(f"{self.package}.{file.removesuffix('.py')}")


NO_CODE = ProjectCode()


def read_code(folder: Path, name: str) -> ProjectCode:
    """``model.py`` of *folder* and the files beside it that it imports, as they are now.

    Args:
        folder: The model project.
        name: The model's, for messages.

    Raises:
        SpecError: ``code_not_found`` or ``code_not_loadable``.
    """
    if not (folder / FILE).is_file():
        message = f"{name}/{FILE}: no such file, but train.trainer names a function of it; write it there."
        raise SpecError(message, code="code_not_found")
    files: dict[str, bytes] = {}
    waiting = [FILE]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files[file] = (folder / file).read_bytes()
        if sum(map(len, files.values())) > MAX_BYTES:
            message = f"{name}/{file}: with it the model's code has more than {MAX_BYTES:,} bytes; keep data out of it."
            raise SpecError(message, code="code_not_loadable")
        beside = (f"{module}.py" for module in _relative(_parsed(files[file], f"{name}/{file}")))
        waiting += [other for other in beside if (folder / other).is_file()]
    return ProjectCode(dict(sorted(files.items())))


def code_in(files: Mapping[str, bytes]) -> ProjectCode:
    """The code among the *files* of a bundle."""
    return ProjectCode({name.removeprefix(FOLDER): data for name, data in files.items() if name.startswith(FOLDER)})


def is_code(name: str) -> bool:
    """Whether a bundle may have a file of that name for its code."""
    stem = name.removeprefix(FOLDER).removesuffix(".py")
    return name == f"{FOLDER}{stem}.py" and stem.isidentifier()


def _parsed(source: bytes, place: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SpecError(f"{place}{line}: {text}; mend the file.", code="code_not_loadable") from error


def _relative(tree: ast.Module) -> Iterator[str]:
    """The modules beside it that a file imports: ``from .layers import Scale``, ``from . import layers``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]


def _absolute(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


class _Finder(MetaPathFinder):
    """Finds the modules of code that was installed, and no others."""

    def __init__(self) -> None:
        self.known: dict[str, ProjectCode] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.partition(".")
        code = self.known.get(package)
        if code is None or (module and f"{module}.py" not in code.files):
            return None
        return spec_from_loader(fullname, _Loader(code), is_package=not module)


class _Loader(InspectLoader):
    """Executes a file of the code; its source is there for tracebacks."""

    def __init__(self, code: ProjectCode) -> None:
        self.code = code

    def is_package(self, fullname: str) -> bool:
        return fullname == self.code.package

    def get_source(self, fullname: str) -> str:
        module = fullname.partition(".")[2]
        return self.code.files[f"{module}.py"].decode() if module else ""

    def get_code(self, fullname: str) -> CodeType:
        module = fullname.partition(".")[2]
        return self.source_to_code(self.get_source(fullname), f"<{module or '__init__'}.py of the model>")


_FINDER = _Finder()
sys.meta_path.append(_FINDER)
