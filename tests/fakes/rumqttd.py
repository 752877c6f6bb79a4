"""The real rumqttd, on a free port of the loopback: not a fake, but started like one."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import SystemRandom

from iotcore import Broker


def free_port() -> int:
    # Below those that outgoing connections get: one of them could be gone before the broker listens there.
    for port in SystemRandom().sample(range(20_000, 32_768), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("100 ports are taken")


@contextmanager
def rumqttd(folder: Path, port: int) -> Iterator[Broker]:
    """A broker that speaks MQTT 5 on `port`. Its config is written to `folder`."""
    config = folder / f"rumqttd-{port}.toml"
    config.write_text(f"""
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 5000
    max_payload_size = 262144
    max_inflight_count = 100
    dynamic_filters = false
""")
    broker = Broker(config_path=str(config))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
