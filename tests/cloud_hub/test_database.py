"""The database: the same on SQLite and PostgreSQL."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, select

from cloud_hub.access.tables import JoinTokenRow
from cloud_hub.database import Database, alembic_config, clock_ahead, upsert
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import matches
from cloud_hub.errors import CannotStart
from cloud_hub.rollouts import store
from cloud_hub.rollouts.tables import Offer, RolloutRow
from cloud_hub.rollouts.wanted import Candidate

HEAD = ScriptDirectory.from_config(alembic_config()).get_current_head()
AT = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def token(secret_hash: str, at: datetime = AT) -> JoinTokenRow:
    return JoinTokenRow(secret_hash=secret_hash, created_at=at, expires_at=at + timedelta(hours=1))


def test_migrations_make_exactly_the_tables_that_the_code_expects(database: Database) -> None:
    database.migrate()  # importing every subject's tables, and changing nothing a second time
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_what_a_hub_of_before_slots_knew_is_kept_and_the_way_back_too(database: Database) -> None:
    def moved(to: Callable[[Config, str], None], revision: str) -> None:
        config = alembic_config()
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            to(config, revision)

    moved(command.downgrade, "0001")
    at = "'2026-11-02 12:00:00+00:00'"
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO devices (id, fleet, target, key, hostname, agent_version, joined_at, presence, number, "
                "generation, troubles, troubled) VALUES ('a', 'f', 't', 'k', '', '', "
                f"{at}, 'never', 0, 0, '[]', {'0' if database.is_sqlite else 'false'})"
            )
        )
        connection.execute(
            text(
                "INSERT INTO offers (device, model, version, digest, rollout, wave, generation, offered_at) "
                f"VALUES ('a', 'digits', 3, 'sha256:a', 'r', 0, 7, {at})"
            )
        )
    for way, revision in ((command.upgrade, "head"), (command.downgrade, "0001"), (command.upgrade, "head")):
        moved(way, revision)
    with database.reading() as session:
        (offer,) = session.execute(select(Offer)).scalars()
        assert (offer.device, offer.slot, offer.version, offer.retry) == ("a", "default", 3, 0)


def test_a_schema_from_a_newer_version_is_refused_by_name(database: Database) -> None:
    with database.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CannotStart) as raised:
        database.migrate()
    assert raised.value.code == "database-newer"
    with database.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})


def test_a_session_is_rolled_back_when_its_block_raises(database: Database) -> None:
    with pytest.raises(RuntimeError), database.session() as session:
        session.add(token("a"))
        session.flush()
        raise RuntimeError
    with database.reading() as session:
        assert session.exec(select(JoinTokenRow)).all() == []


def test_times_come_back_aware_and_in_utc_whatever_zone_they_went_in_with(database: Database) -> None:
    with database.session() as session:
        session.add(token("a", AT.astimezone(timezone(timedelta(hours=5)))))
    with database.reading() as session:
        found = session.exec(select(JoinTokenRow)).one()
    assert found.created_at == AT
    assert found.created_at.tzinfo is UTC


@pytest.mark.parametrize(("off_seconds", "expected"), [(-90, -90), (-1, 0), (0, 0), (1, 0), (90, 90)])
def test_only_a_clock_that_is_further_off_than_asking_takes_is_off(
    database: Database, off_seconds: int, expected: int
) -> None:
    off = timedelta(seconds=off_seconds)
    with database.session() as session:
        if not database.is_sqlite:
            session.execute(text("SET LOCAL TIME ZONE 'Asia/Kolkata'"))
        ahead = clock_ahead(session, lambda: datetime.now(UTC) + off)
    if database.is_sqlite or not expected:
        assert ahead == timedelta(0)
    else:
        assert abs(ahead.total_seconds() - expected) < 1


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="no time zone"), database.session() as session:
        session.add(token("a", datetime(2026, 11, 2)))  # noqa: DTZ001 the very fault


def test_a_reading_session_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.reading() as session:
        session.add(token("a"))
        session.flush()
    with database.session() as session:
        session.add(token("a"))


def test_readers_see_the_last_commit_while_a_writer_is_at_work(database: Database) -> None:
    with database.session() as writer:
        writer.add(token("a"))
        writer.flush()
        with database.reading() as reader:
            assert reader.exec(select(JoinTokenRow)).all() == []


def test_writers_that_read_before_they_write_wait_for_each_other(database: Database) -> None:
    with database.session() as session:
        session.add(token("count"))

    def add_one() -> None:
        for _ in range(20):
            with database.session() as session:
                row = session.exec(select(JoinTokenRow).with_for_update()).one()
                row.answer = str(int(row.answer or 0) + 1)

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.exec(select(JoinTokenRow)).one().answer == "80"


def test_an_upsert_inserts_and_then_updates(database: Database) -> None:
    row = {"secret_hash": "a", "labels": {}, "created_at": AT, "expires_at": AT}
    for answer in ("first", "second"):
        with database.session() as session:
            insert = upsert(session, JoinTokenRow).values([row | {"answer": answer}])
            session.execute(
                insert.on_conflict_do_update(index_elements=["secret_hash"], set_={"answer": insert.excluded.answer})
            )
    with database.reading() as session:
        assert [one.answer for one in session.exec(select(JoinTokenRow))] == ["second"]


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as raised:
        Database(f"postgresql://me:sesame@/hub?host={tmp_path}").migrate()
    assert raised.value.code == "database-unreachable"
    assert "sesame" not in str(raised.value)


def test_a_database_that_is_neither_sqlite_nor_postgresql_is_refused() -> None:
    with pytest.raises(CannotStart, match="mysql"):
        Database("mysql://localhost/hub")


def test_what_a_rollout_selected_by_labels_and_targets_it_selects_by_an_expression(database: Database) -> None:
    config = alembic_config()

    def moved(to: Callable[[Config, str], None], revision: str) -> None:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            to(config, revision)

    moved(command.downgrade, "0006")
    selector = {"labels": {"site": "lyon", "and": 'a "b"'}, "targets": ["cpu-avx2", "tpu"]}
    with database.engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection, only=["rollouts", "models"])
        models, rollouts = tables.tables["models"], tables.tables["rollouts"]
        filled = {column.name: _something(column) for column in models.columns if not column.nullable}
        connection.execute(models.insert().values({**filled, "name": "digits"}))
        filled = {column.name: _something(column) for column in rollouts.columns if not column.nullable}
        policy = {"policy": {"selector": selector}, "model": "digits", "id": "r"}
        connection.execute(rollouts.insert().values({**filled, **policy}))
    moved(command.upgrade, "head")
    with database.reading() as session:
        (policy,) = session.execute(select(RolloutRow.policy)).scalars()
    assert policy["selector"] == 'label.site = "lyon" and label.and = "a \\"b\\"" and target in (cpu-avx2, tpu)'
    assert matches(parse(policy["selector"]), Candidate("a", "tpu", {"site": "lyon", "and": 'a "b"'}))


@pytest.mark.parametrize(("old", "below"), [(2**53, 2**53), (2**51, 2**52 + 2**50)])
def test_what_a_rollout_exposed_before_there_were_lines_it_still_exposes(
    database: Database, old: int, below: int
) -> None:
    config = alembic_config()

    def moved(to: Callable[[Config, str], None], revision: str) -> None:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            to(config, revision)

    moved(command.downgrade, "0002")
    with database.engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection, only=["rollouts", "models"])
        models, rollouts = tables.tables["models"], tables.tables["rollouts"]
        filled = {column.name: _something(column) for column in models.columns if not column.nullable}
        connection.execute(models.insert().values({**filled, "name": "digits"}))
        filled = {column.name: _something(column) for column in rollouts.columns if not column.nullable}
        policy = {"selector": {}, "waves": [{"percent": 25}, {"percent": 100}]}
        of_old = {"policy": policy, "model": "digits", "id": "r", "state": "running", "in_force": True}
        connection.execute(rollouts.insert().values({**filled, **of_old, "exposed": old}))
    moved(command.upgrade, "head")
    with database.reading() as session:
        (claim,) = store.claims(session)
    assert claim.line.below == {"*": below}
    assert claim.line.everyone == (old == 2**53)


def _something(column: Column[Any]) -> Any:
    kind = column.type.python_type
    return AT if kind is datetime else {} if kind in (dict, object) else kind()
