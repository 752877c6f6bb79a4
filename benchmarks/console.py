"""What a browser loads to see a fleet for the first time, from a real hub with real agents at work.

Counted are the bytes on the wire, heads and bodies, of all that the overview needs: the page, its assets, and the
parts that it fetches once its stream is open. The anchor is the same page with nothing compressed. Nobody runs
JavaScript here, so rows that are found are rows that need none.
"""

import http.client
import re
import tempfile
import time
from html import unescape
from pathlib import Path

from benchmarks.figure import Figure, report
from edge_agent.join import join
from edge_agent.state import StateFolder
from fleet_contract.join import parse_token
from tests.built import built_digits
from tests.fleet.world import Agent, Hub, eventually, make_agent

AGENTS = 3
DEVICES = 50
#: Long enough for lines in the charts.
WORK_SECONDS = 30
LOADS = 20


def main() -> int:
    """Prints the figures; 0 when all promises are kept."""
    digits = built_digits(_cache())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hub = Hub(folder)
        agents: list[Agent] = []
        try:
            for number in range(DEVICES - AGENTS):
                _join(hub, folder, f"gateway-{number:02d}", "cpu-vnni" if number % 2 else "cpu-avx2")
            for number in range(AGENTS):
                # One by one: those that started are stopped even when the next does not.
                agents += [make_agent(hub, folder, digits.replay, f"at-work-{number}", {"site": "lyon"})]
            version = hub.client.models.register(digits.good).version
            policy = {"waves": [{"percent": 100}], "selector": "site = lyon", "soak_seconds": 0}
            hub.client.rollouts.create("digits", version, policy)
            eventually(lambda: any(_runs(agent, version) for agent in agents), "an agent runs digits", 60)
            time.sleep(WORK_SECONDS)
            return report(_figures(hub.port))
        finally:
            for agent in agents:
                agent.stop()
            hub.client.close()
            hub.stop()


def _cache() -> Path:
    cache = Path(__file__).parent.parent / ".pytest_cache" / "d" / "vedette"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _join(hub: Hub, folder: Path, device: str, target: str) -> None:
    state = StateFolder(folder / "joined" / device)
    state.create()
    token = hub.client.devices.token(device, labels={"site": "graz", "line": device[-1]}, target=target).token
    join(state, parse_token(token), target)


def _runs(agent: Agent, version: int) -> bool:
    model = agent.seen().model("digits")
    return model is not None and model.running is not None and model.running.version == version


def _figures(port: int) -> list[Figure]:
    page = _get(port, "/", "identity").decode(errors="replace")
    wanted = ["/", *_assets(page), *(unescape(part) for part in re.findall(r'hx-get="([^"]+)"', page))]
    squeezed = sum(len(_get(port, path, "gzip")) for path in wanted)
    plain = sum(len(_get(port, path, "identity")) for path in wanted)
    rows = _get(port, "/devices", "identity").decode(errors="replace").count('<tr id="device-')
    began = time.monotonic()
    for _ in range(LOADS):
        _get(port, "/", "gzip")
    served_ms = (time.monotonic() - began) / LOADS * 1000
    return [
        Figure("console: first load, all requests", squeezed / 1000, 80, "kB", plain / 1000),
        Figure("console: device rows without JavaScript", rows, DEVICES, "rows", at_least=True),
        Figure(f"console: overview of {DEVICES} devices, served", served_ms, 200, "ms"),
    ]


def _assets(page: str) -> list[str]:
    return sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)))


def _get(port: int, path: str, encoding: str) -> bytes:
    """The answer as it is on the wire, its head too."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": encoding})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"GET {path} answered {answer.status}: {body[:200]!r}")
        lines = [
            f"HTTP/1.1 {answer.status} {answer.reason}",
            *(f"{key}: {value}" for key, value in answer.getheaders()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(main())
