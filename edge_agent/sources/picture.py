"""Makes the tensor that a model takes from a picture: turned upright, fitted, scaled, in the model's layout."""

import io
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import AgentError, SourceWrong
from edge_agent.runtimes.session import Array
from edge_agent.sources.rows import dtype_of, only_input, row_of
from edge_agent.sources.settings import Picture
from fleet_contract.manifest import Manifest

if TYPE_CHECKING:
    from PIL.Image import Image

#: What cameras and people write. Each further format is one more decoder that strangers' bytes could reach.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")
#: A picture of a few kilobytes may unfold to gigabytes.
_MAX_PIXELS = 64_000_000


class PictureUnreadable(AgentError):
    """These bytes are no picture, or a damaged one: others may be fine."""

    code = "picture-unreadable"


class Preparation:
    """Pictures to records for one model. Raises `SourceWrong` when pictures do not fit the model."""

    def __init__(self, settings: Picture, manifest: Manifest) -> None:
        try:
            import PIL.Image
            import PIL.ImageOps
        except ImportError as error:
            raise SourceWrong(
                f"Pictures cannot be read on this device: {error}.", "Install the extra `images` of vedette."
            ) from error
        self._image, self._ops = PIL.Image, PIL.ImageOps
        self._settings = settings
        tensor = only_input(manifest)
        self._name = tensor.name
        self._dtype = dtype_of(tensor, manifest)
        self._row = row_of(tensor, manifest)
        self._layout = _layout(settings, self._row, manifest)
        self._height, self._width, self._channels = _size(settings, self._row, self._layout, manifest)
        self._shape = self._filled()
        mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
        if max(len(mean), len(std)) > 1 and self._channels == 1:
            raise SourceWrong(
                f"picture.mean and picture.std have three values, and model {manifest.model} takes grey pictures."
            )
        self._factor = np.float32(settings.scale) / std
        self._offset = -mean / std

    def read(self, content: bytes) -> Mapping[str, Array]:
        """The record of an encoded picture. Raises `PictureUnreadable`."""
        try:
            with self._image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise PictureUnreadable(f"It has {image.width} x {image.height} pixels, more than {_MAX_PIXELS:,}.")
                # A JPEG can be decoded at a part of its size: less time, and far less memory.
                image.draft(None, (2 * self._width, 2 * self._height))
                return self._record(self._ops.exif_transpose(image))
        except PictureUnreadable:
            raise
        except Exception as error:
            # On damaged bytes decoders raise nearly anything.
            raise PictureUnreadable(f"It cannot be read: {error}.") from error

    def frame(self, pixels: Array) -> Mapping[str, Array]:
        """The record of a frame: UINT8 [height, width, 3] in the order red, green, blue."""
        return self._record(self._image.fromarray(pixels))

    def _record(self, image: "Image") -> Mapping[str, Array]:
        size = self._width, self._height
        image = image.convert("L" if self._channels == 1 else "RGB")
        bilinear = self._image.Resampling.BILINEAR
        match self._settings.fit:
            case "stretch":
                image = image.resize(size, bilinear)
            case "crop":
                image = self._ops.fit(image, size, bilinear)
            case "pad":
                image = self._ops.pad(image, size, bilinear)
        values = np.asarray(image, np.float32).reshape(self._height, self._width, self._channels)
        if self._settings.order == "bgr":
            values = values[:, :, ::-1]
        values = values * self._factor + self._offset
        if self._layout == "nchw":
            values = values.transpose(2, 0, 1)
        if np.issubdtype(self._dtype, np.integer):
            bounds = np.iinfo(self._dtype)  # type: ignore[type-var]  # mypy does not see that it is an integer type
            values = np.rint(values).clip(bounds.min, bounds.max)
        return {self._name: np.ascontiguousarray(values, self._dtype).reshape(self._shape)}

    def _filled(self) -> tuple[int, ...]:
        """The shape of a record with its batch of one, free dimensions filled."""
        if self._layout == "flat":
            return (1, self._height * self._width * self._channels)
        if self._layout == "nchw":
            return (1, self._channels, self._height, self._width)
        # Grey pictures may have a dimension for their one channel, or none.
        return (1, self._height, self._width, self._channels)[: 1 + len(self._row)]


def _layout(settings: Picture, row: tuple[int, ...], manifest: Manifest) -> str:
    if settings.layout != "auto":
        ranks = {"nhwc": (2, 3), "nchw": (3,), "flat": (1,)}[settings.layout]
        if len(row) not in ranks:
            raise SourceWrong(
                f"picture.layout is {settings.layout}, and model {manifest.model} takes records of {row}."
            )
        return settings.layout
    match row:
        case (_,):
            return "flat"
        case (_, _) | (_, _, 1 | 3):
            return "nhwc"
        case (1 | 3, _, _):
            return "nchw"
        case _:
            raise SourceWrong(
                f"Model {manifest.model} takes records of {row}, which does not look like a picture.",
                "Set picture.layout, or feed the model otherwise.",
            )


def _size(settings: Picture, row: tuple[int, ...], layout: str, manifest: Manifest) -> tuple[int, int, int]:
    """Height, width and channels, from the model's shape, and from the settings where that leaves them free."""
    match layout, row:
        case "nchw", (channels, height, width):
            given = height, width, channels
        case "nhwc", (height, width, channels):
            given = height, width, channels
        case "nhwc", (height, width):
            given = height, width, 1
        case _:
            # Nothing in a flat record says how it is folded; a square of grey is the first guess.
            side = round((row[0] / (settings.channels or 1)) ** 0.5) if row[0] > 0 else -1
            free = settings.width or settings.height
            given = (-1, -1, -1) if free else (side, side, settings.channels or 1)
    wanted = settings.height, settings.width, settings.channels
    names = "height", "width", "channels"
    for name, want, have in zip(names, wanted, given, strict=True):
        if want and have not in (-1, want):
            raise SourceWrong(f"picture.{name} is {want}, and model {manifest.model} takes {have}.")
    height, width, channels = (want or have for want, have in zip(wanted, given, strict=True))
    channels = channels if channels != -1 or layout != "flat" else 1
    if min(height, width, channels) < 1 or channels not in (1, 3):
        raise SourceWrong(
            f"Model {manifest.model} takes records of {row}: how large a picture it wants is not said.",
            "Set picture.width, picture.height and picture.channels.",
        )
    if layout == "flat" and row[0] not in (-1, prod((height, width, channels))):
        raise SourceWrong(
            f"Model {manifest.model} takes {row[0]} values a record, and a picture of {width} x {height} with "
            f"{channels} channels has {prod((height, width, channels))}.",
            "Set picture.width, picture.height and picture.channels.",
        )
    return height, width, channels
