"""What the API can, the SDK can, and the command line too: walked route by route, so that no new one is forgotten."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import click
import pytest

from cloud_hub.access.audit import READS
from cloud_hub.app import build
from cloud_hub.folder import DataFolder
from cloud_hub.settings import Settings
from fleet_client import Client
from fleet_client.cli.main import main, vedette
from fleet_client.http import Http
from fleet_client.manifests import File
from fleet_contract.errors import VedetteError
from tests.fleet_client.test_built import make_folder

#: Routes that the SDK has no use for, and why.
NOT_FOR_THE_SDK = {
    "GET /blobs/{digest}": "devices fetch, at an address that an order carries",
    "POST /api/v1/join": "devices join, with a token and a key of their own",
}
#: Routes that the command line has no use for, and why.
NOT_FOR_THE_COMMAND_LINE = NOT_FOR_THE_SDK | {
    "GET /api/v1/models/{name}": "`models list` says the same of each",
}

#: What the console's pages listen to, and `watch` too: a stream is nothing that OpenAPI can say.
UNDOCUMENTED = {"GET /api/v1/events"}

Asked = list[tuple[str, str]]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every "METHOD /path/{of}" that the hub's OpenAPI document has."""
    folder = DataFolder(tmp_path_factory.mktemp("parity") / "data")
    document = build(Settings(), folder, "http://127.0.0.1:8420", 1883).app.openapi()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


class _Answer:
    """An empty object, and no line."""

    data = b"{}"

    def read1(self) -> bytes:
        return b""

    def close(self) -> None:
        """There is nothing to close."""


def _never(*arguments: object) -> None:
    raise AssertionError(f"this would have become {arguments}: it belongs to LOCAL")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What is sent, as method and path; it goes nowhere."""
    sent: Asked = []

    def send(_self: Http, method: str, path: str, **_: Any) -> Any:
        sent.append((method, path.partition("?")[0]))
        return _Answer()

    monkeypatch.setattr(Http, "_send", send)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("os.execv", _never)
    return sent


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Values of parameters that not any text will do for."""
    (tmp_path / "rollout.yaml").write_text("kind: Rollout\n")
    head = "device,version,labelled,correct,from,until"
    (tmp_path / "labels.csv").write_text(f"{head}\na,4,2,1,2026-11-27T10:00:00Z,2026-11-27T11:00:00Z\n")
    folder = make_folder(tmp_path / "digits", ("cpu-vnni",))
    return {
        "folder": folder,
        "path": tmp_path / "rollout.yaml",
        "file": tmp_path / "labels.csv",
        "rows": [],
        "files": [File("rollout.yaml", "kind: Rollout\n")],
        "subjects": ["devices"],
        "until": datetime(2026, 12, 1, tzinfo=UTC),
    }


def templates(asked: Asked, routes: set[str]) -> set[str]:
    """The routes that `asked` went to; of several that match, the one with the fewest parameters."""
    found = set()
    for method, path in asked:
        if f"{method} {path}" in UNDOCUMENTED:
            continue
        fitting = [route for route in routes if _pattern(route).fullmatch(f"{method} {path}")]
        assert fitting, f"{method} {path} is no route of the hub"
        found.add(min(fitting, key=lambda route: route.count("{")))
    return found


def _pattern(route: str) -> re.Pattern[str]:
    return re.compile(
        "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", route))
    )


def methods_of(client: Client) -> Iterator[Callable[..., Any]]:
    """Every public method of `client` and of its subjects."""
    for owner in [client, *(part for name, part in vars(client).items() if not name.startswith("_"))]:
        for name, method in inspect.getmembers(owner, inspect.ismethod):
            if not name.startswith("_") and name != "close":
                yield method


def call(method: Callable[..., Any], given: dict[str, Any]) -> None:
    """Calls `method` with something for each parameter that has no default."""
    hints = get_type_hints(method)
    arguments = {
        name: given.get(name, 1 if hints[name] is int else {} if "Mapping" in str(hints[name]) else f"a-{name}")
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is parameter.empty
    }
    with contextlib.suppress(VedetteError):
        answer = method(**arguments)
        if isinstance(answer, Iterator):
            next(answer)


def leaves(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below `group`, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


def test_the_sdk_can_what_the_api_can(routes: set[str], asked: Asked, given: dict[str, Any]) -> None:
    for method in methods_of(Client("http://127.0.0.1:1")):
        before = len(asked)
        call(method, given)
        assert len(asked) > before, f"{method.__qualname__} asks the hub for nothing"
    forgotten = routes - templates(asked, routes) - set(NOT_FOR_THE_SDK)
    assert not forgotten, "add a method to fleet_client, or a reason to NOT_FOR_THE_SDK"


#: Commands that ask no hub, or one of their own.
LOCAL = {("hub",), ("demo",), ("models", "build"), ("models", "replay"), ("rollouts", "simulate")}
#: What a command is called with beside its required arguments; one that does several things, several times.
MORE = {
    ("devices", "label"): [["a=b"]],
    ("devices", "pin"): [["a-device", "--reason", "a-reason"]],
    ("models", "show"): [[], ["1"]],
    ("rollouts", "diff"): [["-f", "{path}"]],
    ("rollouts", "apply"): [["-f", "{path}"]],
    ("rollouts", "create"): [["digits", "1"]],
}


def test_the_command_line_can_what_the_api_can(
    routes: set[str], asked: Asked, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(vedette, click.Group)
    for words, command in leaves(vedette):
        if words in LOCAL:
            continue
        before = len(asked)
        arguments = [
            str(given.get(one.name or "", 1 if one.type is click.INT else f"a-{one.name}"))
            for one in command.params
            if isinstance(one, click.Argument) and one.required and not (words in MORE and one.nargs == -1)
        ]
        for more in MORE.get(words, [[]]):
            main([*words, *arguments, *(word.format(**given) for word in more), "--hub", "http://127.0.0.1:1"])
        assert len(asked) > before, f"vedette {' '.join(words)} asks the hub for nothing: {capsys.readouterr().err}"
    forgotten = routes - templates(asked, routes) - set(NOT_FOR_THE_COMMAND_LINE)
    assert not forgotten, "add a command, or a reason to NOT_FOR_THE_COMMAND_LINE"


def test_no_reason_outlives_its_route(routes: set[str]) -> None:
    assert set(NOT_FOR_THE_COMMAND_LINE) <= routes


def test_what_the_audit_takes_for_reads_are_routes(routes: set[str]) -> None:
    assert {f"POST {path}" for path in READS} <= routes
