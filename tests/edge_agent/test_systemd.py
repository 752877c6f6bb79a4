"""Words to systemd go to its socket, wherever that is, and to nobody when there is none."""

import configparser
import os
import socket
from pathlib import Path

from edge_agent.systemd import notify, runtime_folder, watchdog_seconds
from fleet_client.demo.programs import OF_AN_AGENT

SYSUSERS = Path(__file__).parents[2] / "provisioning" / "systemd" / "vedette.sysusers.conf"
UNIT = Path(__file__).parents[2] / "provisioning" / "systemd" / "vedette-agent.service"


def test_a_word_reaches_an_abstract_socket():
    name = f"vedette-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        notify("READY=1", {"NOTIFY_SOCKET": "@" + name})
        assert manager.recv(100) == b"READY=1"


def test_without_a_manager_nothing_happens(tmp_path):
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": ""})
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_sockets_belong_in_the_units_runtime_folder():
    state = Path("/var/lib/vedette")
    assert runtime_folder(state, {"RUNTIME_DIRECTORY": "/run/vedette:/run/more"}) == Path("/run/vedette")
    assert runtime_folder(state, {}) == state


def test_the_watchdog_is_fed_at_half_its_time():
    assert watchdog_seconds({"WATCHDOG_USEC": "30000000"}) == 15.0
    assert watchdog_seconds({}) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "0"}) is None


def test_an_agent_of_the_demo_and_of_benchmarks_has_what_the_unit_sets():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    set_there = dict(one.split("=", 1) for one in unit["Service"]["Environment"].split())
    assert OF_AN_AGENT.items() <= set_there.items()


def test_the_unit_waits_for_the_word_and_runs_as_nobody_special():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["User"] not in ("", "root")
    assert service["Restart"] == "always"
    assert service["CapabilityBoundingSet"] == ""
    assert float(service["WatchdogSec"]) > 0
    # The agent needs up to 5 s to stop.
    assert float(service["TimeoutStopSec"]) > 5
    # SIGHUP has it read its config again.
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    # A group that may look at the socket, and nobody who may look at the state.
    assert (service["RuntimeDirectoryMode"], service["StateDirectoryMode"]) == ("0750", "0700")


def test_the_units_user_is_made_as_debian_makes_users():
    (line,) = [one for one in SYSUSERS.read_text().splitlines() if not one.startswith("#")]
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    assert line.split()[:2] == ["u", unit["Service"]["User"]]
