"""Manifests as they are sent, and what the API says of them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud_hub.rollouts.views import RolloutView


class _In(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestFile(_In):
    """A file of manifests in YAML, one or several. `name` is what errors call it."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: str


class ManifestsIn(_In):
    """Files to compare with what is there, or to apply."""

    files: tuple[ManifestFile, ...] = Field(min_length=1, max_length=200)
    again: bool = Field(default=False, description="Start also what has not changed: after a revert, to try once more")


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class FieldView(_View):
    """A field that is another than what is there, by its place ("spec.rate.growth_factor")."""

    where: str
    before: Any
    after: Any


class DifferenceView(_View):
    """A manifest against what is there: "none", "new" or "changed". `diff` is a unified diff of both with all defaults
    written out, or empty; `fields` are those that changed. `sentence` says what applying it does."""

    file: str
    kind: str
    name: str
    change: Literal["none", "new", "changed"]
    diff: str
    fields: list[FieldView] = Field(description="Of a changed one: each field that is another")
    sentence: str
    rollout: str | None = Field(description="The rollout that is there")


class DiffView(_View):
    """`differs` when applying the same would do anything; `seen` is another whenever it would do something else."""

    differs: bool
    seen: str = Field(description="The answer's ETag: with it as If-Match, only what is told here is applied")
    manifests: list[DifferenceView]


class AppliedView(_View):
    """What became of a manifest: "unchanged", "created" or "changed"; and, of a Rollout, which is there now."""

    file: str
    kind: str
    name: str
    outcome: Literal["unchanged", "created", "changed"]
    sentence: str
    rollout: RolloutView | None


class ApplyView(_View):
    """Each manifest, in the order in which they were applied."""

    manifests: list[AppliedView]
