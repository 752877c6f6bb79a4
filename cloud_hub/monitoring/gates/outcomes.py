"""The gates on what became of the devices that were offered a version: could they load it, did it prove itself. Pure.

No device of the control was offered anything, and none has a past with this version, so both are held to a share that
is tolerated. All devices of the open waves are counted, so whether too many of *them* failed is seen, not estimated:
they pass when not. That too many would fail anywhere takes a confidence sequence.
"""

from collections.abc import Mapping

from cloud_hub.monitoring.gates.case import Case
from cloud_hub.monitoring.gates.verdict import Gate, Verdict, verdict_of
from cloud_hub.monitoring.sequences import share_interval

#: The device computed other outputs for the golden set than the source model, or failed at it.
PARITY_CODES = frozenset({"golden-disagrees", "golden-failed"})


def installs(case: Case, tolerated: float, alpha: float) -> Gate:
    """Devices that could not fetch, load or run it, or that it broke."""
    codes = {code: count for code, count in case.outcomes.failed.items() if code not in PARITY_CODES}
    return _gate("installs", "could not install it", case, codes, tolerated, alpha)


def parity(case: Case, tolerated: float, alpha: float) -> Gate:
    """Devices on which it did not compute what it computes elsewhere."""
    codes = {code: count for code, count in case.outcomes.failed.items() if code in PARITY_CODES}
    return _gate("parity", "computed other outputs for the golden set", case, codes, tolerated, alpha)


def _gate(name: str, what: str, case: Case, codes: Mapping[str, int], tolerated: float, alpha: float) -> Gate:
    failed = sum(codes.values())
    finished = case.outcomes.succeeded + sum(case.outcomes.failed.values())
    allowed = f"{100 * tolerated:.3g} % are tolerated"
    if not finished:
        sentence = f"No device is done with it yet, well or badly; {allowed}."
        return Gate(name, Verdict.NOT_ENOUGH_EVIDENCE, sentence, 0.0, 0.0, 1.0, tolerated)
    value = failed / finished
    interval = share_interval(failed, finished, alpha)
    lower, upper = min(interval.lower, value), value
    verdict = verdict_of(lower, upper, tolerated)
    why = f" ({', '.join(f'{code} {count:,}' for code, count in sorted(codes.items()))})" if codes else ""
    sentence = f"{failed:,} of {finished:,} devices {what}{why}, {100 * value:.1f} %"
    match verdict:
        case Verdict.FAIL:
            sentence += f", and in the long run {100 * lower:.1f} % at the least would; {allowed}."
        case Verdict.PASS:
            sentence += f"; {allowed}."
        case Verdict.NOT_ENOUGH_EVIDENCE:
            sentence += f"; {allowed}, but so few devices do not prove that it is the version."
    # All that are done were seen.
    clear = verdict is Verdict.NOT_ENOUGH_EVIDENCE
    return Gate(name, verdict, sentence, value, lower, upper, tolerated, clear=clear)
