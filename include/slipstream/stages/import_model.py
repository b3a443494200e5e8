"""Import: makes a candidate of a model that was fitted elsewhere; the same file on the same data gives the same one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.data.derived import refuse_otherwise
from slipstream.runs import Stage, library_versions, once, run_key, versions_of
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.training.candidate import Trained, Training, as_trained
from slipstream.training.labels import classes_of
from slipstream.training.split import Split, split

if TYPE_CHECKING:
    from slipstream.importing.fit import FittedImport
    from slipstream.importing.model_file import ModelFile
    from slipstream.importing.opened import OpenedModel

STAGE = Stage("import", version=1)
READS = (
    *("task", "target", "positive", "inputs", "data.time", "data.key"),
    *("train.window", "train.holdout", "train.gap", "train.group", "train.seed"),
)
ROWS = 2000
"""So many evenly spaced rows are answered before it is taken."""
FITTED_ELSEWHERE = (
    "It was fitted elsewhere: rows that are held out here may be among those that it was fitted on, which flatters it."
)

_log = logging.getLogger("slipstream")


def import_model(
    spec: ModelSpec, store: Store, path: Path, dataset: str, *, actor: str = "", reason: str = ""
) -> Trained:
    """Make a candidate of the model at *path*; it is evaluated, packaged and deployed like a trained one.

    Args:
        spec: The model; its trainer is not looked at.
        store: The store.
        path: A file of skops, ONNX, LightGBM, XGBoost or CatBoost, or a folder that MLflow wrote.
        dataset: The dataset version whose held-out rows it is judged on.
        actor: Who asked for it.
        reason: Why, in one sentence; kept with the run.

    Raises:
        NotFound: ``dataset_not_found``.
        StageError: ``import_not_found``, ``import_inputs_differ``, ``import_words_unknown``, ``import_labels_differ``,
            ``import_task_mismatch``, ``import_not_answering``, ``rebuild_needed``.
        BundleError: ``import_pickle_refused``, ``import_format_unknown``, ``import_damaged``, ``import_unsuitable``,
            ``import_operator_unknown``, ``import_external_data``, ``import_too_large``, ``mlflow_unusable``,
            ``model_type_untrusted``, ``model_version_mismatch``, ``model_format_forbidden``.
        BackendError: ``missing_extra``.
        DataError: as :func:`slipstream.stages.train.train`.
    """
    from slipstream.importing.model_file import read_model

    file = read_model(path)
    opened = file.opened()
    doubt = refuse_otherwise(spec, store, dataset)
    made_of = {"file": file.sha256, "signature": file.names, "libraries": versions_of({opened.library})}
    key = run_key(STAGE, spec.part(*READS), {"dataset": dataset} | made_of)
    return once(
        STAGE,
        spec,
        store,
        key,
        lambda run: _import(spec, store, dataset, run, (file, opened), doubt),
        result=Trained,
        actor=actor,
        record=lambda _, __: {"reason": reason, "evidence": {"file": file.name, "sha256": file.sha256}},
    )


def _import(
    spec: ModelSpec, store: Store, dataset: str, run: str, source: tuple[ModelFile, OpenedModel], doubt: str
) -> Trained:
    from slipstream.bundle import skops_file
    from slipstream.importing.fit import DataSample, fit_to_spec

    file, opened = source
    cut = split(spec, store, dataset)
    target = cut.frame("train")[spec.target]
    sample = DataSample(cut.sample("train", ROWS), classes_of(spec, target))
    _log.info("%s: %s holds %s", spec.name, file.name, opened.estimator)
    fitted = fit_to_spec(spec, file.name, opened, file.names, sample)
    model = store.objects.put(skops_file.dump(fitted.estimator))
    for content in filter(None, (file.content, file.described)):
        store.objects.put(content)
    training = _record(spec, cut, (file, opened), fitted, doubt)
    _log.info("%s: imported candidate %s", spec.name, run)
    return as_trained(spec, store, (run, model, dataset), training)


def _record(
    spec: ModelSpec, cut: Split, source: tuple[ModelFile, OpenedModel], fitted: FittedImport, doubt: str
) -> Training:
    file, opened = source
    sentence, warnings = cut.description(spec.data.key)
    libraries = versions_of({opened.library})
    trainer: dict[str, Any] = {"type": "import", "estimator": opened.estimator}
    return Training(
        task=spec.task,
        target=spec.target,
        inputs=cut.inputs,
        classes=fitted.classes,
        positive=fitted.classes[1] if spec.task == "binary" else None,
        boundaries=cut.boundaries,
        counts=cut.counts(),
        trainer=trainer,
        seed=spec.seed,
        threads=1,
        libraries=library_versions() | libraries,
        split=sentence,
        warnings=(FITTED_ELSEWHERE, *fitted.notes, *warnings, *filter(None, [doubt])),
        imported={
            "format": opened.format,
            "sha256": file.sha256,
            "library": ", ".join(f"{name} {version}" for name, version in libraries.items()),
        },
    )
