"""What a device should run follows from the rollouts in force, and from nothing else."""

from cloud_hub.devices.selector_text import parse
from cloud_hub.rollouts.wanted import Candidate, Claim, Place, hides, wanted
from cloud_hub.rollouts.waves import BUCKETS, ELSEWHERE, Line
from cloud_hub.rollouts.waves import place as place_of

VNNI = {"cpu-vnni": "sha256:a"}
BOTH = VNNI | {"cpu-avx2": "sha256:b"}


def claim(number: int, *, model: str = "digits", exposed: int = BUCKETS, **fields: object) -> Claim:
    values = {
        "salt": "salt",
        "slot": "default",
        "wave": 0,
        "taking": True,
        "selector": parse(""),
        "artifacts": BOTH,
        "version": number,
        "rollout": f"r{number}",
        **fields,
    }
    line = Line("all", {ELSEWHERE: exposed}, {})
    return Claim(number=number, model=model, line=line, **values)  # type: ignore[arg-type]


def versions(device: Candidate, *claims: Claim) -> dict[str, int]:
    return {
        place.model if place.slot == "default" else f"{place.model}@{place.slot}": found.version
        for place, found in wanted(device, claims).items()
    }


DEVICE = Candidate("gateway-1", "cpu-vnni", {"site": "lyon"})
PLACE = place_of("salt", "gateway-1", lab=False)


def test_the_newest_rollout_that_covers_a_device_wins() -> None:
    assert versions(DEVICE, claim(3, exposed=PLACE), claim(2), claim(1)) == {"digits": 2}
    assert versions(DEVICE, claim(3, exposed=PLACE + 1), claim(2), claim(1)) == {"digits": 3}


def test_a_rollout_that_is_reverted_gives_back_what_was_there_before() -> None:
    assert versions(DEVICE, claim(2), claim(1)) == {"digits": 2}
    assert versions(DEVICE, claim(2, exposed=0), claim(1)) == {"digits": 1}
    assert versions(DEVICE, claim(1, exposed=0)) == {}


def test_a_rollout_that_takes_nobody_keeps_those_that_follow_it() -> None:
    held = claim(2, taking=False)
    assert versions(DEVICE, held, claim(1)) == {"digits": 1}
    found = wanted(DEVICE, (held, claim(1)), {Place("digits", "default"): ("r2", "r1")})
    assert [one.version for one in found.values()] == [2]


def test_a_device_goes_back_to_a_rollout_that_it_followed_and_to_no_other() -> None:
    superseded = claim(2, taking=False)
    for followed, version in ((("r3", "r2", "r1"), 2), (("r3", "r1"), 1)):
        found = wanted(DEVICE, (superseded, claim(1)), {Place("digits", "default"): followed})
        assert [one.version for one in found.values()] == [version]


def test_a_device_that_is_not_selected_or_has_no_artifact_keeps_the_older_one() -> None:
    elsewhere = claim(2, selector=parse("site = oslo"))
    not_for_it = claim(3, artifacts={"tpu": "sha256:c"})
    assert versions(DEVICE, not_for_it, elsewhere, claim(1)) == {"digits": 1}


def test_models_do_not_touch_each_other() -> None:
    assert versions(DEVICE, claim(9, model="parts"), claim(2), claim(1)) == {"digits": 2, "parts": 9}


def test_a_shadow_takes_nothing_from_the_version_that_answers() -> None:
    shadow = claim(3, slot="shadow")
    assert versions(DEVICE, shadow, claim(2), claim(1)) == {"digits": 2, "digits@shadow": 3}
    assert not hides(shadow, claim(2))
    assert hides(claim(4, slot="shadow"), shadow)


def test_an_older_rollout_is_hidden_only_by_one_that_takes_all_its_devices() -> None:
    older = claim(1)
    assert hides(claim(2), older)
    assert not hides(older, claim(2))
    assert not hides(claim(2, model="parts"), older)
    assert not hides(claim(2, exposed=BUCKETS - 1), older)
    assert not hides(claim(2, selector=parse("target = cpu-vnni")), older)
    assert not hides(claim(2, artifacts=VNNI), older)
