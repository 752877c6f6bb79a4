"""The first schema

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import cloud_hub.database

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("fleet", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("target", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("hostname", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("agent_version", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("joined_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("presence", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("last_heard_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=True),
        sa.Column("boot", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("boot_before", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("boot_started_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("refused", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("spool", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("troubles", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("troubled", sa.Boolean(), nullable=False),
        sa.Column("inventory", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_devices_last_heard_at"), ["last_heard_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_devices_presence"), ["presence"], unique=False)
        batch_op.create_index(batch_op.f("ix_devices_target"), ["target"], unique=False)
        batch_op.create_index(batch_op.f("ix_devices_troubled"), ["troubled"], unique=False)

    op.create_table(
        "join_tokens",
        sa.Column("secret_hash", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("device", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("target", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=True),
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("answer", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("secret_hash"),
    )
    with op.batch_alter_table("join_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_join_tokens_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "device_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("model", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("phase", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("code", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("sentence", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("device_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_events_at"), ["at"], unique=False)
        batch_op.create_index("ix_device_events_device_id", ["device", "id"], unique=False)

    op.create_table(
        "device_labels",
        sa.Column("device", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("value", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("device", "key"),
    )
    with op.batch_alter_table("device_labels", schema=None) as batch_op:
        batch_op.create_index("ix_device_labels_key_value", ["key", "value"], unique=False)

    op.create_table(
        "device_models",
        sa.Column("device", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("model", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("phase", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("because_code", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("because_sentence", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("since", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("wanted_version", sa.Integer(), nullable=True),
        sa.Column("wanted_digest", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("running_version", sa.Integer(), nullable=True),
        sa.Column("running_digest", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("previous_version", sa.Integer(), nullable=True),
        sa.Column("previous_digest", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("rollout", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("heard_at", cloud_hub.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("device", "model"),
    )
    with op.batch_alter_table("device_models", schema=None) as batch_op:
        batch_op.create_index("ix_device_models_model_version", ["model", "running_version"], unique=False)
        batch_op.create_index("ix_device_models_rollout_phase", ["rollout", "phase"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("device_models", schema=None) as batch_op:
        batch_op.drop_index("ix_device_models_rollout_phase")
        batch_op.drop_index("ix_device_models_model_version")

    op.drop_table("device_models")
    with op.batch_alter_table("device_labels", schema=None) as batch_op:
        batch_op.drop_index("ix_device_labels_key_value")

    op.drop_table("device_labels")
    with op.batch_alter_table("device_events", schema=None) as batch_op:
        batch_op.drop_index("ix_device_events_device_id")
        batch_op.drop_index(batch_op.f("ix_device_events_at"))

    op.drop_table("device_events")
    with op.batch_alter_table("join_tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_join_tokens_expires_at"))

    op.drop_table("join_tokens")
    with op.batch_alter_table("devices", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_devices_troubled"))
        batch_op.drop_index(batch_op.f("ix_devices_target"))
        batch_op.drop_index(batch_op.f("ix_devices_presence"))
        batch_op.drop_index(batch_op.f("ix_devices_last_heard_at"))

    op.drop_table("devices")
