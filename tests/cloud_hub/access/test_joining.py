"""Joining: a token works once, for one key."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from cloud_hub.access.joining import JoinService, Place
from cloud_hub.access.once import RequestKey
from cloud_hub.access.views import TokenView
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices.reports import take
from cloud_hub.devices.service import DeviceService
from cloud_hub.errors import Forbidden, Invalid
from cloud_hub.keys import Keys, open_keys
from cloud_hub.page import PageRequest
from fleet_contract.because import Because
from fleet_contract.errors import ContractError
from fleet_contract.join import Broker, Identity, JoinRequest, JoinToken, open_identity, parse_token
from fleet_contract.report import CaptureReport
from fleet_contract.signing import envelope
from provisioning.pki import Request, RequestWrong
from tests.fakes.certificates import request_for
from tests.fakes.clock import StoppedClock
from tests.fakes.reports import INVENTORY, model_report, report

Key = ec.EllipticCurvePrivateKey


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return open_keys(tmp_path_factory.mktemp("keys"), "default")


@pytest.fixture
def devices(database: Database, clock: StoppedClock) -> DeviceService:
    return DeviceService(database, Changes(), clock, silent_after_seconds=90)


@pytest.fixture
def joining(database: Database, devices: DeviceService, keys: Keys, clock: StoppedClock) -> JoinService:
    place = Place("default", "http://127.0.0.1:8420", Broker("127.0.0.1", 8421))
    return JoinService(database, devices, keys, place, clock)


@pytest.fixture
def token(joining: JoinService) -> Callable[..., TokenView]:
    def token(device: str | None = None, target: str | None = None, seconds: int = 600, **labels: str) -> TokenView:
        return joining.make_token(device, target, labels, seconds)

    return token


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def asked(token: TokenView, key: Key, **changes: Any) -> JoinRequest:
    fields = {"target": "cpu-avx2", "agent_version": "0.1.0", "inventory": INVENTORY} | changes
    return JoinRequest(parse_token(token.token).secret, request_for(key), **fields)


def identity(answer: bytes, token: TokenView) -> Identity:
    return open_identity(envelope(answer), parse_token(token.token))


def code_of(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.code)


def test_a_token_carries_the_hubs_address_and_fingerprints(token: Callable[..., TokenView], keys: Keys) -> None:
    parsed = parse_token(token().token)
    assert parsed.hub == "http://127.0.0.1:8420"
    assert parsed.hub_key == keys.hub.public.fingerprint
    assert parsed.release_key == keys.release.public.fingerprint


def test_a_token_that_is_asked_for_again_under_the_same_name_is_the_same_and_works_once(
    joining: JoinService, database: Database
) -> None:
    named = RequestKey("install-7", "digest")
    first, again = (joining.make_token("gw-1", None, {}, 600, named) for _ in range(2))
    assert again == first
    other = joining.make_token("gw-1", None, {}, 600, RequestKey("install-8", "digest"))
    assert other.token != first.token
    secret = parse_token(first.token).secret
    with database.reading() as session:
        kept = [
            *session.execute(text("SELECT * FROM join_tokens")),
            *session.execute(text("SELECT * FROM keyed_requests")),
        ]
    assert len(kept) == 4
    assert not any(secret in str(row) for row in kept), "what is kept is no secret"
    joining.join(asked(again, new_key()))
    with pytest.raises(Forbidden) as raised:
        joining.join(asked(first, new_key()))
    assert code_of(raised) == "token-used"
    with pytest.raises(Invalid) as reused:
        joining.make_token("gw-2", None, {}, 600, RequestKey("install-7", "of something else"))
    assert code_of(reused) == "request-key-reused"


def test_a_device_gets_an_identity_that_its_token_vouches_for(
    joining: JoinService, token: Callable[..., TokenView], devices: DeviceService, keys: Keys
) -> None:
    made, key = token("gw-1", site="lyon"), new_key()
    given = identity(joining.join(asked(made, key)), made)
    assert (given.fleet, given.device, given.target) == ("default", "gw-1", "cpu-avx2")
    assert given.broker == Broker("127.0.0.1", 8421)
    certificate = x509.load_pem_x509_certificate(given.certificate.encode())
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(given.authority.encode()))
    shown = devices.get("gw-1")
    assert (shown.labels, shown.presence, shown.hostname) == ({"site": "lyon"}, "never", "gateway-7")
    assert [event.kind for event in devices.events("gw-1", PageRequest()).items] == ["joined"]


def test_without_a_name_in_the_token_the_key_gives_one(joining: JoinService, token: Callable[..., TokenView]) -> None:
    key = new_key()
    fingerprint = Request(request_for(key)).fingerprint
    for _ in range(2):
        made = token()
        assert identity(joining.join(asked(made, key)), made).device == f"device-{fingerprint[:12]}"


def test_the_target_in_the_token_wins_over_the_agents_finding(
    joining: JoinService, token: Callable[..., TokenView]
) -> None:
    made = token(target="cpu-vnni")
    assert identity(joining.join(asked(made, new_key())), made).target == "cpu-vnni"


def test_the_same_token_and_key_get_the_same_answer_again_even_late(
    joining: JoinService, token: Callable[..., TokenView], clock: StoppedClock
) -> None:
    made, key = token("gw-1"), new_key()
    first = joining.join(asked(made, key))
    clock.pass_seconds(3600)
    assert joining.join(asked(made, key)) == first


def test_the_same_token_with_another_key_is_refused(
    joining: JoinService, token: Callable[..., TokenView], database: Database
) -> None:
    made = token("gw-1")
    joining.join(asked(made, new_key()))
    with pytest.raises(Forbidden) as raised:
        joining.join(asked(made, new_key()))
    assert code_of(raised) == "token-used"


def test_of_two_devices_that_use_a_token_at_once_one_gets_in(
    joining: JoinService, token: Callable[..., TokenView]
) -> None:
    made, codes = token("gw-1"), []

    def join() -> None:
        try:
            joining.join(asked(made, new_key()))
            codes.append("in")
        except Forbidden as error:
            codes.append(error.code)

    threads = [threading.Thread(target=join) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["in", "token-used", "token-used", "token-used"]


def test_an_expired_token_is_refused(
    joining: JoinService, token: Callable[..., TokenView], clock: StoppedClock
) -> None:
    made = token(seconds=60)
    clock.pass_seconds(60)
    with pytest.raises(Forbidden) as raised:
        joining.join(asked(made, new_key()))
    assert code_of(raised) == "token-expired"


def test_a_token_of_another_hub_is_refused(joining: JoinService) -> None:
    foreign = TokenView(token=str(JoinToken("http://x", "a", "b", "guess")), device=None, expires_at=StoppedClock()())
    with pytest.raises(Forbidden) as raised:
        joining.join(asked(foreign, new_key()))
    assert code_of(raised) == "token-unknown"


def test_a_bad_request_does_not_use_the_token_up(joining: JoinService, token: Callable[..., TokenView]) -> None:
    made, key = token("gw-1"), new_key()
    good = asked(made, key)
    with pytest.raises(RequestWrong):
        joining.join(JoinRequest(good.secret, "rubbish", "cpu-avx2", "0.1.0", INVENTORY))
    with pytest.raises(ContractError):
        joining.join(asked(made, key, target="No Target"))
    assert identity(joining.join(good), made).device == "gw-1"


def test_joining_again_under_the_same_name_replaces_the_key(
    joining: JoinService, token: Callable[..., TokenView], devices: DeviceService, database: Database
) -> None:
    old, new = new_key(), new_key()
    joining.join(asked(token("gw-1", site="lyon", line="1"), old))
    joining.join(asked(token("gw-1", site="oslo"), new))
    with database.reading() as session:
        stored = session.connection().execute(text("SELECT key FROM devices WHERE id = 'gw-1'")).scalar_one()
    assert stored == Request(request_for(new)).fingerprint
    assert devices.get("gw-1").labels == {"line": "1", "site": "oslo"}
    assert devices.summary().total == 1


@pytest.mark.parametrize("replaced", [True, False])
def test_what_was_said_with_another_key_is_no_evidence_for_the_device_that_replaced_it(
    joining: JoinService,
    token: Callable[..., TokenView],
    devices: DeviceService,
    database: Database,
    clock: StoppedClock,
    replaced: bool,
) -> None:
    key = new_key()
    joining.join(asked(token("gw-1"), key))
    troubles = (Because("disk-full", "No room."),)
    said = report(number=7, models=(model_report(),), troubles=troubles, captures=CaptureReport(2, 8192))
    with database.session() as session:
        take(session, [said], clock())
    joining.join(asked(token("gw-1"), new_key() if replaced else key))

    shown = devices.get("gw-1")
    assert shown.presence == ("never" if replaced else "online")
    assert (shown.captures is None) is replaced
    assert (shown.last_heard_at is None) is replaced
    assert [model.model for model in shown.models] == ([] if replaced else ["digits"])
    assert bool(shown.troubles) is not replaced
    with database.session() as session:
        take(session, [report(number=8)], clock())
    assert (devices.get("gw-1").presence == "online") is not replaced, "the old one's boot is over"


def test_the_secret_itself_is_not_stored(token: Callable[..., TokenView], database: Database, tmp_path: Path) -> None:
    secret = parse_token(token("gw-1").token).secret
    with database.reading() as session:
        rows = session.connection().execute(text("SELECT * FROM join_tokens")).all()
    assert len(rows) == 1
    assert secret not in str(rows)


@pytest.mark.parametrize(
    ("device", "target", "labels"),
    [("Not An Id", None, {}), (None, "No Target", {}), (None, None, {"Key": "v"})],
)
def test_a_token_for_what_cannot_be_is_not_made(
    joining: JoinService, device: str | None, target: str | None, labels: dict[str, str]
) -> None:
    with pytest.raises((ContractError, Invalid)):
        joining.make_token(device, target, labels, 60)
