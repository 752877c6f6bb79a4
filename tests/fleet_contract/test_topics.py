"""Topics: built and parsed alike, a shard for ever, and at most seven slashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contract.errors import ContractError
from fleet_contract.topics import SHARDS, Address, Channel, check_id, parse, shard_of, topic, upward

IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(IDS, IDS, st.sampled_from(Channel))
def test_what_a_topic_was_made_of_is_read_from_it(fleet: str, device: str, channel: Channel) -> None:
    text = topic(Address(fleet, device), channel)
    assert parse(text) == (Address(fleet, device), channel)
    assert text.count("/") <= 7


@given(IDS, IDS, st.sampled_from(Channel))
def test_the_hub_hears_its_fleets_devices_and_no_other_way(fleet: str, device: str, channel: Channel) -> None:
    text = topic(Address(fleet, device), channel)
    for heard in (upward(fleet), upward(fleet, shard_of(device))):
        assert matches(heard, text) == channel.startswith("up/")
    assert not matches(upward(fleet, (shard_of(device) + 1) % SHARDS), text)
    assert not matches(upward(fleet + "x"), text)


def matches(filter_: str, text: str) -> bool:
    """MQTT's rule, for a filter that ends in #."""
    wanted = filter_.removesuffix("/#").split("/")
    return all(one in ("+", level) for one, level in zip(wanted, text.split("/"), strict=False))


@pytest.mark.parametrize(
    ("device", "shard"), [("gw-berlin-1", 5), ("gw-1", 43), ("a", 47), ("demo-6", 8), ("x" * 63, 29)]
)
def test_a_device_stays_in_its_shard_for_ever(device: str, shard: int) -> None:
    assert shard_of(device) == shard


def test_devices_spread_over_all_shards() -> None:
    counts = [0] * SHARDS
    for number in range(6400):
        counts[shard_of(f"gw-{number}")] += 1
    assert 50 < min(counts) <= max(counts) < 160


@pytest.mark.parametrize(
    "text",
    [
        "", "v1", "v2/default/{s}/gw-1/up/report", "v1/default/{s}/gw-1/up", "v1/default/{s}/gw-1/up/report/more",
        "v1/default/{s}/gw-1/up/REPORT", "v1/default/{s}/gw-1/down/report", "v1/default/99/gw-1/up/report",
        "v1/default/0{s}/gw-1/up/report", "v1/+/{s}/gw-1/up/report", "v1/default/{s}/#/up/report",
        "v1/default/{s}/GW-1/up/report", "v1//{s}/gw-1/up/report", "v1/default/{s}/gw-1\n/up/report",
        "$SYS/broker/uptime",
    ],
)  # fmt: skip
def test_another_topic_is_refused(text: str) -> None:
    with pytest.raises(ContractError) as refused:
        parse(text.replace("{s}", str(shard_of("gw-1"))))
    assert refused.value.code in ("topic-wrong", "id-wrong")


@given(st.text(max_size=90))
def test_any_text_is_a_topic_or_a_contract_error(text: str) -> None:
    try:
        address, channel = parse(text)
    except ContractError:
        return
    assert topic(address, channel) == text


@pytest.mark.parametrize("text", ["a", "0", "gw-1", "a" * 63])
def test_a_dns_label_is_an_id(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "a" * 64, "A", "a.b", "a/b", "a b", "a\n", "ä", "a_b", "+", "#"])
def test_what_is_no_dns_label_is_no_id_and_says_what_one_is(text: str) -> None:
    with pytest.raises(ContractError) as refused:
        check_id(text, "fleet")
    assert refused.value.code == "id-wrong"
    assert "cannot be a fleet" in refused.value.what
    assert "hyphen" in refused.value.remedy
