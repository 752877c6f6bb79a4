"""The story: a fleet comes up, a good version reaches it all, a bad one is stopped at the canaries and taken back."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet_client.demo.child import Child
from fleet_client.demo.fleet import Fleet
from fleet_client.demo.gateway import Gateway, fleet_of
from fleet_client.demo.stage import Stage
from fleet_client.errors import ClientError
from fleet_client.views import Rollout, Version

MODEL = "digits"
#: Short enough for somebody who watches; each wave still waits for its devices, its records and every gate. The first
#: version has no other to be compared with, only the 540 scans of its reference: with those, 10 points take 4,000
#: records to tell, and 15 take 500. The devices of the demo are processes on one machine: they are alike, so one canary
#: tells, but for how fast they are.
POLICY = {
    "waves": [{"devices": 1}, {"percent": 50}, {"percent": 100}],
    "rate": None,
    "soak_seconds": 2,
    "minimum_records": 200,
    "gates": {"predictions": {"max_shift": 0.15}, "latency": None, "device_correlation": 0.01},
    "on_stop": "revert",
}
#: Each step takes some seconds. A machine that builds other things beside it, or one whose disk stalls, takes its
#: time, and a demo that goes on late is better than one that gives up.
PATIENCE_SECONDS = 240.0
#: The scans come back from labelling digit by digit, so this few of them are all of 0 and 1.
TOO_FEW_IMAGES = "20"


class StoryWrong(ClientError):
    """The hub decided otherwise than the story has it."""

    code = "story-wrong"


@dataclass(frozen=True)
class Told:
    """What the story left behind, for its summary."""

    gateways: Sequence[Gateway]
    good: Version
    worse: Version
    first: Rollout
    second: Rollout


def tell(fleet: Fleet, stage: Stage, agents: int) -> Told:
    """Plays it. Raises `ChildFailed`, `Stuck`, or what the hub refuses."""
    gateways = fleet_of(agents, fleet.folder / "devices")
    with stage.step("Start a hub"):
        _start_hub(fleet, stage)
        replay = fleet.start_replay()
        build = fleet.start_build("digits-1")
    with stage.step(f"Join {agents} devices with one-time tokens"):
        _join(fleet, stage, gateways)
    with stage.step("Build digits, and register it as version 1"):
        good = _register(fleet, stage, build, "digits-1", "all scans")
        # While the first version is rolled out; nobody waits for it.
        second_build = fleet.start_build("digits-2", "--train-images", TOO_FEW_IMAGES)
    with stage.step("Start the agents"):
        _start_agents(fleet, stage, gateways, replay)
    with stage.step("Roll version 1 out: a canary of each hardware target, half, all"):
        first = _roll_out(fleet, stage, good, "completed")
        stage.say(f"{first.counts.succeeded} of {first.counts.eligible} devices run version 1.", "green")
    with stage.step("Register version 2, trained on too little"):
        worse = _register(fleet, stage, second_build, "digits-2", f"only the first {TOO_FEW_IMAGES} scans")
    with stage.step("Roll version 2 out, and see it stopped"):
        second = _roll_out(fleet, stage, worse, "reverted")
        _back_on(fleet, stage, gateways, good.version)
    return Told(gateways, good, worse, first, second)


def _start_hub(fleet: Fleet, stage: Stage) -> None:
    fleet.start_hub()
    stage.note("waiting for it to answer")
    fleet.wait("the hub answers", fleet.hub_answers, PATIENCE_SECONDS, lambda: "")
    stage.say(f"REST API and console: {fleet.url}")
    stage.say(f"MQTT 5 broker for the devices: port {fleet.mqtt_port}, loopback only")
    stage.say(f"Database, blobs and lake: {fleet.folder / 'hub'}")


def _join(fleet: Fleet, stage: Stage, gateways: Sequence[Gateway]) -> None:
    stage.note("each makes its key, and proves it")
    joining = [fleet.start_joining(gateway, seed) for seed, gateway in enumerate(gateways)]
    fleet.finish(joining, "all devices have joined", PATIENCE_SECONDS)
    for gateway in gateways:
        labels = " ".join(f"{key}={value}" for key, value in gateway.labels.items())
        stage.say(f"{gateway.name:<14} {labels:<20} {gateway.target}")


def _register(fleet: Fleet, stage: Stage, build: Child, name: str, notes: str) -> Version:
    def ended() -> bool:
        if line := build.tail(1):
            stage.note(line)
        return build.returncode == 0

    fleet.wait(f"{build.name} has ended", ended, PATIENCE_SECONDS, lambda: build.tail(3))
    stage.note("uploading; the hub checks the artifacts once more before it signs")
    made = fleet.client.models.register(fleet.folder / "builds" / name, notes=notes)
    for artifact in made.artifacts:
        stage.say(
            f"{artifact.target}: INT8, {artifact.size_bytes / 1000:.1f} kB, accuracy {artifact.accuracy:.1%} on "
            f"held-out scans ({artifact.source_accuracy:.1%} before it was compiled)"
        )
    stage.say(f"Registered and signed as {made.model} version {made.version}: {notes}.")
    return made


def _start_agents(fleet: Fleet, stage: Stage, gateways: Sequence[Gateway], replay: Child) -> None:
    stage.note("exporting the scans that they will replay")
    fleet.finish([replay], "the scans to replay are there", PATIENCE_SECONDS)
    for gateway in gateways:
        fleet.start_agent(gateway)

    def online() -> bool:
        found = {device.id for device in fleet.client.devices.all(presence="online")}
        stage.note(f"{len(found)} of {len(gateways)} online")
        return found >= {gateway.name for gateway in gateways}

    fleet.wait("all agents are online", online, PATIENCE_SECONDS, lambda: "")
    stage.say(f"{len(gateways)} agents are online, each a process of its own, with real scans to classify.")


def _roll_out(fleet: Fleet, stage: Stage, version: Version, end: str) -> Rollout:
    """Follows a rollout of `version` to its end, which must be `end`; a line for each step that it takes."""
    rollout = fleet.client.rollouts.create(version.model, version.version, POLICY)
    heard = 0
    said: tuple[str, int] = ("", -1)

    def ended() -> Rollout | None:
        nonlocal rollout, heard, said
        rollout = fleet.client.rollouts.get(rollout.id)
        # The decisions, not what the rollout says of itself: a step may be over before it is looked at again.
        latest = fleet.client.rollouts.decisions(rollout.id).items
        for one in sorted(latest, key=lambda one: one.number):
            if one.number > heard and (one.state, one.wave) != said and one.because.code not in ("created", "resumed"):
                said = (one.state, one.wave)
                stage.say(one.because.sentence, _STYLES.get(one.state, ""))
        heard = max((heard, *(one.number for one in latest)))
        stage.note(rollout.because.sentence)
        return rollout if rollout.ended else None

    def holds() -> str:
        return f"It is {rollout.state} in wave {rollout.wave + 1}: {rollout.because}"

    rollout = fleet.wait(f"the rollout of version {version.version} is {end}", ended, PATIENCE_SECONDS, holds)
    if rollout.state != end:
        raise StoryWrong(
            f"The rollout of version {version.version} is {rollout.state}, and should be {end}: {rollout.because}"
        )
    return rollout


_STYLES = {"reverting": "bold red", "reverted": "yellow", "completed": "green"}


def _back_on(fleet: Fleet, stage: Stage, gateways: Sequence[Gateway], version: int) -> None:
    names = {gateway.name for gateway in gateways}

    def back() -> bool:
        found = {device.id for device in fleet.client.devices.all(model=MODEL, version=version, phase="settled")}
        stage.note(f"{len(found & names)} of {len(names)} on version {version}")
        return found >= names

    fleet.wait(f"all devices run version {version} again", back, PATIENCE_SECONDS, lambda: "")
    stage.say(f"All {len(names)} devices run version {version}.", "green")
