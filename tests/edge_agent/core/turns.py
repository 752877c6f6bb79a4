"""What a turn of the update core is given: journals, orders and observations of three releases."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from edge_agent.core.journal import Journal, Order, Refused, release_of
from edge_agent.core.steps import Observed
from edge_agent.core.transitions import End, Part, resumed
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
from tests.fakes.releases import a_manifest, why

THEN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = THEN + timedelta(minutes=5)
ONE, TWO, THREE = (a_manifest(version) for version in (1, 2, 3))
LATER = Because("hub-unreachable", "Nobody answers.")
NEVER = Because("model-unreadable", "It is no model.")
UNDERWAY = [Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT]


def order(manifest: Manifest, query: str = "") -> Order:
    return Order(manifest, f"/a/{manifest.version}{query}", f"/g/{manifest.version}{query}", why(), "r1")


def digests(*manifests: Manifest) -> frozenset[str]:
    return frozenset(blob.digest for one in manifests for blob in (one.artifact, one.golden.blob))


def journal(phase: Phase, wanted: Manifest | None = None, **more: object) -> Journal:
    named = None if wanted is None else order(wanted)
    return replace(
        Journal("digits", phase, Because("before", "Of before."), THEN, named),
        **more,
    )


def seen(wanted: Manifest | None, *there: Manifest, **more: object) -> Observed:
    """What is observed when all bytes of `there` are on disk and verified."""
    base = Observed(
        now=NOW,
        wanted=None if wanted is None else order(wanted),
        whole=digests(*there),
        verified=digests(*there),
    )
    return replace(base, **more)  # type: ignore[arg-type]


def an_end(part: Part) -> End:
    return End(part, Because("crashed", "It crashed."))


def resumed_with(before: Journal, *parts: tuple[Manifest, Part]) -> Journal:
    """The journal of the next start, after an end in which these had a part."""
    return resumed(before, {manifest.artifact.digest: an_end(part) for manifest, part in parts}, NOW)


SETTLED_ON_TWO = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE, settled_at_risk=True)
REFUSED = Refused(release_of(TWO), Because("signature-wrong", "By nobody."), "r2")
