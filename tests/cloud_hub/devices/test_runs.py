"""The history of what devices ran: what a report adds to it, and that it is the reports' own story."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlmodel import col

from cloud_hub.database import Database
from cloud_hub.devices import store
from cloud_hub.devices.reports import take
from cloud_hub.devices.runs import Run, runs_of
from cloud_hub.devices.tables import Device, DeviceRun
from fleet_contract.because import Because
from fleet_contract.report import ModelReport, Phase, Release, Report
from tests.fakes.reports import report

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def model(version: int | None, wanted: int | None = None, *, name: str = "digits", since: datetime = AT) -> ModelReport:
    running = None if version is None else Release(version, f"sha256:{version}")
    want = running if wanted is None else Release(wanted, f"sha256:{wanted}")
    return ModelReport(name, Phase.SETTLED, Because("c", "s"), since, want, running, rollout=f"r{wanted or version}")


def said(*models: ModelReport) -> Report:
    return report(models=models)


def test_the_same_again_adds_nothing() -> None:
    running = {("digits", "default"): (1, "sha256:1")}
    assert runs_of(running, said(model(1)), AT, AT + HOUR) == []


def test_a_version_that_a_device_went_back_to_was_put_there_by_no_rollout_now() -> None:
    running = {("digits", "default"): (2, "sha256:2")}
    (run,) = runs_of(running, said(model(1, wanted=2)), AT, AT + HOUR)
    assert (run.version, run.rollout) == (1, None)


def test_a_switch_is_dated_as_the_device_says_within_what_can_be() -> None:
    def since(told: datetime) -> datetime:
        return runs_of({}, said(model(1, since=told)), AT, AT + HOUR)[0].since

    assert since(AT + HOUR / 2) == AT + HOUR / 2
    assert since(datetime(1970, 1, 1, tzinfo=UTC)) == AT
    assert since(AT + 9 * HOUR) == AT + HOUR
    assert runs_of({}, said(model(1)), None, AT + HOUR)[0].since == AT + HOUR


def test_what_is_no_longer_there_ends() -> None:
    running = {("digits", "default"): (1, "sha256:1")}
    assert runs_of(running, said(), AT, AT + HOUR) == [Run("digits", "default", None, "", None, AT + HOUR)]


steps = st.lists(
    st.dictionaries(st.sampled_from(["digits", "sound"]), st.integers(1, 3), max_size=2), min_size=1, max_size=8
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(1, 4))
def test_at_any_time_a_device_ran_what_it_had_last_said(
    database: Database, told: list[dict[str, int]], batch: int
) -> None:
    with database.session() as session:
        session.execute(delete(Device))
        session.add(Device(id="gw-1", fleet="default", target="t", key="k", joined_at=AT))
        session.flush()
        reports = [
            report(
                number=number,
                models=tuple(model(of, name=name, since=AT + 99 * HOUR) for name, of in sorted(running.items())),
            )
            for number, running in enumerate(told, 1)
        ]
        for start in range(0, len(reports), batch):
            take(session, reports[start : start + batch], AT + (start + 1) * HOUR)
        for start in range(0, len(reports), batch):
            last = told[min(start + batch, len(told)) - 1]
            found = store.runs_at(session, "gw-1", AT + (start + 1.5) * HOUR, None)
            assert {one.model: one.version for one in found} == last
        open_ones = session.execute(select(col(DeviceRun.model)).where(col(DeviceRun.until).is_(None))).scalars()
        assert sorted(open_ones) == sorted(told[-1])
