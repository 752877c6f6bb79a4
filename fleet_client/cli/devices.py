"""`vedette devices ...`."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click

from fleet_client.cli.hub_options import Session, Span, hub_command, labels_of, seen_option
from fleet_client.cli.lazy import HELP, WordyGroup
from fleet_client.cli.lists import first, tell_rest
from fleet_client.cli.output import ago, pairs, size
from fleet_client.views import Device, DeviceModel, Pin, Ran


@click.group(cls=WordyGroup, context_settings=HELP)
def devices() -> None:
    """Find devices, label them, let new ones join."""


@devices.command(
    "list",
    epilog="""\b
Examples:
  vedette devices list --label site=lyon --presence online
  vedette devices list --model digits --phase rejected
  vedette devices list --select "model.digits < 3 and site in (lyon, oslo)"
  vedette devices list -o json | jq -r '.[].id'
""",
)
@click.argument("text", required=False)
@click.option(
    "--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="With this label; all given must hold."
)
@click.option(
    "--select", metavar="EXPR", help="That this selector means: site = lyon and (agent < 0.2 or not has line)"
)
@click.option("--target", help="Of this hardware target.")
@click.option("--presence", type=click.Choice(["online", "silent", "closing", "lost", "never"]))
@click.option("--model", help="That have this model.")
@click.option("--running", "version", type=int, metavar="VERSION", help="That run this version of a model.")
@click.option("--phase", help="Where a model is in this phase (fetching, preflight, trial, settled, rejected, ...).")
@click.option("--rollout", help="That this rollout offered its version to.")
@click.option("--sort", help="id, hostname, target, presence, last_heard_at, joined_at; with - before it: falling.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many at most.")
@click.option("--watch", "-w", is_flag=True, help="Show it again whenever it changes.")
@hub_command
def list_devices(
    session: Session,
    text: str | None,
    labels: tuple[str, ...],
    select: str | None,
    target: str | None,
    presence: str | None,
    model: str | None,
    version: int | None,
    phase: str | None,
    rollout: str | None,
    sort: str | None,
    limit: int,
    watch: bool,
) -> None:
    """List devices; TEXT is a part of an id, a host name or a label's value."""
    asked: dict[str, Any] = {
        "q": text,
        "labels": labels_of(labels),
        "select": select,
        "target": target,
        "presence": presence,
        "model": model,
        "version": version,
        "phase": phase,
        "rollout": rollout,
        "sort": sort,
    }
    for _ in session.follow(watch, ["devices"]):
        page = first(partial(session.client.devices.page, **asked), limit)
        if session.output.json:
            session.output.document(page.items)
            continue
        session.output.table(
            ["device", "presence", "heard", "target", "labels", "models", "troubles"],
            [_row(device) for device in page.items],
            "No such device. Make a token with `vedette devices token`, then `vedette-agent join TOKEN` on the device.",
        )
        tell_rest(page, "devices")


@devices.command()
@click.argument("device")
@click.option("--watch", "-w", is_flag=True, help="Show it again whenever it changes.")
@hub_command
def show(session: Session, device: str, watch: bool) -> None:
    """Show one device: what it runs, what it should run, and why they differ."""
    for _ in session.follow(watch, [f"device:{device}"]):
        one = session.client.devices.get(device)
        if session.output.json:
            session.output.document(one)
            continue
        session.output.facts(_facts(one))
        if one.models:
            session.output.line("")
            session.output.table(
                ["model", "running", "wanted", "phase", "since", "because"], [_model_row(m) for m in one.models]
            )


@devices.command()
@hub_command
def summary(session: Session) -> None:
    """Count the fleet: who is there, on which hardware, with which versions, and how many have a trouble."""
    found = session.client.devices.summary()
    if session.output.json:
        session.output.document(found)
        return
    versions = {f"{one.model} {one.version}": one.devices for one in found.running}
    session.output.facts(
        [
            ("devices", str(found.total)),
            ("presence", pairs(found.presence)),
            ("targets", pairs(found.targets)),
            ("running", ", ".join(f"{name} on {count}" for name, count in versions.items())),
            ("troubled", str(found.troubled)),
        ]
    )


@devices.command(
    epilog="""\b
Examples:
  vedette devices token                                  the device gets a name from the hub
  vedette devices token press-07 --label site=lyon --label line=3
  vedette-agent join $(vedette devices token --quiet) --config agent.toml
"""
)
@click.argument("device", required=False)
@click.option("--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="A label that the device gets.")
@click.option("--target", help="The hardware target that it must be. [default: what the device says]")
@click.option(
    "--expires-in",
    "hours",
    type=Span(0, 720, min_open=True),
    default=24.0,
    show_default=True,
    metavar="HOURS",
)
@click.option("--quiet", "-q", is_flag=True, help="Only the token.")
@hub_command
def token(
    session: Session, device: str | None, labels: tuple[str, ...], target: str | None, hours: float, quiet: bool
) -> None:
    """Make a token with which one device may join, once."""
    made = session.client.devices.token(
        device, labels=labels_of(labels), target=target, expires_in_seconds=max(1, round(hours * 3600))
    )
    if session.output.json:
        session.output.document(made)
    elif quiet or not session.output.terminal:
        session.output.line(made.token)
    else:
        session.output.facts(
            [
                ("device", made.device or "named by the hub when it joins"),
                ("expires", f"{made.expires_at:%Y-%m-%d %H:%M} UTC"),
                ("token", made.token),
            ]
        )
        session.output.line("On the device: vedette-agent join TOKEN --config agent.toml")


@devices.command(
    epilog="""\b
Example:
  vedette devices label press-07 site=lyon line-        sets site, takes line away
"""
)
@click.argument("device")
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@hub_command
def label(session: Session, device: str, changes: tuple[str, ...]) -> None:
    """Set labels of a device, or take them away."""
    gone = {change[:-1]: None for change in changes if change.endswith("-") and "=" not in change}
    kept = labels_of(change for change in changes if not (change.endswith("-") and "=" not in change))
    one = session.client.devices.label(device, {**gone, **kept})
    if session.output.json:
        session.output.document(one)
    else:
        session.output.facts([("device", one.id), ("labels", pairs(one.labels) or "none")])


@devices.command(
    epilog="""\b
Example:
  vedette devices retry press-07 digits                 after you have mended what made it fail there
"""
)
@click.argument("device")
@click.argument("model")
@click.option("--slot", type=click.Choice(["default", "shadow"]), default="default", show_default=True)
@hub_command
def retry(session: Session, device: str, model: str, slot: str) -> None:
    """Have a device try again the version of MODEL that it has rejected."""
    told = session.client.devices.retry(device, model, slot=slot)
    if session.output.json:
        session.output.document(told)
    else:
        session.output.line(
            f"{told.device} is told to try {told.model} version {told.version} again (desired state "
            f"{told.generation}). What comes of it: vedette devices show {told.device} --watch"
        )


@devices.command()
@click.argument("device")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="How many at most.")
@click.option("--watch", "-w", is_flag=True, help="Show it again whenever it changes.")
@hub_command
def events(session: Session, device: str, limit: int, watch: bool) -> None:
    """List what changed on a device, newest first, and why."""
    for _ in session.follow(watch, [f"device:{device}"]):
        page = first(partial(session.client.devices.events, device), limit)
        if session.output.json:
            session.output.document(page.items)
            continue
        session.output.table(
            ["at (UTC)", "what", "model", "version", "because"],
            [
                [
                    f"{event.at:%Y-%m-%d %H:%M:%S}",
                    event.phase or event.kind,
                    event.model or "",
                    "" if event.version is None else str(event.version),
                    str(event.because),
                ]
                for event in page.items
            ],
            "Nothing has happened on it yet.",
        )
        tell_rest(page, "events")


@devices.command(
    epilog="""\b
Examples:
  vedette devices ran press-07
  vedette devices ran press-07 --at "2026-11-26 03:15" --model digits
"""
)
@click.argument("device")
@click.option(
    "--at",
    type=click.DateTime(
        ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"]
    ),
    help="When, in UTC unless it says otherwise. [default: now]",
)
@click.option("--model", help="Only this model.")
@hub_command
def ran(session: Session, device: str, at: datetime | None, model: str | None) -> None:
    """Say what ran on a device at some time, put there by whom and on what evidence."""
    when = at.replace(tzinfo=UTC) if at and at.tzinfo is None else at
    found = session.client.devices.ran(device, when, model=model)
    if session.output.json:
        session.output.document(found)
        return
    session.output.table(
        ["model", "version", "since (UTC)", "until (UTC)", "rollout", "wave", "asked by", "approved by", "decision"],
        [
            [
                one.model if one.slot == "default" else f"{one.model} ({one.slot})",
                str(one.version),
                f"{one.since:%Y-%m-%d %H:%M:%S}",
                f"{one.until:%Y-%m-%d %H:%M:%S}" if one.until else "still",
                one.rollout or "",
                "" if one.wave is None else str(one.wave + 1),
                one.asked_by or "",
                one.approved_by or "",
                _why(one),
            ]
            for one in found
        ],
        "Nothing ran on it then, as far as the hub was told.",
    )


def _why(one: Ran) -> str:
    if one.pin is not None:
        return f"pinned: {one.pin.reason}"
    return f"{one.decision.number}: {one.decision.because}" if one.decision else ""


@devices.command(
    epilog="""\b
Examples:
  vedette devices pin press-07 --reason "under repair"            all its models, for a week
  vedette devices pin --select "site = lyon" --model digits --days 30 --reason "audit"
  vedette devices pin press-07 --model digits --version 3 --reason "the camera needs it"
"""
)
@click.argument("device", required=False)
@click.option("--select", "selector", metavar="EXPR", help="Instead of DEVICE: those that this selector means.")
@click.option("--model", help="Only this model; else all.")
@click.option("--version", type=click.IntRange(1), help="At this version of the model; else at what is offered now.")
@click.option("--days", type=Span(0, 3650, min_open=True), default=7.0, show_default=True, help="For so long.")
@click.option("--reason", required=True, help="Why, for whoever wonders.")
@hub_command
def pin(
    session: Session,
    device: str | None,
    selector: str | None,
    model: str | None,
    version: int | None,
    days: float,
    reason: str,
) -> None:
    """Have rollouts leave a device alone for a while, and not count it."""
    until = datetime.now(UTC) + timedelta(days=days)
    made = session.client.pins.pin(reason, until, device=device, selector=selector, model=model, version=version)
    _show_pins(session, [made])


@devices.command()
@click.argument("pin")
@seen_option
@hub_command
def unpin(session: Session, pin: str, seen: int | None) -> None:
    """End the pin PIN: rollouts reach its devices again."""
    _show_pins(session, [session.client.pins.unpin(pin, seen=seen)])


@devices.command()
@click.argument("device", required=False)
@hub_command
def pins(session: Session, device: str | None) -> None:
    """List the pins that hold now; with DEVICE, those that hold it."""
    _show_pins(session, session.client.pins.all(device))


def _show_pins(session: Session, found: list[Pin]) -> None:
    if session.output.json:
        session.output.document(found)
        return
    session.output.table(
        ["pin", "whom", "what", "until (UTC)", "by", "because"],
        [
            [
                one.id,
                one.device or one.selector or "",
                f"{one.model or 'all models'}{f' {one.version}' if one.version else ''}",
                f"{one.ended_at or one.until:%Y-%m-%d %H:%M}",
                one.by,
                one.reason,
            ]
            for one in found
        ],
        "Nothing is pinned.",
    )


def _row(device: Device) -> list[str]:
    troubles = [device.refused] if device.refused else []
    return [
        device.id,
        device.presence,
        ago(device.last_heard_at),
        device.target,
        pairs(device.labels),
        ", ".join(_running(model) for model in device.models),
        "; ".join(str(one) for one in (*troubles, *device.troubles)),
    ]


def _running(model: DeviceModel) -> str:
    running = f"{_name(model)} {model.running.version}" if model.running else f"{_name(model)} -"
    return running if model.phase == "settled" else f"{running} ({model.phase})"


def _facts(device: Device) -> list[tuple[str, str]]:
    inventory = device.inventory or {}
    memory = inventory.get("memory_bytes")
    return [
        ("device", f"{device.id} (fleet {device.fleet})"),
        ("presence", f"{device.presence}, last proven {ago(device.last_heard_at)}"),
        ("labels", pairs(device.labels)),
        ("target", device.target),
        ("host", f"{device.hostname} {inventory.get('arch', '')} {inventory.get('cores', '?')} cores "
                 f"{size(memory) if isinstance(memory, int) else ''}".strip() if device.hostname else ""),
        ("agent", device.agent_version),
        ("joined", f"{device.joined_at:%Y-%m-%d %H:%M} UTC"),
        ("generation", f"{device.generation_reported} followed, {device.generation_wanted} wanted"),
        ("spool", _spool(device)),
        ("captures", _captures(device)),
        ("refused", str(device.refused) if device.refused else ""),
        *(("trouble", str(trouble)) for trouble in device.troubles),
    ]  # fmt: skip


def _spool(device: Device) -> str:
    if device.spool is None:
        return ""
    waiting, dropped = device.spool.records, device.spool.dropped
    return f"{waiting} windows wait ({size(device.spool.size_bytes)}), {dropped} were dropped for want of room"


def _captures(device: Device) -> str:
    if device.captures is None:
        return ""
    kept = f"{device.captures.files} inputs are kept ({size(device.captures.size_bytes)})"
    dropped = ", ".join(f"{count} dropped ({reason})" for reason, count in device.captures.dropped.items())
    return f"{kept}; {dropped}" if dropped else kept


def _name(model: DeviceModel) -> str:
    return model.model if model.slot == "default" else f"{model.model} ({model.slot})"


def _model_row(model: DeviceModel) -> list[str]:
    return [
        _name(model),
        str(model.running.version) if model.running else "-",
        str(model.wanted.version) if model.wanted else "-",
        model.phase,
        ago(model.since),
        str(model.because),
    ]
