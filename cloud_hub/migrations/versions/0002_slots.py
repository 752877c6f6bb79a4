"""A model has slots: one version answers, another may run beside it as a shadow

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rebuilt("device_models", ("device", "model", "slot"), _DEVICE_MODEL_INDEXES, [_slot()])
    retry = sa.Column("retry", sa.Integer(), nullable=False, server_default="0")
    _rebuilt("offers", ("device", "model", "slot"), _OFFER_INDEXES, [_slot(), retry])
    for table in ("rollouts", "windows"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(_slot())
    with op.batch_alter_table("windows") as batch_op:
        for name in ("compared", "agreed"):
            batch_op.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("device_events") as batch_op:
        batch_op.add_column(sa.Column("slot", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("device_events") as batch_op:
        batch_op.drop_column("slot")
    for table in ("device_models", "offers", "rollouts", "windows"):
        op.execute(sa.text(f"DELETE FROM {table} WHERE slot <> 'default'"))  # noqa: S608  (the names above)
    with op.batch_alter_table("windows") as batch_op:
        for name in ("compared", "agreed", "slot"):
            batch_op.drop_column(name)
    with op.batch_alter_table("rollouts") as batch_op:
        batch_op.drop_column("slot")
    _rebuilt("offers", ("device", "model"), _OFFER_INDEXES, [], without=("slot", "retry"))
    _rebuilt("device_models", ("device", "model"), _DEVICE_MODEL_INDEXES, [], without=("slot",))


def _slot() -> sa.Column[Any]:
    return sa.Column("slot", sa.String(), nullable=False, server_default="default")


_DEVICE_MODEL_INDEXES = {
    "ix_device_models_model_version": ["model", "running_version"],
    "ix_device_models_rollout_phase": ["rollout", "phase"],
}
_OFFER_INDEXES = {"ix_offers_model": ["model"], "ix_offers_rollout_wave": ["rollout", "wave"]}


def _rebuilt(
    table: str,
    key: tuple[str, ...],
    indexes: dict[str, list[str]],
    added: list[sa.Column[Any]],
    without: tuple[str, ...] = (),
) -> None:
    """Makes `table` anew with another primary key: neither SQLite nor batch mode changes one that has no name."""
    for index in indexes:
        op.drop_index(index, table_name=table)
    before = sa.Table(table, sa.MetaData(), autoload_with=op.get_bind())
    kept = [column for column in before.columns if column.name not in without]
    columns = [sa.Column(one.name, one.type, nullable=one.nullable) for one in kept] + added
    op.rename_table(table, f"{table}_before")
    op.create_table(
        table,
        *columns,
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*key),
    )
    names = ", ".join(column.name for column in kept)
    op.execute(sa.text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}_before"))  # noqa: S608
    op.drop_table(f"{table}_before")
    for index, of in indexes.items():
        op.create_index(index, table, of)
