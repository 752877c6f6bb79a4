"""What the owner of a device may set: one TOML file, read once, into one frozen object."""

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from edge_agent.errors import ConfigWrong
from edge_agent.local_clock import ZoneUnknown, site_zone
from edge_agent.sources import settings
from fleet_contract.errors import ContractError
from fleet_contract.topics import check_id

DEFAULT_STATE_DIR = Path("/var/lib/vedette")
_NAMED = "provisioning/agent.example.toml names all that can be set."


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How windows are cut and how much of the disk may hold those that the hub does not have yet."""

    window_seconds: float = 10.0
    spool_max_bytes: int = 64 * 1024 * 1024


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the disk models may take: artifacts and golden sets together, in bytes; 0 for no bound.

    What runs and what it would fall back on is never evicted; an order that does not fit beside it is refused.
    """

    artifacts_max_bytes: int = 0


class Batching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lets requests for `model` be answered together: up to `max_batch` rows, after `max_delay_ms` at the latest."""

    model: str
    max_batch: int = 8
    max_delay_ms: float = 2.0


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which inputs are kept on the disk for the next version, and how much of it they may take. Off by default, for
    they may be private.

    `max_bytes` is what they may take, 0 for no captures at all; `bytes_per_hour` is what may be written an hour, 0 for
    so much that they hold a day, or 4 MiB where that is less. Kept are `random_share` of all records, those whose
    margin (how sure the model is of its label, less that of the second best) is below `low_margin`, and with
    `disagreement` those to which a shadow gives another label.
    """

    max_bytes: int = 0
    bytes_per_hour: int = 0
    random_share: float = 0.001
    low_margin: float = 0.1
    disagreement: bool = True


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How applications on the gateway reach the models.

    `socket` is the Unix socket's path; when empty, `vedette.sock` in the unit's runtime folder or the state's.
    `tcp_port` and `grpc_port` are on loopback, where every local user may ask; 0 is off. `queue` requests may wait for
    `workers`, more are told to come back. `memory_max_bytes` is what all loaded models may take, 0 for no bound.
    `body_max_bytes` is for one request; 0 for 64 MiB, or an eighth of the memory that there is where that is less.
    """

    enabled: bool = True
    socket: str = ""
    tcp_port: int = 0
    grpc_port: int = 0
    queue: int = 64
    workers: int = 2
    memory_max_bytes: int = 0
    body_max_bytes: int = 0
    connections: int = 128
    batching: tuple[Batching, ...] = ()


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are computed: by default as fits a gateway that has other work to do.

    `threads` is of one inference, `parallel` how many inferences one model may compute at once. `providers` names
    ONNX Runtime's execution providers and LiteRT's delegates in the order in which they are preferred; empty: those
    that the device is seen to have, where they are faster than the CPU. The CPU is always the last resort.
    `delegates` maps names of further delegates to their libraries. `options` are a provider's own, by its name.
    """

    threads: int = 1
    parallel: int = 2
    providers: tuple[str, ...] = ()
    delegates: dict[str, str] = {}
    options: dict[str, dict[str, str]] = {}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What models may take of the device; one that takes more is given up, by itself and for good.

    `latency_ms` is for the median record, `resident_bytes` for the agent with all its models; 0 for no limit.
    `growth_bytes` is what the agent may grow by while its models stay the same, beside what requests hold; 0 for a
    quarter of the memory that there is. A record that takes `hang_seconds`, or a load that takes `load_seconds`, is
    taken to hang.
    """

    latency_ms: float = 0.0
    resident_bytes: int = 0
    growth_bytes: int = 0
    hang_seconds: float = 30.0
    load_seconds: float = 300.0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the agent keeps its state, what the device is, and what feeds its models.

    `target` is the hardware target to ask artifacts for; detected when empty. `timezone` is that of the site
    ("Europe/Berlin"), by whose hours maintenance windows open; the system's when empty.
    """

    state_dir: Path = DEFAULT_STATE_DIR
    target: str = ""
    timezone: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    heartbeat_seconds: float = 30.0
    telemetry: Telemetry = Telemetry()
    disk: Disk = Disk()
    capture: Capture = Capture()
    limits: Limits = Limits()
    serving: Serving = Serving()
    runtime: Runtime = Runtime()
    sources: tuple[settings.Settings, ...] = ()


def load(path: Path) -> Config:
    """The config in `path`. Relative paths in it start at its folder. Raises `ConfigWrong`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        config = msgspec.convert(table, Config, dec_hook=_path)
    except OSError as error:
        raise ConfigWrong(f"Cannot read the config {path}: {error.strerror}.", "Name it with --config FILE.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigWrong(f"{path} is not TOML: {error}.", _NAMED) from error
    except msgspec.ValidationError as error:
        raise ConfigWrong(f"{path} is wrong: {error}.", _NAMED) from error
    _check(config, path)
    folder = path.absolute().parent
    return msgspec.structs.replace(
        config,
        state_dir=folder / config.state_dir,
        serving=_serving(config, folder),
        sources=tuple(settings.based_in(folder, one) for one in config.sources),
    )


def _serving(config: Config, folder: Path) -> Serving:
    socket = config.serving.socket and str(folder / config.serving.socket)
    return msgspec.structs.replace(config.serving, socket=socket)


def _path(kind: type, text: object) -> Path:
    # msgspec knows no paths of its own; they are all that it asks about.
    if kind is not Path or not isinstance(text, str):
        raise ValueError(f"Expected `{kind.__name__}`, got `{type(text).__name__}`")
    return Path(text)


def _check(config: Config, path: Path) -> None:
    problems = []
    for name, value, least in (
        ("heartbeat_seconds", config.heartbeat_seconds, 1),
        ("telemetry.window_seconds", config.telemetry.window_seconds, 0.1),
        ("telemetry.spool_max_bytes", config.telemetry.spool_max_bytes, 1024 * 1024),
    ):
        if not least <= value < math.inf:
            problems.append(f"{name} is {value}, and must be a number, {least} or more")
    for name, value, least, most in (
        ("disk.artifacts_max_bytes", config.disk.artifacts_max_bytes, 0, 1 << 50),
        ("capture.max_bytes", config.capture.max_bytes or 1 << 20, 1 << 20, 1 << 50),
        ("capture.bytes_per_hour", config.capture.bytes_per_hour or 4096, 4096, 1 << 50),
        ("capture.random_share", config.capture.random_share, 0, 1),
        ("capture.low_margin", config.capture.low_margin, 0, 1),
        ("limits.latency_ms", config.limits.latency_ms, 0, 1e9),
        ("limits.resident_bytes", config.limits.resident_bytes, 0, 1 << 50),
        ("limits.growth_bytes", config.limits.growth_bytes, 0, 1 << 50),
        ("limits.hang_seconds", config.limits.hang_seconds, 1, 86_400),
        ("limits.load_seconds", config.limits.load_seconds, 1, 86_400),
        ("serving.tcp_port", config.serving.tcp_port, 0, 65_535),
        ("serving.grpc_port", config.serving.grpc_port, 0, 65_535),
        ("serving.queue", config.serving.queue, 1, 100_000),
        ("serving.workers", config.serving.workers, 1, 64),
        ("serving.memory_max_bytes", config.serving.memory_max_bytes, 0, 1 << 50),
        ("serving.body_max_bytes", config.serving.body_max_bytes or 1024, 1024, 1 << 31),
        ("serving.connections", config.serving.connections, 1, 10_000),
        ("runtime.threads", config.runtime.threads, 1, 64),
        ("runtime.parallel", config.runtime.parallel, 1, 64),
        *((f"serving.batching {one.model} max_batch", one.max_batch, 1, 4096) for one in config.serving.batching),
        *((f"serving.batching {one.model} max_delay_ms", one.max_delay_ms, 0, 1000) for one in config.serving.batching),
    ):
        if not least <= value <= most:
            problems.append(f"{name} is {value}, and must be {least} to {most}")
    problems += _runtime(config.runtime)
    for number, source in enumerate(config.sources):
        problems += [f"sources[{number}].{problem}" for problem in settings.problems(source)]
    try:
        site_zone(config.timezone)
    except ZoneUnknown as error:
        problems.append(f"timezone is {config.timezone!r}: {str(error).removesuffix('.')}")
    try:
        if config.target:
            check_id(config.target, "hardware target")
        for batching in config.serving.batching:
            check_id(batching.model, "model name")
    except ContractError as error:
        problems.append(str(error))
    if problems:
        raise ConfigWrong(f"{path} is wrong: {'; '.join(problems)}.", _NAMED)


def _runtime(runtime: Runtime) -> Iterator[str]:
    for name, library in runtime.delegates.items():
        if not name or name.endswith("ExecutionProvider"):
            yield f"runtime.delegates has the name {name!r}, which is no delegate's"
        if not library.startswith("/"):
            yield f"runtime.delegates.{name} is {library!r}, and must be an absolute path"
    if len(set(runtime.providers)) != len(runtime.providers):
        yield "runtime.providers names one more than once"
