"""What a model may grow the agent by, where the owner of the device has set nothing."""

import os

import pytest

from edge_agent import config
from edge_agent.agent import _limits
from edge_agent.config import Config, Serving

MEBIBYTE = 1024 * 1024


def on_a_device_of(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": mebibytes * 256}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)


def test_it_is_a_quarter_of_a_large_device(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_device_of(monkeypatch, 16_384)
    assert _limits(Config()).growth_bytes == 4096 * MEBIBYTE


def test_on_a_small_one_what_requests_may_hold_is_held_against_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_device_of(monkeypatch, 1024)
    assert _limits(Config(serving=Serving(body_max_bytes=8 * MEBIBYTE))).growth_bytes == (256 + 5 * 8) * MEBIBYTE
    assert _limits(Config()).growth_bytes == (256 + 5 * 64) * MEBIBYTE


def test_who_sets_it_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_device_of(monkeypatch, 1024)
    assert _limits(Config(limits=config.Limits(growth_bytes=7 * MEBIBYTE))).growth_bytes == 7 * MEBIBYTE
