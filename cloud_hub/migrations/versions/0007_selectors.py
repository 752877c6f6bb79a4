"""Rollouts select by an expression

Revision ID: 0007
Revises: 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ROLLOUTS = sa.table("rollouts", sa.column("number"), sa.column("policy", sa.JSON))


def upgrade() -> None:
    connection = op.get_bind()
    for number, policy in connection.execute(sa.select(_ROLLOUTS.c.number, _ROLLOUTS.c.policy)).all():
        policy["selector"] = _expression(policy.get("selector", {}))
        update = sa.update(_ROLLOUTS).where(_ROLLOUTS.c.number == number)
        connection.execute(update.values(policy=policy))


def downgrade() -> None:
    # What an expression says cannot be told in labels and targets alone: these rollouts reach nobody any more.
    connection = op.get_bind()
    for number, policy in connection.execute(sa.select(_ROLLOUTS.c.number, _ROLLOUTS.c.policy)).all():
        policy["selector"] = {"targets": ["none"]} if policy["selector"].strip() else {}
        update = sa.update(_ROLLOUTS).where(_ROLLOUTS.c.number == number)
        connection.execute(update.values(policy=policy))


def _expression(selector: dict[str, Any]) -> str:
    conditions = [f"label.{key} = {_quoted(value)}" for key, value in selector.get("labels", {}).items()]
    if targets := selector.get("targets", []):
        conditions.append(f"target in ({', '.join(targets)})")
    return " and ".join(conditions)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
