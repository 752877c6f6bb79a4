"""Desired states, manifests and identities: each refusal by its name, and no damage that gets through."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contract.desired import Desired, open_desired, sign_desired
from fleet_contract.encoding import canonical, decode, encode
from fleet_contract.errors import (
    ContractError,
    DeviceWrong,
    Expired,
    GenerationStale,
    ManifestWrong,
    SignatureWrong,
    Undecodable,
)
from fleet_contract.join import JoinToken, open_identity, parse_token
from fleet_contract.manifest import Blob, Histogram, Manifest, Tensor, check_manifest, open_manifest, sign_manifest
from fleet_contract.signing import PrivateKey, PublicKey, envelope, recognize, sign, verify
from fleet_contract.topics import Address
from tests.fleet_contract.messages import (
    ADDRESS,
    AT,
    DESIRED,
    HUB,
    IDENTITY,
    MANIFEST,
    RELEASE,
    STRANGER,
    TOKEN,
    written,
)

replace = msgspec.structs.replace
WRITTEN = written()


@dataclass
class Seen:
    """How a device looks at a desired state."""

    data: bytes = WRITTEN["desired-window.json"]
    trusted: tuple[PublicKey, ...] = (HUB.public,)
    address: Address = ADDRESS
    generation: int = 42
    now: datetime = AT

    def open(self) -> Desired:
        return open_desired(self.data, self.trusted, self.address, self.generation, self.now)


def signed_with(key: PrivateKey, **changes: Any) -> bytes:
    return encode(sign_desired(replace(DESIRED, **changes), key))


def edited(name: str, change: Callable[[Any], object]) -> bytes:
    """A written document after somebody changed its JSON."""
    document = json.loads(WRITTEN[name])
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "seen",
    [
        Seen(),
        Seen(generation=0),
        Seen(now=DESIRED.expires_at - timedelta(microseconds=1)),
        Seen(trusted=(STRANGER.public, HUB.public)),
        Seen(data=json.dumps(json.loads(WRITTEN["desired-window.json"]), indent=3, sort_keys=True).encode()),
    ],
    ids=["now", "first of all", "at the last moment", "with two trusted keys", "after a broker wrote its JSON anew"],
)
def test_a_desired_state_is_followed(seen: Seen) -> None:
    assert seen.open() == DESIRED


REFUSED_DESIRED: dict[str, tuple[Seen, type[ContractError], str]] = {
    "not JSON": (Seen(data=b"\x00\xff"), Undecodable, "undecodable"),
    "no envelope": (Seen(data=encode(DESIRED)), Undecodable, "undecodable"),
    "no desired state in it": (
        Seen(data=encode(sign("desired", MANIFEST, HUB))),
        Undecodable,
        "undecodable",
    ),
    "an expiry without a zone": (
        Seen(data=encode(sign("desired", replace(DESIRED, expires_at=AT.replace(tzinfo=None)), HUB))),
        Undecodable,
        "undecodable",
    ),
    "signed by a stranger": (Seen(data=signed_with(STRANGER)), SignatureWrong, "signature-wrong"),
    "signed with the release key": (Seen(data=signed_with(RELEASE)), SignatureWrong, "signature-wrong"),
    "signed by nobody": (
        Seen(data=edited("desired-window.json", lambda d: d["signatures"].clear())),
        SignatureWrong,
        "signature-wrong",
    ),
    "a stranger's signature under the hub's name": (
        Seen(
            data=edited(
                "desired-window.json",
                lambda d: d["signatures"][0].update(value=json.loads(signed_with(STRANGER))["signatures"][0]["value"]),
            )
        ),
        SignatureWrong,
        "signature-wrong",
    ),
    "a signature that is too short": (
        Seen(data=edited("desired-window.json", lambda d: d["signatures"][0].update(value="AAAA"))),
        SignatureWrong,
        "signature-wrong",
    ),
    "signed for another purpose": (
        Seen(data=encode(sign("manifest", DESIRED, HUB))),
        SignatureWrong,
        "signature-wrong",
    ),
    "a generation raised after signing": (
        Seen(data=edited("desired-window.json", lambda d: d["signed"].update(generation=43))),
        SignatureWrong,
        "signature-wrong",
    ),
    "no trusted key": (Seen(trusted=()), SignatureWrong, "signature-wrong"),
    "for another device": (Seen(address=Address("default", "gw-berlin-2")), DeviceWrong, "device-wrong"),
    "for another fleet": (Seen(address=Address("other", "gw-berlin-1")), DeviceWrong, "device-wrong"),
    "older than the last": (Seen(generation=43), GenerationStale, "generation-stale"),
    "expired just now": (Seen(now=DESIRED.expires_at), Expired, "expired"),
    "expired long ago": (Seen(now=AT + timedelta(days=400)), Expired, "expired"),
}


@pytest.mark.parametrize("why", REFUSED_DESIRED)
def test_a_desired_state_is_refused_by_the_right_name(why: str) -> None:
    seen, error, code = REFUSED_DESIRED[why]
    with pytest.raises(error) as refused:
        seen.open()
    assert refused.value.code == code
    assert type(refused.value) is error
    assert refused.value.because.sentence


def test_who_signed_is_asked_before_whom_it_is_for() -> None:
    # A stranger must learn nothing from which refusal comes.
    with pytest.raises(SignatureWrong):
        Seen(data=signed_with(STRANGER), address=Address("x", "y"), generation=99, now=AT + timedelta(999)).open()


WRONG_MANIFESTS: dict[str, tuple[Manifest, str]] = {
    "version 0": (replace(MANIFEST, version=0), "version 0 is below 1"),
    "no digest": (replace(MANIFEST, artifact=Blob("md5:ab", 5)), "artifact's digest 'md5:ab'"),
    "an upper-case digest": (replace(MANIFEST, artifact=Blob("sha256:" + "A" * 64, 5)), "artifact's digest"),
    "an empty artifact": (replace(MANIFEST, artifact=Blob("sha256:" + "a" * 64, 0)), "the artifact has 0 bytes"),
    "no inputs": (replace(MANIFEST, inputs=()), "no inputs or no outputs"),
    "no outputs": (replace(MANIFEST, outputs=(), probabilities=""), "no inputs or no outputs"),
    "an input twice": (
        replace(MANIFEST, inputs=(*MANIFEST.inputs, Tensor("pixels", "FP32", (1,)))),
        "the input pixels more than once",
    ),
    "one label": (replace(MANIFEST, labels=("0",)), "needs 2 labels or more, and it has 1"),
    "a label twice": (replace(MANIFEST, labels=("0", "1", "größer", "1")), "the label 1 more than once"),
    "probabilities of no output": (replace(MANIFEST, probabilities="p"), "'p' are none of its outputs"),
    "labels of strings": (
        replace(MANIFEST, outputs=(Tensor("word", "BYTES", (-1,)), *MANIFEST.outputs), probabilities=""),
        "an output of strings",
    ),
    "a reference of another model": (
        replace(MANIFEST, reference=replace(MANIFEST.reference, predictions={"cat": 1})),
        "labels that it does not have: cat",
    ),
    "a bin too few": (
        replace(MANIFEST, reference=replace(MANIFEST.reference, confidence=Histogram((0.5,), (1,)))),
        "histogram confidence has 1 counts for 1 edges",
    ),
    "edges that fall": (
        replace(MANIFEST, reference=replace(MANIFEST.reference, confidence=Histogram((0.5, 0.1), (1, 1, 1)))),
        "edges of histogram confidence do not rise",
    ),
    "a count below nothing": (
        replace(MANIFEST, reference=replace(MANIFEST.reference, features={"x.mean": Histogram((0.5,), (1, -1))})),
        "histogram x.mean has a count below 0",
    ),
    "no golden samples": (replace(MANIFEST, golden=replace(MANIFEST.golden, samples=0)), "has no samples"),
    "more agreement than all": (
        replace(MANIFEST, golden=replace(MANIFEST.golden, min_agreement=1.5)),
        "min_agreement 1.5",
    ),
}


@pytest.mark.parametrize("why", WRONG_MANIFESTS)
def test_a_manifest_that_contradicts_itself_is_neither_signed_nor_opened(why: str) -> None:
    manifest, says = WRONG_MANIFESTS[why]
    with pytest.raises(ManifestWrong) as refused:
        sign_manifest(manifest, RELEASE)
    assert says in refused.value.what
    assert refused.value.remedy
    with pytest.raises(ManifestWrong):
        open_manifest(sign("manifest", manifest, RELEASE), (RELEASE.public,))


@pytest.mark.parametrize("field_name", ["model", "target"])
@pytest.mark.parametrize("name", ["", "Digits", "a/b", "a" * 64, "-a", "digits\n"])
def test_a_manifests_names_are_dns_labels(field_name: str, name: str) -> None:
    with pytest.raises(ContractError) as refused:
        check_manifest(replace(MANIFEST, **{field_name: name}))
    assert refused.value.code == "id-wrong"


def test_a_manifest_of_a_foreign_key_or_for_another_purpose_is_refused() -> None:
    for signed in (sign_manifest(MANIFEST, HUB), sign("desired", MANIFEST, RELEASE)):
        with pytest.raises(SignatureWrong):
            open_manifest(signed, (RELEASE.public,))
    with pytest.raises(Undecodable):
        open_manifest(sign("manifest", DESIRED, RELEASE), (RELEASE.public,))


def test_what_was_verified_is_recognized_while_a_signer_of_it_is_trusted() -> None:
    signed = sign("desired", DESIRED, HUB)
    assert recognize("desired", signed, (STRANGER.public, HUB.public)) == verify("desired", signed, (HUB.public,))
    with pytest.raises(SignatureWrong, match="is signed by"):
        recognize("desired", signed, (STRANGER.public,))


def test_a_refused_signature_names_both_the_signer_and_whom_we_trust() -> None:
    with pytest.raises(SignatureWrong) as refused:
        open_manifest(sign_manifest(MANIFEST, STRANGER), (RELEASE.public,))
    assert STRANGER.public.fingerprint[:12] in refused.value.what
    assert RELEASE.public.fingerprint[:12] in refused.value.what


@dataclass
class Join:
    """A device that holds a token, and what answered it."""

    key: PrivateKey = HUB
    token: JoinToken = TOKEN
    changes: dict[str, Any] = field(default_factory=dict)

    def open(self) -> Any:
        return open_identity(sign("join", replace(IDENTITY, **self.changes), self.key), self.token)


REFUSED_IDENTITY: dict[str, Join] = {
    "another hub with its own keys": Join(STRANGER, changes={"hub_keys": (STRANGER.public,)}),
    "another hub that shows the real key": Join(STRANGER),
    "another hub that shows both keys": Join(STRANGER, changes={"hub_keys": (HUB.public, STRANGER.public)}),
    "another release key": Join(changes={"release_keys": (STRANGER.public,)}),
    "no release key": Join(changes={"release_keys": ()}),
    "a token for another hub": Join(token=replace(TOKEN, hub_key=STRANGER.public.fingerprint)),
}


@pytest.mark.parametrize("why", REFUSED_IDENTITY)
def test_an_identity_of_whom_the_token_does_not_name_is_refused(why: str) -> None:
    with pytest.raises(SignatureWrong):
        REFUSED_IDENTITY[why].open()


def test_an_identity_of_the_hub_that_the_token_names_is_taken() -> None:
    assert Join().open() == IDENTITY
    assert Join(changes={"hub_keys": (STRANGER.public, HUB.public)}).open().device == IDENTITY.device


def test_a_key_of_another_length_is_no_key() -> None:
    with pytest.raises(ValueError, match="has 32 bytes, and this has 31"):
        PublicKey(bytes(31))
    document = json.loads(encode(IDENTITY))
    document["hub_keys"][0]["raw"] = "AAAA"
    with pytest.raises(Undecodable, match="32 bytes"):
        open_identity(sign("join", document, HUB), TOKEN)


OPENERS: dict[str, Callable[[bytes], object]] = {
    "desired-window.json": lambda data: Seen(data=data).open(),
    "manifest.json": lambda data: open_manifest(envelope(data), (RELEASE.public,)),
    "identity.json": lambda data: open_identity(envelope(data), TOKEN),
}


def meaning(data: bytes) -> Any:
    """What a signed text says: its document, whichever way it is written."""
    return json.loads(data)["signed"]


@pytest.mark.parametrize("name", OPENERS)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(name: str, data: st.DataObject) -> None:
    text = bytearray(WRITTEN[name])
    bit = data.draw(st.integers(0, len(text) * 8 - 1))
    text[bit // 8] ^= 1 << bit % 8
    try:
        opened = OPENERS[name](bytes(text))
    except ContractError:
        return
    # A flipped bit may fall on the name of a field that nothing reads, outside what is signed.
    assert opened == OPENERS[name](WRITTEN[name])
    assert meaning(bytes(text)) == meaning(WRITTEN[name])


@pytest.mark.parametrize("name", OPENERS)
@given(garbage=st.binary(max_size=300), at=st.integers(0, 3000), cut=st.integers(0, 300))
def test_garbage_brings_out_contract_errors_and_no_others(name: str, garbage: bytes, at: int, cut: int) -> None:
    text = WRITTEN[name]
    for damaged in (garbage, text[:at] + garbage + text[at + cut :], text[:at]):
        try:
            OPENERS[name](damaged)
        except ContractError as error:
            assert error.code in ("undecodable", "signature-wrong")


PLAIN = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_canonical_form_is_the_same_however_the_json_was_written(value: Any) -> None:
    plain = canonical(encode(value))
    assert canonical(plain) == plain
    assert canonical(json.dumps(value, indent=2).encode()) == plain
    assert canonical(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()) == plain


@pytest.mark.parametrize(("written", "by_javascript"), [("1.0", "1"), ("-0.0", "0"), ("1e3", "1000"), ("0.5", "0.5")])
def test_a_signature_survives_who_writes_whole_numbers_without_a_fraction(written: str, by_javascript: str) -> None:
    assert canonical(f'{{"a": [{written}]}}'.encode()) == canonical(f'{{"a":[{by_javascript}]}}'.encode())


@given(st.binary(max_size=200))
def test_a_signature_verifies_for_its_purpose_its_document_and_its_key_alone(secret: bytes) -> None:
    token = replace(TOKEN, secret=secret.hex())
    signed = sign("join", token, HUB)
    assert decode(verify("join", signed, (HUB.public,)), JoinToken) == token
    for purpose, trusted in (("desired", HUB), ("join", STRANGER)):
        with pytest.raises(SignatureWrong):
            verify(purpose, signed, (trusted.public,))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{}", b"NaN", b"1e999", b"\xff\xfe", b'{"signed":1}', b'{"signed":{},"signatures":7}',
        b"[" * 100_000, b'{"signed":' * 100_000, b'{"signed":' + b"[" * 100_000,
        b'{"signed":' + b"[" * 100_000 + b"]" * 100_000 + b',"signatures":[]}',
        b'{"signed":{"a":NaN},"signatures":[]}', b'{"signed":{"a":1e999},"signatures":[]}',
        b'{"signed":{"a":"\\ud800"},"signatures":[]}',
    ],
    ids=lambda data: data[:24].decode(errors="replace"),
)  # fmt: skip
def test_hostile_json_is_undecodable_or_unsigned_and_nothing_worse(data: bytes) -> None:
    for open_it in OPENERS.values():
        with pytest.raises((Undecodable, SignatureWrong)):
            open_it(data)
    for kind in (Manifest, Desired, JoinToken):
        with pytest.raises(Undecodable):
            decode(data, kind)


@given(st.text(max_size=80) | st.text(max_size=80).map("vdt1.".__add__))
def test_a_text_that_is_no_token_says_where_tokens_come_from(text: str) -> None:
    with pytest.raises(ContractError) as refused:
        parse_token(text)
    assert refused.value.code == "token-wrong"
    assert "vedette devices token" in refused.value.remedy


@given(st.data())
def test_a_token_that_was_cut_short_is_refused(data: st.DataObject) -> None:
    text = str(TOKEN)
    with pytest.raises(ContractError, match="not a whole one"):
        parse_token(text[: data.draw(st.integers(0, len(text) - 2))])


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_token_carries_any_secret_and_address(hub: str, secret: str) -> None:
    token = JoinToken(hub, "a" * 64, "b" * 64, secret)
    assert parse_token(f"  {token}\n") == token
