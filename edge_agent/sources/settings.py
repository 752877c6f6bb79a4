"""What the owner of a device may set of each source, as the tables `[[sources]]` of the config say it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from fleet_contract.errors import ContractError
from fleet_contract.topics import check_id


class Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture becomes the input tensor of a model: turned upright, fitted, and each value scaled.

    A value of the tensor is (pixel * scale - mean) / std, with a `mean` and `std` for all channels or for each.
    """

    width: int = 0
    height: int = 0
    channels: int = 0
    """1 is grey, 3 is colour. These three may be 0 where the model's shape says them."""
    layout: Literal["auto", "nhwc", "nchw", "flat"] = "auto"
    order: Literal["rgb", "bgr"] = "rgb"
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    """What is done when the picture is wider or higher than the model wants it."""
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="replay"):
    """Feeds `model` with the rows of an .npz, shuffled by `seed`, over and over, `rate_per_second` at most.

    The file holds one array `inputs/<tensor name>` for each input of the model, one row a record, and may hold an array
    `labels`: the true label of each, by its name or by its number among the model's labels.
    """

    model: str
    path: Path
    rate_per_second: float = 1.0
    seed: int = 0


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="folder"):
    """Feeds `model` with the pictures that appear in a folder, oldest first."""

    model: str
    path: Path
    done: Literal["move", "delete", "keep"] = "move"
    """What becomes of a picture that was answered: moved to `done/` in the folder, deleted, or left (and then
    inferred again after a restart). One that cannot be read is moved to `failed/`, or left."""
    keep_files: int = 1000
    """How many `done/` and `failed/` may each hold; the oldest above that are deleted."""
    labelled: bool = False
    """Whether to take the pictures in the sub folders that have the names of the model's labels, too: those are their
    true labels."""
    settle_seconds: float = 1.0
    """How long a picture must not have changed, to be whole. 0 when they are only ever moved in."""
    rate_per_second: float = math.inf
    picture: Picture = Picture()


class Mqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="mqtt"):
    """Feeds `model` with the messages of a topic of a broker on the gateway or beside it, each acked once answered."""

    model: str
    topic: str
    payload: Literal["json", "raw", "picture"] = "json"
    """`json`: {"inputs": [...]} as in the Open Inference Protocol, or {"<input>": [[...]]}, with the true label as
    "label" where it is known. `raw`: the little-endian bytes of the only input, one record. `picture`: a JPEG, PNG or
    the like."""
    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: Path | None = None
    queue: int = 16
    """How many messages may wait here; the broker keeps the others."""
    max_bytes: int = 8 * 1024 * 1024
    """Of one message."""
    rate_per_second: float = math.inf
    picture: Picture = Picture()


class Camera(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="camera"):
    """Feeds `model` with the newest frame of a camera, `rate_per_second` at most; frames between are let go."""

    model: str
    device: str
    """A device node ("/dev/video0"), a stream's URL or a video file, which is played over and over."""
    width: int = 0
    height: int = 0
    """What the camera is asked for; 0 is its own default."""
    rate_per_second: float = 1.0
    picture: Picture = Picture()


Settings: TypeAlias = Replay | Folder | Mqtt | Camera


def based_in(folder: Path, settings: Settings) -> Settings:
    """`settings` with relative paths started at `folder`."""
    match settings:
        case Replay() | Folder():
            return msgspec.structs.replace(settings, path=folder / settings.path)
        case Mqtt(password_file=Path() as path):
            return msgspec.structs.replace(settings, password_file=folder / path)
        case Mqtt() | Camera():
            return settings


def problems(settings: Settings) -> Iterator[str]:
    """What is wrong with `settings`, each a sentence that begins with the key."""
    try:
        check_id(settings.model, "model name")
    except ContractError as error:
        yield f"model: {error}"
    endless = isinstance(settings, Folder | Mqtt)
    most = math.inf if endless else 10_000
    if not 0 < settings.rate_per_second <= most:
        at_most = "" if endless else ", at most 10,000"
        yield f"rate_per_second is {settings.rate_per_second}, and must be above 0{at_most}"
    match settings:
        case Folder():
            if settings.keep_files < 0:
                yield f"keep_files is {settings.keep_files}, and must be 0 or more"
            if not 0 <= settings.settle_seconds <= 3600:
                yield f"settle_seconds is {settings.settle_seconds}, and must be a number from 0 to 3600"
        case Mqtt():
            if not settings.topic or "\0" in settings.topic:
                yield "topic is empty"
            if not 0 < settings.port < 65536:
                yield f"port is {settings.port}, and must be from 1 to 65535"
            if not 1 <= settings.queue <= 10_000:
                yield f"queue is {settings.queue}, and must be from 1 to 10,000"
            if not 1 <= settings.max_bytes <= 256 * 1024 * 1024:
                yield f"max_bytes is {settings.max_bytes}, and must be from 1 to 268,435,456"
        case Camera():
            if not settings.device:
                yield "device is empty"
            if min(settings.width, settings.height) < 0:
                yield f"width and height are {settings.width} and {settings.height}, and must be 0 or more"
        case Replay():
            return
    yield from _picture_problems(settings.picture)


def _picture_problems(picture: Picture) -> Iterator[str]:
    for name, value in (("width", picture.width), ("height", picture.height)):
        if not 0 <= value <= 16_384:
            yield f"picture.{name} is {value}, and must be from 0 to 16,384"
    if picture.channels not in (0, 1, 3):
        yield f"picture.channels is {picture.channels}, and must be 1, 3, or 0 for what the model says"
    for name, values in (("mean", picture.mean), ("std", picture.std)):
        if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
            yield f"picture.{name} is {list(values)}, and must be one number or three"
    if not math.isfinite(picture.scale):
        yield f"picture.scale is {picture.scale}, and must be a number"
    if 0.0 in picture.std:
        yield "picture.std is 0, and values are divided by it"
