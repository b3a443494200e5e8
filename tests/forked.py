"""Processes that tests start and kill: forked from one that has imported what all of them need.

There is one such process for each of pytest, and whoever starts it first says what it imports: so all say the same.
"""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
# What the stages import inside their functions would take each process two seconds.
FORKED.set_forkserver_preload(
    [
        *(f"slipstream.stages.{stage}" for stage in ("ingest", "validate", "train", "evaluate", "explain", "package")),
        *(f"slipstream.stages.{stage}" for stage in ("gate", "deploy", "monitor", "decide", "join", "score")),
        *("cryptography.hazmat.primitives.asymmetric.ed25519", "deltalake", "duckdb", "great_expectations", "jinja2"),
        *("msgspec", "pyarrow.parquet", "skops.io", "sklearn.compose", "sklearn.linear_model", "yaml"),
        *("slipstream.bundle.skops_file", "slipstream.compiler.shapley", "slipstream.explainers.permutation"),
        *("slipstream.packaging.bento", "slipstream.packaging.model_card", "slipstream.reports.card"),
        *("slipstream.serving.bento_service", "slipstream.sources.files", "slipstream.spec.loader"),
        *("slipstream.targets.local", "slipstream.trainers.date_parts", "slipstream.trainers.sklearn"),
    ]
)
