"""What a config that is read again changes at once, and what waits."""

from pathlib import Path

import msgspec
import pytest

from edge_agent import reload
from edge_agent.config import Capture, Config, Disk, Serving, Telemetry
from edge_agent.reload import Changes, changes, followed
from edge_agent.sources.settings import Replay

REPLAY = Replay("digits", Path("/digits.npz"))


def test_the_same_config_changes_nothing():
    assert changes(Config(), Config()) == Changes((), ())


@pytest.mark.parametrize(
    "wanted",
    [
        Config(heartbeat_seconds=5),
        Config(log_level="debug"),
        Config(sources=(REPLAY,)),
        Config(telemetry=Telemetry(window_seconds=3)),
        Config(telemetry=Telemetry(spool_max_bytes=1 << 21)),
        Config(disk=Disk(artifacts_max_bytes=1 << 24)),
        Config(capture=Capture(max_bytes=1 << 24)),
    ],
)
def test_what_can_be_followed_at_once_is(wanted):
    changed = changes(Config(), wanted)
    assert len(changed.live) == 1
    assert not changed.waiting
    assert followed(Config(), wanted) == wanted


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (Config(state_dir=Path("/elsewhere")), "state_dir"),
        (Config(target="cpu-avx2"), "target"),
        (Config(serving=Serving(tcp_port=8431)), "serving.tcp_port"),
    ],
)
def test_what_waits_for_a_restart_is_named_and_not_followed(wanted, name):
    assert changes(Config(), wanted) == Changes((), (name,))
    assert followed(Config(), wanted) == Config()


def test_one_reload_may_do_both():
    wanted = Config(target="cpu-avx2", heartbeat_seconds=5, telemetry=Telemetry(window_seconds=3))
    assert changes(Config(), wanted) == Changes(("heartbeat_seconds", "telemetry.window_seconds"), ("target",))
    assert followed(Config(), wanted) == msgspec.structs.replace(wanted, target="")


def test_what_waits_is_told_again_until_the_agent_is_restarted():
    wanted = Config(target="cpu-avx2")
    assert changes(followed(Config(), wanted), wanted).waiting == ("target",)


def test_every_name_that_can_be_followed_is_one_of_the_config():
    for name in reload.LIVE:
        value: object = Config()
        for part in name.split("."):
            value = getattr(value, part)
