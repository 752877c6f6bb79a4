"""Figures and times as people read them. Pure: `now` is given."""

from datetime import UTC, datetime

#: What templates use, under the same names.
FILTERS = ("count", "rate", "size", "percent", "latency", "short", "tone", "duration", "plural", "absolute")
#: Below so many of the first, say it in the third, so many of the first at a time. `assets/clock.js` knows the same.
AGO = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"))
_TONES = {
    "good": {"online", "settled", "completed", "pass", "ok", "done", "succeeded"},
    "info": {"running", "trial", "preflight", "fetching", "verifying", "active", "current", "closing"},
    "warn": {"silent", "waiting", "paused", "reverting", "degraded", "closed", "superseded", "undecided", "not-enough"},
    "bad": {"lost", "rejected", "fail", "failed", "stopped", "reverted", "aborted", "refused"},
}
_TONE_OF = {word: tone for tone, words in _TONES.items() for word in words}


def ago(then: datetime, now: datetime) -> str:
    """How long ago `then` was, in one unit: "now", "12 s ago", "3 d ago". The future is "now" too."""
    seconds = (now - then).total_seconds()
    if seconds < 2:
        return "now"
    for below, unit, name in AGO:
        if seconds < below:
            return f"{int(seconds // unit)} {name} ago"
    return f"{int(seconds // 86400)} d ago"


def absolute(then: datetime) -> str:
    return f"{then.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """ "45 s", "2 min", "1 h 30 min", "3 d"; the second unit only where it says something."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "d", 3600, "h")


def _two(whole: int, first: int, first_name: str, second: int, second_name: str) -> str:
    rest = whole % first // second
    return f"{whole // first} {first_name}" + (f" {rest} {second_name}" if rest else "")


def count(number: float) -> str:
    """ "1,234", "12.3 k", "4.6 M": exact while that is readable."""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,.0f}"


def rate(per_second: float | None) -> str:
    """Events a second, with as many digits as matter."""
    if per_second is None:
        return "–"
    return f"{per_second:.1f}" if 0 < per_second < 100 else count(per_second)


def size(size_bytes: float) -> str:
    """Bytes in decimal units: "512 B", "1.2 MB"."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes:.0f} B"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as "98.3 %"; "–" when there is none."""
    if share is None:
        return "–"
    # Adding 0 makes a rounded −0 a 0.
    text = f"{round(share * 100, digits) + 0.0:.{digits}f}".replace("-", "−")
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def latency(microseconds: float | None) -> str:
    """ "85 µs", "1.24 ms", "2.1 s"; "–" when there is none."""
    if microseconds is None:
        return "–"
    if microseconds < 999.5:
        return f"{microseconds:.0f} µs"
    if microseconds < 999_500:
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds / 1_000_000:.1f} s"


def short(digest: str) -> str:
    """The first 12 hexadecimal digits of a digest or fingerprint."""
    return digest.partition(":")[2][:12] if ":" in digest else digest[:12]


def tone(word: str) -> str:
    """What a state's colour says: "good", "info", "warn", "bad" or "" for neither."""
    return _TONE_OF.get(word.replace("_", "-"), "")


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 device", "2 devices"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
