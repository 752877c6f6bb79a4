"""`vedette audit`."""

from functools import partial

import click

from fleet_client.cli.hub_options import Session, hub_command
from fleet_client.cli.lists import first, tell_rest


@click.command()
@click.argument("text", required=False)
@click.option("--by", help="By this person.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@hub_command
def audit(session: Session, text: str | None, by: str | None, limit: int) -> None:
    """List who wrote what on the hub, newest first; with TEXT in what it was written to. The hub keeps it
    for a year, or as its VEDETTE_AUDIT_DAYS says."""
    page = first(partial(session.client.audit.page, by=by, q=text), limit)
    if session.output.json:
        session.output.document(page.items)
        return
    session.output.table(
        ["number", "at (UTC)", "by", "what", "answer", "asked for"],
        [
            [
                str(one.number),
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.by,
                f"{one.method} {one.path}",
                str(one.status),
                (one.body or "")[:100],
            ]
            for one in page.items
        ],
        "Nothing was written.",
    )
    tell_rest(page, "writes")
