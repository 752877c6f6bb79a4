"""Manifests as YAML, and how two of them differ. Pure."""

import difflib
from collections.abc import Iterator
from typing import Any

import yaml

from cloud_hub.manifests.kinds import Manifest
from cloud_hub.manifests.views import FieldView


def as_yaml(manifest: Manifest) -> str:
    """All of `manifest`, with what is default written out."""
    document: dict[str, Any] = manifest.model_dump(mode="json")
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def difference(there: Manifest | None, wanted: Manifest, name_there: str, name_wanted: str) -> str:
    """A unified diff from `there` to `wanted`; empty where they say the same."""
    before = as_yaml(there).splitlines(keepends=True) if there is not None else []
    return "".join(difflib.unified_diff(before, as_yaml(wanted).splitlines(keepends=True), name_there, name_wanted))


def changed_fields(there: Manifest | None, wanted: Manifest) -> list[FieldView]:
    """The fields in which `wanted` differs from `there`, by their place ("spec.rate.growth_factor"); none where nothing
    is there."""
    if there is None:
        return []
    return list(_changes("", there.model_dump(mode="json"), wanted.model_dump(mode="json")))


def _changes(where: str, before: Any, after: Any) -> Iterator[FieldView]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in after:
            yield from _changes(f"{where}.{name}".removeprefix("."), before.get(name), after[name])
    elif before != after:
        yield FieldView(where=where, before=before, after=after)
