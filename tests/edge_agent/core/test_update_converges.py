"""Crashes, delays, repeats and new orders at any point: what the device ends with, and what it never does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.core.journal import Journal, Order, Refused, closed, current, fresh, kept, release_of
from edge_agent.core.steps import (
    Decision,
    Discard,
    Fetch,
    Observed,
    Prepare,
    Rest,
    Setback,
    Switch,
    Trial,
    Verify,
    Wait,
)
from edge_agent.core.update import decide
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
from tests.fakes.releases import a_manifest, why

TRIAL = Trial(records=5, seconds=5.0, error_share=0.1, least_errors=2)


class Kind(Enum):
    """What is true of a release, whatever the device thinks of it."""

    GOOD = auto()
    BYTES_WRONG = auto()
    UNREADABLE = auto()
    KILLS_ON_LOAD = auto()
    ERRS = auto()
    KILLS_ON_TRIAL = auto()


KINDS = [*Kind, Kind.GOOD]
MANIFESTS = [a_manifest(version) for version in range(1, len(KINDS) + 1)]
VERSIONS = [manifest.version for manifest in MANIFESTS]


class Killed(Exception):
    """The process is gone, in the middle of a step."""


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
    prepared: Manifest | None = None
    live: Manifest | None = None
    live_since: float = 0.0
    answered: int = 0
    failed: int = 0
    setback: Setback | None = None
    resting: list[tuple[Rest, float]] = field(default_factory=list)


@dataclass
class Device:
    """A device with a disk that lasts, a process that does not, and a clock."""

    journal: Journal = field(default_factory=lambda: fresh("digits", datetime(2026, 11, 1, tzinfo=UTC)))
    kind: dict[int, Kind] = field(default_factory=lambda: dict(zip(VERSIONS, KINDS, strict=True)))
    short_of_memory: bool = False
    wanted: Order | Refused | None = None
    whole: dict[str, bool] = field(default_factory=dict)
    """Digest to whether the bytes are right."""
    online: bool = True
    disk_full: bool = False
    seconds: float = 0.0
    process: Process = field(default_factory=Process)
    golden_passed: set[int] = field(default_factory=set)
    memory: Journal | None = None
    """What the process holds for its journal while the disk is full."""

    def observed(self) -> Observed:
        process = self.process
        return Observed(
            now=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=self.seconds),
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
            trial=TRIAL,
        )

    def turn(self, crash: Callable[[Crash], None] = no_crash) -> Decision:
        before = self.memory or self.journal
        decision = decide(before, self.observed())
        crash(Crash.BEFORE_SAVING)
        # Through JSON and back: what is on disk is what was decided.
        saved = msgspec.json.decode(msgspec.json.encode(decision.journal), type=Journal)
        assert saved == decision.journal
        if self.disk_full and saved != self.journal:
            if not decision.proven:
                return Decision(before, Wait(1.0), decision.because)
            self.memory = saved
        else:
            self.journal, self.memory = saved, None
        self.process.setback = None
        if before.phase is Phase.TRIAL and saved.phase is Phase.SETTLED and saved.wanted == before.wanted:
            assert saved.previous == before.settled, "what ran before is what comes back"
        crash(Crash.AFTER_SAVING)
        self.act(decision)
        crash(Crash.AFTER_ACTING)
        if isinstance(decision.action, Wait):
            self.evict()
        return decision

    def evict(self) -> None:
        live = self.process.live
        keep = kept([self.memory or self.journal, self.journal])
        assert live is None or live.artifact.digest in keep
        self.whole = {digest: right for digest, right in self.whole.items() if digest in keep}

    def rest(self, decision: Decision, code: str) -> None:
        assert not isinstance(decision.action, Wait)
        kept_resting = [one for one in self.process.resting if one[0].step != decision.action]
        rest = Rest(decision.action, 0.0, Because(code, "Later."))
        self.process.resting = [*kept_resting, (rest, self.seconds + 1.0)]

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
                if not self.online:
                    return self.rest(decision, "hub-unreachable")
                if self.disk_full:
                    return self.rest(decision, "disk-full")
                wrong = self.kind[manifest.version] is Kind.BYTES_WRONG and blob == manifest.artifact
                self.whole[blob.digest] = not wrong
            case Verify(_, blob):
                if not self.whole.get(blob.digest, False):
                    self.whole.pop(blob.digest, None)
                    process.verified.discard(blob.digest)
                    return self.fail(decision, "digest-wrong")
                process.verified.add(blob.digest)
            case Prepare(manifest, golden):
                assert manifest.artifact.digest in process.verified, "only verified bytes are loaded"
                assert golden in (None, manifest.golden.blob), "the golden set is that of the same order"
                assert golden is None or golden.digest in process.verified, "golden sets are verified too"
                assert golden is not None or manifest.version in self.golden_passed
                assert process.prepared is None, "one is loaded beside what runs, never two"
                if self.short_of_memory:
                    return self.rest(decision, "memory-short")
                kind = self.kind[manifest.version]
                if kind is Kind.KILLS_ON_LOAD:
                    raise Killed
                if kind is Kind.UNREADABLE:
                    return self.fail(decision, "model-unreadable")
                if golden is not None:
                    self.golden_passed.add(manifest.version)
                process.prepared = manifest
            case Switch(manifest):
                assert manifest == process.prepared or manifest is None, "only what was prepared is switched to"
                process.live, process.live_since = manifest, self.seconds
                process.prepared = None if manifest is not None else process.prepared
                process.answered = process.failed = 0
            case Discard(manifest):
                assert process.prepared == manifest
                process.prepared = None
            case Wait():
                return None
        return None

    def infer(self, records: int) -> None:
        live = self.process.live
        if live is None:
            return
        kind = self.kind[live.version]
        if kind is Kind.KILLS_ON_TRIAL and records:
            raise Killed
        if kind is Kind.ERRS:
            self.process.failed += records
        else:
            self.process.answered += records

    def reboot(self) -> None:
        self.process = Process(live_since=self.seconds)
        self.memory = None


class UnderFire(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.device = Device()
        self.changed: set[int] = set()

    @initialize(versions=st.lists(st.sampled_from([1, 7]), max_size=2))
    def good_releases_have_settled_before(self, versions: list[int]) -> None:
        for version in versions:
            self.order(version)
            self.live_for(12)

    def order(self, version: int) -> None:
        manifest = MANIFESTS[version - 1]
        self.device.wanted = Order(manifest, f"/blobs/{version}", f"/golden/{version}", why())

    def guarded(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Killed:
            self.device.reboot()

    def live_for(self, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(3):
                self.guarded(self.device.turn)
            self.guarded(lambda: self.device.infer(3))
            self.device.seconds += 1.0

    @rule(version=st.sampled_from(VERSIONS))
    def another_release_is_wanted(self, version: int) -> None:
        self.order(version)

    @rule(version=st.sampled_from(VERSIONS), seconds=st.sampled_from([1, 12]))
    def another_release_is_wanted_for_a_while(self, version: int, seconds: int) -> None:
        self.order(version)
        self.live_for(seconds)

    @rule(kind=st.sampled_from(Kind))
    def the_world_changes_under_what_runs(self, kind: Kind) -> None:
        if self.device.journal.settled is not None:
            self.changed.add(self.device.journal.settled.version)
            self.device.kind[self.device.journal.settled.version] = kind

    @rule(short=st.booleans())
    def memory_runs_short_or_not(self, short: bool) -> None:
        self.device.short_of_memory = short

    @rule()
    def nothing_is_wanted(self) -> None:
        self.device.wanted = None

    @rule(version=st.integers(1, 3))
    def an_assignment_is_refused(self, version: int) -> None:
        self.device.wanted = Refused(release_of(MANIFESTS[version]), Because("signature-wrong", "By nobody."))

    @precondition(lambda self: isinstance(self.device.wanted, Order))
    @rule()
    def the_order_is_renewed(self) -> None:
        wanted = self.device.wanted
        assert isinstance(wanted, Order)
        self.device.wanted = msgspec.structs.replace(wanted, artifact_url=wanted.artifact_url + "?again")

    @rule(turns=st.integers(1, 6))
    def turns_pass(self, turns: int) -> None:
        for _ in range(turns):
            self.guarded(self.device.turn)

    @rule(at=st.sampled_from(Crash))
    def the_power_fails_in_a_turn(self, at: Crash) -> None:
        def crash(point: Crash) -> None:
            if point is at:
                raise Killed

        self.guarded(lambda: self.device.turn(crash))
        self.device.reboot()

    @rule()
    def the_agent_is_stopped_and_started(self) -> None:
        if not self.device.disk_full:
            self.device.journal = closed(self.device.memory or self.device.journal)
        self.device.reboot()

    @rule(records=st.integers(0, 10))
    def records_are_answered(self, records: int) -> None:
        self.guarded(lambda: self.device.infer(records))

    @rule(seconds=st.sampled_from([0.1, 2.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.device.seconds += seconds

    @rule(online=st.booleans())
    def the_network_comes_or_goes(self, online: bool) -> None:
        self.device.online = online

    @rule(full=st.booleans())
    def the_disk_fills_or_empties(self, full: bool) -> None:
        self.device.disk_full = full

    @precondition(lambda self: self.device.whole)
    @rule(data=st.data(), lost=st.booleans())
    def the_disk_rots(self, data: st.DataObject, lost: bool) -> None:
        digest = data.draw(st.sampled_from(sorted(self.device.whole)))
        if lost:
            del self.device.whole[digest]
        else:
            self.device.whole[digest] = False

    @invariant()
    def what_runs_was_loaded_whole_and_is_accounted_for(self) -> None:
        journal, live = self.device.memory or self.device.journal, self.device.process.live
        assert live is None or live.version in self.device.golden_passed
        assert journal.settled is None or journal.settled.version in self.device.golden_passed
        assert journal.settled is None or journal.settled != journal.previous
        if journal.phase is Phase.SETTLED:
            assert isinstance(journal.wanted, Order)
            assert journal.wanted.manifest == journal.settled
        assert journal.because.code
        assert journal.because.sentence

    @invariant()
    def what_may_have_to_come_back_is_kept(self) -> None:
        journal = self.device.journal
        keep = kept([journal])
        for manifest in (current(journal), journal.settled, journal.previous):
            assert manifest is None or {manifest.artifact.digest, manifest.golden.blob.digest} <= keep

    def teardown(self) -> None:
        """However it went, once the world holds still the device gets to the newest order, or says why not."""
        device = self.device
        device.online, device.disk_full, device.short_of_memory = True, False, False
        self.live_for(60)
        steady = device.turn()
        assert isinstance(steady.action, Wait)
        journal, live = device.journal, device.process.live
        assert device.process.prepared is None
        assert (journal.starts, journal.attempts) == (0, 0), "nothing is counted against what came to an end"
        match device.wanted:
            case None:
                assert (journal.phase, live) == (Phase.IDLE, None)
            case Refused(because=because):
                assert (journal.phase, journal.because, live) == (Phase.REJECTED, because, journal.settled)
            case Order(manifest=manifest):
                if journal.phase is Phase.SETTLED:
                    assert live == manifest
                    lives = {Kind.GOOD, Kind.ERRS, Kind.KILLS_ON_TRIAL}
                    assert device.kind[manifest.version] in lives or manifest.version in self.changed
                else:
                    assert (journal.phase, live) == (Phase.REJECTED, journal.settled)
                    assert live != manifest
                    # Power cuts and rot, which this world deals out, can be mistaken for a release's fault.
                    faults = {"load-kills", "digest-wrong"}
                    kind = device.kind[manifest.version]
                    faults |= {"model-unreadable"} if kind is Kind.UNREADABLE else set()
                    faults |= {"trial-errors"} if kind is Kind.ERRS else set()
                    assert journal.because.code in faults or manifest.version in self.changed


UnderFire.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestUnderFire = UnderFire.TestCase
