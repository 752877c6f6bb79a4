"""`vedette demo`: makes the folder, tells the story, sums it up, stays up or leaves, and cleans up whatever happens."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from fleet_client.demo.child import ChildFailed
from fleet_client.demo.ending import show, summarise
from fleet_client.demo.fleet import Fleet
from fleet_client.demo.stage import Stage, open_stage
from fleet_client.demo.story import tell
from fleet_client.errors import ClientError
from fleet_contract.errors import VedetteError

#: Long enough for the console to show what is missing.
_REVIVE_SECONDS = 5.0


class FolderTaken(ClientError):
    """The demo's folder is not empty, or cannot be made."""

    code = "folder-taken"


def run(*, agents: int, data: Path | None, port: int, leave: bool, as_json: bool) -> int:
    """Plays the demo. The exit code: 0, or 1 when the story went wrong."""
    started = time.monotonic()
    stream = sys.stderr if as_json else sys.stdout
    stage = open_stage(stream)
    folder = _folder(data)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    fleet = Fleet(folder, port)
    failed = False
    try:
        with _stopping(fleet, stage):
            told = tell(fleet, stage, agents)
            with stage.step("Sum it up"):
                summary = summarise(fleet, told, started)
            show(stage, summary)
            if as_json:
                sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")
                sys.stdout.flush()
            failed = not summary.ok
            if not leave:
                stage.say("")
                stage.say(f"Open {fleet.url} in a browser. Everything runs until you press Ctrl-C.", "bold")
                stage.say(f"In another terminal: vedette --hub {fleet.url} devices list --watch")
                _stay(fleet, stage)
    except VedetteError as error:
        failed = True
        _explain(stage, error)
    finally:
        if data is None and not failed:
            shutil.rmtree(folder, ignore_errors=True)
    if failed:
        stage.say(f"All logs are in {fleet.logs}.")
    return 1 if failed else 0


def _folder(data: Path | None) -> Path:
    if data is None:
        return Path(tempfile.mkdtemp(prefix="vedette-demo-"))
    try:
        data.mkdir(parents=True, exist_ok=True)
        taken = any(data.iterdir())
    except OSError as error:
        raise FolderTaken(
            f"The demo cannot use {data}: {error.strerror}.", "Name a folder that you may write to."
        ) from error
    if taken:
        raise FolderTaken(f"{data} is not empty.", "Name an empty or new folder: the demo starts from nothing.")
    return data.absolute()


@contextmanager
def _stopping(fleet: Fleet, stage: Stage) -> Iterator[None]:
    try:
        yield
    finally:
        stage.say("Stopping agents and hub ...")
        fleet.stop()


def _stay(fleet: Fleet, stage: Stage) -> None:
    """Until somebody interrupts. What ends meanwhile, perhaps killed to see what happens, is started again."""
    try:
        while True:
            time.sleep(_REVIVE_SECONDS)
            for sentence in fleet.revive():
                stage.say(sentence, "yellow")
    except KeyboardInterrupt:
        return


def _explain(stage: Stage, error: VedetteError) -> None:
    stage.say("")
    stage.say(f"The demo failed: {error.what} [{error.code}]", "bold red")
    if isinstance(error, ChildFailed) and error.tail:
        stage.say(f"The end of {error.log}:")
        for line in error.tail.splitlines():
            stage.say(f"  | {line}")
    if error.remedy:
        stage.say(error.remedy)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signature of a handler)
    # A closed terminal or a polite kill ends the demo as Ctrl-C does: children first.
    raise KeyboardInterrupt
