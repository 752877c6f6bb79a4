"""Every claim of the story can fail: each is given the one fact that contradicts it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet_client import Client
from fleet_client.demo.claims import BY_DEVICE, WINDOWS_ONCE, check
from fleet_client.demo.gateway import fleet_of
from fleet_client.demo.story import Told
from fleet_client.views import Rollout, Version
from tests.fakes.hub import Answer, Asked, FakeHub
from tests.fleet_client.documents import because, device, page, rollout, version

REASON = because("gate-predictions-failed", "50.2 % of 201 predictions are '0', against 9.2 %. Reverted.")


class World:
    """A story that went as it should, as the fake's documents; a test changes one of them."""

    def __init__(self, hub: FakeHub, folder: Path) -> None:
        self.hub = hub
        gateways = fleet_of(6, folder)
        names = [gateway.name for gateway in gateways]
        artifact = version()["artifacts"][0]
        targets = [{**artifact, "target": "cpu-avx2"}, {**artifact, "target": "cpu-vnni"}]
        good = version(1, artifacts=targets)
        worse = version(2, artifacts=[{**one, "accuracy": 0.2} for one in targets])
        counts = {"eligible": 6, "offered": 6, "heard": 6, "succeeded": 6}
        self.told = Told(
            gateways,
            msgspec.convert(good, Version, strict=False),
            msgspec.convert(worse, Version, strict=False),
            msgspec.convert(rollout("completed", 2, id="first", version=1, counts=counts), Rollout, strict=False),
            msgspec.convert(rollout("reverted", 0, id="second", because=REASON), Rollout, strict=False),
        )
        release = {"version": 1, "digest": "sha256:00"}
        self.devices = [
            device(
                gateway.name,
                labels=dict(gateway.labels),
                target=gateway.target,
                models=[{**device()["models"][0], "running": release}],
            )
            for gateway in gateways
        ]
        self.first = [
            self.decision(4, "completed", 2, "completed", 6, 1901),
            self.decision(3, "running", 2, "wave-opened", 3, 996),
            self.decision(2, "running", 1, "wave-opened", 1, 499),
            self.decision(1, "running", 0, "wave-opened", 0, 0),
        ]
        self.second = [
            self.decision(2, "reverting", 0, "gate-predictions-failed", 2, 201),
            self.decision(1, "running", 0, "wave-opened", 0, 0),
        ]
        self.records: list[list[Any]] = [[name, 1, 900] for name in names] + [[names[2], 2, 331], [names[3], 2, 290]]
        self.windows = [[101, 101]]
        self.health: dict[str, Any] = {"status": "ok", "version": "0.1.0", "troubles": []}

    @staticmethod
    def decision(number: int, state: str, wave: int, code: str, offered: int, records: int) -> dict[str, Any]:
        whole = rollout()
        return {
            "number": number,
            "at": whole["created_at"],
            "state": state,
            "wave": wave,
            "because": because(code),
            "counts": {**whole["counts"], "offered": offered},
            "evidence": {**whole["evidence"], "wave_records": records},
            "gates": [{**whole["gates"][0], "verdict": "pass"}],
        }

    def failing(self) -> list[str]:
        """The claims that do not hold."""
        self.hub.on("GET /api/v1/devices", page(*self.devices))
        self.hub.on("GET /api/v1/rollouts/first/decisions", page(*self.first))
        self.hub.on("GET /api/v1/rollouts/second/decisions", page(*self.second))
        self.hub.on("GET /api/v1/health", self.health)

        def query(asked: Asked) -> Answer:
            rows = {BY_DEVICE: self.records, WINDOWS_ONCE: self.windows}[asked.json["sql"]]
            return Answer({"columns": [], "rows": rows, "truncated": False})

        self.hub.on("POST /api/v1/lake/query", query)
        return [claim.claim for claim in check(Client(self.hub.url), self.told) if not claim.holds]


@pytest.fixture
def world(hub: FakeHub, tmp_path: Path) -> World:
    return World(hub, tmp_path)


def test_a_story_that_went_as_it_should_holds(world: World) -> None:
    assert world.failing() == []


def missing(world: World) -> None:
    world.devices.pop()


def silent(world: World) -> None:
    world.devices[0]["presence"] = "silent"


def mislabelled(world: World) -> None:
    world.devices[0]["labels"] = {}


def one_target(world: World) -> None:
    good = world.told.good
    world.told = replace(world.told, good=msgspec.structs.replace(good, artifacts=good.artifacts[:1]))


def inaccurate(world: World) -> None:
    world.told = replace(world.told, good=world.told.worse)


def all_at_once(world: World) -> None:
    world.first = [one for one in world.first if one["because"]["code"] != "wave-opened"]


def no_end(world: World) -> None:
    world.told = replace(world.told, first=msgspec.structs.replace(world.told.first, state="running"))


def too_few_records(world: World) -> None:
    world.first[1]["evidence"]["wave_records"] = 199


def gate_undecided(world: World) -> None:
    world.first[2]["gates"][0]["verdict"] = "not-enough-evidence"


def as_good(world: World) -> None:
    world.told = replace(world.told, worse=world.told.good)


def not_reverted(world: World) -> None:
    world.told = replace(world.told, second=msgspec.structs.replace(world.told.second, state="completed"))


def past_the_canary(world: World) -> None:
    world.second[0]["wave"] = 1


def three_canaries(world: World) -> None:
    world.second[0]["counts"]["offered"] = 3


def other_reason(world: World) -> None:
    second = msgspec.structs.replace(world.told.second, because=world.told.first.because)
    world.told = replace(world.told, second=second)


def still_on_it(world: World) -> None:
    world.devices[3]["models"][0]["running"] = {"version": 2, "digest": "sha256:00"}


def nothing_sent(world: World) -> None:
    world.records = world.records[1:]


def another_ran_it(world: World) -> None:
    world.records.append(["elsewhere", 2, 1])


def nobody_ran_it(world: World) -> None:
    del world.records[-2:]


def twice_in_the_lake(world: World) -> None:
    world.windows = [[102, 101]]


def empty_lake(world: World) -> None:
    world.windows = [[0, 0]]


def dropped(world: World) -> None:
    world.devices[0]["spool"]["dropped"] = 1


def in_trouble(world: World) -> None:
    world.devices[0]["troubles"] = [because("disk-full")]


def sick_hub(world: World) -> None:
    world.health = {"status": "degraded", "version": "0.1.0", "troubles": [because("lake-unwritable")]}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "agents joined"),
        (silent, "agents joined"),
        (mislabelled, "agents joined"),
        (one_target, "each hardware target"),
        (inaccurate, "95 %"),
        (all_at_once, "began with the canaries"),
        (no_end, "began with the canaries"),
        (too_few_records, "waited for its evidence"),
        (gate_undecided, "waited for its evidence"),
        (as_good, "plainly worse"),
        (not_reverted, "stopped at the canaries"),
        (past_the_canary, "stopped at the canaries"),
        (three_canaries, "stopped at the canaries"),
        (other_reason, "what it predicts"),
        (still_on_it, "runs version 1 in the end"),
        (nothing_sent, "from every device"),
        (another_ran_it, "only the canaries"),
        (nobody_ran_it, "only the canaries"),
        (twice_in_the_lake, "exactly once"),
        (empty_lake, "exactly once"),
        (dropped, "dropped or refused"),
        (in_trouble, "dropped or refused"),
        (sick_hub, "dropped or refused"),
    ],
)
def test_a_fact_against_it_fails_the_claim(world: World, spoil: Any, words: str) -> None:
    spoil(world)
    failing = world.failing()
    assert any(words in claim for claim in failing), failing
