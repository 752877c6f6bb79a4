"""Bodies take no more of a device than it has for them."""

import pytest

from edge_agent.core.room import Room, room

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("mebibytes", "body", "bodies", "message"),
    [(128, 16, 32, 2), (256, 32, 64, 4), (512, 64, 128, 8), (1024, 64, 256, 16), (4096, 64, 256, 64)],
)
def test_all_bodies_take_a_quarter_of_a_small_device_and_one_takes_half_of_that(mebibytes, body, bodies, message):
    assert room(0, mebibytes * MEBIBYTE) == Room(body * MEBIBYTE, bodies * MEBIBYTE, message * MEBIBYTE)


@pytest.mark.parametrize(
    ("wanted", "bodies"),
    [
        (MEBIBYTE, 4 * MEBIBYTE),
        (20 * MEBIBYTE, 64 * MEBIBYTE),
        (64 * MEBIBYTE, 64 * MEBIBYTE),
        (100 * MEBIBYTE, 100 * MEBIBYTE),
    ],
)
def test_the_largest_body_is_what_the_owner_says(wanted, bodies):
    assert room(wanted, 256 * MEBIBYTE) == Room(wanted, bodies, wanted)
