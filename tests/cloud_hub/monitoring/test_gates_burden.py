"""What a version costs its device: latency, memory and heat, each against what is usual there."""

from dataclasses import replace

import pytest

from cloud_hub.monitoring.evidence import Evidence, Tally, memory_bucket
from cloud_hub.monitoring.gates import Tolerances, Verdict, judge
from fleet_contract.histogram import latency_bucket
from tests.cloud_hub.monitoring.gate_cases import case, of, verdict


def slow(name: str, devices: int, milliseconds: float) -> Evidence:
    around = [milliseconds * (0.8 + 0.01 * step) for step in range(40)]
    latency: dict[int, int] = {}
    for one in around:
        latency[latency_bucket(one * 1000)] = latency.get(latency_bucket(one * 1000), 0) + 50
    return Evidence({f"{name}-{number}": Tally(1, 2_000, 0, latency) for number in range(devices)})


def test_latency_fails_when_it_more_than_doubles_and_says_from_what() -> None:
    gate = of("latency", judge(case(slow("new", 8, 21), slow("old", 12, 10)), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "took longer than 1.5 times the usual p95 (11.9 ms)" in gate.sentence
    assert verdict("latency", case(slow("new", 8, 10.5), slow("old", 12, 10))) is Verdict.PASS


def test_a_gateway_that_always_was_slow_is_compared_with_itself() -> None:
    past = slow("new", 3, 40) + slow("old", 12, 10)
    assert verdict("latency", case(slow("new", 3, 40), slow("old", 12, 10), past)) is Verdict.PASS


def test_latency_is_not_judged_where_nothing_can_ever_be_compared() -> None:
    first = replace(case(slow("new", 3, 40), Evidence()), concurrent=False)
    assert "latency" not in {gate.name for gate in judge(first, Tolerances())}


@pytest.mark.parametrize("concurrent", [True, False])
def test_a_device_of_which_nothing_is_known_is_not_slower_than_nothing(concurrent: bool) -> None:
    little = replace(slow("new", 1, 40).by_device["new-0"], records=40, latency={latency_bucket(40_000): 40})
    past = Evidence({"new-0": little})
    treated = slow("new", 6, 40)
    gates = judge(replace(case(treated, Evidence(), past), concurrent=concurrent), Tolerances())
    said = {gate.verdict for gate in gates if gate.name == "latency"}
    assert said <= {Verdict.NOT_ENOUGH_EVIDENCE}, "nor is it known to be as fast"
    fewer = replace(case(treated, Evidence(), slow("new", 2, 40)), concurrent=concurrent)
    assert Verdict.FAIL not in {gate.verdict for gate in judge(fewer, Tolerances()) if gate.name == "latency"}


def warm(name: str, devices: int, degrees: int, megabytes: int) -> Evidence:
    one = Tally(
        200,
        memory={memory_bucket(megabytes * 1_000_000): 200},
        temperature={degrees - 1: 100, degrees: 100},
    )
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_memory_and_temperature_fail_on_many_devices_and_not_on_one() -> None:
    past = warm("new", 10, 50, 100) + warm("old", 20, 60, 100)
    control = warm("old", 20, 60, 100)
    fine = case(warm("new", 10, 52, 110), control, past)
    assert verdict("memory", fine) is verdict("temperature", fine) is Verdict.PASS
    worse = case(warm("new", 10, 70, 200), control, past)
    assert verdict("memory", worse) is verdict("temperature", worse) is Verdict.FAIL
    one = case(warm("new", 1, 70, 200), warm("old", 3, 60, 100), past)
    assert verdict("memory", one) is verdict("temperature", one) is Verdict.NOT_ENOUGH_EVIDENCE


def test_the_memory_of_a_device_of_which_nothing_is_known_is_not_more_than_none() -> None:
    past = warm("new", 1, 50, 100)
    gates = judge(replace(case(warm("new", 6, 50, 100), Evidence(), past), concurrent=False), Tolerances())
    assert Verdict.FAIL not in {gate.verdict for gate in gates}
