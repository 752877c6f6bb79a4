"""YAML as values with places: what it means, what is refused, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.manifests.source import MAX_DEPTH, Lines, documents, plain_scalar


def plain(text: str) -> list[object]:
    nodes, faults = documents(Lines("a.yaml", text), text)
    assert not faults, faults
    return [node.plain() for node in nodes]


def told(text: str) -> list[str]:
    return [str(fault) for fault in documents(Lines("a.yaml", text), text)[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("22:00", "22:00"),
        ("1_000", "1_000"),
        ("2026-11-27", "2026-11-27"),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("{a: [1, x], b: null}", {"a": [1, "x"], "b": None}),
        ("{on: 1, 2: b}", {"on": 1, "2": "b"}),
        ("|\n two\n lines\n", "two\nlines\n"),
    ],
)
def test_a_value_is_read_by_the_core_schema(text: str, value: object) -> None:
    assert plain(f"x: {text}") == [{"x": value}]


def test_a_file_holds_several_documents_and_the_empty_ones_are_none() -> None:
    assert plain("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]


def test_an_alias_stands_for_what_it_names() -> None:
    assert plain("a: &x {b: 1}\nc: *x\n") == [{"a": {"b": 1}, "c": {"b": 1}}]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\r\n# x\u2028b: 2\n", "a.yaml:2:4: YAML has no character U+2028 here: write it as an escape in"),
        ("a: 'x\u2029'\n", "a.yaml:1:6: YAML has no character U+2029 here"),
        ("a: 1\rb: x\x85\n", "a.yaml:2:5: YAML has no character U+0085 here"),
        ("a: 1\nb:\n  a: 2\na: 3\n", "a.yaml:4:1: 'a' is given twice, first in line 1."),
        ("a: [1,\n  2\nb: 3\n", "a.yaml:3:2: This is not YAML: expected ',' or ']', but got ':', while parsing a flow"),
        ("a: !!int '3'\n", "a.yaml:1:4: Tags such as 'tag:yaml.org,2002:int' are not taken: leave it out."),
        ("a: !!python/object:os.system x\n", "a.yaml:1:4: Tags such as"),
        ("[a]: 1\n", "a.yaml:1:1: A key is a text, and nothing else."),
        ("a: .inf\n", "a.yaml:1:4: .inf is no number that JSON has."),
        ("a: 1e999\n", "a.yaml:1:4: 1e999 is no number that JSON has."),
        ("a: " + "9" * 5000, "a.yaml:1:4: 9999"),
        ("a: *b\n", "a.yaml:1:4: No whole value before here is named &b."),
        ("a: &b [*b]\n", "a.yaml:1:8: No whole value before here is named &b."),
        ("a: 1\n--- \nb: &x 1\n---\nc: *x\n", "a.yaml:5:4: No whole value before here is named &x."),
        ("ok: 1\nname: a\x07\n", "a.yaml:2:8: YAML has no character U+0007 here"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_at_its_place(text: str, fault: str) -> None:
    assert told(text)[0].startswith(fault)


def test_all_faults_of_a_file_are_told_at_once() -> None:
    assert len(told("a: 1\na: 2\nb: !x 3\nc: .nan\n")) == 3


def test_aliases_that_multiply_are_counted_and_not_written_out() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for one, before in zip("bcdefghi", "abcdefgh", strict=True):
        bomb += f"{one}: &{one} [{', '.join(['*' + before] * 10)}]\n"
    assert told(bomb) == [
        "a.yaml:4:4: With its aliases written out, this holds 11,111 values, and may hold 10,000.",
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 50_000, "? " * 50_000, "{a: " * 30_000])
def test_depth_cannot_exhaust_the_stack(text: str) -> None:
    assert told(text)[-1].endswith(f"This is nested more than {MAX_DEPTH} deep.")


def test_aliases_in_aliases_count_for_the_depth() -> None:
    text = "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else ''}]\n" for n in range(MAX_DEPTH + 1))
    assert "nested more than" in told(text)[0]


def test_a_file_of_too_many_values_is_read_no_further() -> None:
    assert told("- a\n" * 30_000) == ["a.yaml:10000:3: Up to here the file holds 10,000 values: split it."]


@given(st.text(alphabet=st.sampled_from(list("ab:-?[]{}&*!|>'\"#, \n\t%@`~1.é\x85")), max_size=60))
def test_no_text_at_all_brings_it_down(text: str) -> None:
    lines = Lines("a.yaml", text)
    for fault in documents(lines, text)[1]:
        assert fault.line >= 1
        assert fault.column >= 1


@given(st.text(max_size=20))
def test_a_plain_scalar_is_what_json_has_or_a_text(text: str) -> None:
    value = plain_scalar(text)
    assert value is None or isinstance(value, (bool, int, float, str))
