"""What can be asked of devices and done to them; used by the API and the console alike."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlmodel import Session

from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import store
from cloud_hub.devices.cohorts import resolved
from cloud_hub.devices.labels import check_labels
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.tables import Device, DeviceEvent, DeviceModel
from cloud_hub.devices.views import (
    PRESENCES,
    CaptureView,
    DeviceEventView,
    DeviceModelView,
    DeviceView,
    FleetSummary,
    PresenceName,
    ReleaseView,
    RunningView,
    SpoolView,
)
from cloud_hub.errors import NotFound
from cloud_hub.forgetting import forget
from cloud_hub.page import Page, PageRequest

logger = logging.getLogger(__name__)
#: How long a device's history is kept.
EVENT_DAYS = 90


class DeviceListener(Protocol):
    """Who must know what devices do. Called after the commit, on the thread that made it."""

    def on_device_reported(self, device: str, generation: int) -> None:
        """The device said something new; `generation` is that of the desired state that it follows."""

    def on_device_joined(self, device: str) -> None:
        """The device joined, joined again, or has other labels: what it should run may have changed."""


#: The generation of the desired state of each of the devices, for those that have one.
GenerationsWanted = Callable[[Session, Sequence[str]], Mapping[str, int]]


class DeviceService:
    """Thread-safe."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        now: Callable[[], datetime],
        *,
        silent_after_seconds: float,
        generations_wanted: GenerationsWanted = lambda _session, _devices: {},
    ) -> None:
        self._database = database
        self._changes = changes
        self._now = now
        self._silent_after = timedelta(seconds=silent_after_seconds)
        self._generations_wanted = generations_wanted
        self._listeners: list[DeviceListener] = []

    def listen(self, listener: DeviceListener) -> None:
        """From now on tells `listener`. Call it before the hub starts."""
        self._listeners.append(listener)

    def page(self, wanted: DeviceFilter, request: PageRequest) -> Page[DeviceView]:
        """Raises `Invalid` for a sort or cursor that is not this list's, or a cohort that is not there."""
        with self._database.reading() as session:
            wanted = replace(wanted, selector=resolved(session, wanted.selector))
            found = store.page_of_devices(session, wanted, request, self._silent_before())
            return Page(items=self._views(session, [row[0] for row in found.rows]), total=found.total, next=found.next)

    def get(self, device: str) -> DeviceView:
        """Raises `NotFound`."""
        with self._database.reading() as session:
            return self._views(session, [_known(session, device)])[0]

    def events(self, device: str, request: PageRequest) -> Page[DeviceEventView]:
        """The device's history, newest first. Raises `NotFound`."""
        with self._database.reading() as session:
            _known(session, device)
            found = store.page_of_events(session, device, request)
            return Page(items=[_event_view(row[0]) for row in found.rows], total=found.total, next=found.next)

    def relabel(self, device: str, labels: Mapping[str, str | None]) -> DeviceView:
        """Sets labels, and takes away those that are None. Raises `NotFound`, `Invalid`."""
        with self._database.session() as session:
            _known(session, device)
            before = store.labels_of(session, [device]).get(device, {})
            check_labels({key: value for key, value in {**before, **labels}.items() if value is not None})
            store.set_labels(session, device, labels)
        self.tell_joined(device)
        return self.get(device)

    def summary(self) -> FleetSummary:
        """The fleet in counts; every presence is there, also with 0."""
        with self._database.reading() as session:
            counts = store.count_by_presence(session, self._silent_before())
            return FleetSummary(
                total=sum(counts.values()),
                presence={name: counts.get(name, 0) for name in PRESENCES},
                targets=store.count_by_target(session),
                running=[
                    RunningView(model=model, version=version, devices=devices)
                    for model, version, devices in store.count_running(session)
                ],
                troubled=store.count_troubled(session),
            )

    def forget_old_events(self) -> None:
        """Deletes history that is older than `EVENT_DAYS`."""
        before = self._now() - timedelta(days=EVENT_DAYS)
        for delete in (store.delete_events_before, store.delete_runs_before):
            forget(self._database, partial(delete, before))

    def tell_joined(self, device: str) -> None:
        """Tells listeners and watchers of a device that joined or was relabelled."""
        for listener in self._listeners:
            try:
                listener.on_device_joined(device)
            except Exception:
                logger.exception("A listener failed on %s joining; it catches up by itself", device)
        self._changes.bump("devices", f"device:{device}")

    def tell_reported(self, generations: Mapping[str, int], lost: Collection[str] = ()) -> None:
        """Tells listeners of devices that said something new, with the generation that each follows, and watchers
        also of those that were `lost`."""
        for device, generation in generations.items():
            for listener in self._listeners:
                try:
                    listener.on_device_reported(device, generation)
                except Exception:
                    logger.exception("A listener failed on a report of %s; it catches up by itself", device)
        if generations or lost:
            self._changes.bump("devices", *(f"device:{device}" for device in {*generations, *lost}))

    def _silent_before(self) -> datetime:
        return self._now() - self._silent_after

    def _views(self, session: Session, devices: Sequence[Device]) -> list[DeviceView]:
        ids = [device.id for device in devices]
        labels, models = store.labels_of(session, ids), store.models_of(session, ids)
        wanted = self._generations_wanted(session, ids)
        return [
            self._view(device, labels.get(device.id, {}), models.get(device.id, []), wanted.get(device.id, 0))
            for device in devices
        ]

    def _view(
        self, device: Device, labels: dict[str, str], models: Sequence[DeviceModel], generation_wanted: int
    ) -> DeviceView:
        presence, because = self._presence(device)
        return DeviceView(
            id=device.id,
            fleet=device.fleet,
            labels=labels,
            target=device.target,
            presence=presence,
            presence_because=because,
            last_heard_at=device.last_heard_at,
            joined_at=device.joined_at,
            agent_version=device.agent_version,
            hostname=device.hostname,
            generation_wanted=generation_wanted,
            generation_reported=device.generation,
            models=[_model_view(model) for model in models],
            refused=BecauseView.stored(device.refused),
            spool=None if device.spool is None else SpoolView.model_validate(device.spool),
            captures=None if device.captures is None else CaptureView.model_validate(device.captures),
            troubles=[BecauseView(**trouble) for trouble in device.troubles],
            inventory=device.inventory,
        )

    def _presence(self, device: Device) -> tuple[PresenceName, BecauseView]:
        heard = device.last_heard_at
        if heard is None:
            return "never", BecauseView(
                code="never-heard", sentence=f"Joined at {_utc(device.joined_at)}, and has not reported since."
            )
        proven = f"last proven to live at {_utc(heard)}"
        match device.presence:
            case "lost":
                return "lost", BecauseView(code="connection-lost", sentence=f"Its connection broke; {proven}.")
            case "closing":
                return "closing", BecauseView(code="stopped", sentence=f"It said that it was stopping; {proven}.")
            case _ if heard < self._silent_before():
                limit = f"{self._silent_after.total_seconds():g} s"
                return "silent", BecauseView(code="silent", sentence=f"Not a word for more than {limit}; {proven}.")
            case _:
                return "online", BecauseView(code="heard", sentence=f"It reports in time; {proven}.")


def _known(session: Session, device: str) -> Device:
    found = store.find(session, device)
    if found is None:
        raise NotFound(f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown")
    return found


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _release(version: int | None, digest: str | None) -> ReleaseView | None:
    return None if version is None else ReleaseView(version=version, digest=digest or "")


def _model_view(model: DeviceModel) -> DeviceModelView:
    return DeviceModelView(
        model=model.model,
        slot=model.slot,
        phase=model.phase,
        because=BecauseView(code=model.because_code, sentence=model.because_sentence),
        since=model.since,
        wanted=_release(model.wanted_version, model.wanted_digest),
        running=_release(model.running_version, model.running_digest),
        previous=_release(model.previous_version, model.previous_digest),
        rollout=model.rollout,
    )


def _event_view(event: DeviceEvent) -> DeviceEventView:
    return DeviceEventView(
        number=event.id or 0,
        at=event.at,
        kind=event.kind,
        model=event.model,
        slot=event.slot,
        phase=event.phase,
        version=event.version,
        because=BecauseView(code=event.code, sentence=event.sentence),
    )
