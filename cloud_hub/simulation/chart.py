"""A simulated rollout drawn: as text for a terminal, and as an SVG file."""

from collections.abc import Iterator
from html import escape
from math import ceil

from rich.text import Text

from cloud_hub.simulation.player import Played, Point

_ROWS, _COLUMNS = 12, 68
_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 76, 44
_NICE_SECONDS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 432_000)
_TICKS = 8
#: So wide is what names a wave.
_NAME_WIDTH = 52
_STYLES = {"█": "green", "░": "cyan", "▓": "red"}


def text(played: Played) -> Text:
    """Devices over time: `█` run the version, `▓` failed, `░` are offered it and on their way. Below, when each wave
    opened, and when it stopped."""
    top = max(1, *(point.offered for point in played.points))
    columns = [_at(played, played.seconds * column / (_COLUMNS - 1)) for column in range(_COLUMNS)]
    drawn = Text()
    for row in range(_ROWS, 0, -1):
        label = (
            f"{_devices(top * row / _ROWS):>9} ┤" if row == _ROWS or (row == _ROWS // 2 and top > 1) else " " * 10 + "│"
        )
        drawn.append(label, "dim")
        for point in columns:
            mark = _mark(point, top * (row - 0.5) / _ROWS)
            drawn.append(mark, _STYLES.get(mark, ""))
        drawn.append("\n")
    drawn.append(" " * 10 + "└" + "─" * _COLUMNS + "\n", "dim")
    drawn.append(" " * 11 + _marks(played) + "\n", "dim")
    half, end = _time(played.seconds / 2), _time(played.seconds)
    drawn.append(" " * 11 + f"0{half:^{_COLUMNS - 1}}"[: _COLUMNS - len(end)] + end + "\n", "dim")
    for mark, meaning in (("█", "run it"), ("░", "on their way"), ("▓", "failed")):
        drawn.append(" " * (11 if mark == "█" else 2) + mark, _STYLES[mark])
        drawn.append(f" {meaning}")
    drawn.append("  1 2 … waves" + ("  × stopped" if played.stopped_seconds is not None else ""), "dim")
    return drawn


def _marks(played: Played) -> str:
    """The number of each wave below where it opened, as far as there is room, and where it stopped."""
    line, free = [" "] * _COLUMNS, 0
    for wave, opened in _openings(played):
        name, at = str(wave + 1), _column(played, opened)
        if free <= at <= _COLUMNS - len(name):
            line[at : at + len(name)] = name
            free = at + len(name) + 1
    if played.stopped_seconds is not None:
        line[_column(played, played.stopped_seconds)] = "×"
    return "".join(line)


def _column(played: Played, seconds: float) -> int:
    return round(seconds / played.seconds * (_COLUMNS - 1)) if played.seconds else 0


def _openings(played: Played) -> Iterator[tuple[int, float]]:
    wave = -1
    for point in played.points:
        if point.wave > wave:
            wave = point.wave
            yield wave, point.seconds


def svg(played: Played, title: str) -> str:
    """The same as a picture that explains itself, for a browser or a document."""
    highest = max(1, *(point.offered for point in played.points))
    top, seconds = _step(highest) * ceil(highest / _step(highest)), max(1.0, played.seconds)
    failed = any(point.failed for point in played.points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600" fill="#1b2733">{escape(title)}</text>',
        *_axes(top, _step(highest), seconds),
        *_waves(played, seconds),
        _area(played, top, seconds),
        _line(played, top, seconds, "offered", "#0b7285", dashes="5 3"),
        _line(played, top, seconds, "running", "#2b8a3e"),
        *([_line(played, top, seconds, "failed", "#c92a2a")] if failed else []),
        *_stop(played, seconds),
        *_legend(failed=failed),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(played: Played, seconds: float) -> Point:
    found = played.points[0]
    for point in played.points:
        if point.seconds > seconds:
            break
        found = point
    return found


def _mark(point: Point, height: float) -> str:
    if height <= point.running:
        return "█"
    if height <= point.running + point.failed:
        return "▓"
    return "░" if height <= point.offered else " "


def _x(at: float, seconds: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / seconds


def _y(devices: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * devices / top


def _step(highest: int) -> int:
    """How many devices apart the lines are: 1, 2 or 5 of a power of ten, and no more than six of them."""
    power: int = 10 ** max(0, len(str(highest)) - 2)
    return next(step for step in (power, 2 * power, 5 * power, 10 * power, 20 * power) if highest <= 5 * step)


def _axes(top: int, step: int, seconds: float) -> Iterator[str]:
    for devices in range(0, top + 1, step):
        y = _y(devices, top)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#e3e8ee"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#52606d">{_devices(devices)}</text>'
    each = next((nice for nice in _NICE_SECONDS if seconds / nice <= _TICKS), _NICE_SECONDS[-1])
    for at in range(0, int(seconds) + 1, each):
        x = _x(at, seconds)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 22}" text-anchor="middle" fill="#52606d">{_time(at)}</text>'
    middle = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) / 2
    turned = f'transform="rotate(-90 16 {middle})" text-anchor="middle" fill="#52606d"'
    yield f'<text x="16" y="{middle}" {turned}>devices</text>'


def _waves(played: Played, seconds: float) -> Iterator[str]:
    free = 0.0
    for wave, opened in _openings(played):
        x = _x(opened, seconds)
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#b8c2cc"/>'
        # What would be written over another is left out: the lines are there.
        if free <= x <= _WIDTH - _NAME_WIDTH:
            yield f'<text x="{x:.1f}" y="{_TOP - 8}" fill="#52606d">wave {wave + 1}</text>'
            free = x + _NAME_WIDTH


def _stop(played: Played, seconds: float) -> Iterator[str]:
    if played.stopped_seconds is not None:
        x = _x(played.stopped_seconds, seconds)
        red = 'stroke="#c92a2a" stroke-width="2"'
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" {red}/>'
        side, anchor = (x - 6, "end") if x > _LEFT + 60 else (x + 6, "start")
        yield f'<text x="{side:.1f}" y="{_TOP + 18}" text-anchor="{anchor}" fill="#c92a2a">stopped</text>'


def _steps(played: Played, top: float, seconds: float, what: str) -> str:
    found, last = [], None
    for point in played.points:
        value = getattr(point, what)
        if last is not None and value != last:
            found.append(f"{_x(point.seconds, seconds):.1f},{_y(last, top):.1f}")
        if value != last:
            found.append(f"{_x(point.seconds, seconds):.1f},{_y(value, top):.1f}")
        last = value
    found.append(f"{_x(played.points[-1].seconds, seconds):.1f},{_y(last or 0, top):.1f}")
    return " ".join(found)


def _area(played: Played, top: float, seconds: float) -> str:
    line, floor = _steps(played, top, seconds, "running"), _y(0, top)
    ends = f"{_x(played.points[-1].seconds, seconds):.1f},{floor:.1f} {_LEFT},{floor:.1f}"
    return f'<polygon points="{line} {ends}" fill="#2b8a3e" fill-opacity="0.14"/>'


def _line(played: Played, top: float, seconds: float, what: str, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    points = _steps(played, top, seconds, what)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'


def _legend(*, failed: bool) -> Iterator[str]:
    lines = (("#0b7285", "offered"), ("#2b8a3e", "run it"), ("#c92a2a", "failed"))
    for at, (colour, meaning) in enumerate(lines if failed else lines[:2]):
        x = _LEFT + 90 * at
        yield f'<line x1="{x}" y1="40" x2="{x + 18}" y2="40" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{x + 24}" y="44" fill="#1b2733">{meaning}</text>'


def _devices(count: float) -> str:
    return f"{count:,.0f}"


def _time(seconds: float) -> str:
    if seconds < 600 and seconds % 60:
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 3 * 86_400:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86_400:.3g} d"
