"""One of each message, with fixed keys and times: what the golden files hold.

`python -m tests.fleet_contract.messages` writes the golden files that are missing. One that has been released is
never written again: what it holds is what devices out there say.
"""

import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from fleet_contract.because import Because
from fleet_contract.desired import Assignment, Desired, sign_desired
from fleet_contract.encoding import encode
from fleet_contract.join import Broker, Identity, JoinRequest, JoinToken
from fleet_contract.manifest import (
    Blob,
    Golden,
    Histogram,
    Manifest,
    Provenance,
    Reference,
    Tensor,
    sign_manifest,
)
from fleet_contract.report import (
    CaptureReport,
    Inventory,
    LaneReport,
    ModelReport,
    Phase,
    Presence,
    Release,
    Report,
    SpoolReport,
)
from fleet_contract.signing import PrivateKey, sign
from fleet_contract.telemetry import Ack, Batch, Event, Lane, Sample, Window, encode_batch, fingerprint
from fleet_contract.topics import Address
from fleet_contract.window import MaintenanceWindow

GOLDEN = Path(__file__).parent / "golden"
HUB = PrivateKey(b"hub".ljust(32, b"."))
RELEASE = PrivateKey(b"release".ljust(32, b"."))
STRANGER = PrivateKey(b"stranger".ljust(32, b"."))
AT = datetime(2026, 11, 22, 20, 0, 0, 123456, tzinfo=UTC)
ADDRESS = Address("default", "gw-berlin-1")
DIGESTS = tuple("sha256:" + digit * 64 for digit in "0123")

MANIFEST = Manifest(
    model="digits",
    version=3,
    target="cpu-avx2",
    runtime="onnx",
    artifact=Blob(DIGESTS[0], 24_968),
    inputs=(Tensor("pixels", "FP32", (-1, 64)),),
    outputs=(Tensor("probabilities", "FP32", (-1, 3)),),
    task="classification",
    labels=("0", "1", "größer"),
    reference=Reference(
        records=540,
        predictions={"0": 180, "1": 200, "größer": 160},
        confidence=Histogram((0.25, 0.5, 0.75), (0, 20, 120, 400)),
        features={"pixels.mean": Histogram((4.5,), (300, 240))},
    ),
    golden=Golden(Blob(DIGESTS[1], 38_442), samples=128, min_agreement=0.96875, max_abs_error=0.0196),
    provenance=Provenance(
        recipe="digits --seed 0",
        source_digest=DIGESTS[2],
        built_at=AT,
        tools={"onnxruntime": "1.32.0", "python": "3.11.2"},
        training_records=1257,
        accuracy=0.975,
        source_accuracy=0.98,
    ),
    probabilities="probabilities",
)

DESIRED = Desired(
    fleet=ADDRESS.fleet,
    device=ADDRESS.device,
    generation=42,
    issued_at=AT,
    expires_at=AT + timedelta(days=7),
    assignments=(
        Assignment(
            model="digits",
            version=3,
            manifest=sign_manifest(MANIFEST, RELEASE),
            artifact_url="/blobs/" + DIGESTS[0] + "?expires=1764000000&signature=00ff",
            golden_url="https://blobs.example/golden.npz",
            because=Because("rollout-exposed", "Wave 2 exposes 50 %, and this device is at 31.4 %."),
            rollout="digits-v3-a1b2c3",
            window=MaintenanceWindow(("sat", "sun"), "22:30", "04:00"),
        ),
    ),
)
#: Of a hub that knew of no windows.
DESIRED_BEFORE_WINDOWS = msgspec.structs.replace(
    DESIRED, assignments=(msgspec.structs.replace(DESIRED.assignments[0], window=None),)
)

INVENTORY = Inventory(
    hostname="gw-berlin-1.local",
    arch="x86_64",
    cores=4,
    memory_bytes=4_131_618_816,
    runtimes={"onnx": "1.32.0"},
    providers=("CPUExecutionProvider",),
    delegates=("XNNPACK", "edgetpu"),
    accelerators=("edgetpu",),
    features=("avx2",),
    temperatures={"x86_pkg_temp": 51.5},
)

REPORT = Report(
    fleet=ADDRESS.fleet,
    device=ADDRESS.device,
    boot="0011223344556677",
    number=17,
    presence=Presence.ONLINE,
    sent_at=AT,
    agent_version="0.1.0",
    target="cpu-avx2",
    generation=42,
    started_at=AT - timedelta(hours=3),
    models=(
        ModelReport(
            model="digits",
            phase=Phase.TRIAL,
            because=Because("on-trial", "12 of 50 records answered without an error."),
            since=AT - timedelta(seconds=9),
            wanted=Release(3, DIGESTS[0]),
            running=Release(3, DIGESTS[0]),
            previous=Release(2, DIGESTS[3]),
            rollout="digits-v3-a1b2c3",
        ),
    ),
    refused=Because("generation-stale", "Desired state 41 is older than 42, which this device has accepted."),
    inventory=INVENTORY,
    spool=SpoolReport(
        records=7,
        size_bytes=2_048,
        dropped=3,
        lanes={
            "windows": LaneReport(7, 1_948, {"spool-full": 2, "refused": 1}),
            "events": LaneReport(0, 100),
        },
    ),
    troubles=(Because("disk-low", "1.2 GB are free, and 2 GB are kept free."),),
    captures=CaptureReport(files=12, size_bytes=49_152, dropped={"quota": 3, "behind": 1}),
)
#: Of an agent that captured nothing.
REPORT_BEFORE_CAPTURES = msgspec.structs.replace(REPORT, captures=None)

BATCH = Batch(
    device=ADDRESS.device,
    boot="0011223344556677",
    after=11,
    windows=(
        Window(
            sequence=12,
            model="digits",
            version=3,
            digest=DIGESTS[0],
            started_at_ms=1_795_377_600_000,
            ended_at_ms=1_795_377_610_000,
            count=300,
            errors=2,
            latency={82: 250, 90: 50},
            predictions={"0": 100, "1": 120, "größer": 80},
            confidence=(0, 10, 40, 250),
            features={"pixels.mean": (160, 140)},
            error_codes={"inference-failed": 2},
            memory_bytes=91_226_112,
            temperature_c=51.5,
            labelled=120,
            correct=117,
        ),
        Window(14, "digits", 2, DIGESTS[3], 1_795_377_610_000, 1_795_377_620_000, 0, 0, {}, {}, (0, 0, 0, 0)),
    ),
)

#: Of an agent that knew neither of memory and temperature nor of true labels.
BATCH_BEFORE_LABELS = msgspec.structs.replace(
    BATCH,
    windows=tuple(
        msgspec.structs.replace(one, memory_bytes=0, temperature_c=None, labelled=0, correct=0) for one in BATCH.windows
    ),
)

EVENTS = Batch(
    device=ADDRESS.device,
    boot="0011223344556677",
    after=0,
    events=(
        Event(1, 1_795_377_600_000, "started", "started", "Agent 0.1.0 started, after an orderly stop."),
        Event(
            sequence=2,
            at_ms=1_795_377_600_250,
            kind="phase",
            code="on-trial",
            sentence="12 of 50 records answered without an error.",
            model="digits",
            slot="default",
            version=3,
            phase="trial",
            rollout="digits-v3-a1b2c3",
        ),
    ),
    lane=Lane.EVENTS,
)

SAMPLES = Batch(
    device=ADDRESS.device,
    boot="0011223344556677",
    after=3,
    samples=(
        Sample(4, 1_795_377_601_000, "digits", 3, DIGESTS[0], "random", "a" * 64, 1_204, "7", 0.9921875, 0.984375),
        Sample(
            sequence=5,
            at_ms=1_795_377_602_500,
            model="digits",
            version=3,
            digest=DIGESTS[0],
            reason="disagreement",
            capture="0123456789abcdef" * 4,
            size_bytes=1_208,
            label="größer",
            confidence=0.5,
            margin=0.125,
            beside="1",
            beside_version=4,
        ),
    ),
    lane=Lane.SAMPLES,
)

ACK = Ack(device=ADDRESS.device, boot="0011223344556677", through=14, sent_at=AT)
REFUSAL = Ack(
    device=ADDRESS.device,
    boot="0011223344556677",
    through=0,
    lane="events",
    batch=fingerprint(b"a batch"),
    refused=Because("telemetry-wrong", "Window 12 has version 0."),
)
TOKEN = JoinToken("http://127.0.0.1:8420", HUB.public.fingerprint, RELEASE.public.fingerprint, "c2VjcmV0")
REQUEST = JoinRequest(
    secret=TOKEN.secret,
    certificate_request="-----BEGIN CERTIFICATE REQUEST-----\nMIH4\n-----END CERTIFICATE REQUEST-----\n",
    target="cpu-avx2",
    agent_version="0.1.0",
    inventory=INVENTORY,
)
IDENTITY = Identity(
    fleet=ADDRESS.fleet,
    device=ADDRESS.device,
    hub="http://127.0.0.1:8420",
    broker=Broker("127.0.0.1", 8421),
    hub_keys=(HUB.public,),
    release_keys=(RELEASE.public,),
    certificate="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    authority="-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n",
    target="cpu-avx2",
    # Another zone than UTC is the same moment.
    issued_at=AT.astimezone(timezone(timedelta(hours=1))),
)


#: What earlier code wrote and today's, whose messages have more fields, does not: it is read for ever.
EARLIER = ("desired.json", "report.json", "batch.msgpack", "batch.msgpack.zst")


def written() -> dict[str, bytes]:
    """What today's code writes, by the golden file's name."""
    return {
        "manifest.json": encode(sign_manifest(MANIFEST, RELEASE)),
        "desired-window.json": encode(sign_desired(DESIRED, HUB)),
        "report-captures.json": encode(REPORT),
        # The compressed form may differ from one zstd to the next; what it holds may not.
        "batch-labelled.msgpack": zstandard.ZstdDecompressor().decompress(encode_batch(BATCH)),
        "events.msgpack": zstandard.ZstdDecompressor().decompress(encode_batch(EVENTS)),
        "samples.msgpack": zstandard.ZstdDecompressor().decompress(encode_batch(SAMPLES)),
        "ack.json": encode(ACK),
        "refusal.json": encode(REFUSAL),
        "join-token.txt": str(TOKEN).encode(),
        "join-request.json": encode(REQUEST),
        "identity.json": encode(sign("join", IDENTITY, HUB)),
    }


def unpacked(data: bytes) -> dict[str, Any]:
    """An encoded batch, open to be changed."""
    opened: dict[str, Any] = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data))
    return opened


def repacked(opened: Any) -> bytes:
    """A changed batch, as a device would send it."""
    return zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(opened))


if __name__ == "__main__":
    for name, data in written().items():
        if not (GOLDEN / name).exists():
            (GOLDEN / name).write_bytes(data)
            sys.stdout.write(f"wrote {name}\n")
    if not (GOLDEN / "batch-labelled.msgpack.zst").exists():
        (GOLDEN / "batch-labelled.msgpack.zst").write_bytes(encode_batch(BATCH))
