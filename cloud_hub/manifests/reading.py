"""From files of YAML to manifests that are what they should be, or to everything that is wrong with them. Pure."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cloud_hub.devices.selector_text import SelectorWrong
from cloud_hub.errors import Fault, Faulty, TooLarge
from cloud_hub.manifests import source
from cloud_hub.manifests.kinds import API_VERSION, KINDS, Manifest, RolloutManifest
from cloud_hub.manifests.source import Lines, Node, Place
from cloud_hub.rollouts.policy import Policy

T = TypeVar("T", bound=BaseModel)
MANIFEST_WRONG = "manifest-wrong"


@dataclass(frozen=True)
class Written:
    """A manifest, and where it is written: to say later what the hub finds wrong with it."""

    manifest: Manifest
    _node: Node
    _lines: Lines

    @property
    def file(self) -> str:
        return self._lines.file

    def fault(self, path: tuple[str | int, ...], what: str) -> Fault:
        """`what` is wrong with the field at `path`."""
        return self._lines.fault(self._node.place_of(path), what, _dotted(path))


def read(files: Iterable[tuple[str, str]]) -> list[Written]:
    """The manifests in `files`, names and texts, in the order to apply them in. Raises `Faulty` with all that is
    wrong in any of them, `TooLarge`."""
    found: list[Written] = []
    faults: list[Fault] = []
    files = list(files)
    if (total := sum(len(text) for _, text in files)) > source.MAX_CHARACTERS:
        raise TooLarge(
            f"These files have {total:,} characters, and {source.MAX_CHARACTERS:,} are taken at once.",
            "Send fewer of them at once.",
            code="manifests-too-large",
        )
    for name, text in files:
        lines = Lines(name, text)
        nodes, wrong = source.documents(lines, text)
        faults += wrong
        if not nodes and not wrong:
            faults.append(lines.fault(Place(1, 1), f"There is no manifest in here. {_START}"))
        for node in nodes:
            written, faulty = _manifest(lines, node, _places(wrong))
            faults += faulty
            if written is not None:
                found.append(written)
    faults += _repeated(found)
    if faults:
        raise wrong_manifests(faults)
    order = list(KINDS)
    return sorted(found, key=lambda one: order.index(one.manifest.kind))


def read_policy(name: str, text: str) -> Policy:
    """The policy that `text` holds, in YAML or JSON: as it is, or as the spec of a manifest. Raises `Faulty`,
    `TooLarge`."""
    lines = Lines(name, text)
    nodes, faults = source.documents(lines, text)
    if len(nodes) == 1 and not faults and isinstance(value := nodes[0].plain(), dict) and "kind" not in value:
        policy, faults = _validated(Policy, lines, nodes[0], frozenset())
        if policy is not None:
            return policy
    if faults:
        raise wrong_manifests(faults)
    found = read([(name, text)])
    if len(found) > 1:
        raise wrong_manifests([found[1].fault((), "This is a second manifest, and one policy is asked for.")])
    manifest = found[0].manifest
    if not isinstance(manifest, RolloutManifest):
        raise wrong_manifests([found[0].fault(("kind",), "A policy is asked for, and only a Rollout has one.")])
    return manifest.spec.wanted().policy


def wrong_manifests(faults: Iterable[Fault]) -> Faulty:
    """The error that tells all `faults`, in the order of the text."""
    ordered = sorted(faults, key=lambda one: (one.file, one.line, one.column))
    return Faulty(
        ordered, "Correct these lines. `vedette rollouts schema` prints what may be there.", code=MANIFEST_WRONG
    )


_START = f"It starts with `apiVersion: {API_VERSION}` and `kind: {' | '.join(KINDS)}`."


def _places(faults: Iterable[Fault]) -> frozenset[Place]:
    return frozenset(Place(one.line, one.column) for one in faults)


def _manifest(lines: Lines, node: Node, misread: frozenset[Place]) -> tuple[Written | None, list[Fault]]:
    value = node.plain()
    if not isinstance(value, dict):
        return None, [lines.fault(node.place, f"A manifest is a mapping. {_START}")]
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = f"A manifest has a kind. {_START}" if kind is None else f"There is no kind {kind!r}. {_START}"
        return None, [lines.fault(node.place_of(("kind",)), what, "kind")]
    manifest, faults = _validated(KINDS[kind], lines, node, misread)
    return (Written(manifest, node, lines) if manifest is not None else None), faults


def _validated(model: type[T], lines: Lines, node: Node, misread: frozenset[Place]) -> tuple[T | None, list[Fault]]:
    try:
        # As JSON and strict: "3" is no number here, as it is none in the schema.
        return model.model_validate_json(json.dumps(node.plain()), strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list of which an item is wrong is also told to be too short, which nobody can act on.
        outer = {one["loc"][:end] for one in details for end in range(len(one["loc"]))}
        whole = model.model_json_schema()
        # What could not be read stands there as something else, and of that nothing need be said.
        told = [one for one in details if one["loc"] not in outer and node.value_at(one["loc"]) not in misread]
        return None, [_fault(lines, node, one, whole) for one in told]


def _repeated(found: list[Written]) -> Iterable[Fault]:
    seen: dict[tuple[str, str], Written] = {}
    for one in found:
        key = (one.manifest.kind, one.manifest.metadata.name)
        if first := seen.get(key):
            yield one.fault(("metadata", "name"), f"{key[1]!r} is the name of another {key[0]} in {first.file}.")
        seen.setdefault(key, one)


def _fault(lines: Lines, node: Node, detail: ErrorDetails, whole: dict[str, Any]) -> Fault:
    path = detail["loc"]
    given = detail.get("input")
    match detail["type"]:
        case "extra_forbidden":
            what = _unknown(str(path[-1]), sorted(_at(whole, path[:-1]).get("properties", {})))
        case "missing":
            what = f"{path[-1]!r} is missing here."
        case "value_error":
            error = detail.get("ctx", {}).get("error")
            if isinstance(error, SelectorWrong):
                return lines.fault(node.inner(path, error.column) or node.place_of(path), str(error), _dotted(path))
            reason = str(error or detail["msg"])
            what = f"{reason[:1].upper()}{reason[1:].rstrip('.')}."
        case _ if isinstance(given, (dict, list)):
            what = f"{detail['msg']}."
        case _:
            what = f"{detail['msg']}, and is {json.dumps(given)[:80]}."
    return lines.fault(node.place_of(path), what, _dotted(path))


def _unknown(name: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(name, allowed, 1, cutoff=0.5)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"There is no field {name!r} here.{meant} Allowed: {', '.join(allowed)}."


def _at(whole: dict[str, Any], path: tuple[str | int, ...]) -> Mapping[str, Any]:
    """The part of the JSON Schema `whole` for what is at `path`; empty where it leads to no object."""
    part = _object(whole, whole)
    for step in path:
        inner = part.get("properties", {}).get(step) if isinstance(step, str) else part.get("items")
        part = _object(whole, inner or {})
    return part


def _object(whole: dict[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    for choice in part.get("anyOf", ()):
        if choice.get("type") != "null":
            part = choice
            break
    if "$ref" in part:
        return _object(whole, whole["$defs"][part["$ref"].rpartition("/")[2]])
    return part


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
