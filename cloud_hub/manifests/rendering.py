"""Manifests as YAML, and how two of them differ. Pure."""

import difflib
from typing import Any

import yaml

from cloud_hub.manifests.kinds import Manifest


def as_yaml(manifest: Manifest) -> str:
    """All of `manifest`, with what is default written out."""
    document: dict[str, Any] = manifest.model_dump(mode="json")
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def difference(there: Manifest | None, wanted: Manifest, name_there: str, name_wanted: str) -> str:
    """A unified diff from `there` to `wanted`; empty where they say the same."""
    before = as_yaml(there).splitlines(keepends=True) if there is not None else []
    return "".join(difflib.unified_diff(before, as_yaml(wanted).splitlines(keepends=True), name_there, name_wanted))
