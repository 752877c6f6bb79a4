"""What every command that asks a hub has in common: --hub, -o, the token from the environment, and --watch."""

import functools
import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import click

from fleet_client import Client
from fleet_client.cli.output import Output

DEFAULT_HUB = "http://127.0.0.1:8420"


@dataclass(frozen=True)
class Session:
    """One command's hub, and where its answer goes."""

    client: Client
    output: Output

    def follow(self, watch: bool, subjects: Iterable[str]) -> Iterator[None]:
        """Once; or, with `watch`, whenever one of `subjects` changes, on a fresh screen, until interrupted."""
        if not watch:
            yield None
            return
        for _ in self.client.watch(subjects):
            self.output.refresh()
            yield None


class Span(click.FloatRange):
    """A length of time: a number that is none ("nan") is in every range of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value!r} is no length of time.", param, ctx)
        return found


#: For what changes something that somebody looked at before.
seen_option = click.option(
    "--seen",
    type=click.IntRange(min=0),
    metavar="REVISION",
    help="Only if it is still at this revision, as -o json shows it.",
)


def hub_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --hub and -o, and calls `function` with a `Session` before its own arguments."""

    @click.option("--hub", "hub_url", metavar="URL", help="The hub's address. [env: VEDETTE_HUB]")
    @click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        help="Tables for people (tab-separated when piped), or JSON for programs.",
    )
    @functools.wraps(function)
    def command(hub_url: str | None, output: str, **options: Any) -> Any:
        _check_texts(click.get_current_context())
        with connect(hub_url or click.get_current_context().find_root().obj) as client:
            form = Output(json=output == "json", lines=bool(options.get("watch")))
            return function(Session(client, form), **options)

    return command


def connect(hub_url: str | None) -> Client:
    """The hub at `hub_url`, else at VEDETTE_HUB, else on this machine; with the token in VEDETTE_API_TOKEN, in the name
    of VEDETTE_ACTOR, else of who is logged in."""
    # The token is not an option: other users of this machine can read command lines.
    url = hub_url or _from_environment("VEDETTE_HUB") or DEFAULT_HUB
    return Client(url, _from_environment("VEDETTE_API_TOKEN"), actor=_from_environment("VEDETTE_ACTOR") or _login())


def _check_texts(context: click.Context) -> None:
    """Raises `click.BadParameter` for bytes that are no UTF-8: the shell passes on what it gets, and JSON has no way
    to say them."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for text in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(text, str) and not _is_unicode(text):
                said = ascii(os.fsencode(text))[1:]
                raise click.BadParameter(f"{said} is not UTF-8. Write it as such.", param=parameter)


def _from_environment(name: str) -> str | None:
    text = os.environ.get(name) or None
    if text is not None and not _is_unicode(text):
        raise click.UsageError(f"{name} is not UTF-8. Set it again.")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _login() -> str | None:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # In a container under a number that no user has.
        return None
    return name.encode("ascii", "replace").decode()[:64]


def labels_of(texts: Iterable[str]) -> dict[str, str]:
    """Labels from "key=value" texts."""
    pairs = [text.partition("=") for text in texts]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise click.BadParameter(f"{key + equals + value!r} is not a label: write it as key=value.")
    return {key: value for key, _, value in pairs}
