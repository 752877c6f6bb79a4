"""What one look at a device has found, in words for whoever stands before it."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How bad it is. UNKNOWN: it could not be looked at, mostly for lack of rights."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """`about` is what was looked at: "clock", "disk". `remedy` says what to do, unless there is nothing to do."""

    about: str
    verdict: Verdict
    sentence: str
    remedy: str = ""


def ok(about: str, sentence: str) -> Finding:
    return Finding(about, Verdict.OK, sentence)


def unknown(about: str, sentence: str, remedy: str = "") -> Finding:
    return Finding(about, Verdict.UNKNOWN, sentence, remedy)


def warning(about: str, sentence: str, remedy: str = "") -> Finding:
    return Finding(about, Verdict.WARNING, sentence, remedy)


def wrong(about: str, sentence: str, remedy: str) -> Finding:
    return Finding(about, Verdict.WRONG, sentence, remedy)


def told(findings: list[Finding]) -> str:
    """The text for a person: a line each, what to do below it, and the sum."""
    marks = {Verdict.OK: "ok", Verdict.UNKNOWN: "?", Verdict.WARNING: "!", Verdict.WRONG: "WRONG"}
    width = max(len(one.about) for one in findings)
    lines = []
    for one in findings:
        lines.append(f"{marks[one.verdict]:<5}  {one.about:<{width}}  {one.sentence}")
        if one.remedy:
            lines.append(f"{'':<{width + 9}}-> {one.remedy}")
    count = {verdict: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    sums = [
        f"{count[Verdict.WRONG]} wrong" if count[Verdict.WRONG] else "",
        f"{count[Verdict.WARNING]} to look at" if count[Verdict.WARNING] else "",
        f"{count[Verdict.UNKNOWN]} that could not be looked at" if count[Verdict.UNKNOWN] else "",
    ]
    return "\n".join([*lines, "", ", ".join(filter(None, sums)) or "Nothing is wrong."]) + "\n"
