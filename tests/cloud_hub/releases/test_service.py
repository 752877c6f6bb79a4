"""A version gets in checked, signed and consistent, or not at all; once in, it never changes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from cloud_hub.access.once import RequestKey
from cloud_hub.errors import Conflict, Invalid, NotFound, TooLarge
from cloud_hub.page import PageRequest
from cloud_hub.releases import store
from cloud_hub.releases.views import ArtifactIn, VersionIn
from fleet_contract.encoding import encode
from fleet_contract.errors import ContractError, ManifestWrong, SignatureWrong, Undecodable
from fleet_contract.manifest import Blob, Golden, Manifest, open_manifest, sign_manifest
from fleet_contract.signing import PrivateKey, Signed
from tests.fakes.paper_gateways import RELEASE_KEY, PaperGateways
from tests.fakes.releases import a_manifest, blob_of


@dataclass
class Shelf:
    """Makes manifests whose blobs the hub has."""

    fleet: PaperGateways

    def manifest(self, version: int = 0, *, content: str = "weights", **fields: Any) -> Manifest:
        golden = Golden(self.fleet.blob("golden"), 8, 0.9, 0.5)
        return a_manifest(version, artifact=self.fleet.blob(content), golden=golden, **fields)


@pytest.fixture
def shelf(fleet: PaperGateways) -> Shelf:
    return Shelf(fleet)


def document(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(encode(message))
    return found


def unsigned(*manifests: Manifest, version: int | None = None, notes: str = "") -> VersionIn:
    artifacts = [ArtifactIn(manifest=document(manifest)) for manifest in manifests]
    return VersionIn(version=version, notes=notes, artifacts=artifacts)


def signed(manifest: Manifest, key: PrivateKey = RELEASE_KEY) -> VersionIn:
    return VersionIn(artifacts=[ArtifactIn(signed=document(sign_manifest(manifest, key)))])


def test_a_registered_version_is_signed_and_numbered(fleet: PaperGateways, shelf: Shelf) -> None:
    one = shelf.manifest(content="one")
    other = shelf.manifest(content="other", target="cpu-avx2")
    view = fleet.releases.register("digits", unsigned(one, other, notes="The first."))
    assert (view.model, view.version, view.notes, view.task) == ("digits", 1, "The first.", "classification")
    assert [artifact.target for artifact in view.artifacts] == ["cpu-avx2", "cpu-vnni"]
    assert view.artifacts[1].digest == one.artifact.digest
    assert view.artifacts[1].golden_agreement == 0.98
    assert view.artifacts[1].manifest["version"] == 1
    with fleet.database.reading() as session:
        row = store.artifact(session, "digits", 1, "cpu-vnni")
    manifest = open_manifest(msgspec.json.decode(row.signed, type=Signed), (RELEASE_KEY.public,))
    assert manifest == msgspec.structs.replace(one, version=1)


def test_the_check_sees_the_very_files(fleet: PaperGateways, shelf: Shelf) -> None:
    fleet.releases.register("digits", unsigned(shelf.manifest(content="weights")))
    ((manifest, artifact, golden),) = fleet.admission.seen
    assert (manifest.target, artifact, golden) == ("cpu-vnni", b"weights", b"golden")


def test_versions_count_up_and_may_be_named(fleet: PaperGateways, shelf: Shelf) -> None:
    register = fleet.releases.register
    assert register("digits", unsigned(shelf.manifest(content="a"))).version == 1
    assert register("digits", unsigned(shelf.manifest(content="b"), version=7)).version == 7
    assert register("digits", unsigned(shelf.manifest(content="c"))).version == 8
    assert register("digits", unsigned(shelf.manifest(3, content="d"))).version == 3
    assert register("digits", unsigned(shelf.manifest(content="e"))).version == 9
    assert [view.version for view in fleet.releases.versions("digits").items] == [9, 8, 7, 3, 1]
    assert fleet.releases.model("digits").newest_version == 9


def test_the_same_again_is_what_is_there_and_anything_else_is_a_conflict(fleet: PaperGateways, shelf: Shelf) -> None:
    first = fleet.releases.register("digits", unsigned(shelf.manifest(content="a"), version=1))
    again = fleet.releases.register("digits", unsigned(shelf.manifest(1, content="a")))
    assert again == first
    assert len(fleet.admission.seen) == 1
    with pytest.raises(Conflict) as refused:
        fleet.releases.register("digits", unsigned(shelf.manifest(content="b"), version=1))
    assert refused.value.code == "version-exists"


def test_a_request_that_is_sent_again_registers_one_version(fleet: PaperGateways, shelf: Shelf) -> None:
    asked, request = unsigned(shelf.manifest(content="a")), RequestKey("k1", "of this")
    first = fleet.releases.register("digits", asked, request)
    assert fleet.releases.register("digits", asked, request) == first
    assert fleet.releases.register("digits", asked).version == first.version + 1
    with pytest.raises(Invalid) as refused:
        fleet.releases.register("digits", asked, RequestKey("k1", "of that"))
    assert refused.value.code == "request-key-reused"
    # Nobody sends it again after so long, and keys may come again.
    fleet.clock.pass_seconds(8 * 24 * 3600)
    assert fleet.releases.register("digits", asked, request).version == first.version + 2


def test_a_manifest_that_the_release_key_signed_is_taken_as_it_is(fleet: PaperGateways, shelf: Shelf) -> None:
    view = fleet.releases.register("digits", signed(shelf.manifest(4)))
    assert view.version == 4
    with pytest.raises(SignatureWrong, match="signed by"):
        fleet.releases.register("digits", signed(shelf.manifest(5), PrivateKey(b"x" * 32)))
    changed = document(sign_manifest(shelf.manifest(6), RELEASE_KEY))
    changed["signed"]["labels"][0] = "nine"
    with pytest.raises(SignatureWrong, match="does not fit"):
        fleet.releases.register("digits", VersionIn(artifacts=[ArtifactIn(signed=changed)]))


def test_artifacts_that_are_not_one_version_are_refused(fleet: PaperGateways, shelf: Shelf) -> None:
    one = shelf.manifest()
    for other, problem in (
        (shelf.manifest(target="cpu-avx2", labels=("0", "1", "x")), "lists of labels"),
        (shelf.manifest(target="cpu-avx2", task="regression"), "tasks"),
        (shelf.manifest(target="cpu-avx2", model="parts"), "models"),
        (shelf.manifest(), "several for cpu-vnni"),
    ):
        with pytest.raises(Invalid, match=problem) as refused:
            fleet.releases.register("digits", unsigned(one, other))
        assert refused.value.code == "version-inconsistent"
    with pytest.raises(Invalid, match="versions 2, 3"):
        fleet.releases.register("digits", unsigned(shelf.manifest(2), version=3))
    with pytest.raises(Invalid, match="models"):
        fleet.releases.register("parts", unsigned(one))
    assert fleet.admission.seen == []


def test_blobs_must_be_there_and_of_the_size_that_is_said(fleet: PaperGateways, shelf: Shelf) -> None:
    golden = shelf.manifest().golden
    nowhere = a_manifest(0, artifact=blob_of(b"never uploaded"), golden=golden)
    with pytest.raises(Invalid, match="is not here") as refused:
        fleet.releases.register("digits", unsigned(nowhere))
    assert refused.value.code == "blob-missing"
    assert "PUT /api/v1/blobs/sha256:" in refused.value.remedy
    digest = shelf.manifest().artifact.digest
    with pytest.raises(Invalid, match="has 7 bytes, and its manifest says 8"):
        fleet.releases.register("digits", unsigned(a_manifest(0, artifact=Blob(digest, 8), golden=golden)))


def test_what_the_check_refuses_is_not_registered(fleet: PaperGateways, shelf: Shelf) -> None:
    fleet.admission.refusal = Invalid("It is not ONNX.", code="model-unreadable")
    with pytest.raises(Invalid, match="not ONNX"):
        fleet.releases.register("digits", unsigned(shelf.manifest()))
    assert fleet.releases.models().items == []


def test_manifests_that_are_none_are_refused(fleet: PaperGateways, shelf: Shelf) -> None:
    with pytest.raises(Undecodable):
        fleet.releases.register("digits", VersionIn(artifacts=[ArtifactIn(manifest={"model": "digits"})]))
    with pytest.raises(Undecodable):
        fleet.releases.register("digits", VersionIn(artifacts=[ArtifactIn(signed={"signed": "x"})]))
    with pytest.raises(ManifestWrong, match="2 labels or more"):
        fleet.releases.register("digits", unsigned(shelf.manifest(labels=("0",))))
    with pytest.raises(ContractError, match="cannot be a model name"):
        fleet.releases.register("Digits!", unsigned(shelf.manifest()))


def test_a_manifest_that_would_not_fit_into_an_order_is_refused(fleet: PaperGateways, shelf: Shelf) -> None:
    wide = shelf.manifest(labels=("0", "1", *("x" * 1_000 + str(number) for number in range(100))))
    with pytest.raises(TooLarge, match="fit into an order"):
        fleet.releases.register("digits", unsigned(wide))


def test_two_that_register_at_once_get_two_numbers(fleet: PaperGateways, shelf: Shelf) -> None:
    wanted = [unsigned(shelf.manifest(content=f"weights {number}")) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(lambda one: fleet.releases.register("digits", one).version, wanted))
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]


def test_lists_are_paged_and_the_unknown_is_said_to_be(fleet: PaperGateways, shelf: Shelf) -> None:
    for model in ("alpha", "beta", "gamma"):
        fleet.releases.register(model, unsigned(shelf.manifest(model=model)))
    page = fleet.releases.models(PageRequest(limit=2))
    assert ([view.name for view in page.items], page.total) == (["alpha", "beta"], 3)
    rest = fleet.releases.models(PageRequest(limit=2, cursor=page.next))
    assert ([view.name for view in rest.items], rest.next) == (["gamma"], None)
    assert (rest.items[0].versions, rest.items[0].targets) == (1, ["cpu-vnni"])
    for ask in (
        lambda: fleet.releases.model("nothing"),
        lambda: fleet.releases.versions("nothing"),
        lambda: fleet.releases.version("nothing", 1),
        lambda: fleet.releases.version("alpha", 9),
    ):
        with pytest.raises(NotFound):
            ask()
