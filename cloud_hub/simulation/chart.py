"""A simulated rollout drawn: as text for a terminal, and as an SVG file."""

from collections.abc import Iterator
from html import escape

from rich.text import Text

from cloud_hub.simulation.player import Played, Point

_ROWS, _COLUMNS = 12, 68
_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 56, 52
_NICE_SECONDS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400)
_STYLES = {"█": "green", "░": "cyan", "▓": "red"}


def text(played: Played) -> Text:
    """Devices over time: `█` run the version, `▓` failed, `░` are offered it and on their way."""
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
    end = _time(played.seconds)
    drawn.append(" " * 11 + "0" + end.rjust(_COLUMNS - 1) + "\n", "dim")
    legend = (("█", "run it"), ("░", "on their way"), ("▓", "failed"))
    for mark, meaning in legend:
        drawn.append(" " * (11 if mark == "█" else 2) + mark, _STYLES[mark])
        drawn.append(f" {meaning}")
    return drawn


def svg(played: Played, title: str) -> str:
    """The same as a picture that explains itself, for a browser or a document."""
    top = max(1, *(point.offered for point in played.points))
    seconds = max(1.0, played.seconds)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600" fill="#1b2733">{escape(title)}</text>',
        *_axes(top, seconds),
        *_waves(played, seconds),
        _area(played, top, seconds),
        _line(played, top, seconds, "offered", "#0b7285", dashes="5 3"),
        _line(played, top, seconds, "running", "#2b8a3e"),
        _line(played, top, seconds, "failed", "#c92a2a"),
        *_stop(played, seconds),
        *_legend(),
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


def _axes(top: int, seconds: float) -> Iterator[str]:
    for part in range(5):
        y, devices = _y(top * part / 4, top), top * part / 4
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#e3e8ee"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#52606d">{_devices(devices)}</text>'
    each = next((nice for nice in _NICE_SECONDS if seconds / nice <= 8), _NICE_SECONDS[-1])
    for at in range(0, int(seconds) + 1, each):
        x = _x(at, seconds)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 30}" text-anchor="middle" fill="#52606d">{_time(at)}</text>'
    middle = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) / 2
    turned = f'transform="rotate(-90 16 {middle})" text-anchor="middle" fill="#52606d"'
    yield f'<text x="16" y="{middle}" {turned}>devices</text>'


def _waves(played: Played, seconds: float) -> Iterator[str]:
    wave = -1
    for point in played.points:
        if point.wave > wave:
            wave, x = point.wave, _x(point.seconds, seconds)
            yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#b8c2cc"/>'
            yield f'<text x="{x + 3:.1f}" y="{_TOP + 10}" fill="#52606d">wave {wave + 1}</text>'


def _stop(played: Played, seconds: float) -> Iterator[str]:
    if played.stopped_seconds is not None:
        x = _x(played.stopped_seconds, seconds)
        red = 'stroke="#c92a2a" stroke-width="2"'
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" {red}/>'
        yield f'<text x="{x - 5:.1f}" y="{_TOP + 26}" text-anchor="end" fill="#c92a2a">stopped</text>'


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


def _legend() -> Iterator[str]:
    for at, (colour, meaning) in enumerate((("#0b7285", "offered"), ("#2b8a3e", "run it"), ("#c92a2a", "failed"))):
        x = _LEFT + 90 * at
        yield f'<line x1="{x}" y1="40" x2="{x + 18}" y2="40" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{x + 24}" y="44" fill="#1b2733">{meaning}</text>'


def _devices(count: float) -> str:
    return f"{count:,.0f}"


def _time(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 3 * 86_400:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86_400:.3g} d"
