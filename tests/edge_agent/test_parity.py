"""An accelerator answers once it has computed the golden set on this device, and one that computes it wrongly never."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_agent.failures import ArtifactRejected
from edge_agent.parity import prove
from edge_agent.runtimes.choice import ChosenSession
from edge_agent.runtimes.session import InferenceFailed
from tests.fakes.tiny_models import FEATURES, Build, a_build
from tests.fakes.ways import Device, Kind, coarse, failing, right, slow, wrong

BUILD = a_build(1)
MakeDevice = Callable[..., Device]


@pytest.fixture
def device_with(tmp_path: Path) -> MakeDevice:
    return lambda **kinds: Device(tmp_path / "artifact", **kinds)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "golden"
    path.write_bytes(BUILD.golden)
    return path


def codes(session: ChosenSession) -> list[str]:
    return [one.code for one in session.troubles()]


def test_until_it_is_proved_the_cpu_answers(device_with: MakeDevice) -> None:
    device = device_with(npu=right, cpu=slow)
    assert device.load().provider == "cpu"
    assert device.names() == ["cpu"]


def test_an_accelerator_that_agrees_and_is_faster_answers_from_now_on(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=right, cpu=slow)
    session = device.load()
    assert str(prove(session, BUILD.manifest, golden)).startswith("Golden set of 8 on npu: 100.0% of the labels agree")
    assert session.provider == "npu"
    assert device.still_open() == ["npu"]
    assert not session.troubles()
    # Also after a restart, when no golden set is replayed.
    again = device.load()
    assert again.provider == "npu"
    assert device.names() == ["cpu", "npu", "npu"]


@pytest.mark.parametrize("kind", [wrong, coarse, failing])
def test_one_that_computes_something_else_is_refused_by_name(device_with: MakeDevice, golden: Path, kind: Kind) -> None:
    device = device_with(npu=kind, cpu=slow)
    session = device.load()
    assert prove(session, BUILD.manifest, golden).on == "cpu"
    assert session.provider == "cpu"
    assert device.still_open() == ["cpu"]
    [because] = session.troubles()
    assert because.code == "provider-disagrees"
    assert "npu must not compute digits version 1 on this device" in because.sentence
    # For good: it is not even opened any more.
    again = device.load()
    prove(again, BUILD.manifest, golden)
    assert device.names() == ["cpu", "npu", "cpu"]
    assert codes(again) == ["provider-disagrees"]


def test_the_next_accelerator_is_taken_instead(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu1=wrong, npu2=right, npu3=right, cpu=slow)
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "npu2"
    assert device.still_open() == ["npu2"]
    assert codes(session) == ["provider-disagrees"]


def test_one_that_is_slower_is_not_worth_it_unless_its_owner_asks_for_it(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=slow, cpu=right)
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert codes(session) == ["provider-slower"]
    device.artifact = device.artifact.with_name("another")
    session = device.load(at_any_speed=True)
    prove(session, BUILD.manifest, golden)
    assert session.provider == "npu"


def test_a_release_that_is_wrong_everywhere_is_the_releases_fault(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=wrong, cpu=wrong)
    session = device.load()
    with pytest.raises(ArtifactRejected) as caught:
        prove(session, BUILD.manifest, golden)
    assert caught.value.code == "golden-disagrees"
    assert device.names() == ["cpu"]
    assert not session.troubles()


def test_of_two_trusted_ways_the_first_that_agrees_answers(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(xnnpack=wrong, cpu=right)
    session = device.load()
    assert session.provider == "xnnpack"
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert codes(session) == ["provider-disagrees"]
    assert device.load().provider == "cpu"


def test_one_that_failed_is_not_the_models_last_word(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(xnnpack=failing, cpu=failing)
    session = device.load()
    with pytest.raises(InferenceFailed):
        prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"


def test_an_unreadable_golden_set_is_nobodys_fault(device_with: MakeDevice, golden: Path) -> None:
    golden.write_bytes(b"no archive")
    session = device_with(npu=right, xnnpack=right, cpu=right).load()
    with pytest.raises(ArtifactRejected) as caught:
        prove(session, BUILD.manifest, golden)
    assert caught.value.code == "golden-unreadable"
    assert session.provider == "xnnpack"
    assert not session.troubles()


def test_what_cannot_be_opened_is_named_and_tried_again_by_the_next_start(
    device_with: MakeDevice, golden: Path
) -> None:
    device = device_with(npu=None, cpu=slow)
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert codes(session) == ["provider-unusable"]
    device.kinds["npu"] = right
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "npu"


def test_a_proved_one_whose_driver_is_gone_leaves_it_to_the_cpu(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=right, cpu=slow)
    prove(device.load(), BUILD.manifest, golden)
    device.kinds["npu"] = None
    session = device.load()
    assert session.provider == "cpu"
    assert codes(session) == ["provider-unusable"]


def test_nothing_can_open_what_is_no_model(device_with: MakeDevice) -> None:
    with pytest.raises(ArtifactRejected):
        device_with(xnnpack=None, cpu=None).load()


def test_another_version_of_the_runtime_must_prove_itself(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=right, cpu=slow)
    prove(device.load(), BUILD.manifest, golden)
    device.runtime = "onnxruntime 1.33.0"
    session = device.load()
    assert session.provider == "cpu"
    prove(session, BUILD.manifest, golden)
    assert session.provider == "npu"


def test_one_with_another_signature_is_refused(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=right, cpu=slow)
    device.other_signature = {"npu"}
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert codes(session) == ["provider-disagrees"]


def test_one_that_kills_the_agent_is_not_tried_for_ever(device_with: MakeDevice, golden: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(_: np.ndarray) -> np.ndarray:
        raise Killed

    device = device_with(npu=kill, cpu=slow)
    for _ in range(2):
        with pytest.raises(Killed):
            prove(device.load(), BUILD.manifest, golden)
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert codes(session) == ["provider-fatal"]


def test_where_nothing_can_be_noted_nothing_is_tried(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(npu=right, cpu=slow)
    device.artifact.with_suffix(".verdicts.new").mkdir()
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert session.provider == "cpu"
    assert device.names() == ["cpu"]


@pytest.mark.parametrize("data", [b"", b"{", b'{"onnxruntime 1.32.0 npu": {"state": "perfect"}}', b"\xff\x00"])
def test_damaged_notes_are_forgotten(device_with: MakeDevice, golden: Path, data: bytes) -> None:
    device = device_with(npu=right, cpu=slow)
    device.artifact.with_suffix(".verdicts").write_bytes(data)
    session = device.load()
    assert session.provider == "cpu"
    prove(session, BUILD.manifest, golden)
    assert device.load().provider == "npu"


def test_a_device_with_nothing_but_its_cpu_keeps_no_notes(device_with: MakeDevice, golden: Path) -> None:
    device = device_with(cpu=right)
    session = device.load()
    prove(session, BUILD.manifest, golden)
    assert [one.name for one in golden.parent.iterdir()] == ["golden"]
    assert session.run({"image": np.zeros((1, FEATURES), dtype=np.float32)})["scores"].shape == (1, 3)


def test_a_build_of_either_runtime_is_proved_on_this_device(tmp_path: Path) -> None:
    from edge_agent.runtimes import open_session
    from tests.fakes.tiny_tflite import a_tflite_build

    builds: list[Build] = [BUILD, a_tflite_build(1)]
    for build in builds:
        artifact, golden = tmp_path / build.manifest.runtime, tmp_path / "golden"
        artifact.write_bytes(build.artifact)
        golden.write_bytes(build.golden)
        said = prove(open_session(build.manifest.runtime, artifact), build.manifest, golden)
        assert said.agreement == 1
