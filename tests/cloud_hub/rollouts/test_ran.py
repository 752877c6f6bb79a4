"""What ran on a device at some time, put there by whom and on what evidence: answered from what devices reported."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, event, select
from sqlmodel import Session, col

from cloud_hub.database import Database
from cloud_hub.devices import store as devices
from cloud_hub.devices.tables import Device, DeviceRun
from cloud_hub.errors import NotFound
from cloud_hub.rollouts.origin import Origin
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.report import Phase, Release
from tests.fakes.paper_gateways import PaperGateways


def roll_out(fleet: PaperGateways, version: int, by: str, **policy: object) -> str:
    asked = Policy.model_validate({"waves": [{"devices": 1}, {"percent": 100}], "rate": None, **policy})
    return fleet.rollouts.create(RolloutIn(model="digits", version=version, policy=asked), Origin(by)).id


def ran(fleet: PaperGateways, device: str, at: datetime | None = None) -> list[tuple[int, str | None, str | None]]:
    return [(one.version, one.rollout, one.asked_by) for one in fleet.rollouts.ran(device, at)]


def test_who_put_what_there_and_on_what_evidence_is_told_for_any_time(fleet: PaperGateways) -> None:
    fleet.join("a", "b", "c")
    fleet.register()
    fleet.register()
    before = fleet.clock()
    fleet.clock.pass_seconds(10)
    first = roll_out(fleet, 1, "ada")
    fleet.play()
    fleet.clock.pass_seconds(3600)
    on_first = fleet.clock()
    fleet.clock.pass_seconds(3600)
    second = roll_out(fleet, 2, "grace")
    fleet.play()

    assert ran(fleet, "a", before) == []
    for device in "abc":
        assert ran(fleet, device, on_first) == [(1, first, "ada")]
        assert ran(fleet, device) == [(2, second, "grace")]
    found = [fleet.rollouts.ran(device)[0] for device in "abc"]
    assert sorted(one.wave for one in found if one.wave is not None) == [0, 1, 1]
    for one in found:
        assert one.decision is not None
        assert (one.decision.because.code, one.decision.wave) == ("wave-opened", one.wave)
        assert one.until is None
    later = next(one for one in found if one.wave == 1)
    assert later.decision is not None
    assert later.decision.counts.succeeded == 1, "the evidence that the decision rested on"
    assert fleet.rollouts.ran("a", on_first)[0].until == fleet.rollouts.ran("a")[0].since


def test_a_device_that_went_back_runs_what_the_older_rollout_put_there(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    fleet.register()
    first = roll_out(fleet, 1, "ada")
    fleet.play()
    bad = roll_out(fleet, 2, "grace")
    fleet.rollouts.tick()
    fleet.obey()
    assert ran(fleet, "a") == [(2, bad, "grace")]
    fleet.clock.pass_seconds(60)
    with fleet.database.reading() as session:
        (digest,) = session.execute(select(col(DeviceRun.digest)).where(col(DeviceRun.version) == 1)).scalars()
    models = fleet.gateways["a"].models
    for place, model in models.items():
        models[place] = replace(model, phase=Phase.REJECTED, running=Release(1, digest), since=fleet.clock())
    fleet.report("a")
    assert ran(fleet, "a") == [(1, first, "ada")]


def test_a_device_that_is_deleted_takes_its_history_along_and_an_unknown_one_is_named(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    roll_out(fleet, 1, "ada")
    fleet.play()
    with fleet.database.session() as session:
        session.execute(delete(Device))
        assert session.execute(select(DeviceRun)).all() == []
    with pytest.raises(NotFound, match="no device 'a'"):
        fleet.rollouts.ran("a")


@pytest.mark.parametrize(
    ("asks", "looks"),
    [
        (
            lambda session: devices.runs_at(session, "a", datetime(2026, 11, 1, tzinfo=UTC), None),
            "SEARCH device_runs USING INDEX ix_device_runs_device_since (device=? AND since<?)",
        ),
        (
            lambda session: devices.first_run_by(session, "digits-v1-0a1b2c"),
            "SEARCH device_runs USING COVERING INDEX ix_device_runs_rollout_since (rollout=?)",
        ),
    ],
    ids=["what a device ran", "when a rollout's first device did"],
)
def test_it_is_one_look_into_an_index(database: Database, asks: Callable[[Session], object], looks: str) -> None:
    if not database.is_sqlite:
        return
    with database.reading() as session:
        connection, asked = session.connection(), []
        event.listen(connection, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
        asks(session)
        ((query, values),) = asked
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
    assert plan[0] == looks
    assert not any("SCAN" in step for step in plan)
