"""Two who save cohorts in the same moment: whatever each found before, what they make together can be asked for."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import cohorts as cohorts_module
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.views import CohortIn
from cloud_hub.errors import HubError
from tests.fakes.clock import StoppedClock

#: So long somebody is waited for who may not come before the one that waits has gone.
PATIENCE_SECONDS = 0.4
LARGE = f"site in ({', '.join(f'site-{number}' for number in range(180))})"


@pytest.fixture
def cohorts(database: Database, clock: StoppedClock) -> CohortService:
    return CohortService(database, Changes(), clock)


def save(cohorts: CohortService, **selectors: str) -> None:
    for name, selector in selectors.items():
        cohorts.create(CohortIn(name=name, selector=selector), "ada")


def at_once(monkeypatch: pytest.MonkeyPatch, writes: dict[Callable[[], Any], str]) -> list[str]:
    """What comes of `writes`, each of which waits after a step of its own until the others are as far: "saved", or the
    code of what it is refused with; sorted."""
    there, said = threading.Barrier(len(writes)), []

    def meeting(taken: Callable[..., Any]) -> Callable[..., Any]:
        def met(*arguments: Any) -> Any:
            result = taken(*arguments)
            with contextlib.suppress(threading.BrokenBarrierError):
                there.wait(PATIENCE_SECONDS)
            return result

        return met

    def write(one: Callable[[], Any]) -> None:
        try:
            one()
        except HubError as error:
            said.append(error.code)
        else:
            said.append("saved")

    for step in set(writes.values()):
        monkeypatch.setattr(cohorts_module, step, meeting(getattr(cohorts_module, step)))
    threads = [threading.Thread(target=write, args=(one,)) for one in writes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return sorted(said)


def test_two_that_would_refer_to_each_other_do_not(cohorts: CohortService, monkeypatch: pytest.MonkeyPatch) -> None:
    save(cohorts, a="site = lyon", b="site = oslo")
    said = at_once(
        monkeypatch,
        {
            lambda: cohorts.replace("a", "cohort:b", "ada"): "_check_others",
            lambda: cohorts.replace("b", "cohort:a", "bob"): "_check_others",
        },
    )
    assert said == ["cohort-circular", "saved"]
    cohorts.all(counted=True)


def test_two_that_would_be_too_large_for_a_third_together_are_not(
    cohorts: CohortService, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(cohorts, a="site = lyon", b="site = oslo", c="cohort:a or line = 1 and cohort:a or cohort:b")
    said = at_once(
        monkeypatch,
        {
            lambda: cohorts.replace("a", LARGE, "ada"): "_check_others",
            lambda: cohorts.replace("b", LARGE, "bob"): "_check_others",
        },
    )
    assert said == ["saved", "selector-too-large"]
    cohorts.all(counted=True)


def test_one_that_is_deleted_is_referred_to_by_nobody(cohorts: CohortService, monkeypatch: pytest.MonkeyPatch) -> None:
    save(cohorts, a="site = lyon")
    said = at_once(
        monkeypatch,
        {lambda: cohorts.delete("a", "ada"): "delete", lambda: save(cohorts, b="cohort:a"): "_check"},
    )
    assert said in (["cohort-needed", "saved"], ["cohort-unknown", "saved"])
    cohorts.all(counted=True)


def test_the_first_ones_of_a_hub_take_turns_too(cohorts: CohortService, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no row yet that could be locked."""
    begun, saved, replaced = threading.Event(), threading.Event(), threading.Event()

    def save_slowly() -> None:
        with contextlib.suppress(HubError):
            save(cohorts, b="cohort:a or line = 1 and cohort:a or line = 2 and cohort:a")

    slow = threading.Thread(target=save_slowly)

    def waiting(taken: Callable[..., None], others: threading.Event) -> Callable[..., None]:
        def step(*arguments: Any) -> None:
            taken(*arguments)
            if threading.current_thread() is slow:
                begun.set()
                others.wait(PATIENCE_SECONDS)

        return step

    monkeypatch.setattr(cohorts_module, "_alone", waiting(cohorts_module._alone, saved))
    monkeypatch.setattr(cohorts_module, "_check", waiting(cohorts_module._check, replaced))
    slow.start()
    assert begun.wait(10)
    save(cohorts, a="site = lyon")
    saved.set()
    with contextlib.suppress(HubError):
        cohorts.replace("a", LARGE, "ada")
    replaced.set()
    slow.join(30)
    cohorts.all(counted=True)
