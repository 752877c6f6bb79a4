"""What can be asked of models, and how a version gets in: checked, signed, and never changed again."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlmodel import Session

from cloud_hub.access import once
from cloud_hub.access.once import RequestKey
from cloud_hub.blobs.store import Blobs
from cloud_hub.changes import Changes
from cloud_hub.compiles.admission import Admission
from cloud_hub.database import Database
from cloud_hub.errors import Conflict, Invalid, TooLarge
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases import store
from cloud_hub.releases.tables import Artifact, Model, Version
from cloud_hub.releases.views import ArtifactIn, ArtifactView, ModelView, VersionIn, VersionView
from fleet_contract.encoding import MAX_MESSAGE_BYTES, canonical, encode
from fleet_contract.errors import Undecodable
from fleet_contract.manifest import Blob, Manifest, check_manifest, open_manifest, sign_manifest
from fleet_contract.signing import PrivateKey, Signed
from fleet_contract.topics import check_id

logger = logging.getLogger(__name__)

#: A manifest travels inside a desired state, beside those of other models.
MAX_MANIFEST_BYTES = MAX_MESSAGE_BYTES * 3 // 4


@dataclass(frozen=True)
class _Offered:
    """An artifact that someone wants to register. `signed` is None for the hub to sign."""

    manifest: Manifest
    signed: Signed | None


class ReleaseService:
    """Thread-safe. `release_key` signs manifests, and is the only key whose signature is taken."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        admission: Admission,
        release_key: PrivateKey,
        changes: Changes,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._admission = admission
        self._release_key = release_key
        self._changes = changes
        self._now = now

    def models(self, request: PageRequest = PageRequest()) -> Page[ModelView]:  # noqa: B008  (frozen)
        """Raises `Invalid` for a sort or cursor that is not this list's."""
        with self._database.reading() as session:
            found = store.page_of_models(session, request)
            views = _model_views(session, [row[0] for row in found.rows])
            return Page(items=views, total=found.total, next=found.next)

    def model(self, name: str) -> ModelView:
        """Raises `NotFound`."""
        with self._database.reading() as session:
            return _model_views(session, [store.model(session, name)])[0]

    def versions(self, name: str, request: PageRequest = PageRequest()) -> Page[VersionView]:  # noqa: B008  (frozen)
        """The newest first. Raises `NotFound`, `Invalid`."""
        with self._database.reading() as session:
            store.model(session, name)
            found = store.page_of_versions(session, name, request)
            views = _version_views(session, name, [row[0] for row in found.rows])
            return Page(items=views, total=found.total, next=found.next)

    def version(self, name: str, number: int) -> VersionView:
        """Raises `NotFound`."""
        with self._database.reading() as session:
            return _version_views(session, name, [store.version(session, name, number)])[0]

    def register(self, name: str, wanted: VersionIn, request: RequestKey | None = None) -> VersionView:
        """Checks and keeps a version; the very same again gives what is there, and so does a `request` that is sent
        again.

        Raises `Invalid` or a `ContractError` for what is wrong with it, `Conflict` ("version-exists") when that
        version is here with other content, `Unavailable` when it cannot be checked now.
        """
        check_id(name, "model name")
        offered = [self._read(one) for one in wanted.artifacts]
        number = _check_same(name, wanted.version, offered)
        content = _content(offered)
        if number is not None and (known := self._known(name, number, content)):
            return known
        agreements = [self._admit(one.manifest) for one in offered]
        with self._database.session() as session:
            now = self._now()
            if (done := once.begin(session, request, now)) is not None:
                return self.version(name, done["version"])
            model = store.lock_model(session, Model(name=name, created_at=now, newest=0))
            number = number or model.newest + 1
            if store.find_version(session, name, number) is None:
                artifacts = [
                    self._artifact(one, number, agreement) for one, agreement in zip(offered, agreements, strict=True)
                ]
                first = offered[0].manifest
                version = Version(
                    model=name,
                    version=number,
                    created_at=now,
                    notes=wanted.notes,
                    task=first.task,
                    labels=list(first.labels),
                    content=content,
                )
                store.add(session, version, artifacts)
                model.newest = max(model.newest, number)
            once.finish(session, request, {"version": number})
        # Another may have registered that very number in the meantime: with the same content that is fine.
        known = self._known(name, number, content)
        assert known is not None
        logger.info("Registered %s version %d for %s", name, number, ", ".join(a.target for a in known.artifacts))
        self._changes.bump("models")
        return known

    def _known(self, name: str, number: int, content: str) -> VersionView | None:
        with self._database.reading() as session:
            version = store.find_version(session, name, number)
            if version is None:
                return None
            if version.content != content:
                raise Conflict(
                    f"Version {number} of {name!r} is registered already, with other content.",
                    "Versions never change: leave the version out to get the next one.",
                    code="version-exists",
                )
            return _version_views(session, name, [version])[0]

    def _read(self, offered: ArtifactIn) -> _Offered:
        if offered.signed is not None:
            signed = _convert(offered.signed, Signed)
            return _Offered(open_manifest(signed, (self._release_key.public,)), signed)
        manifest = _convert(offered.manifest, Manifest)
        # 0 stands for the number that it gets below; all else must be right already.
        check_manifest(msgspec.structs.replace(manifest, version=manifest.version or 1))
        return _Offered(manifest, None)

    def _admit(self, manifest: Manifest) -> float:
        for blob, what in ((manifest.artifact, "artifact"), (manifest.golden.blob, "golden set")):
            self._check_blob(blob, f"{what} of {manifest.model} for {manifest.target}")
        if len(encode(manifest)) > MAX_MANIFEST_BYTES:
            raise TooLarge(
                f"The manifest for {manifest.target} has {len(encode(manifest)):,} bytes; at most "
                f"{MAX_MANIFEST_BYTES:,} fit into an order.",
                "Keep fewer or coarser reference histograms.",
                code="manifest-too-large",
            )
        with ExitStack() as stack:
            artifact = stack.enter_context(self._blobs.path_or_temp(manifest.artifact.digest))
            golden = stack.enter_context(self._blobs.path_or_temp(manifest.golden.blob.digest))
            return self._admission.check(artifact, manifest, golden).agreement

    def _check_blob(self, blob: Blob, what: str) -> None:
        size = self._blobs.size(blob.digest)
        if size is None:
            raise Invalid(
                f"The {what}, {blob.digest}, is not here.",
                f"Upload it first with PUT /api/v1/blobs/{blob.digest}.",
                code="blob-missing",
            )
        if size != blob.size_bytes:
            raise Invalid(
                f"The {what} has {size} bytes, and its manifest says {blob.size_bytes}.",
                "Build the manifest again from the artifact.",
                code="size-wrong",
            )

    def _artifact(self, offered: _Offered, number: int, agreement: float) -> Artifact:
        manifest = msgspec.structs.replace(offered.manifest, version=number)
        signed = offered.signed or sign_manifest(manifest, self._release_key)
        return Artifact(
            model=manifest.model,
            version=number,
            target=manifest.target,
            runtime=manifest.runtime,
            digest=manifest.artifact.digest,
            size_bytes=manifest.artifact.size_bytes,
            golden_digest=manifest.golden.blob.digest,
            accuracy=manifest.provenance.accuracy,
            source_accuracy=manifest.provenance.source_accuracy,
            golden_agreement=agreement,
            signed=encode(signed).decode(),
        )


def _check_same(name: str, version: int | None, offered: Sequence[_Offered]) -> int | None:
    """The version that all of `offered` are of, None for the next. Raises `Invalid` where they contradict."""
    problems = []
    numbers = {one.manifest.version for one in offered} | ({version} if version else set())
    named = sorted(numbers - {0})
    if len(named) > 1:
        problems.append(f"they are of versions {', '.join(map(str, named))}")
    kinds: dict[str, set[Any]] = {
        "models": {one.manifest.model for one in offered} | {name},
        "tasks": {one.manifest.task for one in offered},
        "lists of labels": {one.manifest.labels for one in offered},
    }
    for what, values in kinds.items():
        if len(values) > 1:
            problems.append(f"they have {len(values)} different {what}")
    targets = [one.manifest.target for one in offered]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        problems.append(f"there are several for {', '.join(twice)}")
    if problems:
        raise Invalid(
            f"These artifacts are not one version of {name!r}: {'; '.join(problems)}.",
            "Register what one build made, for one model.",
            code="version-inconsistent",
        )
    return named[0] if named else None


def _content(offered: Sequence[_Offered]) -> str:
    manifests = [msgspec.structs.replace(one.manifest, version=0) for one in offered]
    texts = sorted(canonical(encode(manifest)) for manifest in manifests)
    return hashlib.sha256(b"\n".join(texts)).hexdigest()


def _convert(document: Any, kind: type[Any]) -> Any:
    try:
        # Through text, for only that knows raw documents and bytes in base64.
        return msgspec.json.decode(msgspec.json.encode(document), type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Undecodable(
            f"This is not a {kind.__name__}: {error}.", "Build it with `vedette models build`."
        ) from error


def _model_views(session: Session, rows: Sequence[Model]) -> list[ModelView]:
    about = store.about(session, rows)
    return [
        ModelView(
            name=row.name,
            created_at=row.created_at,
            newest_version=row.newest,
            versions=about[row.name].versions,
            task=about[row.name].task,
            targets=about[row.name].targets,
        )
        for row in rows
    ]


def _version_views(session: Session, name: str, rows: Sequence[Version]) -> list[VersionView]:
    artifacts = store.artifacts(session, name, [row.version for row in rows])
    return [
        VersionView(
            model=name,
            version=row.version,
            created_at=row.created_at,
            notes=row.notes,
            task=row.task,
            labels=row.labels,
            artifacts=[_artifact_view(one) for one in artifacts[row.version]],
        )
        for row in rows
    ]


def _artifact_view(row: Artifact) -> ArtifactView:
    signed = msgspec.json.decode(row.signed, type=Signed)
    return ArtifactView(
        target=row.target,
        runtime=row.runtime,
        digest=row.digest,
        size_bytes=row.size_bytes,
        accuracy=row.accuracy,
        source_accuracy=row.source_accuracy,
        golden_agreement=row.golden_agreement,
        manifest=msgspec.json.decode(signed.signed),
        signed_by=[signature.key for signature in signed.signatures],
    )
