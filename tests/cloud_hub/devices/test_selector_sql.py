"""The database finds the devices that a selector matches, and no other."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import delete, select
from sqlmodel import Session, col

from cloud_hub.database import Database
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selector_text import MAX_TERMS, parse
from cloud_hub.devices.selectors import MAX_NESTED, AnyOf, Not, Selector, loosened, matches, written_out
from cloud_hub.devices.tables import Device, DeviceLabel, DeviceModel
from cloud_hub.devices.versions import order_of
from tests.fakes.selecting import AGENTS, PaperDevice, fleets, selectors

AT = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def put(session: Session, fleet: list[PaperDevice]) -> None:
    session.execute(delete(Device))
    session.add_all(
        Device(
            id=one.id,
            fleet="default",
            target=one.target,
            key="k",
            joined_at=AT,
            agent_version=one.agent_version,
            agent_order=order_of(one.agent_version),
        )
        for one in fleet
    )
    session.flush()
    for one in fleet:
        session.add_all(DeviceLabel(device=one.id, key=key, value=value) for key, value in one.labels.items())
        for model, version in one.running.items():
            session.add(model_row(one.id, model, version))
            # A shadow answers nobody, and is not what runs.
            session.add(model_row(one.id, model, version + 1, slot="shadow"))
    session.flush()


def model_row(device: str, model: str, version: int, slot: str = "default") -> DeviceModel:
    return DeviceModel(
        device=device,
        model=model,
        slot=slot,
        phase="settled",
        because_code="c",
        because_sentence="s",
        since=AT,
        running_version=version,
        heard_at=AT,
    )


def found(session: Session, selector: Selector) -> list[str]:
    statement = select(col(Device.id)).where(selected(selector)).order_by(col(Device.id))
    return list(session.execute(statement).scalars())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fleets(), selectors())
def test_the_database_finds_what_matches(database: Database, fleet: list[PaperDevice], selector: Selector) -> None:
    with database.session() as session:
        put(session, fleet)
        for asked in (selector, loosened(selector)):
            assert found(session, asked) == sorted(one.id for one in fleet if matches(asked, one))


def test_agents_are_compared_by_version_order(database: Database) -> None:
    fleet = [PaperDevice(f"gw-{number}", agent_version=version) for number, version in enumerate(AGENTS)]
    with database.session() as session:
        put(session, fleet)
        older = [fleet[AGENTS.index(version)].id for version in ("0.9", "1.2rc1")]
        assert found(session, parse("agent < 1.2")) == older


def test_the_largest_selector_is_no_trouble(database: Database) -> None:
    largest = parse(" or ".join(f"k{number} = v" for number in range(MAX_TERMS)))
    assert isinstance(largest, AnyOf)
    with database.session() as session:
        put(session, [PaperDevice("a", labels={"k199": "v"}), PaperDevice("b")])
        assert found(session, largest) == ["a"]


@pytest.mark.parametrize("value", ["x' OR '1'='1", '"; DROP TABLE devices; --', "%", "\\"])
def test_what_looks_like_sql_is_a_value(database: Database, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    with database.session() as session:
        put(session, [PaperDevice("a", labels={"k": value}), PaperDevice("b", labels={"k": "v"})])
        assert found(session, parse(f'k = "{quoted}"')) == ["a"]


def test_the_deepest_selector_is_no_trouble(database: Database) -> None:
    deepest = parse("k = v")
    for _ in range(MAX_NESTED // 2):
        deepest = Not(AnyOf((deepest, parse("k = w"))))
    with database.session() as session:
        fleet = [PaperDevice("a", labels={"k": "v"}), PaperDevice("b")]
        put(session, fleet)
        written_out(deepest, {})
        assert found(session, deepest) == [one.id for one in fleet if matches(deepest, one)]
