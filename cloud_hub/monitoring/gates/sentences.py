"""What a verdict rests on, in a sentence with its numbers. Pure."""

from cloud_hub.monitoring.gates.cohort import Question
from cloud_hub.monitoring.gates.verdict import Verdict
from cloud_hub.monitoring.gates.weighing import Weighed


def say(found: Weighed, of: str, hit: str, change: str) -> str:
    """`of` is what was counted ("predictions"), `hit` what is said of those that hit ("are 'cat'"), `change` what
    became of their share ("a shift")."""
    question = found.question
    what = f"{_share(found)} {of} {hit}, {_against(question, found)}"
    if found.target:
        what += f", {found.target} devices alone weighed"
    allowed = f"{100 * question.tolerated:.3g} points are tolerated"
    value, lower, upper = 100 * found.value, 100 * found.lower, 100 * found.upper
    match found.verdict:
        case Verdict.FAIL:
            what += f": {change} of {value:z.1f} points, and of {lower:z.1f} at the least; {allowed}."
        case Verdict.PASS if found.as_seen:
            what += f": {change} of {value:z.1f} points, and no more will be seen; {allowed}."
        case Verdict.PASS:
            what += f": {change} of {upper:z.1f} points at the most; {allowed}."
        case Verdict.NOT_ENOUGH_EVIDENCE:
            what += f": {change} of {value:z.1f} points, which may truly be up to {upper:z.1f}; {allowed}"
            what += f"{_missing(found)}."
    if found.alone_since_seconds is not None:
        what += f" Since minute {found.alone_since_seconds // 60} of the rollout no control is left to compare with."
    return what


def _by_name(question: Question) -> str:
    return f" ({', '.join(sorted(question.control.devices))})" if question.few else ""


def _missing(found: Weighed) -> str:
    if found.exhausted and found.question.few:
        return (
            ". So small a control may be odd, and no number of records will tell: look at it, and approve the version "
            "as it is, or abort it"
        )
    if found.exhausted:
        return (
            ". Nobody is left to tell the version from the world by, and no number of records will: approve it as it "
            "is, or abort it"
        )
    if found.clear and found.question.few:
        return ", but so small a control may be odd, and nothing else proves the same"
    if found.clear:
        return ", but so few devices do not prove that it is the version; more devices are needed"
    more = "devices or records" if found.value > found.question.tolerated else "records"
    return f", so more {more} are needed"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def devices(count: int) -> str:
    return f"{count:,} device{'' if count == 1 else 's'}"


def _share(found: Weighed) -> str:
    records, at = found.ours.records, found.at
    return f"{percent(float(found.ours.share[at]))} of {records[at]:,.0f}"


def _against(question: Question, found: Weighed) -> str:
    at = found.at
    of = f"on {devices(len(question.treated.devices))}"
    if question.promised:
        return f"{of}, against {percent(float(question.guess[at]))} in the reference"
    against = of
    if found.theirs is not None:
        theirs = found.theirs
        against += (
            f", against {percent(float(theirs.share[at]))} of {theirs.records[at]:,.0f} in the control on "
            f"{devices(len(question.control.devices))}{_by_name(question)}"
        )
    if found.by_past:
        against += f", where their pasts lead to expect {percent(float(found.ours.expected[at]))}"
        if found.theirs is not None:
            against += f" and {percent(float(found.theirs.expected[at]))}"
    elif found.theirs is None:
        against += ", with nothing to compare with yet"
    return against
