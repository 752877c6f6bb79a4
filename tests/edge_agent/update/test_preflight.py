"""Preflight: signatures compared side by side, memory looked at, sessions closed when it fails."""

import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.nets import NETS
from edge_agent.allotment import available_bytes
from edge_agent.core.limits import Limits
from edge_agent.failures import ArtifactRejected, TryLater
from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import Array, InferenceFailed
from edge_agent.update import preflight
from edge_agent.update.preflight import Preflight, check_signature
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest, blob_of

ARTIFACT = Path("artifact")


class Fake:
    """A session with any signature."""

    def __init__(self, inputs: tuple[Tensor, ...] = (), outputs: tuple[Tensor, ...] = ()) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.closed = False
        self.asked: list[Mapping[str, Array]] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.asked.append(inputs)
        return {}

    def close(self) -> None:
        self.closed = True


def fp32(name: str, *shape: int) -> Tensor:
    return Tensor(name, "FP32", shape)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((fp32("image", -1, 4),), (fp32("scores", -1, 3),)),
        ((fp32("image", -1, -1),), (fp32("scores", -1, 3),)),
        ((fp32("image", -1, 4),), (fp32("scores", -1, -1),)),
        ((fp32("image", -1, 4),), (fp32("scores", 1, 3),)),
        ((fp32("image", -1, 4),), (fp32("more", 1), fp32("scores", -1, 3))),
    ],
)
def test_a_model_that_keeps_its_manifests_promise_passes(
    inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> None:
    check_signature(a_manifest(), Fake(inputs, outputs))


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ((fp32("picture", -1, 4),), (fp32("scores", -1, 3),), "it takes picture, and the manifest names image"),
        ((fp32("image", -1, 4), fp32("mask", 1)), (fp32("scores", -1, 3),), "it takes image, mask"),
        ((fp32("image", -1, 5),), (fp32("scores", -1, 3),), "input image FP32[-1,5] is image FP32[-1,4]"),
        ((fp32("image", 1, 4),), (fp32("scores", -1, 3),), "input image FP32[1,4] is image FP32[-1,4]"),
        ((fp32("image", -1, 2, 2),), (fp32("scores", -1, 3),), "input image FP32[-1,2,2]"),
        ((Tensor("image", "UINT8", (-1, 4)),), (fp32("scores", -1, 3),), "input image UINT8[-1,4]"),
        ((fp32("image", -1, 4),), (fp32("odds", -1, 3),), "it gives odds, and not scores"),
        ((fp32("image", -1, 4),), (fp32("scores", -1, 2),), "output scores FP32[-1,2] is scores FP32[-1,3]"),
    ],
)
def test_a_model_that_does_not_is_told_where(
    inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], sentence: str
) -> None:
    with pytest.raises(ArtifactRejected) as caught:
        check_signature(a_manifest(), Fake(inputs, outputs))
    assert caught.value.code == "signature-mismatch"
    assert sentence in caught.value.what


def test_the_session_of_a_model_that_fails_is_closed() -> None:
    session = Fake()
    with pytest.raises(ArtifactRejected):
        Preflight(lambda *_: session).load(a_manifest(), ARTIFACT)
    assert session.closed


@pytest.mark.parametrize("dtype", ["BOOL", "BYTES", "FP16", "FP64", "INT8", "UINT64"])
def test_a_model_is_warmed_up_with_a_record_of_zeros_of_its_own_kind(dtype: str) -> None:
    tensors = (Tensor("image", dtype, (-1, 4)),)
    session = Fake(tensors, (fp32("scores", -1, 3),))
    Preflight(lambda *_: session).load(a_manifest(inputs=tensors), ARTIFACT)
    assert session.asked
    for record in session.asked:
        assert record["image"].shape == (1, 4)
        assert not any(record["image"].ravel())


def test_a_clients_first_record_finds_the_memory_that_it_needs(tmp_path: Path) -> None:
    net = NETS[2]
    artifact = tmp_path / "model.onnx"
    artifact.write_bytes(net.onnx())
    image, scores = fp32("x", -1, *net.shape), fp32("scores", -1, 10)
    loaded = Preflight(open_session).load(a_manifest(inputs=(image,), outputs=(scores,)), artifact)
    record = {"x": net.record()}
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    loaded.session.run(record)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before < 100
    loaded.session.close()


def test_a_model_that_comes_back_is_warmed_up_again_or_its_first_batch_would_stay_in_memory(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"a model")
    session = Fake((fp32("image", -1, 4),))
    again = Preflight(lambda *_: session).reopen(a_manifest(artifact=blob_of(b"a model")), artifact)
    assert again is session
    assert [record["image"].shape for record in session.asked] == [(1, 4)] * 2


def test_a_model_that_comes_back_and_cannot_answer_zeros_is_left_to_who_asks_it(tmp_path: Path) -> None:
    class Failing(Fake):
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise InferenceFailed("Not now.")

    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"a model")
    session = Failing((fp32("image", -1, 4),))
    assert Preflight(lambda *_: session).reopen(a_manifest(artifact=blob_of(b"a model")), artifact) is session
    assert not session.closed


def test_memory_that_is_short_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "proc/meminfo"
    meminfo.parent.mkdir()
    monkeypatch.setattr(preflight, "available_bytes", lambda: available_bytes(tmp_path))
    session = Fake((fp32("image", -1, 4),), (fp32("scores", -1, 3),))
    sure = Preflight(lambda *_: session)
    meminfo.write_text("MemTotal:  8000000 kB\nMemAvailable:   1024 kB\n")
    with pytest.raises(TryLater, match="1048576 bytes are available") as caught:
        sure.load(a_manifest(), ARTIFACT)
    assert caught.value.code == "memory-short"
    meminfo.write_text("MemTotal:  8000000 kB\nMemAvailable:   8000000 kB\n")
    assert sure.load(a_manifest(), ARTIFACT).session is session
    meminfo.unlink()
    assert sure.load(a_manifest(), ARTIFACT).session is session, "a kernel that does not tell is no reason to wait"


def test_memory_that_runs_out_while_loading_is_waited_for() -> None:
    def opener(runtime: str, path: Path) -> Fake:
        raise MemoryError

    with pytest.raises(TryLater) as caught:
        Preflight(opener).load(a_manifest(), ARTIFACT)
    assert caught.value.code == "memory-short"


def test_limits_that_are_kept_are_silent() -> None:
    session = Fake((fp32("image", -1, 4),), (fp32("scores", -1, 3),))
    roomy = Preflight(lambda *_: session, Limits(resident_bytes=2**40))
    assert roomy.load(a_manifest(), ARTIFACT).session is session
