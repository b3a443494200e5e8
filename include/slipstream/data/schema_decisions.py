"""What people have accepted of the columns of a model's data: events of the ledger, folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from slipstream.data.casts import WIDER
from slipstream.data.schema_check import Columns, SchemaChange
from slipstream.store.payloads import SchemaAccepted
from slipstream.store.state import Event, ModelState

ACCEPTED = "schema.accepted"


@dataclass(frozen=True)
class Renaming:
    """A column that is called otherwise from some acceptance on.

    Attributes:
        event: Id of that acceptance.
        dataset: The dataset version whose column it was.
        old: What it was called.
        new: What it is called.
        delivered: Whether what is delivered calls it so, and not features.py alone.
    """

    event: str
    dataset: str
    old: str
    new: str
    delivered: bool


@dataclass(frozen=True)
class SchemaDecisions:
    """The acceptances of a model, in order.

    Attributes:
        events: Their ids.
        added: Column -> the type with which it may come.
        removed: Columns that may stay away.
        renamed: The renamings.
        types: Column -> the type of which it is from its acceptance on, for the rows that were there too.
    """

    events: tuple[str, ...] = ()
    added: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    renamed: tuple[Renaming, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)

    @property
    def latest(self) -> str:
        """Id of the newest acceptance; "" for none."""
        return self.events[-1] if self.events else ""

    def open(self, changes: Iterable[SchemaChange], *, anew: bool = False) -> tuple[SchemaChange, ...]:
        """Those of *changes* that nobody has accepted; *anew*: of a batch whose types were settled long ago."""
        return tuple(change for change in changes if not self._allows(change, anew))

    def renames_of(self, table: Columns) -> dict[str, str]:
        """Old name -> new name of the columns of a *table* that are yet called as they were."""
        names = {name: name for name, _ in table}
        for one in self.renamed:
            taken = set(names.values())
            if one.old in taken and one.new not in taken:
                names = {name: one.new if now == one.old else now for name, now in names.items()}
        return {name: now for name, now in names.items() if name != now}

    def delivered_renames(self, batch_decisions: str) -> tuple[tuple[str, str], ...]:
        """``(old, new)`` of what was renamed after a batch was read, whose newest decision was *batch_decisions*."""
        known = self.events.index(batch_decisions) + 1 if batch_decisions in self.events else 0
        later = set(self.events[known:])
        return tuple((one.old, one.new) for one in self.renamed if one.delivered and one.event in later)

    def _allows(self, change: SchemaChange, anew: bool) -> bool:
        match change.kind:
            case "added":
                accepted = self.added.get(change.column)
                return accepted is not None and (anew or accepted == change.now or (accepted, change.now) in WIDER)
            case "removed":
                return change.column in self.removed
            case "renamed":
                # Names are alike, and a person has accepted that the columns are not.
                return change.column in self.removed and change.now in self.added
        return False


def decisions_of(model: ModelState, until: str | None = None) -> SchemaDecisions:
    """What was accepted so far; with *until* up to the acceptance of that id, "" for nothing at all."""
    decisions = SchemaDecisions()
    for event in model.on(ACCEPTED) if until != "" else ():
        decisions = _with(decisions, event)
        if event.id == until:
            break
    return decisions


def _with(before: SchemaDecisions, event: Event) -> SchemaDecisions:
    added, removed, types, renamed = dict(before.added), set(before.removed), dict(before.types), list(before.renamed)
    content = event.content_as(SchemaAccepted)
    for change in content.changes:
        # Until rows follow, a later decision on a column takes the place of an earlier one.
        renamed = [one for one in renamed if one.dataset != content.dataset or change.column not in {one.old, one.new}]
        removed.discard(change.column)
        added.pop(change.column, None)
        match change.kind:
            case "added":
                added[change.column] = change.now
            case "removed":
                removed.add(change.column)
            case "retyped":
                types[change.column] = change.now
            case "renamed":
                removed.discard(change.now)
                added.pop(change.now, None)
                renamed.append(Renaming(event.id, content.dataset, change.column, change.now, change.delivered))
                if change.column in types:
                    types[change.now] = types.pop(change.column)
    return SchemaDecisions((*before.events, event.id), added, frozenset(removed), tuple(renamed), types)


def under_new_names(columns: Columns, renames: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The *columns* as they are called now."""
    return tuple((renames.get(name, name), kind) for name, kind in columns)


def renamed_in(names: Sequence[str], renames: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Delivered name -> name after the *renames*, one after the other; a name that is there already stays its own."""
    now = {name: name for name in names}
    for old, new in renames:
        if old in now.values() and new not in now.values():
            now = {name: new if called == old else called for name, called in now.items()}
    return {name: called for name, called in now.items() if name != called}
