"""A hub and a gateway in network namespaces of their own, with a wire between them that can be as bad as real ones.

Needs root, iproute2 and iptables. Namespaces belong to threads here: what a test starts `within` one, threads and
processes alike, is in it.
"""

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"


def _enter(handle: int) -> None:
    if _libc.setns(handle, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """`hub` and `gateway` are namespaces; `hub_ip` and `gateway_ip` their ends of the wire."""

    hub_ip = "10.231.0.1"
    gateway_ip = "10.231.0.2"

    def __init__(self) -> None:
        assert os.geteuid() == 0, "namespaces need root: run `make test-live` as root"
        for program in ("ip", "tc", "iptables"):
            assert shutil.which(program), f"{program} is not installed: run `make test-live` as root"
        number = f"{os.getpid()}-{next(_numbers)}"
        self.hub, self.gateway = f"vedette-hub-{number}", f"vedette-gw-{number}"
        for namespace in (self.hub, self.gateway):
            _run("ip", "netns", "add", namespace)
        _run(
            "ip",
            "link",
            "add",
            "wire",
            "netns",
            self.hub,
            "type",
            "veth",
            "peer",
            "name",
            "wire",
            "netns",
            self.gateway,
        )
        for namespace, address in ((self.hub, self.hub_ip), (self.gateway, self.gateway_ip)):
            self._ip(namespace, "link", "set", "lo", "up")
            # Else the kernel hands over 64 KB at a time, and one lost packet is not one.
            self._ip(namespace, "link", "set", "wire", "gso_max_segs", "1")
            self._ip(namespace, "addr", "add", f"{address}/24", "dev", "wire")
            self._ip(namespace, "link", "set", "wire", "up")

    def close(self) -> None:
        for namespace in (self.hub, self.gateway):
            _run("ip", "netns", "del", namespace)

    @contextmanager
    def within(self, namespace: str) -> Iterator[None]:
        """This thread, and what it starts, is in `namespace` until the block ends."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(before)
            os.close(there)
            os.close(before)

    def lossy(self, share: float) -> None:
        """Loses this share, 0 to 1, of the packets in each direction."""
        for namespace in (self.hub, self.gateway):
            self._rule(namespace, "-m", "statistic", "--mode", "random", "--probability", f"{share}", "-j", "DROP")

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        for namespace in (self.hub, self.gateway):
            self._rule(namespace, "-j", "DROP")

    def mend(self) -> None:
        """All passes again."""
        for namespace in (self.hub, self.gateway):
            _run("ip", "netns", "exec", namespace, "iptables", "-w", "-F", "INPUT")

    def reset(self) -> None:
        """What the gateway sends is answered by a reset, until `mend`."""
        self._rule(self.hub, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")

    def unplug(self) -> None:
        """The gateway's interface is down: its kernel knows."""
        self._ip(self.gateway, "link", "set", "wire", "down")

    def plug(self) -> None:
        self._ip(self.gateway, "link", "set", "wire", "up")

    def capped(self, rate: str) -> None:
        """The hub sends at most `rate`, as tc writes it ("8mbit")."""
        _run(
            *("ip", "netns", "exec", self.hub, "tc", "qdisc", "replace", "dev", "wire", "root"),
            *("tbf", "rate", rate, "burst", "32kbit", "latency", "100ms"),
        )

    def received_bytes(self) -> int:
        """What has come to the gateway over the wire, headers included."""
        with self.within(self.gateway):
            # /sys shows the namespace that it was mounted in; /proc/net is the reader's own.
            for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
                name, _, counters = line.partition(":")
                if name.strip() == "wire":
                    return int(counters.split()[0])
        raise AssertionError("the wire is gone")

    def _ip(self, namespace: str, *arguments: str) -> None:
        _run("ip", "-n", namespace, *arguments)

    def _rule(self, namespace: str, *rule: str) -> None:
        _run("ip", "netns", "exec", namespace, "iptables", "-w", "-A", "INPUT", "-i", "wire", *rule)


@contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()
