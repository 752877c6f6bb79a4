"""Models, their versions and artifacts, and the true labels of what they answered."""

from datetime import datetime
from typing import Any

import msgspec


class Model(msgspec.Struct, frozen=True):
    """One model: its newest version, how many there are, and the targets that the newest is built for."""

    name: str
    newest_version: int
    versions: int
    task: str = ""
    targets: tuple[str, ...] = ()
    created_at: datetime | None = None


class Artifact(msgspec.Struct, frozen=True):
    """One artifact. Accuracies and agreement are shares, 0 to 1; `manifest` is what the release key signed."""

    target: str
    runtime: str
    digest: str
    size_bytes: int
    accuracy: float
    source_accuracy: float
    golden_agreement: float | None = None
    manifest: dict[str, Any] = {}


class Version(msgspec.Struct, frozen=True):
    """One version of a model with its artifacts."""

    model: str
    version: int
    created_at: datetime
    artifacts: tuple[Artifact, ...]
    notes: str = ""
    task: str = ""
    labels: tuple[str, ...] = ()


class Labels(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """Of the records that `version` answered on `device` from `since` to `until`, so many have a true label by now, and
    so many of these were given it."""

    device: str
    version: int
    labelled: int
    correct: int
    since: datetime
    until: datetime
    slot: str = "default"


class Labelled(msgspec.Struct, frozen=True):
    """How many rows of labels were counted now, and how many had been before, under the same key."""

    counted: int
    repeated: int = 0
