"""The newest order comes back as it was kept, or not at all."""

from pathlib import Path

import pytest

from edge_agent.store.disk import Disk
from edge_agent.store.orders import Kept, OrderStore
from fleet_contract.errors import Undecodable

ORDER = b'{"signed": {"generation": 7, "name": "caf\xc3\xa9"},  "signatures": []}'


def test_an_order_comes_back_byte_for_byte(tmp_path: Path) -> None:
    store = OrderStore(tmp_path / "desired.json", Disk())
    for kept in (Kept(ORDER, vouched=True), Kept(b'{"signed":{}}', vouched=False)):
        store.save(kept)
        assert store.load() == kept


def test_white_space_around_an_order_is_not_damage(tmp_path: Path) -> None:
    store = OrderStore(tmp_path / "desired.json", Disk())
    store.save(Kept(b"\n " + ORDER + b"\r\n", vouched=True))
    assert store.load().payload == ORDER


def test_no_damage_goes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    store = OrderStore(path, Disk())
    kept = Kept(ORDER, vouched=False)
    store.save(kept)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                # Between the fields of the file itself, white space is as good as other white space.
                assert store.load() == kept
            except Undecodable:
                continue
        path.write_bytes(whole[:at])
        with pytest.raises(Undecodable):
            store.load()


def test_where_none_was_kept_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OrderStore(tmp_path / "desired.json", Disk()).load()
