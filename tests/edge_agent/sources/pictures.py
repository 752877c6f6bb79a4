"""Pictures for tests, as files are."""

import io

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "PNG", **more: object) -> bytes:
    """`pixels` (UINT8, [height, width] or [height, width, 3]) as a file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **more)
    return file.getvalue()


def grey(value: int = 128, width: int = 8, height: int = 8) -> bytes:
    return encoded(np.full((height, width), value, np.uint8))
