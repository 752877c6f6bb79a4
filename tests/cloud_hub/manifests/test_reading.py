"""From YAML to manifests: what is understood, and how what is wrong is told."""

import pytest

from cloud_hub.errors import Faulty, TooLarge
from cloud_hub.manifests.kinds import RolloutSpec
from cloud_hub.manifests.reading import read, read_policy
from cloud_hub.manifests.source import MAX_CHARACTERS
from cloud_hub.rollouts.policy import Policy, Wave

HEAD = "apiVersion: vedette/v1\nkind: Rollout\nmetadata:\n  name: digits\n"
SMALL = HEAD + "spec:\n  model: digits\n  version: 3\n"


def told(*texts: str) -> list[str]:
    with pytest.raises(Faulty) as caught:
        read([(f"{'abc'[number]}.yaml", text) for number, text in enumerate(texts)])
    return [str(fault) for fault in caught.value.faults]


def test_a_manifest_is_a_name_and_what_a_rollout_is_asked_for_with() -> None:
    text = SMALL + "  slot: shadow\n  on_stop: pause\n  waves: [{devices: 2}, {percent: 100}]\n"
    (written,) = read([("a.yaml", text)])
    assert written.manifest.metadata.name == "digits"
    wanted = written.manifest.spec.wanted()
    assert (wanted.model, wanted.version, wanted.slot) == ("digits", 3, "shadow")
    assert wanted.policy == Policy(on_stop="pause", waves=(Wave(devices=2), Wave(percent=100)))


def test_a_spec_of_what_is_asked_for_asks_for_the_same() -> None:
    wanted = read([("a.yaml", SMALL)])[0].manifest.spec.wanted()
    assert RolloutSpec.of(wanted).wanted() == wanted


def test_each_fault_has_its_line_and_column_and_says_what_is_allowed() -> None:
    text = (
        SMALL.replace("3", '"3"')
        + "  on_stop: no\n  soak_seconds: -5\n  versoin: 4\n  waves: [{devices: 1, percent: 3}]\n"
    )
    faults = told(text)
    assert faults[:3] == [
        'a.yaml:7:3: spec.version: Input should be a valid integer, and is "3".',
        "a.yaml:8:3: spec.on_stop: Input should be 'revert' or 'pause', and is \"no\".",
        "a.yaml:9:3: spec.soak_seconds: Input should be greater than or equal to 0, and is -5.",
    ]
    assert faults[3].startswith(
        "a.yaml:10:3: spec.versoin: There is no field 'versoin' here. Did you mean 'version'? Allowed: "
    )
    assert "minimum_records, model," in faults[3]
    assert faults[4] == "a.yaml:11:11: spec.waves[0]: Give either devices or percent."


def test_a_value_that_cannot_be_read_is_told_once_and_others_beside_it_too() -> None:
    assert told(SMALL + "  deadline_seconds: .inf\n  soak_seconds: 1e999\n  on_stop: no\n") == [
        "a.yaml:8:21: .inf is no number that JSON has.",
        "a.yaml:9:17: 1e999 is no number that JSON has.",
        "a.yaml:10:3: spec.on_stop: Input should be 'revert' or 'pause', and is \"no\".",
    ]


def test_a_list_with_a_wrong_item_is_not_called_too_short_besides() -> None:
    (fault,) = told(SMALL + "  waves: [{percent: 200}]\n")
    assert fault.startswith("a.yaml:8:12: spec.waves[0].percent: Input should be less than or equal to 100")


def test_a_fault_shows_its_line() -> None:
    with pytest.raises(Faulty) as caught:
        read([("a.yaml", SMALL + "  on_stop: maybe  # who knows\n")])
    assert caught.value.faults[0].excerpt == "  on_stop: maybe  # who knows"


def test_what_is_missing_is_told_where_it_should_be() -> None:
    assert told(HEAD + "spec:\n  model: digits\n") == ["a.yaml:5:1: spec.version: 'version' is missing here."]


def test_a_rule_over_several_fields_points_at_what_holds_them() -> None:
    (fault,) = told(SMALL + "  waves:\n  - devices: 3\n  - devices: 1\n")
    assert fault.startswith("a.yaml:5:1: spec: Each wave must be larger than the one before")


def test_fields_within_fields_know_what_they_may_hold() -> None:
    (fault,) = told(SMALL + "  gates: {errors: {max: 1}}\n")
    assert fault == "a.yaml:8:20: spec.gates.errors.max: There is no field 'max' here. Allowed: max_increase."


@pytest.mark.parametrize(
    ("selector", "place"),
    [
        ("site == = lyon", "8:21"),
        ("'site == = lyon'", "8:22"),
        ("|\n    site == = lyon", "8:3"),
    ],
)
def test_a_selector_is_wrong_at_its_own_column(selector: str, place: str) -> None:
    (fault,) = told(SMALL + f"  selector: {selector}\n")
    assert fault.startswith(f"a.yaml:{place}: spec.selector: The selector is wrong at column 9: ")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "a.yaml:1:1: There is no manifest in here."),
        ("- a\n", "a.yaml:1:1: A manifest is a mapping."),
        ("metadata: {name: a}\n", "a.yaml:1:1: kind: A manifest has a kind."),
        ("kind: [Rollout]\n", "a.yaml:1:1: kind: There is no kind ['Rollout']."),
        ("kind: Rolout\n", "a.yaml:1:1: kind: There is no kind 'Rolout'. It starts with `apiVersion: vedette/v1` and"),
        (SMALL.replace("v1", "v2"), "a.yaml:1:1: apiVersion: Input should be 'vedette/v1', and is \"vedette/v2\"."),
        (SMALL.replace("name: digits", "name: Digits!"), "a.yaml:4:3: metadata.name: String should match pattern"),
        (HEAD + "spec: 3\n", "a.yaml:5:1: spec: Input should be an object, and is 3."),
    ],
)
def test_what_is_no_manifest_is_told_how_one_starts(text: str, fault: str) -> None:
    assert told(text)[0].startswith(fault)


def test_the_faults_of_all_files_are_told_together_in_their_order() -> None:
    places = [fault.split(": ")[0] for fault in told(SMALL + "  x: 1\n---\nkind: 3\n", "a: [\n", SMALL)]
    assert places == ["a.yaml:8:3", "a.yaml:10:1", "b.yaml:2:1"]


def test_a_name_is_given_once_a_kind_in_all_files() -> None:
    assert told(SMALL, SMALL) == ["b.yaml:4:3: metadata.name: 'digits' is the name of another Rollout in a.yaml."]


def test_more_than_can_be_read_in_seconds_is_refused() -> None:
    with pytest.raises(TooLarge):
        read([("a.yaml", "#" * MAX_CHARACTERS), ("b.yaml", SMALL)])


@pytest.mark.parametrize(
    "text",
    [
        '{"soak_seconds": 5, "on_stop": "pause"}',
        "soak_seconds: 5\non_stop: pause\n",
        SMALL + "  soak_seconds: 5\n  on_stop: pause\n",
    ],
    ids=["json", "yaml", "manifest"],
)
def test_a_policy_is_read_alone_or_out_of_a_manifest(text: str) -> None:
    assert read_policy("a", text) == Policy(soak_seconds=5, on_stop="pause")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("soak: 5\n", "a:1:1: soak: There is no field 'soak' here. Did you mean 'soak_seconds'?"),
        ("[]", "a:1:1: A manifest is a mapping."),
        ("", "a:1:1: There is no manifest in here."),
        ("kind: Rollout\n", "a:1:1: apiVersion: 'apiVersion' is missing here."),
        (SMALL + "---\n" + SMALL.replace("name: digits", "name: other"), "a:9:1: This is a second manifest"),
        ("{", "a:1:2: This is not YAML"),
    ],
)
def test_what_is_no_policy_is_told_at_its_line(text: str, fault: str) -> None:
    with pytest.raises(Faulty) as caught:
        read_policy("a", text)
    assert str(caught.value.faults[0]).startswith(fault)
