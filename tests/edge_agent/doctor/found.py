"""What a test looks for among findings."""

from collections.abc import Iterable

from edge_agent.doctor.finding import Finding, Verdict


def the(findings: Iterable[Finding], verdict: Verdict) -> Finding:
    """The one finding of that kind."""
    (found,) = [one for one in findings if one.verdict is verdict]
    assert found.remedy or verdict in (Verdict.OK, Verdict.UNKNOWN)
    return found
