"""`vedette lake ...`."""

import sys

import click

from fleet_client.cli.hub_options import Session, hub_command
from fleet_client.cli.lazy import HELP, WordyGroup


@click.group(cls=WordyGroup, context_settings=HELP)
def lake() -> None:
    """SQL over what the devices sent."""


@lake.command(
    epilog="""\b
Examples:
  vedette lake query "SELECT device, sum(count) AS records FROM windows GROUP BY device ORDER BY records DESC"
  vedette lake query - < report.sql
"""
)
@click.argument("sql")
@click.option("--limit", type=click.IntRange(1), help="How many rows at most. [default: the hub's]")
@hub_command
def query(session: Session, sql: str, limit: int | None) -> None:
    """Run one SELECT, in DuckDB's dialect; - reads it from standard input."""
    text = sys.stdin.read() if sql == "-" else sql
    found = session.client.lake.query(text, limit)
    if session.output.json:
        names = [column.name for column in found.columns]
        session.output.document([dict(zip(names, row, strict=True)) for row in found.rows])
    else:
        session.output.table(
            [column.name for column in found.columns],
            [["" if value is None else str(value) for value in row] for row in found.rows],
            "No rows.",
        )
    if found.truncated:
        click.echo(f"These are the first {len(found.rows)} rows; --limit shows more.", err=True)


@lake.command()
@hub_command
def tables(session: Session) -> None:
    """List the tables and their columns."""
    found = session.client.lake.tables()
    if session.output.json:
        session.output.document(found)
        return
    session.output.table(
        ["table", "column", "type"],
        [[table.name, column.name, column.type] for table in found for column in table.columns],
        "The lake is empty: no device has sent anything yet.",
    )
