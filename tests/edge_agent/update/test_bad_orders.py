"""Orders that must not be followed, or cannot be: each says why, where it happens, and harms nothing else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_agent.core.limits import Limits
from edge_agent.core.steps import Trial
from edge_agent.runtimes.session import InferenceFailed
from fleet_contract.desired import Assignment
from fleet_contract.encoding import encode
from fleet_contract.errors import MAX_SENTENCE
from fleet_contract.manifest import sign_manifest
from fleet_contract.report import Phase
from fleet_contract.signing import PrivateKey, Signature, Signed, envelope
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import Device, a_desired, an_assignment, running
from tests.fakes.tiny_models import Build, a_build, a_golden_set, a_linear_model, a_model_that_fails, images, scores_of

FOREIGN_KEY = PrivateKey(b"f" * 32)


@pytest.fixture
def device(tmp_path: Path, server: BlobServer):
    """A device on which version 1 of two models runs."""
    with running(tmp_path, server) as device:
        device.order(a_build(1), a_build(1, model="noise"))
        device.until_settled(1)
        device.until_settled(1, "noise")
        yield device
        # Whatever was wrong with digits, noise has gone on, and so has the version before.
        assert device.running("noise") == 1
        assert device.running() == 1
        assert device.infer() is not None


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def order(device: Device, *assignments: Assignment) -> None:
    """A new generation with these for digits, and noise as it was."""
    device.generation += 1
    noise = an_assignment(a_build(1, model="noise").manifest)
    device.updater.receive(a_desired(device.generation, *assignments, noise))


def offer(device: Device, build: Build) -> None:
    device.server.blobs.update(build.blobs)
    order(device, an_assignment(build.manifest))


class TestAManifestIsRejected:
    def test_when_a_foreign_key_signed_it(self, device: Device) -> None:
        manifest = a_build(2).manifest
        order(device, an_assignment(manifest, signed=sign_manifest(manifest, FOREIGN_KEY)))
        device.until_rejected("signature-wrong")
        assert FOREIGN_KEY.public.fingerprint[:12] in device.model().because.sentence
        assert device.model().wanted.version == 2
        assert device.updater.state().generation == device.generation

    def test_when_it_was_changed_after_signing(self, device: Device) -> None:
        assignment = an_assignment(a_build(2).manifest)
        changed = bytes(assignment.manifest.signed).replace(b'"model":"digits"', b'"model":"digitz"')
        order(
            device,
            msgspec.structs.replace(assignment, manifest=Signed(msgspec.Raw(changed), assignment.manifest.signatures)),
        )
        device.until_rejected("signature-wrong")

    def test_when_it_is_no_manifest_at_all(self, device: Device) -> None:
        assignment = an_assignment(a_build(2).manifest)
        order(
            device,
            msgspec.structs.replace(
                assignment, manifest=Signed(msgspec.Raw(b'{"model":1}'), assignment.manifest.signatures)
            ),
        )
        device.until_rejected("signature-wrong")
        assert device.model().wanted.digest == ""

    def test_when_it_is_of_another_version_than_was_assigned(self, device: Device) -> None:
        order(device, msgspec.structs.replace(an_assignment(a_build(2).manifest), version=3))
        device.until_rejected("manifest-wrong")

    def test_when_it_is_for_other_hardware(self, device: Device) -> None:
        offer(device, a_build(2, target="cpu-avx2"))
        device.until_rejected("target-wrong")
        assert "cpu-avx2" in device.model().because.sentence

    def test_and_followed_when_a_good_one_comes(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path, server) as device:
            manifest = a_build(2).manifest
            order(device, an_assignment(manifest, signed=sign_manifest(manifest, FOREIGN_KEY)))
            device.until_rejected("signature-wrong")
            device.order(a_build(2))
            device.until_settled(2)


class TestAnArtifactIsRejected:
    def test_when_a_bit_has_flipped(self, device: Device, tmp_path: Path) -> None:
        build = a_build(2)
        device.server.blobs.update(build.blobs)
        device.server.blobs[build.manifest.artifact.digest] = flipped(build.artifact)
        order(device, an_assignment(build.manifest))
        device.until_rejected("digest-wrong")
        digest = build.manifest.artifact.digest
        assert len(device.server.served(digest)) == 2, "once more, for it may have been the network, and then no more"
        assert not list((tmp_path / "artifacts").glob(f"{digest.removeprefix('sha256:')}*"))

    def test_when_it_is_no_onnx(self, device: Device) -> None:
        offer(device, a_build(2, artifact=b"GIF89a, and not a model"))
        device.until_rejected("model-unreadable")

    def test_when_it_is_for_a_runtime_that_is_not_here(self, device: Device) -> None:
        build = a_build(2)
        offer(device, replace(build, manifest=msgspec.structs.replace(build.manifest, runtime="torch")))
        device.until_rejected("runtime-missing")

    def test_when_it_takes_other_inputs_than_its_manifest_says(self, device: Device) -> None:
        offer(device, a_build(2, artifact=a_linear_model(2, input_name="picture")))
        device.until_rejected("signature-mismatch")
        assert "picture" in device.model().because.sentence

    def test_when_it_cannot_answer_at_all(self, device: Device) -> None:
        offer(device, a_build(2, artifact=a_model_that_fails()))
        device.until_rejected("warm-up-failed")

    def test_when_it_cannot_answer_its_golden_set(self, device: Device) -> None:
        offer(device, a_build(2, artifact=a_model_that_fails(on="nonzero")))
        device.until_rejected("golden-failed")

    def test_when_it_answers_its_golden_set_otherwise_here(self, device: Device) -> None:
        offer(device, a_build(2, golden=a_golden_set(-scores_of(2))))
        device.until_rejected("golden-disagrees")
        assert "of the labels agree" in device.model().because.sentence

    def test_when_its_golden_set_is_none(self, device: Device) -> None:
        offer(device, a_build(2, golden=b"PK, but no archive"))
        device.until_rejected("golden-unreadable")

    def test_when_its_golden_set_is_for_another_model(self, device: Device) -> None:
        offer(device, a_build(2, golden=a_golden_set(scores_of(2), inputs=images(7))))
        device.until_rejected("golden-unreadable")

    def test_when_it_fails_too_often_once_it_is_live(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path, server, trial=Trial(records=1000, seconds=60, least_errors=3)) as device:
            device.order(a_build(1))
            device.until(lambda: device.running() == 1)
            for _ in range(1000):
                device.infer()
            device.until_settled(1)
            device.order(a_build(2))
            device.until(lambda: device.running() == 2)
            for _ in range(5):
                with (
                    pytest.raises(InferenceFailed),
                    device.updater.slot("digits").lease() as loaded,
                ):
                    loaded.session.run({"image": np.zeros((1, 99), dtype=np.float32)})
            device.until_rejected("trial-errors")
            device.until(lambda: device.running() == 1)
            assert "5 of 5 records failed" in device.model().because.sentence

    def test_when_it_is_too_slow_or_too_big_for_this_device(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path / "slow", server, limits=Limits(latency_ms=0.0)) as device:
            device.order(a_build(1))
            device.until_rejected("latency-exceeded")
        with running(tmp_path / "big", server, limits=Limits(resident_bytes=1024)) as device:
            device.order(a_build(1))
            device.until_rejected("memory-exceeded")

    def test_and_left_alone_until_another_release_is_wanted(self, device: Device) -> None:
        bad = a_build(2, artifact=b"no model")
        offer(device, bad)
        device.until_rejected("model-unreadable")
        before = len(device.server.asked)
        since = device.model().since
        offer(device, bad)
        device.until(lambda: device.updater.state().generation == device.generation)
        assert (len(device.server.asked), device.model().since) == (before, since)


class TestADesiredStateIsRefused:
    @pytest.fixture
    def good(self) -> Assignment:
        return an_assignment(a_build(2).manifest)

    def refused(self, device: Device, payload: bytes, code: str) -> None:
        before = device.updater.state()
        device.updater.receive(payload)
        device.until(lambda: device.updater.state().refused is not None)
        state = device.updater.state()
        assert state.refused.code == code
        assert state.generation == before.generation
        assert device.seen() == (Phase.SETTLED, 1)

    def test_when_a_foreign_key_signed_it(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(2, good, key=FOREIGN_KEY), "signature-wrong")

    def test_when_it_was_changed_after_signing(self, device: Device, good: Assignment) -> None:
        signed = envelope(a_desired(2, good))
        changed = bytes(signed.signed).replace(b'"generation":2', b'"generation":3')
        assert changed != bytes(signed.signed)
        self.refused(device, encode(Signed(msgspec.Raw(changed), signed.signatures)), "signature-wrong")

    def test_when_it_is_for_another_device(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(2, good, device="gw-2"), "device-wrong")

    def test_when_it_is_older_than_what_is_followed(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(0, good), "generation-stale")

    def test_when_it_has_expired(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(2, good, expires_in=timedelta(seconds=-1)), "expired")

    def test_when_its_generation_had_another_content(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(1, good), "generation-reused")

    @pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"{}", b"[]", b'{"signed":1,"signatures":[]}'])
    def test_when_it_is_not_one(self, device: Device, payload: bytes) -> None:
        device.updater.receive(payload)
        device.until(lambda: device.updater.state().refused is not None)
        assert device.updater.state().refused.code in {"undecodable", "signature-wrong"}

    def test_when_it_lists_a_model_twice(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(2, good, good), "model-repeated")

    def test_when_a_model_would_name_a_file_elsewhere(self, device: Device, good: Assignment) -> None:
        self.refused(device, a_desired(2, msgspec.structs.replace(good, model="../../etc")), "id-wrong")

    def test_in_a_sentence_that_fits_a_report_however_many_have_signed_it(
        self, device: Device, good: Assignment
    ) -> None:
        strangers = tuple(Signature(f"stranger-{number}", b"") for number in range(3_000))
        payload = encode(msgspec.structs.replace(envelope(a_desired(6, good)), signatures=strangers))
        self.refused(device, payload, "signature-wrong")
        assert len(device.updater.state().refused.sentence) <= MAX_SENTENCE

    def test_until_one_comes_that_is_followed(self, device: Device, good: Assignment) -> None:
        self.refused(device, b"{}", "undecodable")
        device.order(a_build(1), a_build(1, model="noise"))
        device.until(lambda: device.updater.state().refused is None)

    def test_also_after_a_reboot_when_it_is_older(self, tmp_path: Path, server: BlobServer, good: Assignment) -> None:
        with running(tmp_path, server) as device:
            device.generation = 6
            device.order(a_build(1))
            device.until_settled(1)
        with running(tmp_path, server) as device:
            self.refused(device, a_desired(6, good), "generation-stale")


class TestAHubThatCannotServeTheArtifact:
    def test_but_something_of_another_size_is_no_fault_of_the_release(self, device: Device) -> None:
        build = a_build(2)
        device.server.blobs.update(build.blobs)
        device.server.blobs[build.manifest.artifact.digest] = build.artifact + b"more"
        order(device, an_assignment(build.manifest))
        device.until_because("size-wrong")
        assert device.running() == 1
        device.server.blobs.update(build.blobs)
        device.until_settled(2)
        device.order(a_build(1), a_build(1, model="noise"))
        device.until_settled(1)

    @pytest.mark.parametrize(
        ("status", "code"), [(403, "artifact-forbidden"), (404, "artifact-missing"), (500, "hub-failed")]
    )
    def test_is_named_and_asked_again(self, device: Device, status: int, code: str) -> None:
        device.server.status = status
        offer(device, a_build(2))
        device.until_because(code)
        assert device.seen() == (Phase.FETCHING, 2)
        assert code in {one.code for one in device.updater.state().troubles}
        device.server.status = None
        device.until_settled(2)
        assert not device.updater.state().troubles
        device.order(a_build(1), a_build(1, model="noise"))
        device.until_settled(1)

    def test_is_asked_at_once_when_a_new_link_comes(
        self, tmp_path: Path, server: BlobServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The old link rests for an hour after its first failure.
        monkeypatch.setattr("random.uniform", lambda *_: 3600.0)
        with running(tmp_path, server) as device:
            server.status = 403
            build = a_build(2)
            server.blobs.update(build.blobs)
            device.order(build)
            device.until_because("artifact-forbidden")
            server.status = None
            device.updater.receive(a_desired(2, an_assignment(build.manifest, query="?signature=2")))
            device.until_settled(2)
            artifact, golden = build.blobs
            assert [one.path for one in server.asked] == [
                f"/blobs/{artifact}",
                f"/blobs/{artifact}?signature=2",
                f"/blobs/{golden}?signature=2",
            ]


class TestAUrlThatIsNone:
    def test_is_a_trouble_of_its_model_and_stops_nothing_else(self, tmp_path: Path, server: BlobServer) -> None:
        with running(tmp_path, server) as device:
            build = a_build(2)
            server.blobs.update(build.blobs)
            good = an_assignment(build.manifest)
            device.updater.receive(a_desired(1, msgspec.structs.replace(good, artifact_url="http://[broken")))
            device.until_because("url-wrong")
            device.updater.receive(a_desired(2, good))
            device.until_settled(2)
