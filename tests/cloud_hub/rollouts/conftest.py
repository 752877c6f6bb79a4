"""Gateways on paper before a real database."""

from pathlib import Path

import pytest

from cloud_hub.database import Database
from tests.fakes.clock import StoppedClock
from tests.fakes.paper_gateways import PaperGateways


@pytest.fixture
def fleet(database: Database, tmp_path: Path, clock: StoppedClock) -> PaperGateways:
    """An empty fleet; each test that asks runs on SQLite and on PostgreSQL."""
    return PaperGateways(database, tmp_path / "blobs", clock)
