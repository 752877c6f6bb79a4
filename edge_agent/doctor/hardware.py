"""Looks at what computes here: the runtimes, each tried in a process of its own, and the accelerators."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_agent import accelerators, inventory
from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.sources.settings import Camera, Folder, Mqtt, Settings

_TRY_SECONDS = 60.0
_TRIES = {
    "onnxruntime": "import onnxruntime; print(*onnxruntime.get_available_providers())",
    "ai_edge_litert": "import ai_edge_litert.interpreter",
    "tflite_runtime": "import tflite_runtime.interpreter",
}


def runtimes() -> tuple[list[Finding], tuple[str, ...]]:
    """The runtimes that are installed, and the execution providers that ONNX Runtime was built with."""
    findings = []
    built: tuple[str, ...] = ()
    for name, version in inventory.take().runtimes.items():
        failed, said = _tried(_TRIES[name])
        if failed:
            remedy = "Install the wheel that is made for this device, or another version of it."
            findings.append(wrong("runtime", f"{name} {version} cannot be loaded: {failed}.", remedy))
        else:
            findings.append(ok("runtime", f"{name} {version} loads."))
            built = built or tuple(said.split())
    if not findings:
        findings.append(
            wrong("runtime", "No model runtime is installed.", "Install vedette with the extra `edge` or `litert`.")
        )
    return findings, built


def _tried(code: str) -> tuple[str, str]:
    """Why `code` does not run ("" when it does), and what it prints."""
    try:
        # A wheel for another CPU ends the process that loads it: not this one.
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it has not come back after {_TRY_SECONDS:.0f} s", ""
    if done.returncode == -signal.SIGILL:
        return "this CPU does not have an instruction that it uses", ""
    if done.returncode < 0:
        return f"{signal.Signals(-done.returncode).name} ends it", ""
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it gives no reason"])[-1], ""
    return "", done.stdout


def hardware(built: Sequence[str], root: Path = Path("/")) -> Iterator[Finding]:
    """The accelerators that are here, and whether anything that is installed can use them."""
    seen = accelerators.found(root)
    installed = accelerators.delegates(root)
    for one in seen:
        usable = [
            *(provider for provider in one.providers if provider in built),
            *([one.name] if one.name in installed else []),
        ]
        locked = [node for node in accelerators.nodes(one, root) if not os.access(node, os.R_OK | os.W_OK)]
        if locked:
            yield warning(
                "accelerator",
                f"{one.name} is here, and this user may not use {locked[0]}.",
                "Give the agent's user its group (SupplementaryGroups= in the unit) and the device (DeviceAllow=).",
            )
        elif usable:
            yield ok("accelerator", f"{one.name} is here, and {', '.join(usable)} can use it.")
        else:
            known = [*one.providers, *([one.library] if one.library else [])]
            remedy = (
                f"Install a runtime with {' or '.join(known)}." if known else "No runtime of the agent knows it yet."
            )
            yield warning("accelerator", f"{one.name} is here, and nothing that is installed uses it.", remedy)
    if not seen:
        yield ok("accelerator", "None is seen: models run on the CPU.")


def sources(settings: Sequence[Settings]) -> Iterator[Finding]:
    """What feeds the models: whether it is there, as far as that can be seen from outside."""
    for number, one in enumerate(settings):
        about = f"source {number}"
        match one:
            case Folder(path=path) if not path.is_dir():
                yield wrong(about, f"There is no folder {path} for {one.model}.", "Make it, or change the config.")
            case Folder(path=path, done=done):
                rights = os.R_OK | os.X_OK | (0 if done == "keep" else os.W_OK)
                if os.access(path, rights):
                    yield ok(about, f"{one.model} is fed from {path}.")
                else:
                    yield wrong(about, f"This user may not read and write in {path}.", "Let the agent's user do so.")
            case Camera(device=device) if device.startswith("/dev/") and not Path(device).exists():
                yield wrong(
                    about, f"There is no {device} for {one.model}.", "Plug the camera in, or change the config."
                )
            case Camera(device=device) if device.startswith("/dev/") and not os.access(device, os.R_OK | os.W_OK):
                yield wrong(
                    about,
                    f"This user may not use {device}.",
                    "In the unit: PrivateDevices=no, DeviceAllow= and SupplementaryGroups=video.",
                )
            case Camera() | Mqtt():
                where = one.device if isinstance(one, Camera) else f"{one.topic} of {one.host}:{one.port}"
                yield unknown(about, f"{one.model} is fed from {where}: the agent's report says how that goes.")
            case _:
                path = one.path
                if path.is_file():
                    yield ok(about, f"{one.model} is fed from {path}.")
                else:
                    yield wrong(about, f"There is no {path} for {one.model}.", "Write it, or change the config.")
