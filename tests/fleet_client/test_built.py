"""A built folder is checked before anything of it is sent."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_client import Client, built
from fleet_client.errors import BuildWrong, HubRefused
from fleet_contract.encoding import encode
from fleet_contract.manifest import Blob, Golden, Histogram, Manifest, Provenance, Reference, Tensor
from tests.fakes.hub import Answer, FakeHub, problem
from tests.fleet_client.documents import version


def blob(data: bytes) -> Blob:
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def make_folder(folder: Path, targets: tuple[str, ...] = ("cpu-avx2", "cpu-vnni"), **over: Any) -> Path:
    """A build of the model "digits", with an artifact of its own for each target."""
    folder.mkdir()
    golden = b"golden"
    (folder / "golden.npz").write_bytes(golden)
    (folder / "source.onnx").write_bytes(b"source")
    for target in targets:
        artifact = f"artifact for {target}".encode()
        (folder / f"artifact.{target}.onnx").write_bytes(artifact)
        manifest = Manifest(
            model=over.get("model", "digits"),
            version=0,
            target=target,
            runtime="onnx",
            artifact=blob(artifact),
            inputs=(Tensor("scan", "FP32", (-1, 64)),),
            outputs=(Tensor("probabilities", "FP32", (-1, 2)),),
            task="classification",
            labels=("0", "1"),
            reference=Reference(10, {"0": 5, "1": 5}, Histogram((0.5,), (1, 9))),
            golden=Golden(blob(golden), 4, 0.9, 0.1),
            provenance=Provenance("digits", "sha256:00", datetime(2026, 11, 22, tzinfo=UTC), {}, 100, 0.9, 0.9),
        )
        (folder / f"manifest.{target}.json").write_bytes(encode(manifest))
    return folder


def test_a_folder_is_its_manifests_and_all_that_they_name(tmp_path: Path) -> None:
    found = built.read(make_folder(tmp_path / "digits"))
    assert (found.model, found.targets) == ("digits", ("cpu-avx2", "cpu-vnni"))
    assert sorted(file.path.name for file in found.files) == [
        "artifact.cpu-avx2.onnx",
        "artifact.cpu-vnni.onnx",
        "golden.npz",
    ], "the source is not sent: no manifest names it"


def test_no_folder_and_an_empty_one_say_how_to_make_one(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BuildWrong, match="vedette models build"):
            built.read(folder)


@pytest.mark.parametrize("name", ["artifact.cpu-avx2.onnx", "golden.npz"])
def test_a_missing_file_is_named_by_what_it_is(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "digits")
    (folder / name).unlink()
    with pytest.raises(BuildWrong, match=r"artifact for cpu-avx2|golden set"):
        built.read(folder)


@given(position=st.integers(0, 1_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_seen(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    folder = make_folder(tmp_path_factory.mktemp("build") / "digits")
    file = folder / "artifact.cpu-vnni.onnx"
    data = bytearray(file.read_bytes())
    data[position % len(data)] ^= 1 << bit
    file.write_bytes(data)
    with pytest.raises(BuildWrong, match="changed after it was built"):
        built.read(folder)


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"model": "digits"'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: bytes) -> None:
    folder = make_folder(tmp_path / "digits")
    (folder / "manifest.cpu-vnni.json").write_bytes(text)
    with pytest.raises(BuildWrong, match=r"manifest\.cpu-vnni\.json"):
        built.read(folder)


def test_two_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", ("cpu-vnni",))
    other = make_folder(tmp_path / "other", ("cpu-avx2",), model="letters")
    for file in other.glob("*cpu-avx2*"):
        file.rename(folder / file.name)
    with pytest.raises(BuildWrong, match="digits, letters"):
        built.read(folder)


def test_registering_sends_every_file_first_and_then_the_manifests_as_they_are(hub: FakeHub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits")
    for file in built.read(folder).files:
        hub.on(f"PUT /api/v1/blobs/{file.digest}", Answer({}, 201))
    hub.on("POST /api/v1/models/digits/versions", Answer(version(7), 201))
    seen: list[str] = []
    made = Client(hub.url).models.register(folder, notes="more", progress=lambda path, *_: seen.append(path.name))
    assert made.version == 7
    assert [one.method for one in hub.asked] == ["PUT", "PUT", "PUT", "POST"]
    assert set(seen) == {"artifact.cpu-avx2.onnx", "artifact.cpu-vnni.onnx", "golden.npz"}
    body = hub.asked[-1].json
    assert body["notes"] == "more"
    assert [one["manifest"]["target"] for one in body["artifacts"]] == ["cpu-avx2", "cpu-vnni"]
    for asked, file in zip(hub.asked, built.read(folder).files, strict=False):
        assert asked.body == file.path.read_bytes()


def test_nothing_is_registered_when_a_file_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "digits", ("cpu-vnni",))
    first = built.read(folder).files[0]
    hub.on(f"PUT /api/v1/blobs/{first.digest}", problem(507, "disk-full", "No room.", "Make some."))
    with pytest.raises(HubRefused, match="No room"):
        Client(hub.url).models.register(folder)
    assert [one.method for one in hub.asked] == ["PUT"]
