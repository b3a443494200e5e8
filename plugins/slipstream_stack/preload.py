"""The first module that the fork server imports: it prepares the process for the others (see stack_settings.PRELOADED).

Libraries that would fill a task's log say warnings only; ``[logging] namespace_levels`` is for Airflow's own loggers,
these use Python's (Great Expectations alone writes 209 lines when it is imported). And the garbage collector looks less
often at objects that stay: an eighth of the time of all imports (measured, CPU).
"""

from __future__ import annotations

import gc
import logging

THRESHOLDS = (50_000, 20, 50)

gc.set_threshold(*THRESHOLDS)
for _name in ("great_expectations", "evidently", "matplotlib", "shap"):
    logging.getLogger(_name).setLevel(logging.WARNING)
