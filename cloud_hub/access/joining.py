"""Join tokens, and what a device gets for one."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cloud_hub.access import once, store
from cloud_hub.access.once import RequestKey
from cloud_hub.access.tables import JoinTokenRow
from cloud_hub.access.views import TokenView
from cloud_hub.database import Database
from cloud_hub.devices.labels import check_labels
from cloud_hub.devices.service import DeviceService
from cloud_hub.devices.tables import Device
from cloud_hub.devices.versions import order_of
from cloud_hub.errors import Forbidden
from cloud_hub.keys import Keys
from fleet_contract.encoding import encode
from fleet_contract.join import Broker, Identity, JoinRequest, JoinToken
from fleet_contract.signing import sign
from fleet_contract.topics import check_id
from provisioning.pki import Request

#: A used token is remembered for so long, so that a device whose answer got lost can ask again.
_REMEMBERED = timedelta(days=30)


@dataclass(frozen=True)
class Place:
    """Where devices find this hub: its URL and its broker."""

    fleet: str
    hub: str
    broker: Broker


class JoinService:
    """Thread-safe. Only a hash of a token's secret is kept."""

    def __init__(
        self, database: Database, devices: DeviceService, keys: Keys, place: Place, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._devices = devices
        self._keys = keys
        self._place = place
        self._now = now

    def make_token(
        self,
        device: str | None,
        target: str | None,
        labels: Mapping[str, str],
        expires_in_seconds: int,
        request: RequestKey | None = None,
    ) -> TokenView:
        """A token for one device: for that id, target and labels where given. A `request` that is sent again gets the
        one that it made. Raises `ContractError`, `Invalid`."""
        if device is not None:
            check_id(device)
        if target is not None:
            check_id(target, "hardware target")
        seed, now = secrets.token_hex(32), self._now()
        secret, expires_at = self._secret(seed), now + timedelta(seconds=expires_in_seconds)
        row = JoinTokenRow(
            secret_hash=_hash(secret),
            device=device,
            target=target,
            labels=check_labels(labels),
            created_at=now,
            expires_at=expires_at,
        )
        with self._database.session() as session:
            if (done := once.begin(session, request, now)) is not None:
                return self._shown(self._secret(done["seed"]), device, datetime.fromisoformat(done["expires_at"]))
            store.delete_tokens_before(session, now - _REMEMBERED)
            store.add_token(session, row)
            once.finish(session, request, {"seed": seed, "expires_at": expires_at.isoformat()})
        return self._shown(secret, device, expires_at)

    def join(self, asked: JoinRequest) -> bytes:
        """The signed `Identity`, in JSON. The same token with the same key gets the same answer again.

        Raises `Forbidden` ("token-unknown", "token-expired", "token-used"), `RequestWrong`, `ContractError`.
        """
        with self._database.session() as session:
            token = store.take_token(session, _hash(asked.secret))
            if token is None:
                raise Forbidden("The hub does not know this token.", _MAKE_ANOTHER, code="token-unknown")
            request = Request(asked.certificate_request)
            if token.answer is not None:
                if token.key == request.fingerprint:
                    return token.answer.encode()
                raise Forbidden(
                    "This token has been used, with another key.",
                    f"A token is for one device. {_MAKE_ANOTHER}",
                    code="token-used",
                )
            now = self._now()
            if now >= token.expires_at:
                at = f"{token.expires_at:%Y-%m-%d %H:%M:%S}"
                raise Forbidden(f"This token expired at {at} UTC.", _MAKE_ANOTHER, code="token-expired")
            device = token.device or f"device-{request.fingerprint[:12]}"
            target = token.target or check_id(asked.target, "hardware target")
            answer = self._identity(device, target, request, now)
            token.used_at, token.key, token.answer = now, request.fingerprint, answer.decode()
            joined = Device(
                id=device,
                fleet=self._place.fleet,
                target=target,
                key=request.fingerprint,
                joined_at=now,
                hostname=asked.inventory.hostname,
                agent_version=asked.agent_version,
                agent_order=order_of(asked.agent_version),
                inventory=msgspec.to_builtins(asked.inventory),
            )
            sentence = f"It joined as {target} with key {request.fingerprint[:12]} (agent {asked.agent_version})."
            store.put_device(session, joined, token.labels, sentence)
        self._devices.tell_joined(device)
        return answer

    def _secret(self, seed: str) -> str:
        # Of a seed that is kept, only this hub can tell the secret: it is made again, and never stored.
        made = hmac.digest(self._keys.url_secret, b"join-token:" + seed.encode(), "sha256")
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def _shown(self, secret: str, device: str | None, expires_at: datetime) -> TokenView:
        hub_key, release_key = self._keys.hub.public.fingerprint, self._keys.release.public.fingerprint
        token = JoinToken(self._place.hub, hub_key, release_key, secret)
        return TokenView(token=str(token), device=device, expires_at=expires_at)

    def _identity(self, device: str, target: str, request: Request, now: datetime) -> bytes:
        identity = Identity(
            fleet=self._place.fleet,
            device=device,
            hub=self._place.hub,
            broker=self._place.broker,
            hub_keys=(self._keys.hub.public,),
            release_keys=(self._keys.release.public,),
            certificate=self._keys.authority.sign_device(request, device, now),
            authority=self._keys.authority.certificate,
            target=target,
            issued_at=now,
        )
        return encode(sign("join", identity, self._keys.hub))


_MAKE_ANOTHER = "Make one with `vedette devices token`."


def _hash(secret: str) -> str:
    # The secret has 256 random bits, so there is nothing that a slow hash or a salt could add.
    return hashlib.sha256(secret.encode()).hexdigest()
