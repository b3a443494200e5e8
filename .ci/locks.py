"""Whether the locks still give what pyproject.toml asks for; needs no network. `.ci/lock --check` compiles them anew.

On every supported Python and system each requirement must have one pin that satisfies it, and a package the same
version in all locks; every pin must have a hash, and no lock may name an index. The lock of the peers goes into an
environment of its own: only what requirements-peers.in names must be the same there as in the others.
"""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
EXTRAS: dict[str, tuple[str, ...]] = {
    "requirements.txt": (),
    "requirements-shap.txt": ("shap",),
    "requirements-boosting.txt": ("boosting",),
    "requirements-sql.txt": ("sql",),
    "requirements-dev.txt": ("shap", "boosting", "sql", "dev"),
    "requirements-scale.txt": ("scale",),
}
PEERS = "requirements-peers.txt"
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
# What the resolver once took in a version that cannot be built on a supported Python.
FLOORS = {"numba": Version("0.60"), "llvmlite": Version("0.43")}


def main() -> int:
    """Print what is wrong; the exit code is 1 if anything is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    faults = [fault for name in (*EXTRAS, PEERS) for fault in unsafe(name)]
    for python, (system, machine) in itertools.product(PYTHONS, SYSTEMS):
        here = default_environment() | {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "sys_platform": system,
            "platform_machine": machine,
        }
        seen: dict[str, Version] = {}
        for name, extras in EXTRAS.items():
            lock = pins(name, here)
            found = [*unmet(project, extras, lock, here), *different(seen, lock)]
            seen |= lock
            faults += [f"{name}: {fault} (Python {python}, {system} {machine})" for fault in found]
        found = unlike(seen, pins(PEERS, here), here)
        faults += [f"{PEERS}: {fault} (Python {python}, {system} {machine})" for fault in found]
    sys.stdout.writelines(f"{fault}\n" for fault in faults or ["the locks satisfy pyproject.toml"])
    return int(bool(faults))


def pins(name: str, here: dict[str, str]) -> dict[str, Version]:
    """What a lock installs in an environment."""
    lines = re.findall(r"(?m)^[A-Za-z0-9].*", (ROOT / name).read_text())
    locked = [Requirement(line.removesuffix("\\").strip()) for line in lines]
    return {
        canonicalize_name(pin.name): Version(next(iter(pin.specifier)).version) for pin in locked if wanted(pin, here)
    }


def wanted(requirement: Requirement, here: dict[str, str]) -> bool:
    """Whether the requirement counts in an environment."""
    return requirement.marker is None or requirement.marker.evaluate(here)


def unmet(
    project: dict[str, Any], extras: tuple[str, ...], lock: dict[str, Version], here: dict[str, str]
) -> Iterator[str]:
    """The requirements that the lock does not satisfy."""
    table = project["project"]
    lines = [*table["dependencies"], *project["dependency-groups"]["build"]]
    lines += [line for extra in extras for line in table["optional-dependencies"][extra]]
    for requirement in filter(lambda requirement: wanted(requirement, here), map(Requirement, lines)):
        version = lock.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement} is locked as {version or 'nothing'}"
    for package, floor in FLOORS.items():
        if lock.get(package, floor) < floor:
            yield f"{package} {lock[package]} is too old to be installed"


def different(seen: dict[str, Version], lock: dict[str, Version]) -> Iterator[str]:
    """The packages that have another version than in the locks before: two locks must go into one environment."""
    for package in seen.keys() & lock.keys():
        if seen[package] != lock[package]:
            yield f"{package} {lock[package]} is {seen[package]} in another lock"


def unlike(seen: dict[str, Version], lock: dict[str, Version], here: dict[str, str]) -> Iterator[str]:
    """What requirements-peers.in names and the lock of the peers lacks, or has in another version than ours."""
    lines = re.findall(r"(?m)^[a-z].*", (ROOT / PEERS).with_suffix(".in").read_text())
    for requirement in filter(lambda requirement: wanted(requirement, here), map(Requirement, lines)):
        name = canonicalize_name(requirement.name)
        version = lock.get(name)
        if version is None or not requirement.specifier.contains(version):
            yield f"{requirement} is locked as {version or 'nothing'}"
        elif seen.get(name, version) != version:
            yield f"{name} {version} is {seen[name]} in the others"


def unsafe(name: str) -> Iterator[str]:
    """Pins without a hash, and lines that name an index or a place."""
    text = (ROOT / name).read_text()
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        if block.strip() and "--hash=" not in block:
            yield f"{name}: {block.split()[0]} has no hash"
    yield from (f"{name}: {line}" for line in text.splitlines() if "://" in line or line.startswith("--"))


if __name__ == "__main__":
    sys.exit(main())
