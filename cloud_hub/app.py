"""Wires the hub together: the only place that knows all its parts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse

from cloud_hub import endpoints, health, problems
from cloud_hub.access import api as access_api
from cloud_hub.access.audit import Audit, AuditService
from cloud_hub.access.guard import OPEN_PATHS as GUARD_OPEN_PATHS
from cloud_hub.access.guard import Guard
from cloud_hub.access.joining import JoinService, Place
from cloud_hub.access.once import Requests
from cloud_hub.access.sessions import Sessions
from cloud_hub.blobs import api as blobs_api
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.folder import FolderBlobs
from cloud_hub.blobs.store import Blobs
from cloud_hub.broker.embedded import EmbeddedBroker
from cloud_hub.broker.link import Handlers
from cloud_hub.broker.mqtt import BrokerAddress, MqttLink
from cloud_hub.changes import Changes
from cloud_hub.compiles.admission import CompilerCheck
from cloud_hub.console import stream
from cloud_hub.console.pages import OPEN_PATHS, Console
from cloud_hub.console.parts import Parts
from cloud_hub.database import Database
from cloud_hub.devices import api as devices_api
from cloud_hub.devices import cohorts_api
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.intake import ReportIntake
from cloud_hub.devices.service import DeviceService
from cloud_hub.errors import CannotStart
from cloud_hub.folder import DataFolder
from cloud_hub.housekeeping import Housekeeping
from cloud_hub.keys import open_keys
from cloud_hub.lake import api as lake_api
from cloud_hub.lake.ingest import Ingest
from cloud_hub.lake.location import Location
from cloud_hub.lake.schema import TABLE
from cloud_hub.lake.service import LakeService
from cloud_hub.manifests import api as manifests_api
from cloud_hub.manifests.service import ManifestService
from cloud_hub.monitoring import api as monitoring_api
from cloud_hub.monitoring.labels import LabelService
from cloud_hub.monitoring.service import MonitoringService
from cloud_hub.refusals import Refusals
from cloud_hub.releases import api as releases_api
from cloud_hub.releases.service import ReleaseService
from cloud_hub.rollouts import api as rollouts_api
from cloud_hub.rollouts import freeze_api, pins_api
from cloud_hub.rollouts.clock import RolloutClock
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.offers import generations_wanted
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.settings import LOOPBACK, Settings
from fleet_contract.join import Broker
from fleet_contract.topics import Channel

_LINK_SECONDS = 10.0


@dataclass(frozen=True)
class Hub:
    """A hub, ready to run: `app` answers requests while the block of `running` lasts."""

    app: FastAPI
    changes: Changes
    broker: BrokerAddress
    _start: Callable[[ExitStack], None]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts the broker, the link and the threads, and stops them in turn. Raises `CannotStart`."""
        with ExitStack() as stack:
            self._start(stack)
            yield


def build(settings: Settings, folder: DataFolder, url: str, mqtt_port: int) -> Hub:
    """A hub on `folder` that devices and people reach at `url`; `mqtt_port` is the embedded broker's.

    Migrates the database and makes what is missing in the folder. Raises `CannotStart`.
    """
    keys = open_keys(folder.part("keys"), settings.fleet)
    database = Database(settings.database_url or f"sqlite:///{folder.path / 'hub.sqlite'}")
    database.migrate()
    changes, refusals = Changes(), Refusals(_now)
    capabilities = Capabilities(keys.url_secret)
    blobs = _blobs(settings, folder, capabilities)
    embedded = EmbeddedBroker(folder.path, mqtt_port) if settings.broker_url is None else None
    broker = BrokerAddress.parse(settings.broker_url or f"mqtt://127.0.0.1:{mqtt_port}")
    link = MqttLink(broker, settings.fleet, refusals)

    monitoring, labels = MonitoringService(database, _now), LabelService(database, _now)
    silent_after = settings.silent_after_seconds
    devices = DeviceService(
        database, changes, _now, silent_after_seconds=silent_after, generations_wanted=generations_wanted
    )
    intake = ReportIntake(database, devices, refusals, _now)
    place = Place(settings.fleet, url, Broker(broker.host, broker.port))
    joining = JoinService(database, devices, keys, place, _now)
    location = Location.of(settings.lake_url or str(folder.part("lake")), TABLE, settings.s3_endpoint_url)
    lake = LakeService(location)
    ingest = Ingest(location, database, link, changes, refusals, _now)

    releases = ReleaseService(database, blobs, CompilerCheck(), keys.release, changes, _now)
    orders = Orders(database, link, blobs, keys.hub, _now, silent_after=timedelta(seconds=silent_after))
    rollouts = RolloutService(database, orders, changes, _now, silent_after_seconds=silent_after)
    rollout_clock = RolloutClock(rollouts, orders)
    freezing = FreezeService(database, changes, _now)
    cohorts = CohortService(database, changes, _now)
    pins = PinService(database, changes, _now)
    manifests = ManifestService(rollouts, cohorts, Requests(database, _now))
    freezing.woken = pins.woken = rollouts.woken
    devices.listen(rollout_clock)

    audit = AuditService(database, _now, timedelta(days=settings.audit_days))
    housekeeping = Housekeeping({"devices' history": devices.forget_old_events, "audit": audit.forget_old})

    status = health.HealthService(health.BrokerView(host=broker.host, port=broker.port), refusals)
    status.parts += [link.troubles, intake.troubles, ingest.troubles, rollout_clock.troubles, housekeeping.troubles]
    if embedded is not None:
        status.parts.append(embedded.troubles)

    token = settings.api_token.get_secret_value() if settings.api_token else None
    sessions = Sessions(token, _now) if token else None
    parts = Parts(
        devices,
        joining,
        cohorts,
        releases,
        rollouts,
        freezing,
        pins,
        manifests,
        monitoring,
        labels,
        lake,
        audit,
        changes,
        status.troubles,
        _now,
        settings.fleet,
        health.VERSION,
    )
    console = Console(parts, sessions)
    app = _app(
        access_api.router(joining),
        access_api.audit_router(audit),
        devices_api.router(devices),
        blobs_api.router(blobs, settings.max_blob_bytes),
        releases_api.router(releases),
        rollouts_api.router(rollouts),
        freeze_api.router(freezing),
        pins_api.router(pins),
        cohorts_api.router(cohorts),
        manifests_api.router(manifests),
        monitoring_api.router(monitoring, labels),
        lake_api.router(lake),
        stream.router(changes),
        health.router(status),
    )
    app.include_router(blobs_api.downloads(blobs, capabilities, _now))
    app.include_router(console.router)
    endpoints.tell(app)
    app.add_middleware(Audit, service=audit, open_paths=(*GUARD_OPEN_PATHS, *OPEN_PATHS))
    app.add_middleware(
        Guard,
        token=token,
        sessions=sessions,
        hosts=_hosts(settings, url),
        open_paths=OPEN_PATHS,
        answer=problems.install(app, console.problem),
    )

    def start(stack: ExitStack) -> None:
        stack.callback(database.dispose)
        if embedded is not None:
            stack.callback(embedded.stop)
            embedded.start()
        taker = threading.Thread(target=intake.run, name="reports", daemon=True)
        stack.callback(taker.join, 5.0)
        stack.callback(intake.stop)
        taker.start()
        ingest.start()
        stack.callback(ingest.stop)
        stack.callback(changes.close)
        stack.callback(link.stop)
        link.start(
            Handlers(
                on_report=intake.offer,
                on_telemetry=ingest.offer,
                on_samples=partial(ingest.offer, channel=Channel.SAMPLES),
                on_connected=rollout_clock.connected,
            )
        )
        link.wait_connected(_LINK_SECONDS)
        rollout_clock.start()
        stack.callback(rollout_clock.stop)
        housekeeping.start()
        stack.callback(housekeeping.stop)

    return Hub(app, changes, broker, start)


def _app(*subjects: APIRouter) -> FastAPI:
    app = FastAPI(
        title="Vedette hub",
        version=health.VERSION,
        description="Compiles, rolls out and watches models on gateways. Errors are problem+json (RFC 9457).",
        openapi_url="/api/v1/openapi.json",
        # The pages of FastAPI for it load scripts from elsewhere, and none of ours may.
        docs_url=None,
        redoc_url=None,
        responses=problems.DOCUMENTED,
    )

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    api = APIRouter(prefix="/api/v1")
    for routes in subjects:
        api.include_router(routes)
    app.include_router(api)
    return app


def _blobs(settings: Settings, folder: DataFolder, capabilities: Capabilities) -> Blobs:
    parts = urlsplit(settings.blobs_url or str(folder.part("blobs")))
    if parts.scheme == "s3" and parts.netloc:
        # boto3 takes half a second to import, and most hubs have no use for it.
        from cloud_hub.blobs.s3 import S3Blobs

        return S3Blobs(parts.netloc, parts.path, _now, settings.max_blob_bytes, endpoint_url=settings.s3_endpoint_url)
    if parts.scheme in ("", "file") and not parts.netloc and parts.path:
        return FolderBlobs(Path(parts.path).absolute(), capabilities, settings.max_blob_bytes)
    raise CannotStart(
        f"The blobs' URL {settings.blobs_url!r} is neither a folder nor s3://BUCKET/PREFIX.",
        "Correct --blobs-url.",
        code="blobs-url-wrong",
    )


def _hosts(settings: Settings, url: str) -> set[str]:
    return {*LOOPBACK, settings.host, urlsplit(url).hostname or settings.host}


def _now() -> datetime:
    return datetime.now(UTC)
