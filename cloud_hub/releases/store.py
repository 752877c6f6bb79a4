"""All SQL on models, versions and artifacts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud_hub.database import upsert
from cloud_hub.errors import NotFound
from cloud_hub.page import PageRequest, Rows, fetch
from cloud_hub.releases.tables import Artifact, Model, Version
from fleet_contract.encoding import decode
from fleet_contract.manifest import Manifest
from fleet_contract.signing import Signed


@dataclass(frozen=True)
class About:
    """What a list of models says of one besides its row."""

    versions: int
    task: str
    targets: list[str]


def page_of_models(session: Session, request: PageRequest) -> Rows:
    """A page of `Model` rows."""
    name = col(Model.name)
    sorts = {"name": name, "created_at": col(Model.created_at), "newest_version": col(Model.newest)}
    return fetch(session, select(Model), request, sorts=sorts, default_sort="name", key=name)


def model(session: Session, name: str) -> Model:
    """Raises `NotFound` ("model-unknown")."""
    found = session.get(Model, name)
    if found is None:
        raise NotFound(f"There is no model {name!r}.", "`vedette models list` shows all.", code="model-unknown")
    return found


def about(session: Session, models: Sequence[Model]) -> dict[str, About]:
    """What there is to say of `models`, by name."""
    names = [one.name for one in models]
    count = select(col(Version.model), func.count()).where(col(Version.model).in_(names)).group_by(col(Version.model))
    versions = dict(session.execute(count).all())
    tasks = dict(
        session.execute(
            select(col(Version.model), col(Version.task))
            .join(Model, (col(Model.name) == col(Version.model)) & (col(Model.newest) == col(Version.version)))
            .where(col(Model.name).in_(names))
        ).all()
    )
    targets: dict[str, list[str]] = {}
    newest = (
        select(col(Artifact.model), col(Artifact.target))
        .join(Model, (col(Model.name) == col(Artifact.model)) & (col(Model.newest) == col(Artifact.version)))
        .where(col(Model.name).in_(names))
        .order_by(col(Artifact.target))
    )
    for name, target in session.execute(newest):
        targets.setdefault(name, []).append(target)
    return {name: About(versions[name], tasks[name], targets[name]) for name in names}


def page_of_versions(session: Session, name: str, request: PageRequest) -> Rows:
    """A page of `Version` rows of one model, the newest first."""
    number = col(Version.version)
    statement = select(Version).where(col(Version.model) == name)
    sorts = {"version": number, "created_at": col(Version.created_at)}
    return fetch(session, statement, request, sorts=sorts, default_sort="-version", key=number)


def find_version(session: Session, name: str, version: int) -> Version | None:
    return session.get(Version, (name, version))


def version(session: Session, name: str, number: int) -> Version:
    """Raises `NotFound` ("model-unknown" or "version-unknown")."""
    found = find_version(session, name, number)
    if found is None:
        newest = model(session, name).newest
        raise NotFound(
            f"Model {name!r} has no version {number}; the newest is {newest}.",
            f"`vedette models show {name}` lists them.",
            code="version-unknown",
        )
    return found


def artifacts(session: Session, name: str, versions: Sequence[int]) -> dict[int, list[Artifact]]:
    """Artifacts by version, in order of target."""
    found: dict[int, list[Artifact]] = {number: [] for number in versions}
    statement = select(Artifact).where(col(Artifact.model) == name, col(Artifact.version).in_(versions))
    for artifact_row in session.execute(statement.order_by(col(Artifact.target))).scalars():
        found[artifact_row.version].append(artifact_row)
    return found


def artifact(session: Session, name: str, number: int, target: str) -> Artifact:
    """Raises `NotFound` ("artifact-unknown")."""
    found = session.get(Artifact, (name, number, target))
    if found is None:
        raise NotFound(f"Version {number} of {name!r} has no artifact for {target!r}.", code="artifact-unknown")
    return found


def targets(session: Session, name: str, number: int) -> list[str]:
    """The hardware targets that a version has an artifact for, in order."""
    statement = select(col(Artifact.target)).where(col(Artifact.model) == name, col(Artifact.version) == number)
    return list(session.execute(statement.order_by(col(Artifact.target))).scalars())


def lock_model(session: Session, fresh: Model) -> Model:
    """The model's row, made from `fresh` if it is new, held until the commit: versions are numbered one at a time."""
    session.execute(upsert(session, Model).values(**fresh.model_dump()).on_conflict_do_nothing())
    found: Model = session.execute(select(Model).where(col(Model.name) == fresh.name).with_for_update()).scalar_one()
    return found


def add(session: Session, new: Version, of: Sequence[Artifact]) -> None:
    """Adds a version with its artifacts."""
    session.add(new)
    session.flush()
    session.add_all(of)


def manifests(session: Session, name: str, numbers: Collection[int] | None = None) -> list[Manifest]:
    """The manifests of all artifacts of a model, or of its versions `numbers` alone, in order of version and target."""
    statement = select(col(Artifact.signed)).where(col(Artifact.model) == name)
    if numbers is not None:
        statement = statement.where(col(Artifact.version).in_(numbers))
    rows = session.execute(statement.order_by(col(Artifact.version), col(Artifact.target))).scalars()
    return [decode(decode(signed.encode(), Signed).signed, Manifest) for signed in rows]
