"""What the owner of a device may set: one TOML file, read once, into one frozen object."""

import math
import tomllib
from pathlib import Path

import msgspec

from edge_agent.errors import ConfigWrong
from fleet_contract.errors import ContractError
from fleet_contract.topics import check_id

DEFAULT_STATE_DIR = Path("/var/lib/vedette")


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How windows are cut and how much of the disk may hold those that the hub does not have yet."""

    window_seconds: float = 10.0
    spool_max_bytes: int = 64 * 1024 * 1024


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="replay"):
    """Feeds `model` with the rows of an .npz, shuffled by `seed`, over and over, `rate_per_second` at most.

    The file holds one array `inputs/<tensor name>` for each input of the model, one row a record.
    """

    model: str
    path: Path
    rate_per_second: float = 1.0
    seed: int = 0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the agent keeps its state, what the device is, and what feeds its models.

    `target` is the hardware target to ask artifacts for; detected when empty.
    """

    state_dir: Path = DEFAULT_STATE_DIR
    target: str = ""
    heartbeat_seconds: float = 30.0
    telemetry: Telemetry = Telemetry()
    sources: tuple[Replay, ...] = ()


def load(path: Path) -> Config:
    """The config in `path`. Relative paths in it start at its folder. Raises `ConfigWrong`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        config = msgspec.convert(table, Config, dec_hook=_path)
    except OSError as error:
        raise ConfigWrong(f"Cannot read the config {path}: {error.strerror}.", "Name it with --config FILE.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigWrong(f"{path} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise ConfigWrong(
            f"{path} is wrong: {error}.", "provisioning/agent.example.toml names all that can be set."
        ) from error
    _check(config, path)
    folder = path.absolute().parent
    return msgspec.structs.replace(
        config,
        state_dir=folder / config.state_dir,
        sources=tuple(msgspec.structs.replace(one, path=folder / one.path) for one in config.sources),
    )


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
    for number, source in enumerate(config.sources):
        if not 0 < source.rate_per_second <= 10_000:
            problems.append(
                f"sources[{number}].rate_per_second is {source.rate_per_second}, and must be above 0, at most 10,000"
            )
    try:
        if config.target:
            check_id(config.target, "hardware target")
        for source in config.sources:
            check_id(source.model, "model name")
    except ContractError as error:
        problems.append(str(error))
    if problems:
        raise ConfigWrong(f"{path} is wrong: {'; '.join(problems)}.")
