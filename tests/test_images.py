"""The images: clean under hadolint, without root, from hashed locks; and their steps work."""

import json
import os
import re
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMAGES = ("edge", "hub")


def instructions(image: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, with their lines joined."""
    text = (ROOT / f"Dockerfile.{image}").read_text()
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage(image: str) -> list[tuple[str, str]]:
    whole = instructions(image)
    start = max(i for i, (word, _) in enumerate(whole) if word == "FROM")
    return whole[start:]


def said(image: str, word: str) -> list[str]:
    return [rest for one, rest in last_stage(image) if one == word]


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing(image: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, f"Dockerfile.{image}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_a_user_who_owns_nothing_but_its_data(image: str) -> None:
    assert said(image, "USER") == ["10001:10001"]
    assert said(image, "VOLUME") == ["/var/lib/vedette"]
    # Files that come from the stages before are root's, and so is every other one.
    assert not [rest for rest in said(image, "COPY") if "--chown" in rest]


@pytest.mark.parametrize("image", IMAGES)
def test_all_that_is_installed_is_pinned_by_hash_or_is_ours(image: str) -> None:
    steps = [rest for word, rest in instructions(image) if word == "RUN"]
    installs = [step for rest in steps for step in rest.split("&&") if "pip" in step and " install " in step]
    assert len(installs) >= 3
    for step in installs:
        assert ("--require-hashes -r" in step) or ("--no-deps /wheels/*.whl" in step), step
    assert not any("://" in rest for _, rest in instructions(image) if "127.0.0.1" not in rest)


def test_each_image_takes_its_own_lock() -> None:
    for image in IMAGES:
        locks = set(re.findall(r"locks/(\w+)\.txt", "\n".join(rest for _, rest in instructions(image))))
        assert locks - {"build", "node"} == {image}
        assert all((ROOT / "locks" / f"{lock}.txt").exists() for lock in locks)


@pytest.mark.parametrize("image", IMAGES)
def test_no_compiler_installer_or_source_is_left_in_it(image: str) -> None:
    assert said(image, "COPY") == ["--from=install /opt/vedette /opt/vedette"]
    assert any("venv --without-pip" in rest for _, rest in instructions(image))


def test_they_start_the_agent_and_the_hub() -> None:
    assert json.loads(said("edge", "ENTRYPOINT")[0]) == ["vedette-agent"]
    assert json.loads(said("edge", "CMD")[0]) == ["run", "--config", "/etc/vedette/agent.toml"]
    assert json.loads(said("hub", "ENTRYPOINT")[0]) == ["vedette", "hub"]


def test_what_goes_into_a_build_is_listed_and_what_is_not_stays_out() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = [rule[1:] for rule in rules if rule.startswith("!")]
    assert all((ROOT / path).exists() for path in taken)
    assert not {"tests", ".git", ".venv", "docs"} & set(taken)


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_the_health_check_asks_the_hub(status: int, healthy: bool) -> None:
    # What a Dockerfile's shell form would expand is not used: the command is a JSON list.
    command = json.loads(said("hub", "HEALTHCHECK")[0].partition("CMD ")[2])
    with answering(status) as port:
        run = subprocess.run(
            [sys.executable, *command[1:]], env={"VEDETTE_PORT": str(port)}, capture_output=True, check=False
        )
    assert (run.returncode == 0) == healthy


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_of_the_edge_image_make_an_agent_that_starts(tmp_path: Path) -> None:
    context, made = tmp_path / "context", tmp_path / "vedette"
    listed = [rule[1:] for rule in (ROOT / ".dockerignore").read_text().splitlines() if rule.startswith("!")]
    files = subprocess.run(
        ["git", "ls-files", "-z", *listed], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, files):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_bytes((ROOT / name).read_bytes())

    venv.create(tmp_path / "tools", with_pip=True)
    pip = [str(tmp_path / "tools" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    into = ["--python", str(made), "install", "--quiet"]
    hashed = ["--require-hashes", "-r"]
    venv.create(made, with_pip=False)
    for step in (
        [*pip, "install", "--quiet", *hashed, "locks/build.txt"],
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheels"), "."],
        [*pip, *into, *hashed, "locks/edge.txt"],
    ):
        subprocess.run(step, cwd=context, env={**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}, check=True)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    subprocess.run([*pip, *into, "--no-deps", str(wheel)], check=True)

    asked = subprocess.run([made / "bin" / "vedette-agent", "--help"], capture_output=True, text=True, check=True)
    assert "join a fleet" in asked.stdout
    # What belongs to an extra of its own may miss that extra's packages, and nothing else.
    import_all = (
        "import importlib, pkgutil, edge_agent, fleet_contract\n"
        "for package in (edge_agent, fleet_contract):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.', onerror=str):\n"
        "        if module.name.endswith('__main__'):\n"
        "            continue\n"
        "        try:\n"
        "            importlib.import_module(module.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            if error.name not in ('tflite_runtime', 'grpc', 'google', 'cv2', 'PIL'):\n"
        "                raise\n"
    )
    subprocess.run([made / "bin" / "python", "-c", import_all], cwd=tmp_path, check=True)
