"""The uplink tells what changed once, gives up what the hub refuses, and stays away when the hub has no room."""

import random
import time
from datetime import UTC, datetime

import msgspec
import pytest

from edge_agent.core.drain import FIRST_TIMEOUT_SECONDS
from edge_agent.core.unheard import MOST_SENDINGS
from edge_agent.update.updater import UpdaterState
from fleet_contract.because import Because
from fleet_contract.encoding import encode
from fleet_contract.report import ModelReport, Phase
from fleet_contract.telemetry import Ack, Batch, Event, Lane, encode_batch, fingerprint
from fleet_contract.topics import Channel
from tests.edge_agent.test_uplink import Bench, bench, until  # noqa: F401  (a fixture)
from tests.fakes.spools import a_sample
from tests.fakes.windows import a_window

WRONG = Because("telemetry-wrong", "It has version 0.")
MODEL = ModelReport("digits", Phase.TRIAL, Because("on-trial", "It proves itself."), datetime(2026, 11, 1, tzinfo=UTC))


def events(one: Bench) -> list[Event]:
    """What waits in the lane of events."""
    return list(one.spool.read("b1", 0, 1 << 24, lane=Lane.EVENTS))


def answer(one: Bench, batch: Batch, **said: object) -> None:
    name = fingerprint(encode_batch(batch))
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "", 0, batch=name, **said)))  # type: ignore[arg-type]


def test_what_changes_is_kept_while_there_is_no_connection_and_told_when_there_is_one(bench):  # noqa: F811
    one = bench()
    until(lambda: [event.kind for event in events(one)] == ["started"])
    for phase in (Phase.FETCHING, Phase.PREFLIGHT, Phase.TRIAL):
        one.updates = UpdaterState(models=(msgspec.structs.replace(MODEL, phase=phase),))
        one.uplink.changed()
    one.troubles = [Because("disk-full", "Full.")]
    one.uplink.wake()
    until(lambda: len(events(one)) == 5)
    assert [(event.kind, event.phase) for event in events(one)] == [
        ("started", ""),
        ("phase", "fetching"),
        ("phase", "preflight"),
        ("phase", "trial"),
        ("trouble", ""),
    ]
    one.transport.connect()
    until(lambda: one.transport.events)
    assert [event.sequence for event in one.transport.events[0].events] == [1, 2, 3, 4, 5]
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "b1", 5, "events")))
    until(lambda: not one.spool.waiting(Lane.EVENTS))


def test_an_ack_of_one_lane_says_nothing_of_the_others(bench):  # noqa: F811
    one = bench()
    one.spool.append(a_window())
    one.spool.keep(a_sample())
    one.transport.connect()
    until(lambda: one.transport.events and one.transport.batches and one.transport.samples)
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "b1", 1, "events")))
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "b1", 1, "gossip")))
    until(lambda: not one.spool.waiting(Lane.EVENTS))
    assert (one.spool.waiting(), one.spool.waiting(Lane.SAMPLES)) == (1, 1)
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "b1", 1, "samples")))
    until(lambda: not one.spool.waiting(Lane.SAMPLES))
    assert one.spool.waiting() == 1


def test_samples_go_over_their_own_channel_and_all_else_over_that_of_telemetry(bench):  # noqa: F811
    one = bench()
    one.spool.append(a_window())
    for number in (1, 2):
        one.spool.keep(a_sample(number))
    one.transport.connect()
    until(lambda: one.transport.events and one.transport.batches and one.transport.samples)
    assert [sample.version for sample in one.transport.samples[0].samples] == [1, 2]
    assert one.transport.astray == []


def test_a_hub_that_knows_no_samples_gets_all_else(bench):  # noqa: F811
    one = bench()
    one.spool.keep(a_sample())
    one.transport.connect()
    for number in range(1, 4):
        one.spool.append(a_window())
        one.uplink.wake()
        until(lambda: len(one.transport.batches) == number)  # noqa: B023
        one.ack(number)
        until(lambda: not one.spool.waiting())
    assert one.spool.waiting(Lane.SAMPLES) == 1
    assert len(one.transport.samples) == 1, "one in flight, and no storm"


def test_a_hub_that_takes_all_but_samples_is_a_trouble_until_it_answers_them(bench):  # noqa: F811
    one = bench()
    one.spool.keep(a_sample())
    for number in range(1, MOST_SENDINGS + 2):
        assert one.uplink.trouble() is None
        one.spool.append(a_window())
        one.transport.connect()
        until(lambda: len(one.transport.batches) == number == len(one.transport.samples))  # noqa: B023
        one.ack(number)
        until(lambda: not one.spool.waiting())
        one.transport.disconnect()
    trouble = one.uplink.trouble()
    assert trouble is not None
    assert trouble.code == "samples-unanswered"
    one.uplink.received(Channel.ACK, encode(Ack("press-1", "b1", 1, "samples")))
    until(lambda: not one.spool.waiting(Lane.SAMPLES))
    assert one.uplink.trouble() is None


def test_a_hub_that_answers_nothing_is_no_trouble_of_samples(bench):  # noqa: F811
    one = bench()
    one.spool.append(a_window())
    one.spool.keep(a_sample())
    for number in range(1, MOST_SENDINGS + 3):
        one.transport.connect()
        until(lambda: len(one.transport.batches) == number == len(one.transport.samples))  # noqa: B023
        one.transport.disconnect()
    assert one.uplink.trouble() is None


def test_a_window_that_the_hub_refuses_is_given_up_and_the_others_arrive(bench):  # noqa: F811
    one = bench()
    for number in range(1, 21):
        one.spool.append(a_window(version=0 if number == 7 else 1))
    one.transport.connect()
    seen, taken = 0, []
    while one.spool.waiting():
        until(lambda: len(one.transport.batches) > seen or not one.spool.waiting())  # noqa: B023
        for batch in one.transport.batches[seen:]:
            seen += 1
            if any(window.version == 0 for window in batch.windows):
                answer(one, batch, refused=WRONG)
            else:
                taken += [window.sequence for window in batch.windows]
                one.ack(batch.windows[-1].sequence)
    assert taken == [number for number in range(1, 21) if number != 7]
    assert one.spool.report().lanes["windows"].dropped == {"refused": 1}
    assert seen < 15
    # What follows says where the hub stands: before the one that it never took.
    after = next(batch for batch in one.transport.batches if batch.windows[0].sequence == 8)
    assert after.after == 6


def test_a_batch_that_finds_no_room_is_not_sent_again_before_its_time(bench):  # noqa: F811
    one = bench()
    one.spool.append(a_window())
    one.transport.connect()
    until(lambda: one.transport.batches)
    began = time.monotonic()
    answer(one, one.transport.batches[0], wait_seconds=2)
    until(lambda: len(one.transport.batches) == 2)
    assert 0.9 < time.monotonic() - began < FIRST_TIMEOUT_SECONDS - 1


def test_an_order_from_a_hub_that_has_lost_the_batch_brings_it_again_at_once(bench):  # noqa: F811
    one = bench()
    one.spool.append(a_window())
    one.transport.connect()
    until(lambda: one.transport.batches)
    time.sleep(1.1)
    began = time.monotonic()
    one.uplink.received(Channel.DESIRED, b"an order")
    until(lambda: len(one.transport.batches) == 2)
    assert time.monotonic() - began < FIRST_TIMEOUT_SECONDS - 2


def test_batches_stay_below_what_the_broker_takes(bench):  # noqa: F811
    one = bench()
    one.transport.max_message_bytes = 3_000
    noise = random.Random(7)
    for _ in range(60):
        labels = {f"{noise.getrandbits(64):x}": noise.getrandbits(20) for _ in range(20)}
        one.spool.append(msgspec.structs.replace(a_window(), predictions=labels))
    too_large = {f"{noise.getrandbits(64):x}": 1 for _ in range(1000)}
    one.spool.append(msgspec.structs.replace(a_window(), predictions=too_large))
    one.spool.append(a_window())
    one.transport.connect()
    seen, taken = 0, []
    while one.spool.waiting():
        until(lambda: len(one.transport.batches) > seen or not one.spool.waiting())  # noqa: B023
        for batch in one.transport.batches[seen:]:
            seen += 1
            taken += [window.sequence for window in batch.windows]
            one.ack(taken[-1])
    assert taken == [*range(1, 61), 62]
    assert all(size <= 3_000 for size in one.transport.telemetry_sizes)
    assert one.spool.report().lanes["windows"].dropped == {"too-large": 1}


def test_a_trouble_is_reported_as_soon_as_it_is_seen_and_not_at_the_next_heartbeat(bench):  # noqa: F811
    one = bench()
    one.transport.connect()
    until(lambda: one.transport.reports)
    one.troubles = [Because("spool-damaged", "1 records of telemetry or more were damaged on disk, and are lost.")]
    one.uplink.wake()
    until(lambda: one.transport.reports[-1].troubles)
    assert one.transport.reports[-1].troubles[0].code == "spool-damaged"


@pytest.mark.parametrize("fresh", [True, False])
def test_after_an_outage_a_device_takes_its_turn(bench, fresh):  # noqa: F811
    one = bench()
    for _ in range(2 if fresh else 600):
        one.spool.append(a_window())
    one.transport.connect()
    until(lambda: one.transport.reports)
    time.sleep(0.3)
    assert bool(one.transport.batches) is fresh
