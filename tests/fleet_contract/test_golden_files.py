"""What devices and hubs out there say is read for ever, and today's code still writes it the same."""

import json
from typing import Any

import msgspec
import pytest

from fleet_contract.desired import Desired, open_desired
from fleet_contract.encoding import MAX_MESSAGE_BYTES, decode, encode
from fleet_contract.errors import SignatureWrong, Undecodable
from fleet_contract.join import JoinRequest, open_identity, parse_token
from fleet_contract.manifest import open_manifest
from fleet_contract.report import Report
from fleet_contract.signing import Signed, envelope, sign
from fleet_contract.telemetry import Ack, decode_batch, encode_batch
from tests.fleet_contract import messages
from tests.fleet_contract.messages import ADDRESS, AT, GOLDEN, HUB, RELEASE

WRITTEN = messages.written()
UNSIGNED: dict[str, tuple[type[msgspec.Struct], msgspec.Struct]] = {
    "report.json": (Report, messages.REPORT_BEFORE_CAPTURES),
    "report-captures.json": (Report, messages.REPORT),
    "ack.json": (Ack, messages.ACK),
    "refusal.json": (Ack, messages.REFUSAL),
    "join-request.json": (JoinRequest, messages.REQUEST),
}


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


#: These hold names of the sender's, not fields.
OPEN = ("runtimes", "tools", "predictions", "features", "lanes", "dropped", "temperatures")


def with_strangers(value: Any, name: str = "") -> Any:
    """`value` with a field more in each of its objects; what is signed inside it stays as it is."""
    if isinstance(value, dict):
        if "signatures" in value:
            return value
        known = {key: with_strangers(inner, key) for key, inner in value.items()}
        return known if name in OPEN else known | {"stranger": {"of": ["tomorrow", 1, None]}}
    return [with_strangers(inner, name) for inner in value] if isinstance(value, list) else value


def test_there_is_a_golden_file_for_every_message() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*WRITTEN, *messages.EARLIER, "batch-labelled.msgpack.zst"}


@pytest.mark.parametrize("name", WRITTEN)
def test_todays_code_writes_the_golden_file(name: str) -> None:
    assert WRITTEN[name] == golden(name)


@pytest.mark.parametrize("name", UNSIGNED)
def test_todays_code_reads_the_golden_file(name: str) -> None:
    kind, value = UNSIGNED[name]
    assert decode(golden(name), kind) == value


@pytest.mark.parametrize(
    ("name", "expected"),
    [("desired.json", messages.DESIRED_BEFORE_WINDOWS), ("desired-window.json", messages.DESIRED)],
)
def test_the_golden_desired_state_is_followed(name: str, expected: Desired) -> None:
    desired = open_desired(golden(name), (HUB.public,), ADDRESS, 42, AT)
    assert desired == expected
    assert open_manifest(desired.assignments[0].manifest, (RELEASE.public,)) == messages.MANIFEST


def test_the_golden_manifest_is_trusted() -> None:
    assert open_manifest(envelope(golden("manifest.json")), (RELEASE.public,)) == messages.MANIFEST


def test_the_golden_token_and_identity_join_a_device() -> None:
    token = parse_token(golden("join-token.txt").decode() + "\n")
    assert token == messages.TOKEN
    assert open_identity(envelope(golden("identity.json")), token) == messages.IDENTITY


def test_the_golden_batch_is_taken() -> None:
    assert decode_batch(golden("batch.msgpack.zst")) == messages.BATCH_BEFORE_LABELS
    assert decode_batch(golden("batch-labelled.msgpack.zst")) == messages.BATCH
    assert decode_batch(encode_batch(messages.BATCH)) == messages.BATCH
    assert decode_batch(encode_batch(messages.EVENTS)) == messages.EVENTS
    assert decode_batch(encode_batch(messages.SAMPLES)) == messages.SAMPLES


@pytest.mark.parametrize("name", UNSIGNED)
def test_a_field_of_tomorrow_is_ignored_at_every_depth(name: str) -> None:
    kind, value = UNSIGNED[name]
    assert decode(json.dumps(with_strangers(json.loads(golden(name)))).encode(), kind) == value


@pytest.mark.parametrize("name", UNSIGNED)
def test_a_message_without_its_optional_fields_is_read(name: str) -> None:
    kind, _ = UNSIGNED[name]
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    whole = json.loads(golden(name))
    decode(json.dumps({key: value for key, value in whole.items() if key in required}).encode(), kind)


@pytest.mark.parametrize("name", UNSIGNED)
def test_a_message_without_a_required_field_is_refused_by_the_fields_name(name: str) -> None:
    kind, _ = UNSIGNED[name]
    for field in msgspec.structs.fields(kind):
        if field.required:
            cut = {key: value for key, value in json.loads(golden(name)).items() if key != field.encode_name}
            with pytest.raises(Undecodable, match=field.encode_name):
                decode(json.dumps(cut).encode(), kind)


def test_a_field_of_tomorrow_survives_the_signature_check_and_is_covered_by_it() -> None:
    document = with_strangers(json.loads(encode(messages.DESIRED)))
    signed = encode(sign("desired", document, HUB))
    assert b"stranger" in signed
    assert open_desired(signed, (HUB.public,), ADDRESS, 0, AT) == messages.DESIRED
    with pytest.raises(SignatureWrong):
        open_desired(signed.replace(b"stranger", b"intruder"), (HUB.public,), ADDRESS, 0, AT)


def test_a_device_of_tomorrow_may_add_columns_to_a_batch() -> None:
    opened = messages.unpacked(encode_batch(messages.BATCH))
    opened["columns"]["joules"] = [1.5, None]
    opened["urgency"] = "low"
    assert decode_batch(messages.repacked(opened)) == messages.BATCH


def test_a_sample_needs_nothing_that_not_every_model_has() -> None:
    opened = messages.unpacked(encode_batch(messages.SAMPLES))
    for name in ("label", "confidence", "margin", "beside", "beside_version"):
        del opened["columns"][name]
    first, second = decode_batch(messages.repacked(opened)).samples
    assert (first.capture, first.label, first.margin) == ("a" * 64, "", 0.0)
    assert (second.reason, second.beside, second.beside_version) == ("disagreement", "", 0)


def test_a_device_of_yesterday_may_lack_the_optional_columns() -> None:
    opened = messages.unpacked(encode_batch(messages.BATCH))
    del opened["columns"]["features"], opened["columns"]["error_codes"]
    first, second = decode_batch(messages.repacked(opened)).windows
    assert first == msgspec.structs.replace(messages.BATCH.windows[0], features={}, error_codes={})
    assert second == messages.BATCH.windows[1]


def test_a_signed_message_fits_into_what_a_broker_takes() -> None:
    assert max(len(data) for data in WRITTEN.values()) < MAX_MESSAGE_BYTES
    assert decode(golden("desired.json"), Signed).signatures[0].key == HUB.public.fingerprint
