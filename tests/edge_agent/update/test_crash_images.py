"""What a disk may hold after a power cut: never less than was flushed, never more than was written."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.faults.block_log import Entry, Flush, Mark, Write
from tests.fakes.faults.images import BLOCK_BYTES, crash_image, mark
from tests.fakes.faults.watched import Claims

DISK_BLOCKS = 8

writes = st.builds(
    lambda block, blocks, byte: Write(block * BLOCK_BYTES, bytes([byte]) * blocks * BLOCK_BYTES),
    st.integers(0, DISK_BLOCKS - 3),
    st.integers(1, 3),
    st.integers(1, 255),
)
marks = st.integers(0, 9).map(lambda version: Mark(mark(Claims(version, version, version))))
logs = st.lists(writes | marks | st.just(Flush()), max_size=30)


def disk(log: list[Entry]) -> bytes:
    """What a disk holds that wrote all of `log`, in its order."""
    content = bytearray(DISK_BLOCKS * BLOCK_BYTES)
    for one in log:
        if isinstance(one, Write):
            content[one.offset : one.offset + len(one.data)] = one.data
    return bytes(content)


def blocks(content: bytes) -> list[bytes]:
    return [content[start : start + BLOCK_BYTES] for start in range(0, len(content), BLOCK_BYTES)]


@given(logs, st.data(), st.integers())
def test_each_block_is_as_it_was_flushed_or_as_it_was_written_since(
    log: list[Entry], data: st.DataObject, seed: int
) -> None:
    position = data.draw(st.integers(0, len(log)))
    image = crash_image(log, position, random.Random(seed))
    flushes = [n for n, one in enumerate(log[:position]) if isinstance(one, Flush)]
    flushed = flushes[-1] + 1 if flushes else 0
    possible = [set(found) for found in zip(blocks(disk(log[:flushed])), strict=True)]
    for one in log[flushed:position]:
        if isinstance(one, Write):
            for number in range(one.offset // BLOCK_BYTES, (one.offset + len(one.data)) // BLOCK_BYTES):
                possible[number].add(one.data[:BLOCK_BYTES])
    assert all(block in among for block, among in zip(blocks(disk(list(image.writes))), possible, strict=True))


@given(logs, st.integers())
def test_what_was_flushed_is_there_whatever_the_dice_say(log: list[Entry], seed: int) -> None:
    image = crash_image([*log, Flush()], len(log) + 1, random.Random(seed))
    assert disk(list(image.writes)) == disk(log)


def test_what_was_said_before_the_cut_is_held_against_the_device_and_nothing_later() -> None:
    log = [Mark(mark(Claims(1, 0, 1))), Mark(mark(Claims(1, 1, 1))), Flush(), Mark(mark(Claims(2, 1, 2)))]
    assert crash_image(log, 3, random.Random(0)).claims == Claims(1, 1, 1)
    assert crash_image(log, 0, random.Random(0)).claims == Claims()


def test_the_same_dice_give_the_same_image_and_others_give_others() -> None:
    log = [Write(block * BLOCK_BYTES, b"x" * BLOCK_BYTES) for block in range(DISK_BLOCKS)]
    images = [crash_image(log, len(log), random.Random(seed)) for seed in (1, 1, *range(20))]
    assert images[0] == images[1]
    assert len({image.name for image in images}) > 10
