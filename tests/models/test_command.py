"""`python -m models` and `python -m models.compiler`: what a person or a script sees of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.built import ROOT, TARGETS, Digits


def run(module: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def check(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    return run(
        "models.compiler",
        "check",
        *("--artifact", folder / f"artifact.{target}.onnx"),
        *("--manifest", folder / f"manifest.{target}.json"),
        *("--golden", folder / "golden.npz"),
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The worse digits once more, at a fixed time."""
    out = tmp_path_factory.mktemp("command") / "made"
    return out, run("models", "build", "digits", "--out", out, "--train-images", 40, SOURCE_DATE_EPOCH="1700000000")


def test_a_build_tells_its_progress_and_prints_one_table(
    built: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = built
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["TARGET", "SIZE", "ACCURACY", "SOURCE", "AGREEMENT", "US/INFERENCE"]
    assert [row.split()[0] for row in rows] == list(TARGETS)
    assert "training on 40 scans of the digits 0, 1, 2, 3" in done.stderr
    assert "epoch 40 of 40" in done.stderr


def test_the_same_build_gives_the_same_bytes(
    built: tuple[Path, subprocess.CompletedProcess[str]], digits: Digits
) -> None:
    again, _ = built
    assert {path.name for path in again.iterdir()} == {path.name for path in digits.worse.iterdir()}
    for path in digits.worse.iterdir():
        if path.suffix != ".json":
            assert (again / path.name).read_bytes() == path.read_bytes(), path.name
            continue
        once, twice = json.loads(path.read_bytes()), json.loads((again / path.name).read_bytes())
        assert twice["provenance"].pop("built_at") == "2023-11-14T22:13:20Z"
        assert once["provenance"].pop("built_at")
        assert once == twice


def test_the_summary_as_json_names_every_artifact(digits: Digits) -> None:
    for version in ("good", "worse"):
        artifacts = digits.summary[version]["artifacts"]
        assert [one["target"] for one in artifacts] == list(TARGETS)
        for one in artifacts:
            assert set(one) >= {"digest", "size_bytes", "accuracy", "source_accuracy", "agreement", "latency_us"}


def test_a_check_prints_one_json_object_and_its_exit_code_says_the_rest(digits: Digits, version: Path) -> None:
    admitted = check(digits.good, "cpu-vnni")
    assert (admitted.returncode, admitted.stderr) == (0, "")
    assert json.loads(admitted.stdout)["ok"] is True
    (version / "artifact.cpu-vnni.onnx").write_bytes(b"flipped")
    refused = check(version, "cpu-vnni")
    assert (refused.returncode, refused.stderr) == (1, "")
    assert json.loads(refused.stdout)["code"] == "digest-wrong"
    assert set(json.loads(refused.stdout)) == {"ok", "code", "detail", "remedy"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("build", "cats", "--out", "{out}"), "recipe-unknown", "It has: digits."),
        (("build", "digits", "--out", "{out}", "--targets", "npu"), "target-unknown", "cpu-vnni, cpu-avx2"),
        (("build", "digits", "--out", "{taken}"), "folder-taken", "holds thesis.tex"),
        (("replay", "digits", "--out", "{taken}/thesis.tex/x.npz"), "folder-taken", "cannot be written"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: str, says: str
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("years of work")
    done = run("models", *(one.format(out=tmp_path / "made", taken=taken) for one in arguments))
    assert done.returncode == 1
    assert f"[{code}]" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()
    assert (taken / "thesis.tex").read_text() == "years of work"


def test_a_mistake_can_be_read_by_a_script(tmp_path: Path) -> None:
    done = run("models", "build", "cats", "--out", tmp_path, "-o", "json")
    assert json.loads(done.stdout)["code"] == "recipe-unknown"


def test_the_list_names_the_digits() -> None:
    assert "digits" in run("models", "list").stdout
    assert [one["name"] for one in json.loads(run("models", "list", "-o", "json").stdout)] == ["digits"]


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("build", "--help")])
def test_what_computes_nothing_imports_no_framework(arguments: tuple[str, ...]) -> None:
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['models', *{arguments!r}]\n"
        "try:\n    runpy.run_module('models', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'sklearn', 'skl2onnx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_targets_are_explained() -> None:
    said = run("models.compiler", "targets").stdout
    assert all(target in said for target in TARGETS)
