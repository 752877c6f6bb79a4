"""The hub of the modelled fleet: who is offered what, who has to wait, and what a rollout is told of them."""

from datetime import timedelta

from cloud_hub.rollouts.admission import MINUTE, NEVER, Flow, Limits, Mover, admit, barred, limited
from cloud_hub.rollouts.engine import AWAY, Counts, LeftOver, Snapshot
from cloud_hub.rollouts.outcomes import IN_FLIGHT, Outcome, counted
from cloud_hub.rollouts.states import IN_FORCE
from cloud_hub.rollouts.wanted import Candidate, Claim, Place, newest_first, wanted
from cloud_hub.rollouts.waves import Stander, draw
from tests.cloud_hub.rollouts.laws.device import START, Device
from tests.cloud_hub.rollouts.laws.running import Running

DIGITS = Place("digits", "default")


class Hub:
    """Orders are derived and let go with the hub's pure functions, without a database; a law may look at each."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.devices: dict[str, Device] = {}
        self.rollouts: list[Running] = []
        self.frozen = False

    def was_let_go(self, device: Device, running: Running, before: tuple[int, dict[str, int]], undone: int) -> None:
        """`before` is who was flying before, and `undone` are those that went back meanwhile, who wait for nobody."""

    def snapshot(self, running: Running) -> Snapshot:
        mine = [one for one in self.devices.values() if one.offer and one.offer.rollout == running.rollout.id]
        fresh = [one for one in mine if one.offer and one.offer.wave == running.rollout.wave]
        back = [
            one
            for one in self.devices.values()
            if running.rollout.version in (one.runs, self.version(one.received_claim))
            and self.version(one.offer) != running.rollout.version
        ]
        eligible = self.eligible(running)
        if not running.lines and eligible:
            running.lines = draw(
                running.policy,
                running.salt,
                [
                    Stander(one.id, one.target, lab=running.policy.lab is not None and one.labels["site"] == "a")
                    for one in eligible
                ],
            )
        return Snapshot(
            eligible=len(eligible),
            waves=tuple(line.total for line in running.lines),
            counts=self.count(mine, running),
            fresh=self.count(fresh or mine, running),
            wave_records=running.records,
            gates=running.gates,
            newer=self.rollouts[-1].rollout.id if running is not self.rollouts[-1] else None,
            carried_out=not running.owed,
            held=running.held,
            frozen="A person froze the fleet." if self.frozen else None,
            left_over=LeftOver(sum(one.online for one in back), sum(not one.online for one in back)),
        )

    def count(self, devices: list[Device], running: Running) -> Counts:
        late = [one.outcome is Outcome.UNDERWAY and self.is_late(one, running) for one in devices]
        return sum((counted(one.outcome, 1, int(of)) for one, of in zip(devices, late, strict=True)), Counts())

    def carry_out(self, running: Running) -> None:
        if not self.frozen:
            running.owed, running.held = False, {}
            self.order(list(self.devices.values()))

    def order(self, devices: list[Device]) -> None:
        if self.frozen:
            return
        claims = newest_first(one.claim for one in self.rollouts)
        not_yet = self.kept_waiting(devices, claims)
        flying = {one.rollout.id: self.flying(one) for one in self.rollouts}
        changed: list[tuple[Device, Claim | None]] = []
        for device in devices:
            held = not_yet.get(device.candidate.id, ())
            found = wanted(device.candidate, claims, {DIGITS: device.followed}, held).get(DIGITS)
            if self.named(found) != self.named(device.offer):
                changed.append((device, found))
        let_go = [(one, found) for one, found in changed if found and found.rollout not in one.followed]
        for device, found in changed:
            self.changes(device, found)
        for device, found in let_go:
            running = self.rollouts[found.number - 1]
            if running.claim.running:
                running.let_go[device.candidate.id] = self.now
                self.was_let_go(device, running, flying[found.rollout], len(changed) - len(let_go))

    def changes(self, device: Device, found: Claim | None) -> None:
        if found is not None and found.rollout not in device.followed:
            self.rollouts[found.number - 1].before[device.candidate.id] = device.offer
        if found is None:
            device.followed = ()
        elif found.rollout in device.followed:
            device.followed = device.followed[device.followed.index(found.rollout) :]
        else:
            device.followed = (found.rollout, *device.followed)
        device.offer, device.offered_at = found, self.now
        device.generation += 1
        device.orders[device.generation] = found

    def kept_waiting(self, devices: list[Device], claims: list[Claim]) -> dict[str, list[str]]:
        """The rollouts that each of `devices` may not follow yet, as the hub finds it."""
        movers, asked = [], set()
        for device in devices:
            claim = wanted(device.candidate, claims, {DIGITS: device.followed}).get(DIGITS)
            asks = claim and claim.running and claim.rollout not in device.followed and limited(claim.policy)
            if asks or self.named(claim) != self.named(device.offer):
                rollouts = {claim.rollout} if claim and asks else set()
                asked |= rollouts
                movers.append(Mover(device.candidate.id, device.online, self.in_flight(device), rollouts))
        limits = {one.rollout.id: self.limits(one) for one in self.rollouts if one.rollout.id in asked}
        said = admit(movers, limits, self.now)
        for rollout, of in said.items():
            running = next(one for one in self.rollouts if one.rollout.id == rollout)
            for why in filter(None, of.values()):
                running.held[why] = running.held.get(why, 0) + 1
                # Who is away waits for itself.
                running.owed |= why != AWAY
        # All are of one slot.
        running = [one.rollout.id for one in self.rollouts if one.claim.running]
        return {mover.device: barred(mover.device, said, running) for mover in movers}

    def limits(self, running: Running) -> Limits:
        groups = {name: device.group for name, device in self.devices.items()}
        started_at = running.rollout.wave_started_at or self.now
        return Limits(running.policy, running.salt, started_at, self.flow(running), groups, self.flying(running)[1])

    @staticmethod
    def in_flight(device: Device) -> bool:
        return device.offer is not None and device.outcome in IN_FLIGHT

    def flow(self, running: Running) -> Flow:
        mine = self.followers(running)
        counts = self.count(mine, running)
        offered = [one.offered_at for one in mine]
        lately = [at for at in offered if at > self.now - MINUTE]
        since = self.now - max(offered) if offered else NEVER
        in_flight = counts.offered - counts.succeeded - counts.failed
        return Flow(in_flight, len(lately), since, counts.succeeded, running.rollout.rate_lifted)

    def followers(self, running: Running) -> list[Device]:
        return [one for one in self.devices.values() if self.named(one.offer) == running.rollout.id]

    def flying(self, running: Running) -> tuple[int, dict[str, int]]:
        """Devices that may be switching, as `running` sees it: those that it let go, and those of each group."""
        mine, groups = 0, dict[str, int]()
        for device in self.devices.values():
            own = self.named(device.offer) == running.rollout.id
            done = device.reported >= device.generation and (
                device.rejected or device.runs == self.version(device.offer) or (own and self.is_late(device, running))
            )
            if device.offer is not None and not done:
                mine += own
                groups[device.group] = groups.get(device.group, 0) + 1
        return mine, groups

    def is_late(self, device: Device, running: Running) -> bool:
        deadline = running.policy.deadline_seconds
        return deadline is not None and self.now - device.offered_at > timedelta(seconds=deadline)

    def busy(self) -> list[Device]:
        return [
            one
            for one in self.devices.values()
            if one.received_claim is not None and one.received_claim.version != one.runs and not one.rejected
        ]

    def eligible(self, running: Running) -> list[Candidate]:
        return [one.candidate for one in self.devices.values() if running.claim.eligible(one.candidate)]

    def in_force(self) -> set[int]:
        return {one.rollout.version for one in self.rollouts if one.rollout.state in IN_FORCE}

    @staticmethod
    def version(claim: Claim | None) -> int | None:
        return claim.version if claim else None

    @staticmethod
    def named(claim: Claim | None) -> str | None:
        return claim.rollout if claim else None
