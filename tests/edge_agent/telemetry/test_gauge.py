"""What the agent takes and how hot the device is, of this process for real, and of sensors as Linux shows them."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.telemetry.gauge import Gauge
from edge_agent.update.footprint import resident_bytes

MEGABYTE = 1 << 20


def with_sensors(root: Path, **millidegrees: str) -> Path:
    for number, (name, value) in enumerate(millidegrees.items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(name)
        (zone / "temp").write_text(value)
    return root


#: In a process of its own: of one that has grown large the kernel may take back meanwhile what it does not use.
_PEAKS = """
from edge_agent.telemetry.gauge import Gauge
gauge = Gauge()
gauge.read()
before = gauge.read().memory_bytes
large = bytearray(b"x") * (64 * 1024 * 1024)
del large
print(before, gauge.read().memory_bytes, gauge.read().memory_bytes)
"""


def test_it_reads_the_peak_since_the_reading_before_and_not_that_of_the_whole_life() -> None:
    said = subprocess.run([sys.executable, "-c", _PEAKS], check=True, capture_output=True, text=True).stdout
    before, peak, after = map(int, said.split())
    assert peak >= before + 48 * MEGABYTE
    assert after < before + 48 * MEGABYTE


#: Models are compared by it: a site whose client has memory made has no worse a model.
_LENT = """
from edge_agent.serving.sealed import Sealed
from edge_agent.telemetry.gauge import Gauge
gauge = Gauge()
gauge.read()
before = gauge.read().memory_bytes
made = Sealed(64 * 1024 * 1024)
print(before, gauge.read().memory_bytes, gauge.read().memory_bytes)
large = bytearray(b"x") * (64 * 1024 * 1024)
del large
print(gauge.read().memory_bytes)
made.close()
print(gauge.read().memory_bytes)
"""


def test_what_clients_have_made_is_in_no_peak_and_the_agents_own_is() -> None:
    said = subprocess.run([sys.executable, "-c", _LENT], check=True, capture_output=True, text=True).stdout
    before, made, lent, own, given_back = map(int, said.split())
    for peak in (made, lent, given_back):
        assert peak < before + 16 * MEGABYTE
    assert own >= before + 48 * MEGABYTE


def test_where_the_kernel_tells_no_peak_it_is_what_is_taken_now(tmp_path: Path) -> None:
    assert abs(Gauge(tmp_path).read().memory_bytes - resident_bytes()) < 16 * MEGABYTE


@pytest.mark.parametrize(
    ("sensors", "degrees"),
    [
        ({}, None),
        ({"cpu": "51234", "soc": "48000"}, 51.2),
        ({"cpu": "-40000"}, -40.0),
        ({"cpu": "not a number"}, None),
        ({"broken": "99999999", "cpu": "48000"}, 48.0),
        ({"broken": "-274000"}, None),
    ],
)
def test_the_hottest_sensor_counts_and_one_that_is_broken_does_not(
    tmp_path: Path, sensors: dict[str, str], degrees: float | None
) -> None:
    assert Gauge(with_sensors(tmp_path, **sensors)).read().temperature_c == degrees
