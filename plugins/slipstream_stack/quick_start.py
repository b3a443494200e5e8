"""``airflow`` with a lazier garbage collector: ``python -m slipstream_stack.quick_start scheduler ...``.

A component makes some hundred thousand objects while it starts, nearly all of which stay. Python's collector looks at
them again and again: a fifth of the start-up of the api-server (measured, CPU). With higher thresholds it still runs,
only less often.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run Airflow's command line."""
    gc.set_threshold(50_000, 20, 50)
    from airflow.__main__ import main as airflow

    sys.argv[0] = "airflow"
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
