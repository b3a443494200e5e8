"""The whole loop on real flights, driven through Airflow's REST API: `make demo`.

January to March arrive and a first champion is trained and deployed. Then, with a client that asks without a pause:
flights of later months are predicted, what became of them is told as labels, the month arrives, and monitoring decides
whether to retrain; Airflow retrains by itself, the challenger takes over step by step or is refused. Each decision is
printed with its sentence. What an earlier demo has done is read from the ledger and not done again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from closing import summary
from screen import Screen
from slipstream.errors import SlipstreamError
from slipstream_stack.settings import Layout
from slipstream_stack.status import running_stack
from story import Story, Trouble

FIRST = ("2013-01", "2013-02", "2013-03")
LATER = ("2013-04", "2013-05", "2013-06", "2013-07", "2013-08", "2013-09")


def main() -> int:
    """Tell the story; returns the exit code."""
    layout = Layout.from_environment(os.environ, Path(__file__).resolve().parents[1])
    running = running_stack(layout)
    if running is None:
        print("Slipstream does not run: make demo starts it, or make up.", file=sys.stderr)
        return 1
    screen = Screen()
    story = Story(layout, running.ports, screen)
    try:
        tell(story)
    except Trouble as trouble:
        screen.failed(str(trouble))
        return 1
    except SlipstreamError as error:
        screen.failed(f"[{error.code}] {error}")
        return 1
    finally:
        story.close()
    summary(story, layout, running.ports)
    return 0


def tell(story: Story) -> None:
    """The story in order."""
    story.open()
    story.chapter("January to March arrive, and a first champion")
    for month in FIRST:
        story.month(month)
    story.first_champion()
    story.chapter("Later months arrive, and the champion is watched")
    for month in LATER:
        if story.asked and story.state.watermark < month:
            break
        story.watched_month(month)
    story.chapter("Champion and challenger")
    story.retrain()
    story.outcome()
    story.chapter("The next month, and who was in production when")
    story.another_month()
    story.terms()
    story.still_asked()


if __name__ == "__main__":
    sys.exit(main())
