"""Messages of a real broker come once they can be answered; wrong ones are named, and a broker that is away is, too."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.errors import SourceWrong
from edge_agent.sources.mqtt import MqttSource
from edge_agent.sources.settings import Mqtt
from edge_agent.sources.source import GLANCE_SECONDS, Record, Records
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest
from tests.fakes.rumqttd import free_port, rumqttd
from tests.fakes.waiting import until

TOPIC = "line/1/scans"


class Application:
    """What sends to the topic."""

    def __init__(self, port: int) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, *values: float, qos: int = 1) -> None:
        for value in values:
            payload = json.dumps({"image": [value, 0, 0, 0]})
            self.client.publish(TOPIC, payload, qos=qos).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def application(port: int) -> Iterator[Application]:
    made = Application(port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def source(port) -> Iterator[Callable[..., MqttSource]]:
    made: list[MqttSource] = []

    def make(**settings: Any) -> MqttSource:
        made.append(MqttSource(Mqtt("digits", TOPIC, port=port, **settings)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def first(records: Records, seconds: float = 60.0) -> Record:
    """The first record, which is waited for."""
    deadline = time.monotonic() + seconds
    while (record := next(records)) is None:
        assert time.monotonic() < deadline
    return record


def value(record: Record) -> float:
    return float(record.inputs["image"][0, 0])


def subscribed(one: MqttSource, records: Records) -> None:
    until(lambda: next(records) is not None or one.trouble is None)


def test_messages_come_in_order_and_each_waits_for_the_answer_to_the_one_before(tmp_path, port, source):
    with rumqttd(tmp_path, port), application(port) as app:
        one = source()
        records = one.records(a_manifest())
        subscribed(one, records)
        app.send(1, 2, 3)
        record = first(records)
        assert value(record) == 1
        # Not dealt with, so it comes again.
        assert value(first(records)) == 1
        first(records).done(True)
        record = first(records)
        assert value(record) == 2
        record.done(False)
        assert value(first(records)) == 3


def test_a_quiet_topic_says_so_often_enough_to_be_told_from_a_stuck_one(tmp_path, port, source):
    with rumqttd(tmp_path, port):
        records = source().records(a_manifest())
        began = time.monotonic()
        assert next(records) is None
        assert time.monotonic() - began < GLANCE_SECONDS + 10


def test_a_message_that_holds_no_record_is_named_and_does_not_come_again(tmp_path, port, source):
    with rumqttd(tmp_path, port), application(port) as app:
        one = source()
        records = one.records(a_manifest())
        subscribed(one, records)
        app.client.publish(TOPIC, b"nonsense", qos=1).wait_for_publish(5)
        app.send(2)
        record = first(records)
        assert value(record) == 2
        assert one.trouble.code == "message-wrong"
        assert TOPIC in one.trouble.sentence
        record.done(True)
        next(records)
        assert one.trouble is None


def test_what_waits_stays_while_the_model_is_exchanged(tmp_path, port, source):
    with rumqttd(tmp_path, port), application(port) as app:
        one = source()
        records = one.records(a_manifest(1))
        subscribed(one, records)
        app.send(1, 2)
        assert value(first(records)) == 1
        records.close()
        again = one.records(a_manifest(2))
        record = first(again)
        assert value(record) == 1
        record.done(True)
        assert value(first(again)) == 2


def test_a_broker_that_knows_no_limit_is_held_back_and_nothing_with_a_promise_is_lost(tmp_path, port, source):
    # rumqttd ignores the receive maximum.
    with rumqttd(tmp_path, port), application(port) as app:
        one = source(queue=2)
        records = one.records(a_manifest())
        subscribed(one, records)
        app.send(*range(1, 11))
        until(lambda: len(one._subscription._waiting) == 2)
        time.sleep(0.2)
        assert len(one._subscription._waiting) == 2
        values = []
        while len(values) < 10:
            record = first(records)
            values.append(value(record))
            record.done(True)
        assert values == list(range(1, 11))


def test_a_broker_that_is_away_is_a_trouble_until_it_is_back(tmp_path: Path, port, source):
    one = source()
    records = one.records(a_manifest())
    assert next(records) is None
    assert one.trouble.code == "source-broker-unreachable"
    assert str(port) in one.trouble.sentence
    with rumqttd(tmp_path, port), application(port) as app:
        subscribed(one, records)
        app.send(5)
        assert value(first(records)) == 5


def test_a_password_is_read_from_its_file_or_its_lack_is_named(tmp_path, source):
    with pytest.raises(SourceWrong, match="password"):
        source(username="a", password_file=tmp_path / "none").records(a_manifest())


def test_closing_one_that_holds_messages_back_takes_no_time(tmp_path, port, source):
    with rumqttd(tmp_path, port), application(port) as app:
        one = source(queue=1)
        records = one.records(a_manifest())
        subscribed(one, records)
        app.send(1, 2, 3)
        first(records)
        began = time.monotonic()
        one.close()
        assert time.monotonic() - began < 15


def test_a_message_may_say_its_true_label_and_one_that_no_answer_can_be_is_said(tmp_path, port, source):
    def send(app: Application, number: int, label: object) -> None:
        payload = json.dumps({"image": [number, 0, 0, 0], "label": label})
        app.client.publish(TOPIC, payload, qos=1).wait_for_publish(5)

    with rumqttd(tmp_path, port), application(port) as app:
        one = source()
        records = one.records(a_manifest())
        subscribed(one, records)
        for number, label in enumerate(["2", "seven", 2, None]):
            send(app, number, label)
        truths, troubles = [], []
        for _ in range(4):
            record = first(records)
            truths.append(record.truth)
            record.done(True)
            next(records)
            troubles.append(one.trouble.code if one.trouble else "")
        assert truths == [("2",), (), (), ()]
        assert troubles == ["", "labels-unusable", "labels-unusable", ""]


def test_an_input_that_is_called_label_is_no_true_label(tmp_path, port, source):
    with rumqttd(tmp_path, port), application(port) as app:
        one = source()
        records = one.records(a_manifest(inputs=(Tensor("label", "FP32", (-1, 1)),)))
        subscribed(one, records)
        app.client.publish(TOPIC, json.dumps({"label": [2]}), qos=1).wait_for_publish(5)
        assert first(records).truth == ()
