"""Options become a selector that the hub reads."""

from fleet_client.selectors import all_of


def test_nothing_given_selects_everybody() -> None:
    assert all_of(("", "  "), {}) == ""


def test_one_expression_is_left_as_it_is() -> None:
    assert all_of(("a = 1 or b = 2",), {}) == "a = 1 or b = 2"


def test_all_that_is_given_must_hold() -> None:
    assert all_of(("a = 1 or b = 2",), {"site": "lyon"}, ("tpu", "cpu-vnni")) == (
        "(a = 1 or b = 2) and site = lyon and target in (tpu, cpu-vnni)"
    )


def test_what_the_grammar_would_take_for_its_own_is_written_as_a_label_or_quoted() -> None:
    labels = {"target": "x", "and": "or", "note": 'say "a\\b"', "model.x": "é"}
    assert all_of((), labels) == (
        'label.target = x and label.and = "or" and note = "say \\"a\\\\b\\"" and label.model.x = "é"'
    )
