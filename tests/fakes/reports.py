"""Reports as a device would send them, by hand."""

from datetime import UTC, datetime
from typing import Any

from fleet_contract.because import Because
from fleet_contract.report import Inventory, ModelReport, Phase, Presence, Release, Report

STARTED = datetime(2026, 11, 2, 11, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
INVENTORY = Inventory("gateway-7", "x86_64", 2, 2**31, {"onnx": "1.23"}, ("CPUExecutionProvider",))


def report(device: str = "gw-1", number: int = 1, *, boot: str = "b1", **changes: Any) -> Report:
    """A plain report, with `changes`."""
    fields: dict[str, Any] = {
        "fleet": "default",
        "presence": Presence.ONLINE,
        "sent_at": STARTED,
        "agent_version": "0.1.0",
        "target": "cpu-avx2",
        "generation": 1,
        "started_at": STARTED,
    }
    return Report(device=device, boot=boot, number=number, **(fields | changes))


def model_report(model: str = "digits", phase: Phase = Phase.SETTLED, version: int = 1, **changes: Any) -> ModelReport:
    """A model that is where it should be, with `changes`."""
    release = Release(version, DIGEST)
    fields: dict[str, Any] = {
        "because": Because("as-wanted", f"Version {version} runs."),
        "since": STARTED,
        "wanted": release,
        "running": release,
    }
    return ModelReport(model=model, phase=phase, **(fields | changes))
