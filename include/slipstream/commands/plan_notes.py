"""What the newest dataset version and the installation say against a model file that is right for itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from slipstream.data.column_uses import model_file_places
from slipstream.data.schema_pending import undecided
from slipstream.duck import duck, quoted
from slipstream.errors import SlipstreamError
from slipstream.hints import did_you_mean
from slipstream.slot import Slot
from slipstream.slots import EXPLAINER, SOURCE, TARGET, TRACKER, TRAINER, Coded
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import load_function
from slipstream.store import Store
from slipstream.store.datasets import Dataset, load_dataset, read_dataset


def check_installed(spec: ModelSpec) -> None:
    """Prove that what the model file names can be used here.

    Raises:
        BackendError: the extra of a back end is missing, or an installed one takes other arguments.
        SpecError: features.py, model.py or a function of it is not there, or cannot be loaded.
    """
    sources = [spec.data.source, *(join.source for join in spec.data.join.values())]
    functions = [source.get("function") for source in sources if source["type"] == "python"]
    for name in filter(None, (*functions, spec.data.features)):
        load_function(spec, name)
    chosen: list[tuple[Slot[Any], dict[str, Any]]] = [
        *((SOURCE, source) for source in sources),
        (TRAINER, spec.train.trainer),
        (EXPLAINER, spec.explain),
        (TARGET, spec.deploy.target),
        *((TRACKER, config) for config in spec.trackers),
    ]
    for slot, config in chosen:
        slot.check(config, allow_code=spec.allow_code)
    trainer = TRAINER.build(spec.train.trainer, allow_code=spec.allow_code)
    if isinstance(trainer, Coded):
        trainer.check(spec)


def notes(spec: ModelSpec, store: Store) -> Iterator[str]:
    """What would fail on the newest dataset version as it is."""
    state = store.ledger.state()
    newest = state.model(spec.name).dataset
    if newest is None:
        return
    dataset = load_dataset(store.objects, state, spec.name, newest)
    columns = [name for name, _ in dataset.columns]
    for place, name in model_file_places(spec):
        if name not in columns:
            hint = did_you_mean(name, columns, "it has", len(columns))
            yield f"{place} names column '{name}', which dataset version {newest[:12]} does not have; {hint}"
    if spec.contract.on_schema_change == "fail" and (changes := undecided(spec, store)):
        yield (
            f"a batch waits for a decision on its columns ({'; '.join(change.sentence for change in changes)}): "
            f"slipstream schema diff {spec.name}"
        )
    if spec.task == "binary" and spec.target in columns:
        yield from _labels(spec, store, dataset)


def _labels(spec: ModelSpec, store: Store, dataset: Dataset) -> Iterator[str]:
    """What training would say of the two labels, as far as the newest file tells."""
    from slipstream.training.labels import classes_of

    with duck() as connection:
        rows = read_dataset(store.tables, dataclasses.replace(dataset, files=dataset.files[-1:]), connection)
        target = quoted(spec.target)
        labels = rows.filter(f"{target} IS NOT NULL").project(target).distinct().limit(3).df()[spec.target]
    if len(labels) != 2:
        return
    try:
        classes_of(spec, labels)
    except SlipstreamError as error:
        yield str(error)
