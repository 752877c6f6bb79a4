"""Any picture becomes the tensor that the model takes, or is named as what it is not."""

import io

import numpy as np
import pytest
from PIL import Image

from edge_agent.errors import SourceWrong
from edge_agent.sources import picture as module
from edge_agent.sources.picture import PictureUnreadable, Preparation
from edge_agent.sources.settings import Picture
from fleet_contract.manifest import Tensor
from tests.edge_agent.sources.pictures import encoded, grey
from tests.fakes.releases import a_manifest

RAINBOW = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10


def prepared(shape: tuple[int, ...], dtype: str = "FP32", **settings: object) -> Preparation:
    return Preparation(Picture(**settings), a_manifest(inputs=(Tensor("image", dtype, shape),)))


def tensor(content: bytes, shape: tuple[int, ...], dtype: str = "FP32", **settings: object) -> np.ndarray:
    return prepared(shape, dtype, **settings).read(content)["image"]


@pytest.mark.parametrize(
    ("shape", "settings", "wanted"),
    [
        ((-1, 2, 3, 3), {}, RAINBOW),
        ((1, 2, 3, 3), {"order": "bgr"}, RAINBOW[:, :, ::-1]),
        ((-1, 3, 2, 3), {"layout": "nchw"}, RAINBOW.transpose(2, 0, 1)),
        ((-1, 3, 2, 4), {}, None),
        ((-1, 18), {"width": 3, "height": 2, "channels": 3}, RAINBOW.reshape(18)),
        ((-1, -1, -1, 3), {"width": 3, "height": 2}, RAINBOW),
        ((-1, -1), {"width": 3, "height": 2, "channels": 3}, RAINBOW.reshape(18)),
    ],
)
def test_the_layout_is_the_models(shape, settings, wanted):
    given = tensor(encoded(RAINBOW), shape, **settings)
    if wanted is None:
        assert given.shape == (1, 3, 2, 4)
    else:
        assert np.array_equal(given, wanted[None].astype(np.float32))
    assert given.flags.c_contiguous


def test_grey_is_taken_from_colour_and_colour_from_grey():
    assert tensor(encoded(RAINBOW), (-1, 2, 3)).shape == (1, 2, 3)
    assert np.array_equal(tensor(grey(7), (-1, 8, 8, 3)), np.full((1, 8, 8, 3), 7, np.float32))


def test_a_flat_record_is_a_square_of_grey_unless_told():
    assert np.array_equal(tensor(grey(9), (-1, 64)), np.full((1, 64), 9, np.float32))


def test_values_are_scaled_and_standardized_by_channel():
    given = tensor(encoded(RAINBOW), (-1, 2, 3, 3), scale=0.5, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    assert np.allclose(given[0], (RAINBOW * 0.5 - [1, 2, 3]) / [1, 2, 4])


@pytest.mark.parametrize(("dtype", "value"), [("UINT8", 255), ("INT8", 127), ("FP16", 510), ("INT32", 510)])
def test_values_fit_the_models_type_and_never_wrap_around(dtype, value):
    given = tensor(grey(255), (-1, 8, 8), dtype, scale=2.0)
    assert given.max() == value
    assert given.dtype.name == {"UINT8": "uint8", "INT8": "int8", "FP16": "float16", "INT32": "int32"}[dtype]


def test_a_picture_of_other_proportions_is_stretched_cropped_or_padded():
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = 200
    content = encoded(wide)
    assert tensor(content, (-1, 8, 8), fit="crop").min() == 200
    assert tensor(content, (-1, 8, 8), fit="pad")[0, 0].max() == 0
    assert tensor(content, (-1, 8, 8), fit="pad")[0, 4].max() == 200
    stretched = tensor(content, (-1, 8, 8), fit="stretch")[0]
    assert stretched[0, 0] == 0
    assert stretched[0, 4] == 200


def test_a_picture_is_turned_upright_as_its_camera_says():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    given = tensor(encoded(pixels, "JPEG", exif=exif, quality=95), (-1, 8, 8, 3))[0]
    assert given[0].max() < 50
    assert given[7].min() > 200


def test_a_frame_is_prepared_as_a_file_is():
    preparation = prepared((-1, 2, 3, 3))
    assert np.array_equal(preparation.frame(RAINBOW)["image"], preparation.read(encoded(RAINBOW))["image"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        encoded(RAINBOW, "TIFF"),
        encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:2000],
        encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), "JPEG")[:800],
        encoded(RAINBOW)[:20] + b"\0" * 100,
    ],
    ids=["empty", "text", "another format", "cut png", "cut jpeg", "damaged png"],
)
def test_what_is_no_whole_picture_is_named(content):
    with pytest.raises(PictureUnreadable, match="It cannot be read"):
        prepared((-1, 8, 8)).read(content)


def test_a_picture_that_would_fill_the_memory_is_not_unfolded(monkeypatch):
    monkeypatch.setattr(module, "_MAX_PIXELS", 100)
    with pytest.raises(PictureUnreadable, match="16 x 16 pixels"):
        prepared((-1, 8, 8)).read(grey(width=16, height=16))


def test_a_large_jpeg_is_decoded_small():
    big = np.full((2048, 2048, 3), 77, np.uint8)
    assert abs(tensor(encoded(big, "JPEG"), (-1, 8, 8, 3)) - 77).max() < 3


@pytest.mark.parametrize(
    ("shape", "settings", "words"),
    [
        ((-1, 7), {}, "7 values a record, and a picture of 3 x 3"),
        ((-1, -1), {}, "how large a picture"),
        ((-1, -1, -1, 3), {"width": 8}, "how large a picture"),
        ((-1, 8, 8, 3), {"width": 9}, "picture.width is 9, and model digits takes 8"),
        ((-1, 8, 8, 3), {"channels": 1}, "picture.channels is 1"),
        ((-1, 8, 8, 5), {}, "does not look like a picture"),
        ((-1, 8, 8, 5), {"layout": "nhwc"}, "how large a picture"),
        ((-1, 2, 2, 2, 3), {}, "does not look like a picture"),
        ((-1, 8, 8), {"layout": "nchw"}, "picture.layout is nchw"),
        ((-1, 8, 8), {"mean": (1.0, 2.0, 3.0)}, "grey"),
        ((4, 8, 8), {}, "no single record"),
        ((), {}, "no single record"),
    ],
)
def test_a_model_that_no_picture_fits_is_told_at_once(shape, settings, words):
    with pytest.raises(SourceWrong) as caught:
        prepared(shape, **settings)
    assert words in str(caught.value)


def test_a_model_of_several_inputs_or_of_strings_takes_no_pictures():
    two = Tensor("a", "FP32", (-1, 8, 8)), Tensor("b", "FP32", (-1, 2))
    with pytest.raises(SourceWrong, match="has a, b"):
        Preparation(Picture(), a_manifest(inputs=two))
    with pytest.raises(SourceWrong, match="BYTES"):
        prepared((-1, 8, 8), "BYTES")


def test_formats_that_only_few_write_reach_no_decoder():
    for kind in ("GIF", "TIFF", "ICNS"):
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, kind)
        with pytest.raises(PictureUnreadable):
            prepared((-1, 8, 8)).read(file.getvalue())
