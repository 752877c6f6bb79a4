"""Groups of commands: one that imports them when they are called, so that `vedette` starts fast, and its parts."""

import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

#: `-h` as well as `--help`, and room for examples.
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class WordyGroup(click.Group):
    """Lists each command with its whole first sentence, where click would cut it short."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, " ".join((one.help or "").split("\n\n")[0].split())) for name, one in self.commands.items()]
            )


class LazyGroup(click.Group):
    """`commands_at` gives each command's place ("module:name") and the line that says what it does."""

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._places = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            outcome = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Here, for click would answer 1; and to nowhere, for Python complains once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(128 + signal.SIGPIPE) from None
        return outcome

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self._places.items()])
