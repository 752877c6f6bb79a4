"""What is sent next, how much of it, and when it is sent again: the rules of draining, one by one."""

import random
from collections import Counter

from edge_agent.core.drain import (
    FIRST_RECORDS,
    FIRST_TIMEOUT_SECONDS,
    LONGEST_SPREAD_SECONDS,
    LONGEST_TIMEOUT_SECONDS,
    MOST_RECORDS,
    Backlog,
    Drain,
    Flight,
    GiveUp,
    Send,
    Wait,
    acked,
    chance,
    connected,
    disconnected,
    following,
    heard,
    sent,
    timeout_seconds,
    turned_down,
)
from fleet_contract.because import Because
from fleet_contract.telemetry import Ack


def ack(through: int, boot: str = "b1") -> Ack:
    return Ack("press-1", boot, through)


def in_flight(after: int = 10, through: int = 20, *, at: float = 100.0, boot: str = "b1") -> Drain:
    return sent(Drain(), Send(boot, after, after), through, at)


def test_nothing_is_sent_when_nothing_waits():
    assert following(Drain(), None, 0.0) == Wait(None)


def test_windows_that_wait_are_sent_at_once_after_what_the_hub_has():
    assert following(Drain(), Backlog("b1", 10, 20), 0.0) == Send("b1", 10, 10)


def test_only_one_batch_is_in_flight():
    step = following(in_flight(), Backlog("b1", 10, 35), 100.0)
    assert isinstance(step, Wait)
    assert step.until is not None
    assert 100.0 + FIRST_TIMEOUT_SECONDS <= step.until <= 100.0 + 1.5 * FIRST_TIMEOUT_SECONDS


def test_an_ack_lets_the_next_batch_go_and_lets_it_be_larger():
    drain = acked(in_flight(), ack(20), mark=10)
    assert following(drain, Backlog("b1", 20, 35), 100.1) == Send("b1", 20, 20, 2 * FIRST_RECORDS)
    for _ in range(20):
        drain = acked(sent(drain, Send("b1", 20, 20), 30, 101.0), ack(30), mark=20)
    assert drain.most_records == MOST_RECORDS


def test_a_batch_that_is_not_answered_is_sent_again_with_longer_and_longer_waits():
    drain, now, waits = Drain(), 0.0, []
    for _ in range(6):
        step = following(drain, Backlog("b1", 10, 20), now)
        assert step == Send("b1", 10, 10)
        drain = sent(drain, step, 20, now)
        wait = following(drain, Backlog("b1", 10, 20), now)
        assert isinstance(wait, Wait)
        waits.append(wait.until - now)
        now = wait.until
    assert all(least <= wait <= 1.5 * least for wait, least in zip(waits, [10, 20, 40, 60, 60, 60], strict=True))
    assert len(set(waits)) == 6
    assert timeout_seconds(10**9) == LONGEST_TIMEOUT_SECONDS


def test_a_new_connection_sends_at_once_what_was_in_flight():
    assert following(disconnected(in_flight()), Backlog("b1", 10, 20), 100.1) == Send("b1", 10, 10)


def test_a_hub_that_stands_before_the_batch_gets_all_that_is_left_from_there():
    # Its lake was restored from a backup: it says 4, and what it once had up to 10 is gone here.
    drain = acked(in_flight(), ack(4), mark=10)
    assert following(drain, Backlog("b1", 10, 20), 100.1) == Send("b1", 4, 10)


def test_the_rewound_mark_is_said_again_when_that_batch_too_is_lost():
    drain = acked(in_flight(), ack(4), mark=10)
    drain = sent(drain, Send("b1", 4, 10), 20, 101.0)
    assert following(disconnected(drain), Backlog("b1", 10, 20), 102.0) == Send("b1", 4, 10)


def test_an_advance_ends_the_rewinding():
    drain = acked(in_flight(), ack(4), mark=10)
    drain = acked(sent(drain, Send("b1", 4, 10), 20, 101.0), ack(20), mark=10)
    assert following(drain, Backlog("b1", 20, 30), 102.0) == Send("b1", 20, 20, 2 * FIRST_RECORDS)


def test_late_acks_cause_one_sending_at_most_before_time_does():
    drain = in_flight()
    for number in (3, 4, 2):
        before = drain
        drain = acked(drain, ack(number), mark=10)
        if number == 3:
            drain = sent(drain, Send("b1", 3, 10), 20, 101.0)
        else:
            # The gap is already answered; these were merely late.
            assert drain == before


def test_the_ack_of_the_batch_before_is_no_gap():
    assert acked(in_flight(), ack(10), mark=10) == in_flight()


def test_an_ack_for_a_part_keeps_the_batch_in_flight():
    drain = acked(in_flight(), ack(15), mark=10)
    assert drain.flight == Flight("b1", 10, 20, 100.0)
    assert isinstance(following(drain, Backlog("b1", 15, 20), 101.0), Wait)


def test_an_ack_of_another_boot_leaves_the_batch_in_flight():
    assert acked(in_flight(), ack(7, "b0"), mark=3).flight == Flight("b1", 10, 20, 100.0)
    assert acked(in_flight(), ack(0, "b0"), mark=3).flight == Flight("b1", 10, 20, 100.0)


def test_a_batch_whose_windows_are_no_longer_waiting_does_not_hold_up_the_next_boot():
    assert following(in_flight(boot="b1"), Backlog("b2", 0, 5), 100.0) == Send("b2", 0, 0)


def in_flight_named(records: int, batch: str = "abc") -> Drain:
    return sent(Drain("press-1"), Send("b1", 10, 10), 10 + records, 100.0, records, batch)


def busy(seconds: int, batch: str = "abc") -> Ack:
    return Ack("press-1", "", 0, batch=batch, wait_seconds=seconds)


def refused(batch: str = "abc") -> Ack:
    return Ack("press-1", "", 0, batch=batch, refused=Because("telemetry-wrong", "It has version 0."))


def test_a_batch_that_finds_no_room_is_sent_again_about_when_the_hub_says():
    drain, given_up = turned_down(in_flight_named(8), busy(60), 101.0)
    assert given_up is None
    step = following(drain, Backlog("b1", 10, 20), 101.0)
    assert isinstance(step, Wait)
    assert step.until is not None
    assert 131.0 <= step.until <= 191.0
    assert following(drain, Backlog("b1", 10, 20), step.until) == Send("b1", 10, 10)


def test_a_batch_that_is_refused_is_sent_by_halves_until_the_bad_one_is_alone_and_given_up():
    drain, sizes, given_up = in_flight_named(9), [], None
    while given_up is None:
        drain, given_up = turned_down(drain, refused(), 101.0)
        step = following(drain, Backlog("b1", 10, 20), 101.0)
        assert isinstance(step, Send)
        sizes.append(step.records)
        if given_up is None:
            drain = sent(drain, step, 10 + step.records, 101.0, step.records, "abc")
    assert sizes == [4, 2, 1, 1]
    assert given_up == GiveUp("b1", 11)
    # The hub still stands at 10, and what comes next says so.
    assert following(drain, Backlog("b1", 11, 20), 101.0) == Send("b1", 10, 11, 1)


def test_what_is_said_of_another_batch_changes_nothing():
    drain = in_flight_named(8)
    for answer in (busy(60, "other"), refused("other")):
        assert turned_down(drain, answer, 101.0) == (drain, None)
    assert turned_down(Drain(), refused(), 101.0) == (Drain(), None)


def test_devices_that_come_back_together_do_not_send_together():
    starts = []
    for number in range(1000):
        step = following(connected(Drain(f"press-{number}"), 60_480, 100.0), Backlog("b1", 0, 60_480), 100.0)
        starts.append(step.until - 100.0 if isinstance(step, Wait) and step.until is not None else 0.0)
    a_second = Counter(int(start) for start in starts)
    assert max(starts) <= LONGEST_SPREAD_SECONDS
    assert max(a_second.values()) < 50
    assert len(a_second) >= 55


def test_a_device_with_hardly_anything_to_say_says_it_at_once():
    assert isinstance(following(connected(Drain("press-1"), 2, 100.0), Backlog("b1", 0, 2), 100.0), Send)


def test_chance_is_the_same_for_one_device_and_spread_over_many():
    assert chance("press-1", 7) == chance("press-1", 7)
    drawn = [chance(f"press-{number}", 0) for number in range(2000)]
    assert all(0 <= one < 1 for one in drawn)
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.02


def test_a_sign_of_life_from_a_hub_that_did_not_answer_has_it_asked_again_soon():
    drain = in_flight_named(8)
    assert heard(drain, 100.5) == drain
    step = following(heard(drain, 103.0), Backlog("b1", 10, 20), 103.0)
    assert isinstance(step, Wait)
    assert step.until is not None
    assert step.until < 104.0
    assert heard(Drain(), 103.0) == Drain()


def test_a_storm_of_late_and_doubled_messages_dies_down():
    """Every message is doubled and comes in any order: what is sent stays in proportion to what there is to say."""
    chance = random.Random(7)
    drain, made, mark, hub = Drain(), 200, 0, 0
    up: list[tuple[int, int]] = []
    down: list[int] = []
    sendings, now = 0, 0.0
    while mark < made:
        now += 0.1
        step = following(drain, Backlog("b1", mark, made), now)
        if isinstance(step, Send):
            through = min(step.since + 10, made)
            drain = sent(drain, step, through, now)
            up += [(step.after, through)] * 2
            sendings += 1
        if up and chance.random() < 0.7:
            after, through = up.pop(chance.randrange(len(up)))
            hub = max(hub, through) if after <= hub else hub
            down += [hub] * 2
        if down and chance.random() < 0.7:
            through = down.pop(chance.randrange(len(down)))
            drain = acked(drain, ack(through), mark)
            mark = max(mark, through)
    assert sendings <= 3 * made / 10
