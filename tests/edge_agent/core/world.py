"""A device on paper: a disk that lasts, a process that does not, a clock that jumps, and releases of every kind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from zoneinfo import ZoneInfo

import msgspec

from edge_agent.core.journal import Journal, Order, Refused, closed, current, fresh, kept, release_of
from edge_agent.core.limits import Limits, Load
from edge_agent.core.maintenance import Wall
from edge_agent.core.steps import (
    Decision,
    Discard,
    Fetch,
    Forget,
    Observed,
    Prepare,
    Rest,
    Setback,
    Switch,
    Trial,
    Verify,
    Wait,
)
from edge_agent.core.transitions import End, Part, resumed, reverts
from edge_agent.core.update import decide
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
from fleet_contract.window import MaintenanceWindow, is_open, opens_next
from tests.fakes.releases import a_manifest, why

TRIAL = Trial(records=5, seconds=5.0, error_share=0.1, least_errors=2)
#: Where the clocks go back five hours after a life begins, at three in the night.
ZONE = ZoneInfo("Europe/Berlin")
WINDOWS = [
    None,
    MaintenanceWindow(),
    MaintenanceWindow((), "22:00", "22:01"),
    MaintenanceWindow((), "02:30", "02:50"),
    MaintenanceWindow(("sun", "wed"), "23:00", "01:00"),
    None,
]
LIMITS = Limits(latency_ms=10.0, growth_bytes=1000, hang_seconds=8.0)


class Kind(Enum):
    """What is true of a release, whatever the device thinks of it."""

    GOOD = auto()
    BYTES_WRONG = auto()
    SIZE_WRONG = auto()
    UNREADABLE = auto()
    CRASHES_ON_LOAD = auto()
    KILLED_ON_LOAD = auto()
    HANGS_ON_LOAD = auto()
    ERRS = auto()
    CRASHES = auto()
    IS_KILLED = auto()
    HANGS = auto()
    TAKES_DEVICE_DOWN_ON_LOAD = auto()
    TAKES_DEVICE_DOWN = auto()
    LEAKS = auto()
    IS_SLOW = auto()


KINDS = [*Kind, Kind.GOOD]
MANIFESTS = [a_manifest(version) for version in range(1, len(KINDS) + 1)]
VERSIONS = [manifest.version for manifest in MANIFESTS]
GOOD_VERSIONS = [version for version, kind in zip(VERSIONS, KINDS, strict=True) if kind is Kind.GOOD]
#: What a release that ends processes is rejected for, at the first time, with what it is certain of.
CERTAIN = {
    Kind.CRASHES_ON_LOAD: "crashed",
    Kind.HANGS_ON_LOAD: "load-hangs",
    Kind.CRASHES: "crashed",
    Kind.HANGS: "inference-hangs",
    Kind.LEAKS: "memory-leaks",
    Kind.IS_SLOW: "latency-exceeded",
    Kind.UNREADABLE: "model-unreadable",
}
OTHERWISE = {
    Kind.BYTES_WRONG: "digest-wrong",
    Kind.SIZE_WRONG: "digest-wrong",
    Kind.KILLED_ON_LOAD: "process-ended",
    Kind.IS_KILLED: "process-ended",
    Kind.TAKES_DEVICE_DOWN_ON_LOAD: "process-ended",
    Kind.TAKES_DEVICE_DOWN: "process-ended",
    Kind.ERRS: "trial-errors",
}


class Killed(Exception):
    """The process is gone, in the middle of something; `ends` is what the next start knows of it."""

    def __init__(self, *ends: tuple[Manifest, Part, str], device: bool = False) -> None:
        super().__init__()
        self.ends = {one.artifact.digest: End(part, Because(code, "It did.")) for one, part, code in ends}
        self.device = device


class Crash(Enum):
    BEFORE_SAVING = auto()
    AFTER_SAVING = auto()
    AFTER_ACTING = auto()


def no_crash(_: Crash) -> None:
    pass


@dataclass
class Process:
    """What a crash forgets."""

    verified: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    """Digests whose bytes have all come in this process."""
    prepared: Manifest | None = None
    live: Manifest | None = None
    live_since: float = 0.0
    answered: int = 0
    failed: int = 0
    slow: int = 0
    grown: int = 0
    busy: Manifest | None = None
    busy_since: float = 0.0
    setback: Setback | None = None
    resting: list[tuple[Rest, float]] = field(default_factory=list)


@dataclass
class Device:
    """One model on one device. Each method is something that happens; what must never happen is asserted on the way."""

    journal: Journal | None = None
    """On disk."""
    memory: Journal = field(default_factory=lambda: fresh("digits", datetime(2026, 11, 1, tzinfo=UTC)))
    """What the process holds: not the same while the disk is full."""
    kind: dict[int, Kind] = field(default_factory=lambda: dict(zip(VERSIONS, KINDS, strict=True)))
    wanted: Order | Refused | None = None
    whole: dict[str, bool] = field(default_factory=dict)
    """Digest to whether the bytes are right."""
    short_of_memory: bool = False
    online: bool = True
    disk_full: bool = False
    ballast: bool = True
    seconds: float = 0.0
    clock_off: timedelta = timedelta()
    hub_heard: bool = True
    """Whether the right time is known, whatever the device's own clock says."""
    process: Process = field(default_factory=Process)
    golden_passed: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    """Versions that have become something else while they were here."""
    ended: dict[tuple[int, int], int] = field(default_factory=dict)
    """By version and try: the processes that it has certainly ended since it was last asked for."""
    tries: int = 0
    followed: int = 0
    """The last of the tries that the device has on disk."""
    unsaved_reverts: bool = False
    cuts: int = 0
    admitted: set[int] = field(default_factory=set)
    """Versions that have been switched to here when they might be."""

    def observed(self) -> Observed:
        process = self.process
        return Observed(
            now=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=self.seconds) + self.clock_off,
            wanted=self.wanted,
            whole=frozenset(self.whole),
            verified=frozenset(process.verified),
            prepared=process.prepared,
            prepared_because="8 of 8 agree.",
            live=process.live,
            live_seconds=self.seconds - process.live_since,
            answered=process.answered,
            failed=process.failed,
            setback=process.setback,
            resting=tuple(Rest(rest.step, due - self.seconds, rest.because) for rest, due in process.resting),
            forgotten=self.journal is None,
            load=Load(
                live=process.live,
                busy=process.busy,
                busy_seconds=self.seconds - process.busy_since,
                over_seconds=self.seconds - process.live_since,
                leases=process.answered + process.failed,
                slow=process.slow,
                grown_bytes=process.grown,
                suspect=True,
            ),
            trial=TRIAL,
            limits=LIMITS,
            wall=self.wall(),
        )

    def wall(self) -> Wall | None:
        if not self.hub_heard:
            return None
        right = datetime(2026, 10, 24, 20, tzinfo=UTC) + timedelta(seconds=self.seconds)
        return Wall(right.astimezone(ZONE), by_hub=abs(self.clock_off) > timedelta(minutes=2))

    def may_switch(self) -> bool:
        window, wall = self.wanted.window if isinstance(self.wanted, Order) else None, self.wall()
        return window is None or (wall is not None and is_open(window, wall.local.replace(tzinfo=None)))

    def save(self, journal: Journal) -> bool:
        """Whether it is on disk now."""
        if journal == self.journal or journal.phase is Phase.EVICTED:
            return True
        if self.disk_full:
            if not (self.ballast and reverts(self.journal, journal)):
                self.unsaved_reverts |= reverts(self.journal, journal)
                return False
            self.ballast = False
        # Through JSON and back: what is on disk is what was decided.
        self.journal = msgspec.json.decode(msgspec.json.encode(journal), type=Journal)
        assert self.journal == journal
        return True

    def turn(self, crash: Callable[[Crash], None] = no_crash) -> Decision:
        before = self.memory
        decision = decide(before, self.observed())
        after = decision.journal
        crash(Crash.BEFORE_SAVING)
        saved = self.save(after)
        if not saved and not decision.proven:
            return Decision(before, Wait(1.0), decision.because)
        self.memory = after
        self.followed = self.tries if saved else self.followed
        self.process.setback = None
        if before.phase is Phase.TRIAL and after.because.code == "trial-passed":
            assert after.previous == before.settled, "what ran before is what comes back"
        if after.phase is Phase.TRIAL and before.phase is not Phase.TRIAL:
            assert isinstance(after.wanted, Order)
            version = after.wanted.manifest.version
            assert self.may_switch() or version in self.admitted, "a switch waits for its window, and a repair does not"
            self.admitted.add(version)
        if after.because.code == "window-closed":
            assert after.phase is Phase.PREFLIGHT
            # Other steps may have gone first while it opened: then it is the reason of before.
            assert decision.because.code != "window-closed" or not self.may_switch()
            assert not after.wanted_at_risk, "what waits is not loaded, and no bad end counts against it"
        crash(Crash.AFTER_SAVING)
        self.act(decision)
        crash(Crash.AFTER_ACTING)
        self.evict()
        if decision.spent is not None and saved:
            raise Killed
        return decision

    def evict(self) -> None:
        live = self.process.live
        keep = kept([self.memory] if self.journal is None else [self.memory, self.journal])
        assert live is None or live == current(self.memory) or live.artifact.digest in keep or self.spared(live)
        self.whole = {digest: right for digest, right in self.whole.items() if digest in keep}
        if not self.disk_full:
            self.ballast = True

    def spared(self, live: Manifest) -> bool:
        """Whether `live` answers only until what comes instead is loaded."""
        return self.memory.phase is Phase.REJECTED or self.memory.wanted is None or live != current(self.memory)

    def rest(self, decision: Decision, code: str) -> None:
        assert not isinstance(decision.action, Wait)
        others = [one for one in self.process.resting if one[0].step != decision.action]
        self.process.resting = [*others, (Rest(decision.action, 0.0, Because(code, "Later.")), self.seconds + 1.0)]

    def fail(self, decision: Decision, code: str) -> None:
        assert not isinstance(decision.action, Wait)
        self.process.setback = Setback(decision.action, Because(code, "Never."))

    def act(self, decision: Decision) -> None:
        process = self.process
        if not isinstance(decision.action, Wait):
            due = [due for rest, due in process.resting if rest.step == decision.action]
            assert not due or due[0] <= self.seconds, "what rests is left alone"
            process.resting = [one for one in process.resting if one[0].step != decision.action]
            wanted = decision.journal.wanted
            if decision.journal.phase is Phase.REJECTED and isinstance(wanted, Order):
                tried = isinstance(decision.action, (Fetch, Verify, Prepare))
                assert not tried or decision.action.manifest != wanted.manifest, "what was rejected is left alone"
        match decision.action:
            case Fetch(manifest, blob, _):
                self.fetch(decision, manifest, blob.digest)
            case Verify(_, blob):
                if not self.whole.get(blob.digest, False):
                    self.whole.pop(blob.digest, None)
                    process.verified.discard(blob.digest)
                    if blob.digest not in process.begun:
                        return self.rest(decision, "artifact-damaged")
                    return self.fail(decision, "digest-wrong")
                process.verified.add(blob.digest)
                process.begun.discard(blob.digest)
            case Prepare(manifest, golden):
                assert manifest.artifact.digest in process.verified, "only verified bytes are loaded"
                assert golden in (None, manifest.golden.blob), "the golden set is that of the same order"
                assert golden is None or golden.digest in process.verified, "golden sets are verified too"
                assert golden is not None or manifest.version in self.golden_passed
                assert process.prepared is None, "one is loaded beside what runs, never two"
                self.load(decision, manifest, proving=golden is not None)
            case Switch(manifest):
                assert manifest == process.prepared or manifest is None, "only what was prepared is switched to"
                process.live, process.live_since = manifest, self.seconds
                process.prepared = None if manifest is not None else process.prepared
                process.answered = process.failed = process.slow = process.grown = 0
                if manifest is not None:
                    process.verified -= {manifest.artifact.digest, manifest.golden.blob.digest}
            case Discard(manifest):
                assert process.prepared == manifest
                process.prepared = None
                process.verified -= {manifest.artifact.digest, manifest.golden.blob.digest}
            case Forget():
                assert process.live is None
                assert process.prepared is None
                self.journal = None
            case Wait():
                return None
        return None

    def fetch(self, decision: Decision, manifest: Manifest, digest: str) -> None:
        if not self.online:
            return self.rest(decision, "hub-unreachable")
        if self.disk_full:
            return self.rest(decision, "disk-full")
        kind, artifact = self.kind[manifest.version], digest == manifest.artifact.digest
        if artifact and kind is Kind.SIZE_WRONG:
            return self.fail(decision, "digest-wrong")
        self.whole[digest] = not (artifact and kind is Kind.BYTES_WRONG)
        self.process.begun.add(digest)
        return None

    def load(self, decision: Decision, manifest: Manifest, *, proving: bool) -> None:
        if self.short_of_memory:
            return self.rest(decision, "memory-short")
        match self.kind[manifest.version]:
            case Kind.CRASHES_ON_LOAD:
                raise self.certain(manifest, "crashed")
            case Kind.KILLED_ON_LOAD:
                raise Killed((manifest, Part.LIKELY, "killed"))
            case Kind.HANGS_ON_LOAD:
                raise self.certain(manifest, "load-hangs")
            case Kind.TAKES_DEVICE_DOWN_ON_LOAD:
                raise Killed(device=True)
            case Kind.UNREADABLE:
                return self.fail(decision, "model-unreadable")
            case _:
                pass
        if proving:
            self.golden_passed.add(manifest.version)
        self.process.prepared = manifest
        return None

    def certain(self, manifest: Manifest, code: str) -> Killed:
        if self.journal == self.memory:
            key = manifest.version, self.followed
            self.ended[key] = self.ended.get(key, 0) + 1
            assert self.ended[key] == 1 or self.unsaved_reverts, "what ends the process is gone within one cycle"
        return Killed((manifest, Part.CERTAIN, code))

    def infer(self, records: int) -> None:
        process, live = self.process, self.process.live
        if live is None or not records or process.busy is not None:
            return
        match self.kind[live.version]:
            case Kind.CRASHES:
                raise self.certain(live, "crashed")
            case Kind.IS_KILLED:
                raise Killed((live, Part.LIKELY, "killed"))
            case Kind.TAKES_DEVICE_DOWN:
                raise Killed(device=True)
            case Kind.HANGS:
                process.busy, process.busy_since = live, self.seconds
            case Kind.ERRS:
                process.failed += records
            case kind:
                process.answered += records
                process.slow += records if kind is Kind.IS_SLOW else 0
                process.grown += 200 * records if kind is Kind.LEAKS else 0

    def live_for(self, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(3):
                self.guarded(self.turn)
            self.guarded(lambda: self.infer(3))
            self.seconds += 1.0

    def guarded(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Killed as killed:
            self.reboot(killed)

    def cut(self, at: Crash, *, device: bool) -> None:
        """The power fails, or somebody kills the process, at a point of a turn."""

        def crash(point: Crash) -> None:
            if point is at:
                raise Killed(device=device)

        self.cuts += device
        self.guarded(lambda: self.turn(crash))

    def reboot(self, killed: Killed) -> None:
        """The process is gone and starts again. Unless the device went down with it, it is known who was at work."""
        journal = self.journal or fresh("digits", self.observed().now)
        none = End(Part.NONE, Because("ended", "It was not at work."))
        ends = {} if killed.device else dict.fromkeys((one.artifact.digest for one in MANIFESTS), none)
        after = resumed(journal, ends | killed.ends, self.observed().now)
        self.process = Process(live_since=self.seconds)
        if self.journal is not None:
            self.save(after)
        self.memory = after

    def stop(self) -> None:
        """An orderly stop, and a start."""
        if self.journal is not None:
            self.save(closed(self.memory))
        self.reboot(Killed())

    def order(self, version: int, retry: int = 0, window: MaintenanceWindow | None = None) -> None:
        manifest = MANIFESTS[version - 1]
        before = self.wanted
        if not isinstance(before, Order) or before.manifest != manifest or retry > before.retry:
            self.tries += 1
        self.wanted = Order(manifest, f"/blobs/{version}", f"/golden/{version}", why(), None, retry, window)

    def retry(self) -> None:
        if isinstance(self.wanted, Order):
            self.order(self.wanted.manifest.version, self.wanted.retry + 1, self.wanted.window)

    def refuse(self, version: int) -> None:
        self.wanted = Refused(release_of(MANIFESTS[version - 1]), Because("signature-wrong", "By nobody."))

    def becomes(self, kind: Kind) -> None:
        """What has settled turns out to be something else: another input, another temperature."""
        if self.memory.settled is not None:
            self.changed.add(self.memory.settled.version)
            self.kind[self.memory.settled.version] = kind

    def check(self) -> None:
        """What always holds."""
        journal, live = self.memory, self.process.live
        assert live is None or live.version in self.golden_passed
        assert journal.settled is None or journal.settled.version in self.golden_passed
        assert journal.settled is None or journal.settled != journal.previous
        if journal.phase is Phase.SETTLED:
            assert isinstance(journal.wanted, Order)
            assert journal.wanted.manifest == journal.settled
        assert journal.because.code
        assert journal.because.sentence
        if self.journal is not None:
            keep = kept([self.journal])
            for manifest in (current(self.journal), self.journal.settled, self.journal.previous):
                assert manifest is None or {manifest.artifact.digest, manifest.golden.blob.digest} <= keep

    def settle(self) -> None:
        """However it went, once the world holds still the device gets to the newest order, or says why not."""
        self.online, self.disk_full, self.short_of_memory, self.hub_heard = True, False, False, True
        self.stand_still()
        if self.memory.because.code == "window-closed":
            assert self.process.prepared is None, "what waits takes no memory"
            assert self.process.live == self.memory.settled, "what ran goes on"
            self.live_until_open()
            # It may close again before it has come round, and open again tomorrow.
            assert isinstance(self.wanted, Order)
            self.wanted = msgspec.structs.replace(self.wanted, window=None)
            self.stand_still()
        self.judge()

    def stand_still(self) -> None:
        still = 0
        for _ in range(400):
            before = self.memory, self.process.live
            self.live_for(1)
            self.check()
            if self.process.busy is not None or self.process.grown or (self.memory, self.process.live) != before:
                still = 0
            # A settled release is judged by a minute of its pace.
            elif (still := still + 1) > (70 if self.process.slow else 12):
                break

    def live_until_open(self) -> None:
        """Sleeps through the most of it; then waits for as long as the device itself says that it need not look."""
        wall = self.wall()
        assert wall is not None
        assert isinstance(self.wanted, Order)
        assert self.wanted.window is not None
        local = wall.local.replace(tzinfo=None)
        self.seconds += max(0.0, (opens_next(self.wanted.window, local) - local).total_seconds() - 600)
        # One hour more where the wall clock is set back meanwhile.
        for _ in range(75):
            decision = self.turn()
            self.check()
            if self.memory.because.code != "window-closed":
                return
            assert isinstance(decision.action, Wait)
            assert decision.action.seconds is not None
            self.seconds += decision.action.seconds
        raise AssertionError("the window never opens")

    def judge(self) -> None:
        journal, live = self.journal, self.process.live
        assert self.process.prepared is None
        assert self.process.busy is None, "what hangs is gone with the process"
        match self.wanted:
            case None:
                assert (journal, live, self.whole) == (None, None, {}), "nothing of it is kept"
            case Refused(because=because):
                assert journal is not None
                assert (journal.phase, journal.because, live) == (Phase.REJECTED, because, journal.settled)
            case Order(manifest=manifest):
                assert journal is not None
                kind = self.kind[manifest.version]
                if journal.phase is Phase.SETTLED:
                    assert live == manifest
                    assert kind in {Kind.GOOD, Kind.ERRS} or manifest.version in self.changed
                else:
                    assert (journal.phase, live) == (Phase.REJECTED, journal.settled)
                    assert live != manifest
                    # Rot, and power cuts in rows, which this world deals out, can be mistaken for a release's fault.
                    faults = {"digest-wrong"} | ({"process-ended"} if self.cuts > 1 else set())
                    faults |= {(CERTAIN | OTHERWISE).get(kind, "")}
                    assert journal.because.code in faults or manifest.version in self.changed
