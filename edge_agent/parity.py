"""Before an accelerator answers: it computes the golden set on this device as it should, or is refused by name."""

from pathlib import Path

from msgspec.structs import replace

from edge_agent.failures import ArtifactRejected
from edge_agent.golden import Verdict, replay
from edge_agent.runtimes.choice import ChosenSession
from edge_agent.runtimes.session import InferenceFailed, Session
from fleet_contract.because import Because
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Manifest


def prove(session: Session, manifest: Manifest, golden: Path) -> Verdict:
    """Replays the golden set, with each way to compute that `session` has; what the one measured that answers.

    Afterwards the best of those that agree answers. An accelerator that computes something else, or takes longer than
    what it should speed up, costs the model nothing but the accelerator. Raises what `replay` raises when the last of
    the trusted ways fails.
    """
    if not isinstance(session, ChosenSession):
        return replay(session, manifest, golden)
    verdict = _trusted(session, manifest, golden)
    for accelerator in session.untried():
        faster = _tried(session, accelerator, verdict, manifest, golden)
        if faster is not None:
            verdict = faster
            break
    return replace(verdict, on=session.provider)


def _trusted(session: ChosenSession, manifest: Manifest, golden: Path) -> Verdict:
    while True:
        try:
            return replay(session, manifest, golden)
        except (ArtifactRejected, InferenceFailed) as error:
            if error.code == "golden-unreadable" or not session.fall_back(_refusal(session.provider, manifest, error)):
                raise


def _tried(session: ChosenSession, accelerator: str, bar: Verdict, manifest: Manifest, golden: Path) -> Verdict | None:
    """What `accelerator` measured, when it answers from now on."""
    attempt = session.attempt(accelerator)
    if attempt is None:
        return None
    try:
        verdict = replay(attempt, manifest, golden)
    except (ArtifactRejected, InferenceFailed) as error:
        session.refuse(accelerator, _refusal(accelerator, manifest, error))
    else:
        if session.ways.at_any_speed or verdict.median_ms <= bar.median_ms:
            session.adopt(accelerator, attempt)
            return verdict
        session.refuse(
            accelerator,
            Because(
                "provider-slower",
                f"{accelerator} takes {verdict.median_ms:.2f} ms for a record of {manifest.model} version "
                f"{manifest.version}, and {session.provider} takes {bar.median_ms:.2f} ms.",
            ),
        )
    attempt.close()
    return None


def _refusal(provider: str, manifest: Manifest, error: VedetteError) -> Because:
    return Because(
        "provider-disagrees",
        f"{provider} must not compute {manifest.model} version {manifest.version} on this device: {error.what}",
    )
