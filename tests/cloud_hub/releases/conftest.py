"""A release service over a real database and a real blob store, with an admission that believes what it is told."""

from pathlib import Path

import pytest

from cloud_hub.database import Database
from tests.fakes.clock import StoppedClock
from tests.fakes.paper_gateways import PaperGateways


@pytest.fixture
def fleet(database: Database, tmp_path: Path, clock: StoppedClock) -> PaperGateways:
    """Each test that asks runs on SQLite and on PostgreSQL."""
    return PaperGateways(database, tmp_path / "blobs", clock)
