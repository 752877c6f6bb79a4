"""Models and versions as the API and the console show them, and as they are registered."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelView(_View):
    """One model: its newest version, how many there are, and the hardware targets that the newest is built for."""

    name: str
    created_at: datetime
    newest_version: int
    versions: int
    task: str
    targets: list[str]


class ArtifactView(_View):
    """One artifact. Accuracies and agreement are shares, 0 to 1; `manifest` is what the release key signed."""

    target: str
    runtime: str
    digest: str
    size_bytes: int
    accuracy: float
    source_accuracy: float
    golden_agreement: float
    manifest: dict[str, Any]
    signed_by: list[str]
    """Fingerprints of the keys that signed the manifest."""


class VersionView(_View):
    """One version with its artifacts, in order of target."""

    model: str
    version: int
    created_at: datetime
    notes: str
    task: str
    labels: list[str]
    artifacts: list[ArtifactView]


class ArtifactIn(BaseModel):
    """An artifact to register: a manifest for the hub to sign (version 0 for the next), or one signed already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: dict[str, Any] | None = None
    signed: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.manifest is None) == (self.signed is None):
            raise ValueError("give either manifest or signed")
        return self


class VersionIn(BaseModel):
    """A version to register; `version` is the next one when it is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notes: str = Field(default="", max_length=10_000)
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    artifacts: list[ArtifactIn] = Field(min_length=1, max_length=64)
