"""Proves a version in this process: its bundle opens, loads and answers its golden rows. Needs no server."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.errors import DeployError, SlipstreamError
from slipstream.slots import Rollout


@dataclass(frozen=True)
class LocalTarget:
    """For models whose versions are fetched and run elsewhere, and for tests."""

    def roll_out(self, rollout: Rollout) -> None:
        """Open the bundle, load it and answer its golden rows; raises DeployError with the reason if that fails."""
        from slipstream.bundle.bundle import open_bundle
        from slipstream.bundle.scorer import load_scorer
        from slipstream.store import Store

        try:
            bundle = open_bundle(Store.open(rollout.store), rollout.bundle)
            load_scorer(bundle).check_golden()
        except SlipstreamError as error:
            message = f"{rollout.model}/{rollout.version}: cannot serve: {error}"
            raise DeployError(message, code=error.code) from error
