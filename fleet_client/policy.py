"""A rollout's policy from what a person writes: waves such as "1" and "50%", labels, a JSON file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fleet_client.errors import PolicyWrong
from fleet_client.selectors import all_of


def read_policy(path: Path) -> dict[str, Any]:
    """The policy in the JSON file at `path`. Raises `PolicyWrong`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise PolicyWrong(f"Cannot read the policy {path}: {error.strerror}.", "Name a file that is there.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyWrong(
            f"{path} is not a policy in JSON: {error}.",
            'Write it like {"soak_seconds": 600}; a manifest in YAML is given with --file.',
        ) from error


def policy_of(
    base: Mapping[str, Any],
    waves: Iterable[str],
    labels: Iterable[str],
    targets: Iterable[str],
    settings: Mapping[str, Any],
    select: str | None = None,
) -> dict[str, Any]:
    """`base` with all that is given put over it; a setting that is None is not given. `select`, `labels` and `targets`
    narrow whom `base` selects. Raises `PolicyWrong`."""
    policy = {**base, **{key: value for key, value in settings.items() if value is not None}}
    if given := [_wave(text) for text in waves]:
        policy["waves"] = given
    narrowed = all_of((str(policy.get("selector", "")), select or ""), dict(map(_label, labels)), targets)
    if narrowed:
        policy["selector"] = narrowed
    return policy


def _wave(text: str) -> dict[str, float]:
    percent = text.endswith("%")
    try:
        return {"percent": float(text[:-1])} if percent else {"devices": int(text)}
    except ValueError as error:
        raise PolicyWrong(f"{text!r} is not a wave.", "Write a number of devices, or a share such as 50%.") from error


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise PolicyWrong(f"{text!r} is not a label.", "Write it as key=value.")
    return key, value
