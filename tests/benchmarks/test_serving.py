"""What is made of the rounds of the serving benchmark."""

import pytest

from benchmarks import serving
from benchmarks.nets import NETS

PEERS = ("kserve", "mlserver", "bentoml", "litserve")
SERVERS = ("agent", *PEERS)


def rounds(ours: float, theirs: float, *, shared: float) -> tuple[dict, dict]:
    """Three rounds, the second on a machine that is four times slower for all."""
    pace = (1.0, 4.0, 1.0)
    latency, rate = {}, {}
    for net in NETS:
        added = {name: [theirs * slow for slow in pace] for name in PEERS}
        added |= {"agent": [ours * slow for slow in pace]}
        # The bare runtime is measured before each server, and in turn with each kind of shared memory.
        added |= {"bare": [1e9 for _ in pace for _ in SERVERS]}
        for name, factor in (("agent, sealed memory", 1), ("agent, shared memory", 9)):
            added |= {name: [factor * shared * slow for slow in pace], f"bare beside {name}": [100.0 * s for s in pace]}
        latency[net.name] = added
        rate[net.name] = {name: [1000 / slow for slow in pace] for name in ("bare", "agent", *PEERS)}
    return latency, rate


def test_a_round_on_a_slow_machine_is_compared_with_itself() -> None:
    figures = serving._figures(*rounds(ours=10, theirs=200, shared=2))
    kept = {figure.name: figure.ok for figure in figures}
    assert kept["added p50, 128 B, beside KServe's"]
    assert kept["added p50, shared memory, beside bare"]
    assert kept["8 clients, small, beside bare's"]
    assert not kept["8 clients, small, beside best peer's"], "as fast is not ten times as fast"
    assert [figure.ours / figure.anchor for figure in figures[:4]] == pytest.approx([0.05, 0.05, 0.05, 0.02])


def test_what_falls_short_is_said_to() -> None:
    figures = serving._figures(*rounds(ours=20, theirs=200, shared=3))
    assert [figure.ok for figure in figures[:4]] == [False, True, True, False]
