"""Shared memory is read and written where it was registered, and nowhere else."""

import os
from pathlib import Path

import pytest

from edge_agent.serving.port import InputWrong
from edge_agent.serving.regions import REGIONS_MAX, Region, Regions, RegionUnknown


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    shared = tmp_path / "shm"
    shared.mkdir()
    (shared / "given").write_bytes(bytes(range(64)))
    return shared


@pytest.fixture
def regions(folder):
    made = Regions(folder)
    made.register(Region("r", "/given", 16, 32))
    yield made
    made.unregister()


def read(regions: Regions, size: int, offset: int) -> bytes:
    memory = memoryview(bytearray(size))
    regions.read_into(memory, "pixels", "r", offset)
    return bytes(memory)


def test_offsets_count_from_the_regions_own(regions, folder):
    assert read(regions, 4, 8) == bytes([24, 25, 26, 27])
    regions.write(b"abcd", "pixels", "r", 0)
    assert (folder / "given").read_bytes()[14:22] == bytes([14, 15]) + b"abcd" + bytes([20, 21])


@pytest.mark.parametrize(("size", "offset"), [(33, 0), (1, 32), (1, -1), (0, 40)])
def test_nothing_outside_the_region_is_read_or_written(regions, size, offset):
    with pytest.raises(InputWrong, match="'pixels'"):
        read(regions, size, offset)
    with pytest.raises(InputWrong, match="'pixels'"):
        regions.write(bytes(size), "pixels", "r", offset)


@pytest.mark.parametrize(
    "key", ["../secret", "/../secret", "a/b", "/", "", ".", "..", "/..", "given\0", "x\n", "ü", "a" * 300]
)
def test_a_key_names_shared_memory_and_no_other_file(regions, key):
    with pytest.raises(InputWrong, match="no key"):
        regions.register(Region("x", key, 0, 1))


def test_links_and_what_is_no_file_are_not_followed(regions, folder):
    (folder / "link").symlink_to("../secret")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    for key in ("link", "pipe", "folder"):
        with pytest.raises(InputWrong):
            regions.register(Region("x", key, 0, 1))
    assert [one.name for one in regions.registered()] == ["r"]


@pytest.mark.parametrize(("offset", "size"), [(0, 65), (64, 1), (-1, 2), (0, 0), (0, -1), (1 << 62, 1 << 62)])
def test_a_region_lies_within_what_is_there(regions, offset, size):
    with pytest.raises(InputWrong):
        regions.register(Region("x", "given", offset, size))


def test_a_region_that_its_owner_shortens_is_told_and_not_grown(regions, folder):
    os.truncate(folder / "given", 20)
    with pytest.raises(InputWrong, match="shorter"):
        read(regions, 32, 0)
    with pytest.raises(InputWrong, match="shorter"):
        regions.write(b"abcd", "pixels", "r", 0)
    assert (folder / "given").stat().st_size == 20


def test_a_name_is_registered_once(regions):
    with pytest.raises(InputWrong, match="already"):
        regions.register(Region("r", "given", 0, 1))
    regions.unregister("r")
    regions.register(Region("r", "given", 0, 1))


def test_an_unknown_region_is_told(regions):
    with pytest.raises(RegionUnknown, match="'other'"):
        regions.registered("other")
    with pytest.raises(RegionUnknown):
        regions.read_into(memoryview(bytearray(1)), "pixels", "other", 0)
    regions.unregister("other")


def test_regions_are_bounded_and_no_file_stays_open(folder):
    before = len(list(Path("/proc/self/fd").iterdir()))
    regions = Regions(folder)
    for number in range(REGIONS_MAX):
        regions.register(Region(str(number), "given", 0, 1))
    for _ in range(3):
        with pytest.raises(InputWrong, match="Unregister some"):
            regions.register(Region("more", "given", 0, 1))
    regions.unregister()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
