"""Documents as a hub's REST API gives them, each complete; keyword arguments go over what is there."""

from typing import Any

AT = "2026-11-22T20:00:00Z"
DIGEST = "sha256:" + "ab" * 32


def page(*items: Any, total: int | None = None, next_cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "total": len(items) if total is None else total, "next": next_cursor}


def because(code: str = "fine", sentence: str = "All 5 are fine.") -> dict[str, str]:
    return {"code": code, "sentence": sentence}


def device(name: str = "press-07", **over: Any) -> dict[str, Any]:
    model = {
        "model": "digits",
        "phase": "settled",
        "because": because("trial-passed", "On trial, 0 of 50 records failed."),
        "since": AT,
        "wanted": {"version": 2, "digest": DIGEST},
        "running": {"version": 2, "digest": DIGEST},
        "previous": {"version": 1, "digest": DIGEST},
        "rollout": "digits-v2-0a1b2c",
    }
    return {
        "id": name,
        "fleet": "default",
        "labels": {"site": "lyon"},
        "target": "cpu-vnni",
        "presence": "online",
        "presence_because": because(),
        "last_heard_at": AT,
        "joined_at": AT,
        "agent_version": "0.1.0",
        "hostname": "gw7",
        "generation_wanted": 4,
        "generation_reported": 4,
        "models": [model],
        "refused": None,
        "spool": {"records": 2, "size_bytes": 1800, "dropped": 0},
        "troubles": [],
        "inventory": {"arch": "x86_64", "cores": 4, "memory_bytes": 4_000_000_000},
        **over,
    }


def version(number: int = 1, **over: Any) -> dict[str, Any]:
    artifact = {
        "target": "cpu-vnni",
        "runtime": "onnx",
        "digest": DIGEST,
        "size_bytes": 22_294,
        "accuracy": 0.9796,
        "source_accuracy": 0.98,
        "golden_agreement": 1.0,
        "manifest": {"model": "digits"},
    }
    return {
        "model": "digits",
        "version": number,
        "created_at": AT,
        "notes": "",
        "task": "classification",
        "labels": ["0", "1"],
        "artifacts": [artifact],
        **over,
    }


def rollout(state: str = "running", wave: int = 0, **over: Any) -> dict[str, Any]:
    cohort = {"records": 1200, "errors": 0, "devices": 1, "predictions": {"0": 1200}}
    return {
        "id": "digits-v2-0a1b2c",
        "model": "digits",
        "version": 2,
        "state": state,
        "wave": wave,
        "waves": [
            {"name": "1 device", "exposed_percent": 16.7, "covers": 1, "state": "open"},
            {"name": "100 %", "exposed_percent": 100, "covers": 6, "state": "waiting"},
        ],
        "counts": {"eligible": 6, "offered": 1, "heard": 1, "succeeded": 1, "failed": 0, "pending": 0, "unheard": 0},
        "evidence": {"treated": cohort, "control": cohort, "wave_records": 1200},
        "gates": [
            {
                "name": "errors",
                "verdict": "pass",
                "sentence": "0.0 % of 1,200 inferences failed.",
                "value": 0.0,
                "lower": 0.0,
                "upper": 0.01,
                "threshold": 0.02,
            }
        ],
        "because": because("soaking", "It runs for 3 s now; 60 s are asked for."),
        "policy": {"soak_seconds": 60},
        "created_at": AT,
        "updated_at": AT,
        "revision": 7,
        **over,
    }
