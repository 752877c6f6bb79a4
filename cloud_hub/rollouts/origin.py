"""Where a rollout comes from: who asked for it, with which manifest, in which request."""

from dataclasses import dataclass

from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey


@dataclass(frozen=True)
class ManifestVersion:
    """A manifest's name, and how many rollouts of that name there were with this one."""

    name: str
    generation: int


@dataclass(frozen=True)
class Origin:
    """`by` is the audit name of whoever asked."""

    by: str = OPERATOR
    manifest: ManifestVersion | None = None
    request: RequestKey | None = None
