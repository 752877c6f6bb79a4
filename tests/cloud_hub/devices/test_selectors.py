"""Selectors: what they mean, and how they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.devices.selector_text import MAX_CHARACTERS, MAX_DEPTH, SelectorWrong, parse
from cloud_hub.devices.selectors import (
    EVERYONE,
    MAX_TERMS,
    AllOf,
    Not,
    Selector,
    SelectorTooLarge,
    cohorts_of,
    is_moved,
    loosened,
    matches,
    text,
    written_out,
)
from tests.fakes.selecting import PaperDevice, fleets, selectors

DEVICE = PaperDevice(
    "a", "cpu-vnni", {"site": "lyon", "line": "3", "note": "a b", "target": "x"}, "1.10", {"digits": 2}
)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "all",
        "site = lyon",
        "site=lyon and line=3",
        "SITE = lyon".lower(),
        "site = oslo or line = 3",
        "site in (oslo, lyon)",
        "site not in (oslo, bergen)",
        "site != oslo",
        "missing != oslo",
        "not missing = oslo",
        "has site and not has missing",
        "note = 'a b'",
        'note == "a b"',
        "target = cpu-vnni",
        "target in (cpu-avx2, cpu-vnni) AND NOT line = 2",
        "label.target = x",
        '"target" = x',
        "agent > 1.9",
        "agent >= 1.10.0 and agent < 2",
        "agent in (1.9, 1.10)",
        "model.digits = 2",
        "model.digits < 3 and model.digits != 1",
        "model.sound != 1",
        "has model.digits and not has model.sound",
        "site = oslo and line = 9 or line = 3",
        "line = 3 or site = oslo and line = 9",
        "(site = oslo or line = 3) and target = cpu-vnni",
        "\n  site = lyon\n  and line = 3\n",
        "not not site = lyon",
    ],
)
def test_a_device_that_is_so_is_meant(expression: str) -> None:
    selector = parse(expression)
    assert matches(selector, DEVICE)
    assert not matches(Not(selector), DEVICE)


@pytest.mark.parametrize(
    "expression",
    [
        "not all",
        "site = oslo",
        "site = Lyon",
        "site = lyon and line = 2",
        "(site = oslo or line = 3) and target = cpu-avx2",
        "has missing",
        "agent < 1.9",
        "agent = 1.1",
        "model.digits > 2",
        "model.sound < 9",
        "has model.sound",
        "not (site = lyon or line = 9)",
    ],
)
def test_a_device_that_is_not_so_is_not_meant(expression: str) -> None:
    assert not matches(parse(expression), DEVICE)


def test_an_agent_of_no_version_is_neither_older_nor_newer() -> None:
    unknown = PaperDevice("a", agent_version="unknown")
    assert not any(matches(parse(f"agent {sign} 1.0"), unknown) for sign in ("<", "<=", "=", ">=", ">"))
    assert matches(parse("agent != 1.0"), unknown)


@pytest.mark.parametrize(
    ("expression", "column", "said"),
    [
        ("site", 5, "a comparison"),
        ("site =", 7, "a value was expected, and the end"),
        ("site = lyon line = 2", 13, "'line' is there"),
        ("site = lyon and", 16, "a condition"),
        ("and site = lyon", 1, "a condition"),
        ("site = and", 8, 'quoted: "and"'),
        ("(site = lyon", 13, '")" was expected'),
        ("site = lyon)", 12, "')' is there"),
        ("site in lyon", 9, '"(" was expected'),
        ("site in ()", 10, "a value"),
        ("site in (a b)", 12, 'a comma or ")"'),
        ("site not lyon", 6, "a comparison"),
        ("site < lyon", 6, "only agent and model versions have an order"),
        ("site = 'lyon", 8, "never closed"),
        ("site = ly\\on", 10, "means nothing"),
        ("Site = lyon", 1, "no label's key"),
        (f"site = {'x' * 64}", 8, "no label's value"),
        ("site = ''", 8, "no label's value"),
        ("'a\tb' = x", 1, "no label's key"),
        ("target = CPU", 10, "hardware target"),
        ("agent > newest", 9, "no version number"),
        ("model.digits = latest", 16, "no version of a model"),
        ("model.digits = 99999999999", 16, "no version of a model"),
        ("model. = 2", 1, "names no model"),
        ("model.Digits = 2", 1, "names no model"),
        ("cohort: and all", 1, "names no cohort"),
        ("label. = 2", 1, "no label's key"),
        ("site = a\x00b", 9, "a character here"),
        ("site = \ud800", 8, "a character here"),
        ("has", 4, "a condition"),
        ("has and", 5, "a condition"),
        ("()", 2, "a condition"),
    ],
)
def test_what_is_no_selector_is_refused_with_where_why_and_an_example(expression: str, column: int, said: str) -> None:
    with pytest.raises(SelectorWrong) as raised:
        parse(expression)
    assert raised.value.column == column
    assert said in raised.value.what
    assert "For example: site = lyon and" in raised.value.remedy


@pytest.mark.parametrize(
    "expression",
    [
        "x" * (MAX_CHARACTERS + 1),
        "(" * 2_000 + "all" + ")" * 1_000,
        "not " * 900 + "all",
        " or ".join(["a=1"] * 300),
        f"a in ({', '.join(map(str, range(300)))})",
    ],
)
def test_what_is_too_long_too_deep_or_too_much_is_refused(expression: str) -> None:
    with pytest.raises(SelectorWrong):
        parse(expression)


def test_nesting_is_allowed_up_to_its_bound() -> None:
    assert parse("(" * (MAX_DEPTH - 1) + "all" + ")" * (MAX_DEPTH - 1)) == EVERYONE


@given(selectors())
def test_a_selector_is_what_its_text_says(selector: Selector) -> None:
    assert parse(text(selector)) == selector


@given(st.text(max_size=60) | st.text("ab =!<>(),'\"\\.:andornthsi", max_size=60))
def test_any_text_is_a_selector_or_is_refused(expression: str) -> None:
    try:
        selector = parse(expression)
    except SelectorWrong as error:
        assert 1 <= error.column <= len(expression) + 1
    else:
        assert parse(text(selector)) == selector


@given(selectors(), fleets())
def test_loosening_only_adds_devices(selector: Selector, fleet: list[PaperDevice]) -> None:
    loose = loosened(selector)
    assert not is_moved(loose)
    for device in fleet:
        assert matches(loose, device) or not matches(selector, device)


def test_a_device_that_was_taken_in_stays_whatever_its_versions_and_goes_when_its_label_does() -> None:
    loose = loosened(parse("site = lyon and model.digits = 1 and not agent > 2"))
    assert matches(loose, PaperDevice("a", labels={"site": "lyon"}, running={"digits": 7}, agent_version="9"))
    assert not matches(loose, PaperDevice("a", labels={"site": "oslo"}, running={"digits": 1}, agent_version="1"))


def test_cohorts_are_written_out_also_within_each_other() -> None:
    cohorts = {"night": parse("cohort:lyon and shift = night"), "lyon": parse("site = lyon or site = villeurbanne")}
    asked = parse("not cohort:night or target = tpu")
    assert cohorts_of(asked) == {"night"}
    assert text(written_out(asked, cohorts)) == (
        "not ((site = lyon or site = villeurbanne) and shift = night) or target = tpu"
    )
    assert written_out(parse("cohort:everybody"), {"everybody": EVERYONE}) == AllOf()


def test_cohorts_within_cohorts_cannot_make_a_selector_that_is_huge() -> None:
    cohorts = {"c0": parse(" or ".join(["a=1"] * 100))}
    for number in range(1, 40):
        cohorts[f"c{number}"] = parse(f"cohort:c{number - 1} and not cohort:c{number - 1}")
    with pytest.raises(SelectorTooLarge, match=str(MAX_TERMS)):
        written_out(parse("cohort:c39"), cohorts)
