"""The demo's progress: one line per step with the seconds since the start, readable with and without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.status import Status


class Screen:
    """Writes steps as they end; on a terminal also what is being done now."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self._begin = time.monotonic()
        self._status: Status | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.console.print(f"\n[bold]{title}[/bold]")

    def step(self, what: str, text: str, *, reused: bool = False) -> None:
        """A step has ended: *what* it was, and in *text* what it brought."""
        mark = "[yellow]=[/yellow]" if reused else "[green]+[/green]"
        self.console.print(f"{self.seconds:6.1f} s {mark} {what:<22} {text}", soft_wrap=True)

    def note(self, text: str) -> None:
        """More about the last step."""
        self.console.print(f"{'':11}{'':23}[dim]{text}[/dim]", soft_wrap=True)

    def failed(self, text: str) -> None:
        """The story ends badly: *text* says why, as it is."""
        self.console.print(f"{self.seconds:6.1f} s [red]x failed[/red]")
        self.console.print(text, markup=False)

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Show what is being done, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(text) as self._status:
            yield
        self._status = None

    def now(self, text: str) -> None:
        """Change what is shown as being done."""
        if self._status is not None:
            self._status.update(text)
