"""The check before a version is registered: what does not fit is named, and what is hostile harms nothing."""

import hashlib
import json
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fleet_contract.encoding import encode
from fleet_contract.manifest import Tensor
from models.compiler.admission import Admitted, Refused, verdict
from models.compiler.confined import check
from models.compiler.golden import pack
from tests.built import TARGETS, Digits
from tests.fakes.releases import blob_of
from tests.fakes.tiny_models import SAMPLES, Build, a_build, a_linear_model
from tests.fakes.tiny_tflite import a_linear_tflite, a_tflite_build
from tests.models.compiler import graphs

TARGET = "cpu-avx2"
PIXELS = 64


def files(folder: Path, target: str = TARGET) -> tuple[Path, Path, Path]:
    return folder / f"artifact.{target}.onnx", folder / f"manifest.{target}.json", folder / "golden.npz"


def edit(version: Path, **changes: Any) -> None:
    """Changes fields of the manifest, "golden__samples" for a nested one."""
    path = files(version)[1]
    manifest = json.loads(path.read_bytes())
    for name, value in changes.items():
        *parents, last = name.split("__")
        inner = manifest
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    path.write_text(json.dumps(manifest))


def replace(version: Path, *, artifact: bytes | None = None, golden: bytes | None = None) -> None:
    """Other bytes, with a manifest that names them: what somebody who can build a manifest could hand in."""
    for path, data, field in ((files(version)[0], artifact, "artifact"), (files(version)[2], golden, "golden__blob")):
        if data is not None:
            path.write_bytes(data)
            edit(version, **{field: {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size_bytes": len(data)}})


def tensor(name: str, dtype: str, width: int) -> dict[str, object]:
    return {"name": name, "dtype": dtype, "shape": [-1, width]}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("version_of", ["good", "worse"])
def test_a_build_is_admitted_with_what_was_seen(digits: Digits, target: str, version_of: str) -> None:
    seen = check(*files(getattr(digits, version_of), target))
    assert isinstance(seen, Admitted), seen
    assert (seen.target, seen.samples) == (target, 128)
    assert 0.9 < seen.agreement <= 1
    assert 0 <= seen.max_abs_error < 0.2
    assert 1 < seen.latency_us < 10_000


def put(folder: Path, build: Build) -> Path:
    """The folder that `build` would be registered from."""
    artifact, manifest, golden = files(folder)
    artifact.write_bytes(build.artifact)
    manifest.write_bytes(encode(msgspec.structs.replace(build.manifest, target=TARGET)))
    golden.write_bytes(build.golden)
    return folder


def test_a_tflite_build_is_admitted_as_an_onnx_one_is(tmp_path: Path) -> None:
    seen = check(*files(put(tmp_path, a_tflite_build(1))))
    assert isinstance(seen, Admitted), seen
    assert (seen.agreement, seen.samples) == (1.0, SAMPLES)
    assert seen.max_abs_error < 1e-5
    assert seen.latency_us > 0


@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_a_model_of_a_fixed_batch_answers_its_golden_set_in_steps(tmp_path: Path, runtime: str) -> None:
    artifact = a_linear_model(1, batch=2) if runtime == "onnx" else a_linear_tflite(1, batch=2)
    build = a_build(1, artifact=artifact)
    fixed = msgspec.structs.replace(
        build.manifest,
        runtime=runtime,
        inputs=(Tensor("image", "FP32", (2, 4)),),
        outputs=(Tensor("scores", "FP32", (2, 3)),),
    )
    put(tmp_path, Build(fixed, build.artifact, build.golden))
    seen = verdict(*files(tmp_path))
    assert isinstance(seen, Admitted), seen
    assert seen.agreement == 1.0


def test_a_tflite_model_that_answers_something_else_is_refused(tmp_path: Path) -> None:
    build = a_tflite_build(1)
    other = a_linear_tflite(2)
    manifest = msgspec.structs.replace(build.manifest, artifact=blob_of(other))
    seen = verdict(*files(put(tmp_path, Build(manifest, other, build.golden))))
    assert isinstance(seen, Refused)
    assert seen.code == "golden-set-failed"


def test_a_hub_without_litert_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "models.compiler.tflite", raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    seen = verdict(*files(put(tmp_path, a_tflite_build(1))))
    assert isinstance(seen, Refused)
    assert seen.code == "tool-missing"
    assert "vedette[hub,compile,litert]" in seen.remedy


def test_a_check_takes_less_than_two_seconds_of_a_core(digits: Digits) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    check(*files(digits.good))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


def _two_inputs(version: Path) -> None:
    manifest = json.loads(files(version)[1].read_bytes())
    edit(version, inputs=[*manifest["inputs"], {"name": "scale", "dtype": "FP32", "shape": [-1, 1]}])


def _other_golden_outputs(version: Path) -> None:
    arrays = np.load(files(version)[2])
    outputs = arrays["outputs/probabilities"][::-1].copy()
    replace(version, golden=pack({"pixels": arrays["inputs/pixels"]}, {"probabilities": outputs}))


def _fewer_samples(version: Path) -> None:
    arrays = np.load(files(version)[2])
    replace(
        version,
        golden=pack({"pixels": arrays["inputs/pixels"][:9]}, {"probabilities": arrays["outputs/probabilities"][:9]}),
    )


def _stranger_inputs(version: Path) -> None:
    arrays = np.load(files(version)[2])
    replace(
        version, golden=pack({"voxels": arrays["inputs/pixels"]}, {"probabilities": arrays["outputs/probabilities"]})
    )


def _zip_bomb(version: Path) -> None:
    path = version / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("inputs/x.npy", "w") as file:
        for _ in range(100):
            file.write(bytes(1024 * 1024))
    replace(version, golden=path.read_bytes())


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "an artifact with a flipped bit": (lambda v: flip(files(v)[0]), "digest-wrong"),
    "a golden set with a flipped bit": (lambda v: flip(files(v)[2]), "digest-wrong"),
    "an artifact cut short": (lambda v: files(v)[0].write_bytes(files(v)[0].read_bytes()[:-1]), "digest-wrong"),
    "the other target's artifact": (lambda v: files(v, "cpu-vnni")[0].rename(files(v)[0]), "digest-wrong"),
    "no artifact": (lambda v: files(v)[0].unlink(), "file-missing"),
    "no manifest": (lambda v: files(v)[1].unlink(), "file-missing"),
    "no golden set": (lambda v: files(v)[2].unlink(), "file-missing"),
    "a folder for a manifest": (lambda v: (files(v)[1].unlink(), files(v)[1].mkdir()), "file-missing"),
    "a web page for a manifest": (lambda v: files(v)[1].write_text("<!DOCTYPE html>"), "undecodable"),
    "a manifest nested a million deep": (lambda v: files(v)[1].write_text('{"a":' + "[" * 10**6), "undecodable"),
    "a manifest without labels": (lambda v: edit(v, labels=[]), "manifest-wrong"),
    "a manifest of a runtime that no device has": (lambda v: edit(v, runtime="caffe"), "runtime-unsupported"),
    "a manifest of another runtime": (lambda v: edit(v, runtime="tflite"), "model-unreadable"),
    "a web page for a model": (lambda v: replace(v, artifact=b"<!DOCTYPE html>" * 9), "model-unreadable"),
    "a model cut in two": (lambda v: replace(v, artifact=files(v)[0].read_bytes()[:9000]), "model-unreadable"),
    "noise for a model": (lambda v: replace(v, artifact=np.random.default_rng(0).bytes(9999)), "model-unreadable"),
    "another input name": (lambda v: edit(v, inputs=[tensor("x", "FP32", 64)]), "signature-mismatch"),
    "another input shape": (lambda v: edit(v, inputs=[tensor("pixels", "FP32", 784)]), "signature-mismatch"),
    "another output dtype": (lambda v: edit(v, outputs=[tensor("probabilities", "FP64", 10)]), "signature-mismatch"),
    "an input too many": (_two_inputs, "signature-mismatch"),
    "golden outputs of another model": (_other_golden_outputs, "golden-set-failed"),
    "a tolerance of nothing": (lambda v: edit(v, golden__max_abs_error=0.0), "golden-set-failed"),
    "a golden set of other inputs": (_stranger_inputs, "golden-set-unreadable"),
    "a golden set with fewer samples": (_fewer_samples, "golden-set-unreadable"),
    "a golden set that is none": (lambda v: replace(v, golden=b"PK" * 99), "golden-set-unreadable"),
    "a golden set that unpacks to a hundred megabytes": (_zip_bomb, "golden-set-unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_is_refused_by_name_and_with_a_remedy(version: Path, what: str) -> None:
    spoil, code = UNFIT[what]
    spoil(version)
    seen = verdict(*files(version))
    assert isinstance(seen, Refused)
    assert seen.code == code
    assert seen.detail
    assert seen.remedy


def test_a_place_without_the_runtime_says_what_to_install(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "models.compiler.session", None)
    seen = verdict(*files(digits.good))
    assert isinstance(seen, Refused)
    assert seen.code == "tool-missing"
    assert "vedette[hub,compile]" in seen.remedy


def test_a_refusal_reads_the_same_through_the_child_process(version: Path) -> None:
    flip(files(version)[0])
    assert check(*files(version)) == verdict(*files(version))


def as_digits(version: Path, artifact: bytes) -> None:
    """Makes `artifact` pass for a model that maps 64 numbers to 64: its manifest and golden set agree with it."""
    random = np.random.default_rng(0)
    rows = random.uniform(size=(128, PIXELS)).astype(np.float32)
    replace(version, artifact=artifact, golden=pack({"x": rows}, {"scores": rows}))
    edit(
        version,
        inputs=[tensor("x", "FP32", PIXELS)],
        outputs=[tensor("scores", "FP32", PIXELS)],
        probabilities="scores",
    )


def test_a_model_that_never_answers_is_given_up(version: Path) -> None:
    as_digits(version, graphs.endless(PIXELS))
    seen = check(*files(version), seconds=3)
    assert isinstance(seen, Refused)
    assert seen.code == "check-timed-out"


def test_a_model_that_asks_for_all_memory_gets_none(version: Path) -> None:
    as_digits(version, graphs.greedy(PIXELS))
    seen = check(*files(version))
    assert isinstance(seen, Refused)
    assert seen.code in ("model-unreadable", "check-crashed")


def test_a_check_that_may_have_no_memory_at_all_still_ends_in_a_verdict(digits: Digits) -> None:
    seen = check(*files(digits.good), memory_mib=64)
    assert isinstance(seen, Refused)
    assert seen.code in ("model-unreadable", "check-crashed")


@pytest.mark.parametrize("where", ["absolute", "relative"])
def test_a_model_cannot_read_files_of_whoever_checks_it(
    version: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = version / "secret.bin"
    secret.write_bytes(np.zeros(PIXELS, np.float32).tobytes())
    monkeypatch.chdir(version)
    as_digits(version, graphs.reaching(str(secret) if where == "absolute" else secret.name, PIXELS))
    seen = check(*files(version))
    assert isinstance(seen, Refused), "its weights were read from a file beside it"
    assert seen.code == "model-unreadable"
