"""A topic of Debian's Mosquitto, which keeps what we have not answered: nothing with a promise is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.sources.mqtt import MqttSource
from edge_agent.sources.settings import Mqtt
from tests.edge_agent.sources.test_mqtt import TOPIC, Application, application, first, subscribed, value
from tests.fakes.releases import a_manifest
from tests.fakes.waiting import until
from tests.live.test_mosquitto import Mosquitto

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def app(broker: Mosquitto) -> Iterator[Application]:
    with application(broker.port) as app:
        yield app


def source(broker: Mosquitto, **settings: Any) -> MqttSource:
    return MqttSource(Mqtt("digits", TOPIC, port=broker.port, **settings))


def test_of_messages_without_a_promise_the_newest_are_kept(broker, app):
    one = source(broker, queue=3)
    records = one.records(a_manifest())
    subscribed(one, records)
    app.send(1, qos=1)
    assert value(first(records)) == 1
    app.send(*range(2, 12), qos=0)
    until(lambda: one.trouble and one.trouble.code == "source-overrun" and " 8 " in one.trouble.sentence)
    values = []
    for _ in range(3):
        record = first(records)
        values.append(value(record))
        record.done(True)
    assert values == [1, 10, 11]
    one.close()


def test_the_broker_keeps_what_does_not_fit_and_what_comes_while_no_agent_runs(broker, app):
    one = source(broker, queue=2)
    records = one.records(a_manifest())
    subscribed(one, records)
    app.send(*range(1, 11))
    for wanted in (1, 2, 3):
        record = first(records)
        assert value(record) == wanted
        record.done(True)
    assert len(one._subscription._waiting) <= 2
    first(records)
    one.close()
    app.send(11, 12)
    # 3 was acked just before the end, which the broker may not have heard: at least once, and in order.
    again = source(broker, queue=2)
    records = again.records(a_manifest())
    values: list[float] = []
    while not values or values[-1] < 12:
        record = first(records)
        values.append(value(record))
        record.done(True)
    assert values in (list(range(4, 13)), list(range(3, 13)))
    again.close()
