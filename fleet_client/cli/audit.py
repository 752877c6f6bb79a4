"""`vedette audit`."""

import click

from fleet_client.cli.hub_options import Session, hub_command


@click.command()
@click.argument("text", required=False)
@click.option("--by", help="By this person.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@hub_command
def audit(session: Session, text: str | None, by: str | None, limit: int) -> None:
    """List who wrote what on the hub, newest first; with TEXT in what it was written to. The hub keeps it
    for a year, or as its VEDETTE_AUDIT_DAYS says."""
    found = session.client.audit.page(by=by, q=text, limit=limit).items
    if session.output.json:
        session.output.document(found)
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
            for one in found
        ],
        "Nothing was written.",
    )
