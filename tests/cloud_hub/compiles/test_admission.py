"""The hub's side of the check, with the real checker in its own process."""

import sys
from pathlib import Path

import msgspec
import pytest

from cloud_hub.compiles.admission import CompilerCheck
from cloud_hub.errors import Invalid, Unavailable
from fleet_contract.manifest import Manifest
from tests.fakes.releases import blob_of
from tests.fakes.tiny_models import Build, a_build, a_golden_set, scores_of


def files(folder: Path, build: Build) -> tuple[Path, Manifest, Path]:
    artifact, golden = folder / "artifact", folder / "golden"
    artifact.write_bytes(build.artifact)
    golden.write_bytes(build.golden)
    return artifact, build.manifest, golden


def test_a_model_that_answers_its_golden_set_is_admitted_with_the_evidence(tmp_path: Path) -> None:
    evidence = CompilerCheck().check(*files(tmp_path, a_build(1)))
    assert evidence.agreement == 1.0
    assert evidence.max_abs_error < 0.001


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (a_build(1, artifact=b"This is no model."), "model-unreadable"),
        (a_build(1, golden=a_golden_set(scores_of(2))), "golden-set-failed"),
        (a_build(1, golden=b"This is no golden set."), "golden-set-unreadable"),
    ],
)
def test_what_is_wrong_with_it_is_said_with_a_code_and_a_remedy(tmp_path: Path, build: Build, code: str) -> None:
    with pytest.raises(Invalid, match="The artifact of digits for cpu-vnni is refused") as refused:
        CompilerCheck().check(*files(tmp_path, build))
    assert refused.value.code == code
    assert refused.value.remedy


def test_files_that_are_not_those_of_the_manifest_are_refused(tmp_path: Path) -> None:
    artifact, manifest, golden = files(tmp_path, a_build(1))
    other = msgspec.structs.replace(manifest, artifact=blob_of(b"other"))
    with pytest.raises(Invalid) as refused:
        CompilerCheck().check(artifact, other, golden)
    assert refused.value.code == "digest-wrong"


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        CompilerCheck(seconds=0.01).check(*files(tmp_path, a_build(1)))
    assert refused.value.code == "check-timed-out"


def test_a_checker_that_is_not_installed_is_nobodys_bad_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named onnx' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(Unavailable, match="No module named onnx") as failed:
        CompilerCheck().check(*files(tmp_path, a_build(1)))
    assert failed.value.code == "checker-broken"
