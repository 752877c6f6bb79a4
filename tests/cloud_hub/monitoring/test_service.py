"""Series are what a chart draws: aligned, bounded, and of the asked-for minutes."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.database import Database
from cloud_hub.monitoring import api, store
from cloud_hub.monitoring.evidence import Counted, Evidence
from cloud_hub.monitoring.labels import LabelService
from cloud_hub.monitoring.service import MonitoringService
from cloud_hub.monitoring.store import Arrived
from cloud_hub.monitoring.views import EvidenceView
from tests.fakes.clock import StoppedClock
from tests.fakes.lake import NOW, window


@pytest.fixture
def monitoring(database: Database, clock: StoppedClock) -> MonitoringService:
    """Two versions on two devices: version 1 until a minute ago, version 2 on one of them since."""
    clock.now = NOW
    windows = [
        *(("gateway-1", at, 1 if at > 6 else 2) for at in range(1, 13)),
        *(("gateway-2", at, 1) for at in range(1, 13)),
    ]
    with database.session() as session:
        store.insert(
            session,
            [
                Arrived(device, "b0", NOW, window(at, started_at=NOW - timedelta(seconds=10 * at), version=version))
                for device, at, version in windows
            ],
        )
    return MonitoringService(database, clock)


def test_every_version_has_a_value_for_every_time(monitoring: MonitoringService) -> None:
    series = monitoring.series("digits", minutes=5)
    assert series.bucket_seconds == 10
    assert series.times[0] == int((NOW - timedelta(minutes=5)).timestamp())
    assert [one.version for one in series.versions] == [1, 2]
    for one in series.versions:
        for values in (one.records, one.errors, one.records_per_second, one.error_share, one.latency_p95_us):
            assert len(values) == len(series.times)
        assert all(len(counts) == len(series.times) for counts in one.predictions.values())


def test_numbers_are_those_of_their_time(monitoring: MonitoringService) -> None:
    series = monitoring.series("digits", minutes=5)
    old, new = series.versions
    at = series.times.index(int((NOW - timedelta(seconds=10)).timestamp()))
    assert (old.records[at], new.records[at]) == (10, 10)
    assert new.records_per_second[at] == 1.0
    assert new.error_share[at] == pytest.approx(1 / 11)
    assert new.latency_p50_us[at] == pytest.approx(54, rel=0.03)
    assert new.predictions["3"][at] == 7
    assert sum(old.records) == 180
    assert sum(new.records) == 60


def test_where_nothing_came_there_is_nothing_to_say(monitoring: MonitoringService) -> None:
    first = monitoring.series("digits", minutes=5).versions[0]
    assert (first.records[0], first.error_share[0], first.latency_p95_us[0]) == (0, None, None)


def test_one_device_can_be_looked_at_alone(monitoring: MonitoringService) -> None:
    series = monitoring.series("digits", device="gateway-2", minutes=5)
    assert [(one.version, sum(one.records)) for one in series.versions] == [(1, 120)]


def test_long_times_come_in_wider_buckets(monitoring: MonitoringService) -> None:
    series = monitoring.series("digits", minutes=48 * 60)
    assert len(series.times) <= 125
    assert series.bucket_seconds % store.SLICE_SECONDS == 0
    assert sum(sum(one.records) for one in series.versions) == 240


def test_a_model_that_nobody_runs_has_an_empty_series(monitoring: MonitoringService) -> None:
    assert monitoring.series("faces").versions == []


def test_evidence_of_a_version_and_of_its_control(monitoring: MonitoringService) -> None:
    since = NOW - timedelta(minutes=1)
    assert EvidenceView.of(monitoring.evidence("digits", since, version=2)).model_dump() == {
        "devices": 1,
        "records": 60,
        "errors": 6,
        "error_share": pytest.approx(6 / 66),
        "latency_p50_us": pytest.approx(54, rel=0.03),
        "latency_p95_us": pytest.approx(121, rel=0.03),
        "predictions": {"3": 42, "8": 18},
        "compared": 0,
        "agreement": None,
        "labelled": 0,
        "accuracy": None,
    }
    assert monitoring.evidence("digits", since, not_version=2).devices == 1


def test_evidence_of_nothing_is_shown_as_nothing() -> None:
    view = EvidenceView.of(Evidence().plus([Counted("gateway-1", "sha256:a", 0, 0, {}, {}, (), {})]))
    assert (view.devices, view.error_share, view.latency_p50_us) == (1, None, None)


class TestOverHttp:
    @pytest.fixture
    def client(self, monitoring: MonitoringService, database: Database, clock: StoppedClock) -> TestClient:
        app = FastAPI()
        problems.install(app)
        app.include_router(api.router(monitoring, LabelService(database, clock)), prefix="/api/v1")
        return TestClient(app)

    def test_a_series_is_answered(self, client: TestClient) -> None:
        answer = client.get("/api/v1/monitoring/series", params={"model": "digits", "minutes": 5}).json()
        assert (answer["model"], answer["device"], len(answer["versions"])) == ("digits", None, 2)

    @pytest.mark.parametrize("minutes", ["0", "2881", "soon"])
    def test_minutes_out_of_range_are_refused(self, client: TestClient, minutes: str) -> None:
        answer = client.get("/api/v1/monitoring/series", params={"model": "digits", "minutes": minutes})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
