"""Which devices a rollout is for: those that its selector, cohorts and artifacts name, and they stay its own."""

import pytest

from cloud_hub.devices import store as devices
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortIn
from cloud_hub.errors import Invalid
from tests.cloud_hub.rollouts.canary_rollout import settled_on_version_1, start
from tests.fakes.paper_gateways import PaperGateways


def test_only_devices_that_the_selector_names_are_offered_it(fleet: PaperGateways) -> None:
    fleet.join("a", "b", site="lyon")
    fleet.join("c", site="oslo")
    fleet.register()
    rollout = start(fleet, selector="site = lyon")
    fleet.play()
    assert fleet.rollouts.get(rollout.id).counts.eligible == 2
    assert fleet.versions() == {"a": 1, "b": 1, "c": None}


def test_a_rollout_keeps_what_its_cohorts_said_when_it_was_created(fleet: PaperGateways) -> None:
    cohorts = CohortService(fleet.database, fleet.changes, fleet.clock)
    fleet.join("a", site="lyon")
    fleet.join("b", site="oslo")
    fleet.register()
    cohorts.create(CohortIn(name="home", selector="site = lyon"), "ada")
    cohorts.create(CohortIn(name="us", selector="cohort:home"), "ada")
    start(fleet, selector="cohort:us", waves=[{"percent": 100}])
    cohorts.replace("home", "all", "ada")
    fleet.play()
    assert fleet.versions() == {"a": 1, "b": None}
    cohorts.delete("us", "ada")
    fleet.orders.sweep()
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 1, "b": None}
    with pytest.raises(Invalid, match="no cohort 'us'"):
        start(fleet, selector="cohort:us")


def test_a_device_that_comes_to_be_what_a_rollout_selects_is_offered_it(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register("parts")
    start(fleet, model="parts", selector="model.digits = 2")
    fleet.play(3)
    assert set(fleet.versions("parts").values()) == {None}
    fleet.register()
    start(fleet, 2)
    fleet.play()
    assert set(fleet.versions("parts").values()) == {1}


def test_a_device_that_a_rollout_moves_out_of_its_own_selector_keeps_the_version(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    rollout = start(fleet, 2, selector="model.digits = 1 and agent = 0.1.0", waves=[{"percent": 50}, {"percent": 100}])
    fleet.play()
    done = fleet.rollouts.get(rollout.id)
    assert (done.state, done.counts.eligible, done.counts.succeeded) == ("completed", 6, 6)
    fleet.orders.sweep()
    fleet.play(3)
    assert set(fleet.versions().values()) == {2}

    newer = start(fleet, 3, selector="model.digits = 2")
    fleet.play()
    assert fleet.rollouts.get(newer.id).counts.eligible == 6
    with fleet.database.session() as session:
        devices.set_labels(session, "gw-0", {"site": "lyon"})
    fleet.rollouts.abort(start(fleet, 1, selector="site = lyon").id)
    fleet.play()
    assert set(fleet.versions().values()) == {3}


def test_a_version_without_an_artifact_for_a_device_is_refused_with_the_target_and_the_count(
    fleet: PaperGateways,
) -> None:
    fleet.join("a", "b", target="cpu-avx2")
    fleet.join("c")
    fleet.register(targets=("cpu-vnni",))
    with pytest.raises(Invalid, match="for 2 of the devices that would be offered it: 2 on cpu-avx2") as refused:
        start(fleet)
    assert refused.value.code == "artifact-missing"
    assert start(fleet, selector="target = cpu-vnni").counts.eligible == 0
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": None, "b": None, "c": 1}


def test_a_device_that_joins_with_a_target_that_has_no_artifact_keeps_the_older_version(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    fleet.register(targets=("cpu-vnni",))
    start(fleet)
    fleet.play()
    rollout = start(fleet, 2)
    fleet.play()
    assert fleet.rollouts.get(rollout.id).state == "completed"
    fleet.join("b", target="cpu-avx2")
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 2, "b": 1}
