"""The agent's main loop as a process: it follows a config that is read again, and ends by itself when a model hangs."""

import os
import pty
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_contract.report import Phase
from tests.edge_agent.test_agent import Hub, Process, agent, broker, hub, port, server  # noqa: F401
from tests.fakes.blob_server import BlobServer
from tests.fakes.tiny_models import a_build
from tests.fakes.waiting import until


class Wedged(Process):
    """One whose models hang once there is a file `wedge`."""

    def start(self) -> None:
        self.wedge = self.config.with_name("wedge")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.wedged_agent", self.wedge, "run", "--config", self.config],
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def ordered(hub: Hub, server: BlobServer) -> Callable[[], None]:  # noqa: F811
    """Orders a model; what it gives waits until an agent answers with it."""
    build = a_build(1)
    server.blobs.update(build.blobs)
    hub.order(1, build)
    return lambda: hub.said(lambda one: one.models and one.models[0].phase is Phase.SETTLED)


@pytest.fixture
def told(tmp_path: Path) -> Iterator["queue.Queue[str]"]:
    """What is told to systemd at the socket `notify`, but for its being alive."""
    heard: queue.Queue[str] = queue.Queue()

    def hear() -> None:
        while (said := manager.recv(4096).decode()) != "end":
            if said != "WATCHDOG=1":
                heard.put(said)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        thread = threading.Thread(target=hear)
        thread.start()
        yield heard
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", str(tmp_path / "notify"))
        thread.join()


def test_a_config_that_is_read_again_is_followed_as_far_as_that_goes(hub, agent, ordered, tmp_path, told):  # noqa: F811
    process = agent(NOTIFY_SOCKET=str(tmp_path / "notify"))
    ordered()
    assert told.get(timeout=90) == "READY=1"
    before = process.config.read_text()

    def reloaded(text: str) -> None:
        process.config.write_text(text)
        process.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d{6,}", told.get(timeout=90))
        assert told.get(timeout=90) == "READY=1"

    # A source goes, and another one with a fault of its own comes.
    reloaded(before.replace("replay.npz", "none.npz"))
    hub.said(lambda one: any("none.npz" in trouble.sentence for trouble in one.troubles))
    # One that is wrong changes nothing.
    reloaded("heartbeat_seconds = 'often'")
    troubles = {one.code: one.sentence for one in hub.said(lambda one: len(one.troubles) == 2).troubles}
    assert "goes on with the config of before" in troubles["config-wrong"]
    assert "source-wrong" in troubles
    # What cannot be followed waits, and says so.
    reloaded('target = "cpu-avx2"\n' + before)
    hub.said(lambda one: [trouble.code for trouble in one.troubles] == ["restart-needed"])
    counted = sum(hub.counted.values())
    until(lambda: sum(hub.counted.values()) > counted + 50)
    reloaded(before)
    hub.said(lambda one: not one.troubles)
    assert process.stop()[0] == 0


@pytest.mark.slow
def test_the_heartbeat_changes_without_a_restart(hub, agent, ordered):  # noqa: F811
    process = agent()
    ordered()
    process.config.write_text(process.config.read_text().replace("heartbeat_seconds = 1", "heartbeat_seconds = 600"))
    process.process.send_signal(signal.SIGHUP)
    # It may be a moment before it is followed, and each beat until then is one of those of before.
    heard = -1
    while len(hub.reports) > heard:
        heard = len(hub.reports)
        time.sleep(5)
    time.sleep(2.2)
    assert len(hub.reports) == heard


@pytest.mark.slow
def test_a_model_that_hangs_ends_the_agent_which_says_where(hub, server, port, ordered, tmp_path):  # noqa: F811
    process = Wedged(tmp_path, port, server.url)
    try:
        ordered()
        process.wedge.write_text("asleep")
        _, log = process.process.communicate(timeout=240)
    finally:
        process.process.kill()
    # Where its stop takes too long it is ended by its own alarm, and comes back all the same.
    assert process.process.returncode in (1, -signal.SIGALRM)
    assert "has been stuck" in log
    assert "wedged_agent.py" in log


@pytest.mark.slow
def test_an_agent_that_is_told_to_stop_while_it_hangs_is_gone_in_time(hub, server, port, ordered, tmp_path):  # noqa: F811
    took = []
    # A machine that does other things beside it is late at times, and not each time.
    while len(took) < 5 and min(took, default=5.0) >= 5:
        process = Wedged(tmp_path, port, server.url)
        ordered()
        process.wedge.write_text("asleep")
        time.sleep(0.5)
        code, log, seconds = process.stop()
        process.wedge.unlink()
        took.append(seconds)
        assert code in (0, -signal.SIGALRM), log
        assert "did not stop in time" in log
    assert min(took) < 5


def test_a_word_to_stop_while_the_agent_still_starts_is_followed_at_once(agent):  # noqa: F811
    for delay in (0.02, 0.1, 0.2, 0.4):
        process = agent()
        time.sleep(delay)
        code, log, seconds = process.stop()
        assert code in (0, -signal.SIGTERM), log
        assert seconds < 5


def test_a_terminal_that_is_closed_takes_the_agent_with_it(hub, agent, ordered):  # noqa: F811
    process = agent()
    process.stop()
    ours, theirs = pty.openpty()
    process.process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "run", "--config", process.config], stdin=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    ordered()
    process.process.send_signal(signal.SIGHUP)
    assert process.process.wait(60) == 0
    os.close(ours)
