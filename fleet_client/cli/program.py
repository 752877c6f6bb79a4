"""The other programs of this distribution, started from the command line."""

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NoReturn

from fleet_client.errors import ExtraMissing

#: For a command of another program, which parses its own options and explains itself.
PASSED_ON: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    "add_help_option": False,
}


def become(module: str, arguments: Iterable[str], *, needs: str, extra: str) -> NoReturn:
    """Replaces this process with `python -m module`. Raises `ExtraMissing` when its packages are not installed."""
    require(needs, extra)
    sys.stdout.flush()
    os.execv(sys.executable, command(module, *arguments))  # noqa: S606 - our own modules, no shell


def require(package: str, extra: str) -> None:
    """Raises `ExtraMissing` when `package`, which the extra brings, is not installed."""
    if find_spec(package) is None:
        raise ExtraMissing(
            f"This needs the extra '{extra}', which is not installed here: there is no {package}.",
            f"Install it with `pip install 'vedette[{extra}]'`.",
        )


def command(module: str, *arguments: str) -> list[str]:
    """What starts `module` under this interpreter. Logs are not held back when they go to a file."""
    return [sys.executable, "-u", "-m", module, *arguments]
