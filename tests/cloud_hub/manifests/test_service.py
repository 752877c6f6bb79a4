"""Manifests against a hub: what would change, what then changes, and what never does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from cloud_hub import problems
from cloud_hub.access.once import Requests
from cloud_hub.database import Database
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.errors import Stale
from cloud_hub.manifests import api
from cloud_hub.manifests.service import ManifestService
from cloud_hub.manifests.views import ManifestFile
from tests.fakes.clock import StoppedClock
from tests.fakes.paper_gateways import PaperGateways

MANIFEST = """\
apiVersion: vedette/v1
kind: Rollout
metadata: {name: digits-lyon}
spec:
  model: digits
  version: 1
  waves: [{devices: 1}, {percent: 100}]
"""
FASTER = MANIFEST + "  soak_seconds: 5\n"


@pytest.fixture
def fleet(database: Database, tmp_path: Path, clock: StoppedClock) -> PaperGateways:
    fleet = PaperGateways(database, tmp_path / "blobs", clock)
    fleet.join("a", "b")
    fleet.join("c", target="cpu-avx2")
    fleet.register()
    fleet.register(targets=("cpu-vnni",))
    return fleet


@pytest.fixture
def http(fleet: PaperGateways) -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(service_of(fleet)), prefix="/api/v1")
    with TestClient(app) as client:
        yield client


def service_of(fleet: PaperGateways, kind: type[ManifestService] = ManifestService) -> ManifestService:
    return kind(fleet.rollouts, cohorts_of(fleet), Requests(fleet.database, fleet.clock))


def cohorts_of(fleet: PaperGateways) -> CohortService:
    return CohortService(fleet.database, fleet.changes, fleet.clock)


def files(*texts: str) -> dict[str, Any]:
    return {"files": [{"name": f"{'abc'[number]}.yaml", "text": text} for number, text in enumerate(texts)]}


def told(http: TestClient, *texts: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/api/v1/manifests/diff", json=files(*texts) | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def applied(http: TestClient, *texts: str, headers: dict[str, str] | None = None, **more: Any) -> list[dict[str, Any]]:
    answer = http.post("/api/v1/manifests/apply", json=files(*texts) | more, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["manifests"]
    return found


def test_a_new_manifest_is_told_with_all_its_defaults_and_nothing_is_started(http: TestClient, fleet: Any) -> None:
    found = told(http, MANIFEST)
    (one,) = found["manifests"]
    assert (found["differs"], one["change"], one["rollout"]) == (True, "new", None)
    assert one["diff"].startswith("--- /dev/null\n+++ a.yaml\n@@ -0,0 +1,")
    assert "\n+  success_percent: 95.0\n" in one["diff"]
    assert one["sentence"] == "digits-lyon is new: a rollout starts for 3 devices, 2 of them at once."
    assert fleet.rollouts.page().total == 0


def test_applied_again_it_changes_nothing_whatever_became_of_its_rollout(http: TestClient, fleet: Any) -> None:
    (first,) = applied(http, MANIFEST, headers={"Vedette-Actor": "ada"})
    assert (first["outcome"], first["rollout"]["created_by"]) == ("created", "ada")
    assert first["rollout"]["manifest"] == {"name": "digits-lyon", "generation": 1}
    fleet.rollouts.abort(first["rollout"]["id"])
    fleet.rollouts.tick()
    reordered = MANIFEST.replace("version: 1", "soak_seconds: 60.0\n  version: 1") + "  # a comment\n"
    (second,) = applied(http, reordered)
    assert second["outcome"] == "unchanged"
    assert second["rollout"]["id"] == first["rollout"]["id"]
    assert "has not changed: digits-v1-" in second["sentence"]
    found = told(http, reordered)
    assert (found["differs"], found["manifests"][0]["diff"]) == (False, "")


def test_a_changed_spec_is_told_line_by_line_and_starts_a_rollout_that_takes_over(http: TestClient, fleet: Any) -> None:
    (first,) = applied(http, MANIFEST)
    (difference,) = told(http, FASTER)["manifests"]
    was = first["rollout"]["id"]
    assert difference["diff"].startswith(f"--- {was} (running)\n+++ a.yaml\n")
    changes = [line for line in difference["diff"].splitlines()[2:] if line[0] in "+-"]
    assert changes == ["-  soak_seconds: 60.0", "+  soak_seconds: 5.0"]
    takes_over = f"it takes over from {was} (version 1, running)."
    assert difference["sentence"] == (
        f"digits-lyon has changed: a rollout starts for 3 devices, 2 of them at once; {takes_over}"
    )
    fields = [(one["where"], one["before"], one["after"]) for one in difference["fields"]]
    assert fields == [("spec.soak_seconds", 60.0, 5.0)]
    (second,) = applied(http, FASTER)
    assert (second["outcome"], second["rollout"]["manifest"]["generation"]) == ("changed", 2)
    assert second["sentence"].endswith(f"has started; {takes_over}")
    fleet.rollouts.tick()
    assert fleet.rollouts.get(was).state == "superseded"


def test_again_starts_what_has_not_changed_once_a_key(http: TestClient, fleet: Any) -> None:
    applied(http, MANIFEST)
    (one,), (two,) = (applied(http, MANIFEST, again=True, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert one["rollout"]["id"] == two["rollout"]["id"]
    assert one["sentence"].startswith("digits-lyon is started again: ")
    assert fleet.rollouts.page().total == 2


def test_what_the_hub_does_not_have_is_a_fault_at_its_line(http: TestClient) -> None:
    for text, where, what in (
        (MANIFEST.replace("digits\n", "faces\n"), (5, "spec.model"), "There is no model 'faces'."),
        (MANIFEST.replace("version: 1", "version: 9"), (6, "spec.version"), "9"),
        (MANIFEST.replace("version: 1", "version: 2"), (6, "spec.version"), "no artifact for 1 of the devices"),
    ):
        answer = http.post("/api/v1/manifests/diff", json=files(text))
        assert (answer.status_code, answer.json()["code"]) == (422, "manifest-wrong")
        (fault,) = answer.json()["errors"]
        assert (fault["file"], fault["line"], fault["column"], fault["where"]) == ("a.yaml", where[0], 3, where[1])
        assert what in fault["what"]
        assert fault["excerpt"] == text.splitlines()[where[0] - 1]


def test_nothing_is_started_when_anything_is_wrong(http: TestClient, fleet: Any) -> None:
    other = MANIFEST.replace("digits-lyon", "other").replace("version: 1", "version: one")
    assert http.post("/api/v1/manifests/apply", json=files(MANIFEST, other)).status_code == 422
    assert fleet.rollouts.page().total == 0


def test_a_manifest_keeps_its_model_and_slot(http: TestClient) -> None:
    applied(http, MANIFEST)
    answer = http.post("/api/v1/manifests/apply", json=files(MANIFEST + "  slot: shadow\n"))
    (fault,) = answer.json()["errors"]
    assert (fault["line"], fault["where"]) == (8, "spec.slot")
    assert "rolls out digits in the slot default" in fault["what"]


def test_two_manifests_of_one_slot_of_a_model_are_rivals(http: TestClient) -> None:
    answer = http.post("/api/v1/manifests/diff", json=files(MANIFEST, MANIFEST.replace("lyon", "paris")))
    (fault,) = answer.json()["errors"]
    assert (fault["file"], fault["line"]) == ("b.yaml", 5)
    assert "'digits-lyon' in a.yaml" in fault["what"]


def test_of_two_that_apply_the_same_in_one_moment_one_is_told_to_try_again(fleet: PaperGateways) -> None:
    class Late(ManifestService):
        """Does not see the rollout that another has just started."""

        def _plan(self, files: Any, again: bool) -> Any:
            planned = super()._plan(files, again)
            if fleet.rollouts.page().total == 0:
                service_of(fleet).apply(files)
            return planned

    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(service_of(fleet, Late)), prefix="/api/v1")
    with TestClient(app) as client:
        answer = client.post("/api/v1/manifests/apply", json=files(MANIFEST))
        assert (answer.status_code, answer.json()["code"]) == (409, "rollout-raced")
        assert client.post("/api/v1/manifests/apply", json=files(MANIFEST)).status_code == 200
    assert fleet.rollouts.page().total == 1


NIGHT = """\
apiVersion: vedette/v1
kind: Cohort
metadata: {name: night}
spec: {selector: target = cpu-vnni}
"""


def test_a_rollout_and_the_cohort_that_it_is_for_come_together(http: TestClient, fleet: Any) -> None:
    rollout = MANIFEST + "  selector: cohort:night\n"
    both = rollout + "---\n" + NIGHT
    assert [one["change"] for one in told(http, both)["manifests"]] == ["new", "new"]
    cohort, started = applied(http, both, headers={"Vedette-Actor": "ada"})
    assert (cohort["kind"], cohort["outcome"], cohort["rollout"]) == ("Cohort", "created", None)
    assert cohorts_of(fleet).get("night").changed_by == "ada"
    assert "Created by ada for 2 devices" in started["rollout"]["because"]["sentence"]
    assert [one["outcome"] for one in applied(http, both)] == ["unchanged", "unchanged"]


def test_a_cohort_that_changed_is_told_and_replaced(http: TestClient, fleet: Any) -> None:
    applied(http, NIGHT)
    other = NIGHT.replace("cpu-vnni", "cpu-avx2")
    (difference,) = told(http, other)["manifests"]
    assert "-  selector: target = cpu-vnni\n+  selector: target = cpu-avx2\n" in difference["diff"]
    assert difference["diff"].startswith("--- night (revision 1)\n")
    (changed,) = applied(http, other)
    assert (changed["outcome"], cohorts_of(fleet).get("night").revision) == ("changed", 2)


def test_a_number_that_nothing_could_hold_is_a_fault_at_its_line(http: TestClient) -> None:
    huge = MANIFEST.replace("version: 1", f"version: {10**30}") + "  deadline_seconds: 1e30\n"
    answer = http.post("/api/v1/manifests/diff", json=files(huge))
    assert answer.status_code == 422
    assert [fault["line"] for fault in answer.json()["errors"]] == [6, 8]
    assert all("less than or equal to" in fault["what"] for fault in answer.json()["errors"])


def test_a_cohort_that_nobody_knows_is_a_fault_at_its_line(http: TestClient) -> None:
    for text, line in (
        (MANIFEST + "  selector: cohort:day\n", 8),
        (MANIFEST + "  selector: all\n  lab: cohort:day\n", 9),
        (NIGHT.replace("target = cpu-vnni", "cohort:day"), 4),
    ):
        answer = http.post("/api/v1/manifests/apply", json=files(text))
        assert (answer.status_code, answer.json()["code"]) == (422, "manifest-wrong")
        assert answer.json()["errors"][0]["line"] == line
        assert "no cohort 'day'" in answer.json()["detail"]


def as_seen(http: TestClient, seen: str, *texts: str, key: str = "k", **more: Any) -> Response:
    headers = {"If-Match": f'"{seen}"', "Idempotency-Key": key}
    return http.post("/api/v1/manifests/apply", json=files(*texts) | more, headers=headers)


def test_what_was_shown_is_what_is_applied_once(http: TestClient, fleet: Any) -> None:
    shown = http.post("/api/v1/manifests/diff", json=files(MANIFEST, NIGHT))
    seen = shown.json()["seen"]
    assert shown.headers["ETag"] == f'"{seen}"'
    first, again = (as_seen(http, seen, MANIFEST, NIGHT) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200), "sent again it is answered again"
    assert fleet.rollouts.page().total == 1
    other = as_seen(http, seen, MANIFEST, NIGHT, key="of-another-person")
    assert (other.status_code, other.json()["code"]) == (412, "stale")


@pytest.mark.parametrize("meanwhile", ["another-version", "paused", "cohort", "text", "again"])
def test_what_would_do_something_else_than_was_shown_does_nothing(http: TestClient, fleet: Any, meanwhile: str) -> None:
    applied(http, MANIFEST, NIGHT)
    texts, more = [FASTER, NIGHT.replace("cpu-vnni", "cpu-avx2")], {}
    seen = told(http, *texts)["seen"]
    assert told(http, *texts)["seen"] == seen, "a mark stays while nothing changes"
    (running,) = fleet.rollouts.page().items
    match meanwhile:
        case "another-version":
            applied(http, FASTER.replace("5", "7"))
        case "paused":
            fleet.rollouts.pause(running.id)
        case "cohort":
            applied(http, NIGHT.replace("target = cpu-vnni", "all"))
        case "text":
            texts[0] = FASTER.replace("5", "6")
        case "again":
            more = {"again": True}
            texts[0] = MANIFEST
    before = fleet.rollouts.page().total
    for _ in range(2):
        answer = as_seen(http, seen, *texts, **more)
        assert (answer.status_code, answer.json()["code"]) == (412, "stale"), "and its key is no way round"
    assert fleet.rollouts.page().total == before
    assert as_seen(http, told(http, *texts, **more)["seen"], *texts, **more).status_code == 200


def test_a_cohort_that_means_others_by_now_is_another_plan(http: TestClient, fleet: Any) -> None:
    applied(http, NIGHT, cohort("shift", "cohort:night"))
    rollout = MANIFEST + "  selector: cohort:shift\n"
    found = told(http, rollout)
    assert " for 2 devices, " in found["manifests"][0]["sentence"]
    applied(http, cohort("night", "all"))
    assert as_seen(http, found["seen"], rollout).status_code == 412
    assert fleet.rollouts.page().total == 0


def test_of_several_plans_that_were_seen_any_is_applied(http: TestClient) -> None:
    before = told(http, MANIFEST)["seen"]
    applied(http, MANIFEST + "  soak_seconds: 5\n")
    now = told(http, MANIFEST)["seen"]
    assert as_seen(http, f'{before}", "of-another-plan', MANIFEST).status_code == 412
    assert as_seen(http, f'of-another-plan", "{now}', MANIFEST).status_code == 200


def test_how_many_a_cohort_means_that_comes_along_is_not_told_before(http: TestClient) -> None:
    applied(http, NIGHT, cohort("shift", "cohort:night"))
    found = told(http, MANIFEST + "  selector: cohort:shift\n", cohort("night", "all"))
    assert found["manifests"][1]["sentence"] == "digits-lyon is new: a rollout starts.", "2 devices are those of before"


def test_the_key_of_what_was_done_starts_nothing_again_that_was_not_shown(http: TestClient, fleet: Any) -> None:
    applied(http, MANIFEST)
    seen = told(http, MANIFEST, NIGHT)["seen"]
    assert as_seen(http, seen, MANIFEST, NIGHT).status_code == 200
    answer = as_seen(http, seen, MANIFEST, NIGHT, again=True)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-key-reused")
    assert fleet.rollouts.page().total == 1


def test_pressed_twice_in_one_moment_it_is_still_not_done_when_it_was_not_shown(fleet: PaperGateways) -> None:
    class Twice(Requests):
        """The same request comes again as soon as it has begun."""

        again = True

        def begin(self, request: Any) -> bool:
            first = super().begin(request)
            if self.again:
                self.again = False
                with pytest.raises(Stale):
                    manifests.apply(wanted, key="k", seen="of-another-plan")
            return first

    manifests = ManifestService(fleet.rollouts, cohorts_of(fleet), Twice(fleet.database, fleet.clock))
    wanted = (ManifestFile(name="a.yaml", text=MANIFEST),)
    with pytest.raises(Stale):
        manifests.apply(wanted, key="k", seen="of-another-plan")
    assert fleet.rollouts.page().total == 0


def test_what_came_and_went_meanwhile_is_another_plan(http: TestClient, fleet: Any) -> None:
    def tried() -> None:
        (one,) = applied(http, MANIFEST, again=True)
        fleet.rollouts.abort(one["rollout"]["id"])
        fleet.rollouts.tick()

    tried()
    seen = told(http, MANIFEST, again=True)["seen"]
    tried()
    assert as_seen(http, seen, MANIFEST, again=True).status_code == 412, "somebody has tried it again, and stopped it"


def test_what_only_goes_on_by_itself_is_no_other_plan(http: TestClient, fleet: Any) -> None:
    applied(http, MANIFEST)
    seen = told(http, FASTER)["seen"]
    fleet.rollouts.tick()
    fleet.join("d")
    assert as_seen(http, seen, FASTER).status_code == 200


def test_what_is_started_again_is_told_before(http: TestClient) -> None:
    (first,) = applied(http, MANIFEST)
    found = told(http, MANIFEST, again=True)
    (one,) = found["manifests"]
    assert (found["differs"], one["change"], one["fields"]) == (True, "none", []), "a rollout would start"
    assert one["sentence"] == (
        "digits-lyon is started again: a rollout starts for 3 devices, 2 of them at once; it takes over from "
        f"{first['rollout']['id']} (version 1, running)."
    )


def test_it_is_told_when_nobody_starts_at_once(http: TestClient) -> None:
    (one,) = told(http, MANIFEST + "  approval: {waves: all}\n")["manifests"]
    assert one["sentence"].endswith(" for 3 devices, and its first wave waits for an approval.")
    (one,) = told(http, MANIFEST + "  selector: site = nowhere\n")["manifests"]
    assert one["sentence"].endswith(" for the first device that fits.")


def cohort(name: str, selector: str) -> str:
    return NIGHT.replace("night", name).replace("target = cpu-vnni", selector)


def test_cohorts_come_in_the_order_in_which_they_need_each_other(http: TestClient, fleet: Any) -> None:
    texts = (cohort("a", "cohort:b or cohort:c"), cohort("b", "cohort:c"), cohort("c", "target = cpu-vnni"))
    assert [one["name"] for one in applied(http, *texts)] == ["c", "b", "a"]


def test_cohorts_in_a_circle_are_a_fault(http: TestClient) -> None:
    answer = http.post("/api/v1/manifests/diff", json=files(cohort("a", "cohort:b"), cohort("b", "cohort:a")))
    (fault,) = answer.json()["errors"]
    assert (fault["line"], fault["where"]) == (4, "spec.selector")
    assert "in a circle" in fault["what"]


def test_a_lab_without_a_device_is_told_at_its_line_before_anything_starts(http: TestClient) -> None:
    answer = http.post("/api/v1/manifests/diff", json=files(MANIFEST + "  lab: bench = yes\n"))
    (fault,) = answer.json()["errors"]
    assert (fault["line"], fault["where"]) == (8, "spec.lab")
