"""Makes a Bento of a bundle: everything that serves it alone, by ``bentoml serve`` or in a container."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slipstream.bundle.bundle import Bundle
from slipstream.compiler.program import PLAN
from slipstream.errors import StageError
from slipstream.runs import library_versions

SERVICE = "slipstream.serving.bento_service:ModelService"
_NEEDS = (
    "bentoml",
    "cryptography",
    "deltalake",
    "duckdb",
    "jinja2",
    "msgspec",
    "numpy",
    "onnxruntime",
    "pandas",
    "prometheus-client",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "scikit-learn",
    "skops",
)
"""What the service imports, pinned in the Bento to what is installed here."""


def build_bento(bundle: Bundle, home: Path, labels: Mapping[str, str]) -> str:
    """Build the Bento of *bundle* below BentoML's *home*, unless it is there; returns its tag.

    Raises:
        StageError: ``bento_not_built`` with what BentoML said.
    """
    name = bento_name(bundle.model)
    tag = f"{name}:{bundle.digest[:12]}"
    if (home / "bentos" / name / bundle.digest[:12] / "bento.yaml").exists():
        return tag
    with tempfile.TemporaryDirectory() as folder, _environment(home), _build_errors(bundle.model):
        _lay_out(bundle, Path(folder))
        _build(Path(folder), home, bundle, labels)
    return tag


def bento_name(model: str) -> str:
    """The model's name as BentoML takes it."""
    return re.sub(r"[^a-z0-9_.-]", "-", model.lower())


def _lay_out(bundle: Bundle, folder: Path) -> None:
    """Put the bundle and the source of this package into the build folder."""
    import slipstream

    package = Path(slipstream.__file__).parent
    # Unlike the store's files these need not outlast a power cut: BentoML copies them, and they are removed.
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / "slipstream", ignore=ignore, copy_function=shutil.copyfile)
    bundle.write(folder / "bundle")


def _build(folder: Path, home: Path, bundle: Bundle, labels: Mapping[str, str]) -> None:
    import bentoml
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer

    # BentoML looks at BENTOML_HOME once in a process; these say where this Bento goes.
    for place in ("bentos", "tmp"):
        (home / place).mkdir(parents=True, exist_ok=True)
    # A folder of its own, because BentoML leaves there what it has built in.
    with tempfile.TemporaryDirectory(dir=home / "tmp") as scratch:
        BentoMLContainer.tmp_bento_store_dir.set(scratch)
        bentoml.build(
            SERVICE,
            name=bento_name(bundle.model),
            version=bundle.digest[:12],
            labels=dict(labels),
            include=["slipstream/**", "bundle/**"],
            build_ctx=str(folder),
            python={
                "packages": [f"{package}=={version(package)}" for package in _needs(bundle)],
                "lock_packages": False,
            },
            _bento_store=BentoStore(str(home / "bentos")),
        )


def _needs(bundle: Bundle) -> list[str]:
    """What the service imports: of a model that is not compiled also the libraries that it alone was made with."""
    if PLAN in bundle.files:
        return list(_NEEDS)
    lineage = bundle.json("lineage.json")
    own = sorted(set(lineage["libraries"]) - set(library_versions()))
    answers = str(lineage.get("imported", {}).get("library", "")).partition(" ")[0]
    return list(dict.fromkeys((*_NEEDS, *own, *filter(None, [answers]))))


@contextmanager
def _build_errors(model: str) -> Iterator[None]:
    """What BentoML raises, as a StageError."""
    from bentoml.exceptions import BentoMLException

    try:
        yield
    except (BentoMLException, OSError) as error:
        raise StageError(f"{model}: the Bento cannot be built: {error}.", code="bento_not_built") from error


@contextmanager
def _environment(home: Path) -> Iterator[None]:
    """What BentoML reads from the environment while it builds: its home, no tracking, and `uv` beside this Python."""
    wanted: dict[str, Any] = {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    before = {key: os.environ.get(key) for key in wanted}
    level = logging.getLogger("bentoml").level
    os.environ.update(wanted)
    logging.getLogger("bentoml").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # BentoML 1.4.39 uses what its libraries have deprecated; nobody here can mend that.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.getLogger("bentoml").setLevel(level)
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
