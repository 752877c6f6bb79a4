"""What can be asked of rollouts and done to them; used by the API, the console and the clock alike."""

import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import store as devices
from cloud_hub.devices.cohorts import resolved, texts_of
from cloud_hub.devices.selector_text import parse
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.page import Page, PageRequest
from cloud_hub.releases import store as releases
from cloud_hub.revisions import AsSeen, check_seen
from cloud_hub.rollouts import offers, pins, readings, store
from cloud_hub.rollouts.engine import Verb, check_second_person, command, decide
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.origin import Origin
from cloud_hub.rollouts.outlook import Observer, nothing_seen
from cloud_hub.rollouts.ran import ran
from cloud_hub.rollouts.shown import (
    decision_view,
    explanation_view,
    latest_view,
    preview_view,
    readings_views,
    rollout_view,
)
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.views import (
    DecisionView,
    ExplanationView,
    GateReadingsView,
    LatestDecisionView,
    PreviewView,
    RanView,
    RetryView,
    RolloutIn,
    RolloutView,
)
from cloud_hub.rollouts.wanted import Place, hides
from cloud_hub.rollouts.waves import Line, Stander, added, draw
from fleet_contract.desired import DEFAULT_SLOT

logger = logging.getLogger(__name__)

_ATTEMPTS = 5


class RolloutService:
    """Thread-safe. `woken`, when set, is called whenever the clock has something to do."""

    def __init__(
        self,
        database: Database,
        orders: Orders,
        changes: Changes,
        now: Callable[[], datetime],
        *,
        silent_after_seconds: float,
    ) -> None:
        self._database = database
        self._orders = orders
        self._changes = changes
        self._now = now
        self._observer = Observer(timedelta(seconds=silent_after_seconds))
        self.woken: Callable[[], None] = lambda: None

    def page(
        self,
        request: PageRequest = PageRequest(),  # noqa: B008  (frozen)
        *,
        model: str | None = None,
        state: str | None = None,
    ) -> Page[RolloutView]:
        """The newest first. Raises `Invalid` for a sort or cursor that is not this list's."""
        with self._database.reading() as session:
            found = store.page_of_rollouts(session, request, model, state)
            return Page(items=[rollout_view(row[0]) for row in found.rows], total=found.total, next=found.next)

    def get(self, rollout: str) -> RolloutView:
        """Raises `NotFound`."""
        return rollout_view(self._row(rollout))

    def decisions(self, rollout: str, request: PageRequest = PageRequest()) -> Page[DecisionView]:  # noqa: B008
        """The newest first. Raises `NotFound`, `Invalid`."""
        self._row(rollout)
        with self._database.reading() as session:
            found = store.page_of_decisions(session, rollout, request)
            views = [decision_view(row[0]) for row in found.rows]
            return Page(items=views, total=found.total, next=found.next)

    def openings(self, rollout: str) -> list[tuple[int, datetime]]:
        """When which of its waves, from 0, was opened, the first first."""
        with self._database.reading() as session:
            return store.openings(session, rollout)

    def gates(self, rollout: str) -> list[GateReadingsView]:
        """What each gate measured over time. Raises `NotFound`."""
        self._row(rollout)
        with self._database.reading() as session:
            return readings_views(readings.of_rollout(session, rollout))

    def explain(self, rollout: str) -> ExplanationView:
        """Why it is where it is, as things are now. Raises `NotFound`."""
        row, now = self._row(rollout), self._now()
        policy = store.policy_of(row)
        with self._database.reading() as session:
            outlook = self._observer.look(session, row, policy, now)
        decided = decide(store.rollout_of(row), policy, outlook.snapshot, now).rollout
        return explanation_view(row, decided, policy, outlook, outlook.pinned, now)

    def latest_decisions(self, limit: int = 20) -> list[LatestDecisionView]:
        """The newest decisions on any rollout, the newest first."""
        with self._database.reading() as session:
            return [latest_view(decision, row) for decision, row in store.latest_decisions(session, limit)]

    def preview(self, wanted: RolloutIn, wave: int = 0, limit: int = 100) -> PreviewView:
        """What each wave of `wanted` would cover if it were created now with the salt that this gives, and the first
        `limit` of the devices that `wave` adds. Nothing is kept. Raises as `create` does."""
        salt = wanted.salt or secrets.token_hex(8)
        with self._database.reading() as session:
            lines = _drawn(session, wanted, salt, self._now())
            if not 0 <= wave < len(lines):
                raise Invalid(
                    f"There is no wave {wave}.", f"Ask for one of 0 to {len(lines) - 1}.", code="wave-unknown"
                )
            targets = releases.targets(session, wanted.model, wanted.version)
            adds = (one.id for one in _standing(session, wanted, targets, self._now()) if added(lines, wave, salt, one))
            devices = sorted(islice(adds, limit))
        return preview_view(salt, lines, wave, devices)

    def create(self, wanted: RolloutIn, origin: Origin = Origin()) -> RolloutView:  # noqa: B008  (frozen)
        """Starts a rollout; its first wave opens at once. A request that is sent again gets the rollout that it
        started.

        Raises `NotFound` for an unknown model or version, `Invalid` ("artifact-missing") when the version has no
        artifact for a device that the policy selects, and "request-key-reused" for a request key that came with
        something else; `Conflict` when a rollout of this manifest or request was made in the same moment.
        """
        if origin.request is not None and (made := self._made_by(origin.request)) is not None:
            return made
        now, salt = self._now(), wanted.salt or secrets.token_hex(8)
        # Not in the transaction that writes: a million devices take seconds to line up.
        with self._database.reading() as session:
            lines = _drawn(session, wanted, salt, self._now())
            asked = (parse(wanted.policy.selector), parse(wanted.policy.lab or ""))
            cohorts = texts_of(session, asked)
        eligible = lines[-1].total if lines[-1].everyone else None
        whom = f"{eligible:,} devices" if eligible is not None else f"{lines[-1].total:,} devices at the most"
        row = RolloutRow(
            id=f"{wanted.model}-v{wanted.version}-{secrets.token_hex(3)}",
            model=wanted.model,
            slot=wanted.slot,
            version=wanted.version,
            salt=salt,
            state=State.RUNNING.value,
            lines=store.stored(lines) if lines[-1].total else [],
            created_by=origin.by,
            manifest=origin.manifest.name if origin.manifest else None,
            manifest_generation=origin.manifest.generation if origin.manifest else None,
            request_key=origin.request.key if origin.request else None,
            request_digest=origin.request.digest if origin.request else None,
            because_code="created",
            because_sentence=f"Created by {origin.by} for {whom}, in {len(lines)} waves; the first is about to open.",
            policy=wanted.policy.model_dump(mode="json"),
            cohorts=cohorts,
            seen=nothing_seen(),
            created_at=now,
            updated_at=now,
        )
        with self._database.session() as session:
            try:
                store.create(session, row)
            except IntegrityError as error:
                raise Conflict(
                    "Another request has just started this rollout.", "Send it again.", code="rollout-raced"
                ) from error
        logger.info("Rollout %s: %s", row.id, row.because_sentence)
        self._tell(row.id)
        return self.get(row.id)

    def matching(self, selector: str) -> dict[str, int]:
        """How many devices `selector` means now, by hardware target. Raises `SelectorWrong`."""
        with self._database.reading() as session:
            return offers.count_by_target(session, resolved(session, parse(selector)))

    def newest_of_manifest(self, name: str) -> RolloutView | None:
        """The newest rollout that was made from the manifest of this name."""
        with self._database.reading() as session:
            row = store.newest_of_manifest(session, name)
        return None if row is None else rollout_view(row)

    def pause(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        """No further device is offered the version. Raises `NotFound`, `VerbRefused`, `Stale`."""
        return self._command(rollout, "pause", reason, by, seen)

    def resume(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        """A paused or stopped rollout goes on. Raises `NotFound`, `VerbRefused`, `Stale`."""
        return self._command(rollout, "resume", reason, by, seen)

    def abort(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        """Its devices go back to what they ran before. Raises `NotFound`, `VerbRefused`, `Stale`."""
        return self._command(rollout, "abort", reason, by, seen)

    def approve(self, rollout: str, reason: str = "", by: str = OPERATOR, seen: AsSeen = None) -> RolloutView:
        """The wave that waits for it may open, or what no gate can tell any more stays. Raises `NotFound`,
        `VerbRefused`, `Stale`, `SamePerson`."""
        return self._command(rollout, "approve", reason, by, seen)

    def ran(self, device: str, at: datetime | None = None, model: str | None = None) -> list[RanView]:
        """What `device` ran at `at` (None: now), put there by whom and on what evidence. Raises `NotFound`."""
        with self._database.reading() as session:
            row = devices.find(session, device)
            if row is None:
                raise NotFound(
                    f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown"
                )
            return ran(session, row, at or self._now(), model)

    def retry(self, device: str, model: str, slot: str = DEFAULT_SLOT) -> RetryView:
        """Asks `device` to try again the version of `model` that it has rejected.

        Raises `NotFound` for an unknown device, `Conflict` when the device has rejected nothing there, or is offered
        nothing there any more.
        """
        with self._database.reading() as session:
            phase = offers.phase_of(session, device, Place(model, slot))
        if phase is None:
            raise NotFound(
                f"Device {device!r} has no {model!r} in its slot {slot!r}.",
                "`vedette devices show DEVICE` lists what it has.",
                code="device-model-unknown",
            )
        if phase != "rejected":
            raise Conflict(
                f"Device {device} has not rejected {model}: it is {phase}.",
                "There is nothing to retry.",
                code="not-rejected",
            )
        offer = self._orders.retry(device, Place(model, slot))
        if offer is None:
            raise Conflict(
                f"Device {device} is offered no version of {model} any more.",
                "Start a rollout that reaches it.",
                code="not-offered",
            )
        logger.info("Device %s is asked to try %s (%s) again", device, model, slot)
        self._changes.bump("devices", f"device:{device}")
        return RetryView(device=device, model=model, slot=slot, version=offer.version, generation=offer.generation)

    def tick(self) -> None:
        """Decides each rollout that is not over, and orders devices to what was decided.

        One that cannot be decided keeps no other from it; the first such error is raised at the end.
        """
        with self._database.reading() as session:
            rows = store.unfinished(session)
        self._observer.keep({row.id for row in rows})
        failures = []
        for row in rows:
            try:
                self._decide(row)
            except Exception as error:
                logger.exception("Rollout %s cannot be decided", row.id)
                failures.append(error)
        self._orders.work()
        if failures:
            raise failures[0]

    def _decide(self, row: RolloutRow) -> None:
        now = self._now()
        policy = store.policy_of(row)
        with self._database.reading() as session:
            outlook = self._observer.look(session, row, policy, now)
            decided = decide(store.rollout_of(row), policy, outlook.snapshot, now).rollout
        if pasts := self._observer.pasts.unkept(row.id):
            with self._database.session() as session:
                self._observer.pasts.keep(session, row.id, pasts)
        if store.same(row, decided, outlook.seen):
            return
        with self._database.session() as session:
            if not store.save(session, row, decided, outlook.seen, now, lines=outlook.lines):
                return
            if outlook.snapshot.gates:
                final = decided.state.value != row.state
                readings.keep(session, row, outlook.seen["gates"], now, final=final)
            if decided.state is State.COMPLETED:
                _retire_hidden(session, row.id)
        if decided.because.code != row.because_code or decided.state.value != row.state:
            logger.info("Rollout %s is %s: %s", row.id, decided.state, decided.because)
        self._changes.bump("rollouts", f"rollout:{row.id}")

    def _made_by(self, request: RequestKey) -> RolloutView | None:
        with self._database.reading() as session:
            row = store.made_by_request(session, request.key)
        if row is not None and row.request_digest != request.digest:
            raise Invalid(
                f"The request key {request.key!r} came before, and asked for something else: it started {row.id}.",
                "Use a new key for each thing that is asked for.",
                code="request-key-reused",
            )
        return None if row is None else rollout_view(row)

    def _command(self, rollout: str, verb: Verb, reason: str, by: str, seen: AsSeen) -> RolloutView:
        for _ in range(_ATTEMPTS):
            row = self._row(rollout)
            check_seen(f"Rollout {rollout}", row.revision, seen)
            if verb == "approve":
                check_second_person(store.rollout_of(row), store.policy_of(row), None if by == OPERATOR else by)
            decided = command(store.rollout_of(row), verb, reason, by).rollout
            with self._database.session() as session:
                saved = store.save(session, row, decided, row.seen, self._now(), by)
            if saved:
                logger.info("Rollout %s is %s: %s", rollout, decided.state, decided.because)
                self._tell(rollout)
                return self.get(rollout)
        raise Conflict(f"Rollout {rollout} changes faster than it can be told to {verb}.", "Try again.")

    def _row(self, rollout: str) -> RolloutRow:
        with self._database.reading() as session:
            found = store.find(session, rollout)
        if found is None:
            raise NotFound(
                f"There is no rollout {rollout!r}.", "`vedette rollouts list` shows all.", code="rollout-unknown"
            )
        return found

    def _tell(self, rollout: str) -> None:
        self._changes.bump("rollouts", f"rollout:{rollout}")
        self.woken()


def _drawn(session: Session, wanted: RolloutIn, salt: str, now: datetime) -> tuple[Line, ...]:
    releases.version(session, wanted.model, wanted.version)
    targets = releases.targets(session, wanted.model, wanted.version)
    pinned = pins.outside(session, wanted.model, now)
    _check_targets(
        wanted, targets, offers.count_by_target(session, resolved(session, parse(wanted.policy.selector)), but=pinned)
    )
    lines = draw(wanted.policy, salt, _standing(session, wanted, targets, now))
    if wanted.policy.lab is not None and lines[-1].total and not lines[0].total:
        raise Invalid(
            f"No eligible device is in the lab ({wanted.policy.lab}), and the first wave would be skipped.",
            "Correct `lab`, label the devices that are meant, or leave it out.",
            code="lab-empty",
        )
    return lines


def _standing(session: Session, wanted: RolloutIn, targets: list[str], now: datetime) -> Iterator[Stander]:
    selector = resolved(session, parse(wanted.policy.selector))
    lab = resolved(session, parse(wanted.policy.lab)) if wanted.policy.lab else None
    pinned = pins.outside(session, wanted.model, now)
    return offers.standing(session, selector, targets, lab, but=pinned)


def _check_targets(wanted: RolloutIn, targets: list[str], counts: dict[str, int]) -> None:
    missing = {target: count for target, count in sorted(counts.items()) if target not in targets}
    if missing:
        devices = ", ".join(f"{count:,} on {target}" for target, count in missing.items())
        raise Invalid(
            f"Version {wanted.version} of {wanted.model} has no artifact for {sum(missing.values()):,} of the devices "
            f"that would be offered it: {devices}. It has artifacts for {', '.join(targets)}.",
            "Compile it for these targets too, or select devices by target.",
            code="artifact-missing",
        )


def _retire_hidden(session: Session, completed: str) -> None:
    claims = store.claims(session)
    newest = next(claim for claim in claims if claim.rollout == completed)
    store.retire(session, [claim.rollout for claim in claims if hides(newest, claim)])
