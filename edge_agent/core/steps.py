"""The words of `edge_agent.core.update`: what it sees, what it may do, and what it answers."""

from datetime import datetime

import msgspec

from edge_agent.core.journal import Journal, Order, Refused
from edge_agent.core.limits import NOTHING, UNLIMITED, Limits, Load
from edge_agent.core.maintenance import Wall
from fleet_contract.because import Because
from fleet_contract.manifest import Blob, Manifest


class Fetch(msgspec.Struct, frozen=True):
    """Have the bytes of `blob` on disk, from `url`; they are not trusted yet."""

    manifest: Manifest
    blob: Blob
    url: str


class Verify(msgspec.Struct, frozen=True):
    """Read `blob` back from disk and compare its hash; wrong bytes are removed."""

    manifest: Manifest
    blob: Blob


class Prepare(msgspec.Struct, frozen=True):
    """Load and warm up beside what is live, and replay the `golden` set when there is one to replay."""

    manifest: Manifest
    golden: Blob | None


class Switch(msgspec.Struct, frozen=True):
    """Let what was prepared of `manifest` answer from now on; None: let nothing answer."""

    manifest: Manifest | None


class Discard(msgspec.Struct, frozen=True):
    """Close what was prepared: it is not wanted any more."""

    manifest: Manifest


class Forget(msgspec.Struct, frozen=True):
    """Remove the journal: then nothing of the model is kept."""


class Wait(msgspec.Struct, frozen=True):
    """Look again after `seconds`, or, when None, after something has changed."""

    seconds: float | None


Step = Fetch | Verify | Prepare | Switch | Discard | Forget
Action = Step | Wait


class Setback(msgspec.Struct, frozen=True):
    """`step` has just failed for good. Shown once."""

    step: Step
    because: Because


class Rest(msgspec.Struct, frozen=True):
    """`step` has failed for now, and is not to be tried for `seconds` more (0 or less: it may be)."""

    step: Step
    seconds: float
    because: Because


class Trial(msgspec.Struct, frozen=True):
    """When probation ends: after `records`, or after `seconds`; and when it fails: `error_share` of the records, if
    they are `least_errors` or more, and more than twice what was usual."""

    records: int = 30
    seconds: float = 10.0
    error_share: float = 0.05
    least_errors: int = 3


class Observed(msgspec.Struct, frozen=True):
    """What is. `whole` are digests whose bytes are all on disk, `verified` those that this process has hashed.

    `answered`, `failed` and `live_seconds` count since `live` was switched to, in this process. `forgotten`: there is
    no journal on disk. `wall` is what orders with a window go by; None: nobody knows the time.
    """

    now: datetime
    wanted: Order | Refused | None
    whole: frozenset[str] = frozenset()
    verified: frozenset[str] = frozenset()
    prepared: Manifest | None = None
    prepared_because: str = ""
    live: Manifest | None = None
    live_seconds: float = 0.0
    answered: int = 0
    failed: int = 0
    setback: Setback | None = None
    resting: tuple[Rest, ...] = ()
    forgotten: bool = False
    wall: Wall | None = None
    load: Load = NOTHING
    trial: Trial = Trial()
    limits: Limits = UNLIMITED


class Decision(msgspec.Struct, frozen=True):
    """`action` may be taken once `journal` is on disk.

    With `proven` it may be taken even if the journal cannot be written: it brings back what ran before, and a full
    disk must not keep a device from inferring. With `spent`, the process must end once the journal is on disk.
    """

    journal: Journal
    action: Action
    because: Because
    proven: bool = False
    spent: Because | None = None
