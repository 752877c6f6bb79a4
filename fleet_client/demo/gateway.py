"""A device of the demo: its name, its labels, and the agent's config that makes it a real one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("cpu-vnni", "cpu-avx2")
_SITES = ("lyon", "graz", "oulu")


@dataclass(frozen=True)
class Gateway:
    """One device with a folder of its own."""

    name: str
    labels: Mapping[str, str]
    target: str
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    def configure(self, replay: Path, *, model: str = "digits", rate_per_second: float = 100.0, seed: int = 0) -> None:
        """Writes the agent's config: short windows and heartbeats, and `replay` (.npz) as what feeds its model."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"""\
state_dir = "state"
target = "{self.target}"
heartbeat_seconds = 5

[telemetry]
window_seconds = 1

[[sources]]
kind = "replay"
model = "{model}"
path = "{replay.absolute()}"
rate_per_second = {rate_per_second}
seed = {seed}
""",
            encoding="utf-8",
        )


def fleet_of(count: int, folder: Path) -> Sequence[Gateway]:
    """`count` devices over the sites, their targets mixed at each."""
    gateways = []
    for number in range(count):
        site, line = _SITES[number % len(_SITES)], number // len(_SITES) + 1
        name = f"{site}-line-{line}"
        # So that no target is all of a site, or all of a line.
        target = TARGETS[(number % len(_SITES) + number // len(_SITES)) % len(TARGETS)]
        gateways.append(Gateway(name, {"site": site, "line": str(line)}, target, folder / name))
    return gateways
