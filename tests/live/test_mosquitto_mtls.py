"""`provisioning/mosquitto.conf` with Debian's Mosquitto: each device is who its certificate says, and nobody else."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from cloud_hub.ports import free_port, is_taken
from fleet_contract.topics import Address, Channel, topic
from provisioning.pki import Authority, Request
from tests.fakes.certificates import request_for
from tests.fakes.waiting import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
PROVISIONING = Path(__file__).parents[2] / "provisioning"


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def server_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "broker.crt", folder / "broker.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(private_pem(key))
    return paths


class Broker:
    """Mosquitto with our configuration; only ports and folders are the test's."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert program, "mosquitto is not installed: run `make test-live` as root, or `apt-get install mosquitto`"
        self.folder, self.authority = folder, Authority.make("default")
        self.port, self.plain_port = free_port("127.0.0.1", 0), free_port("127.0.0.1", 0)
        self.certificate, key = server_certificate(folder)
        (folder / "authority.pem").write_text(self.authority.certificate)
        # Started by root it becomes the user mosquitto, which must be able to read all of this.
        acl = shutil.copy(PROVISIONING / "mosquitto.acl", folder / "acl")
        config = (PROVISIONING / "mosquitto.conf").read_text()
        for old, new in {
            "@AUTHORITY@": folder / "authority.pem",
            "@CERTIFICATE@": self.certificate,
            "@KEY@": key,
            "@ACL@": acl,
            "listener 8883": f"listener {self.port} 127.0.0.1",
            "listener 1883": f"listener {self.plain_port}",
            "persistence true": "persistence false",
            "persistence_location /var/lib/mosquitto/": "user root",
        }.items():
            assert old in config
            config = config.replace(old, str(new))
        (folder / "mosquitto.conf").write_text(config)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=log)
        ports = (self.port, self.plain_port)
        until(lambda: self._process.poll() is not None or all(is_taken("127.0.0.1", port) for port in ports))
        assert self._process.poll() is None, self.log.read_text()

    def tls(self, device: str | None, authority: Authority | None = None) -> ssl.SSLContext:
        """A device's side of TLS, with a certificate by the fleet's authority, another one, or with none."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if device is not None:
            key = ec.generate_private_key(ec.SECP256R1())
            signed = (authority or self.authority).sign_device(Request(request_for(key)), device, datetime.now(UTC))
            path = self.folder / f"{device}.pem"
            path.write_bytes(private_pem(key) + signed.encode())
            context.load_cert_chain(path)
        return context

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(90)


class Client:
    """An MQTT 5 client that remembers."""

    def __init__(self, port: int, client_id: str, tls: ssl.SSLContext | None, patience_seconds: float = 90) -> None:
        self.heard: list[str] = []
        self.reasons: list[str] = []
        self.lost = threading.Event()
        self._there = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_message = lambda _c, _d, message: self.heard.append(message.topic)
        self._client.on_connect = lambda *_: self._there.set()
        self._client.on_disconnect = lambda *_: self.lost.set()
        self._client.on_publish = lambda _c, _d, _m, reason, _p: self.reasons.append(str(reason))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._there.wait(patience_seconds)

    def listen(self, where: str) -> None:
        listening = threading.Event()
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.subscribe(where, qos=1)
        assert listening.wait(90)

    def say(self, where: str) -> str:
        """How the broker took it."""
        count = len(self.reasons)
        self._client.publish(where, b"x", qos=1)
        until(lambda: len(self.reasons) > count)
        return self.reasons[-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect(device: str | None, client_id: str = "") -> Client:
        tls = None if device is None else broker.tls(device)
        clients.append(Client(broker.port if tls else broker.plain_port, client_id or device or "hub", tls))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def of(device: str, channel: Channel) -> str:
    return topic(Address("default", device), channel)


def test_a_device_speaks_and_hears_on_its_own_topics_only(connect: Callable[..., Client]) -> None:
    hub, one = connect(None), connect("gw-1")
    hub.listen("v1/default/+/+/up/#")
    one.listen("v1/#")
    said = [of("gw-1", channel) for channel in Channel if channel.startswith("up/")]
    assert [one.say(one_topic) for one_topic in said] == ["Success"] * 3
    assert one.say(of("gw-2", Channel.REPORT)) == "Not authorized"
    assert one.say(of("gw-2", Channel.SAMPLES)) == "Not authorized"
    assert one.say(of("gw-1", Channel.DESIRED)) == "Not authorized"
    for device in ("gw-2", "gw-1"):
        hub.say(of(device, Channel.DESIRED))
    until(lambda: one.heard and len(hub.heard) >= len(said))
    assert hub.heard == said
    assert one.heard == [of("gw-1", Channel.DESIRED)]


def test_a_certificate_cannot_take_another_devices_place(connect: Callable[..., Client]) -> None:
    one = connect("gw-1")
    thief = connect("gw-2", client_id="gw-1")
    for client, device in ((thief, "gw-2"), (one, "gw-1")):
        assert client.say(of(device, Channel.REPORT)) == "No matching subscribers", "which is how Mosquitto says yes"
    assert not one.lost.is_set()


@pytest.mark.parametrize("who", ["nobody", "another fleet"])
def test_without_a_certificate_of_this_fleet_nobody_comes_in(broker: Broker, who: str) -> None:
    tls = broker.tls(None) if who == "nobody" else broker.tls("gw-1", Authority.make("other"))
    with pytest.raises((AssertionError, ssl.SSLError, OSError)):
        client = Client(broker.port, "gw-1", tls, 10)
        client.close()
    until(
        lambda: (
            "peer did not return a certificate" in (log := broker.log.read_text()) or "certificate verify failed" in log
        )
    )
