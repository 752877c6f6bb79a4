"""What the doctor finds of models, their files and telemetry, in a state folder as an agent has left it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edge_agent.core.journal import Journal, Order, fresh
from edge_agent.doctor import work
from edge_agent.doctor.finding import Verdict
from edge_agent.runtimes.verdicts import Verdicts
from edge_agent.state import StateFolder
from edge_agent.store.artifacts import file_name
from edge_agent.telemetry.chronicle import event
from edge_agent.telemetry.spool import Spool
from fleet_contract.because import Because
from fleet_contract.manifest import Golden
from fleet_contract.report import Phase
from tests.edge_agent.doctor.found import the
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.spools import files, ill
from tests.fakes.windows import a_window

NOW = datetime.now(UTC)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.create()
    return state


def keep(state: StateFolder, journal: Journal) -> None:
    state.journals.mkdir(parents=True, exist_ok=True)
    (state.journals / "digits.json").write_bytes(msgspec.json.encode(journal))


def test_models_are_as_their_journals_say(state):
    assert the(work.models(state, NOW), Verdict.OK).about == "models"
    journal = fresh("digits", NOW)
    keep(state, journal)
    assert "nothing runs" in the(work.models(state, NOW), Verdict.OK).sentence
    rejected = msgspec.structs.replace(journal, phase=Phase.REJECTED, because=Because("too-slow", "It took 9 s."))
    keep(state, rejected)
    assert "It took 9 s." in the(work.models(state, NOW), Verdict.WARNING).sentence
    (state.journals / "digits.json").write_bytes(b"{")
    assert "damaged" in the(work.models(state, NOW), Verdict.WRONG).sentence


def test_nothing_is_said_to_run_while_no_agent_does(state):
    keep(state, msgspec.structs.replace(fresh("digits", NOW), phase=Phase.SETTLED, settled=a_manifest(3)))
    assert the(work.models(state, NOW), Verdict.OK).sentence == "settled, version 3 is what runs once the agent does."
    state.lock()
    assert the(work.models(state, NOW), Verdict.OK).sentence == "settled, version 3 runs."
    state.unlock()


def test_an_order_that_does_not_get_on_is_told_of_with_its_reason_unless_it_waits_for_its_hour(state):
    why = Because("hub-busy", "The hub is busy.")
    fetching = msgspec.structs.replace(fresh("digits", NOW), phase=Phase.FETCHING, because=why)
    keep(state, fetching)
    assert "The hub is busy." in the(work.models(state, NOW + timedelta(minutes=5)), Verdict.OK).sentence
    assert "The hub is busy." in the(work.models(state, NOW + timedelta(hours=2)), Verdict.WARNING).sentence
    keep(state, msgspec.structs.replace(fetching, phase=Phase.PREFLIGHT, because=Because("window-closed", "At night.")))
    assert the(work.models(state, NOW + timedelta(hours=20)), Verdict.OK)


def test_what_the_disk_has_damaged_or_lost_of_what_runs_is_named(state):
    runs, before = (
        a_manifest(version, artifact=blob_of(artifact), golden=Golden(blob_of(b"golden"), 8, 0.9, 0.5))
        for version, artifact in ((3, b"artifact"), (2, b"older"))
    )
    coming = Order(a_manifest(4), "", "", Because("wanted", "It is."))
    keep(state, Journal("digits", Phase.FETCHING, coming.because, NOW, wanted=coming, settled=runs, previous=before))
    state.artifacts.mkdir()
    for data in (b"artifact", b"older", b"golden"):
        (state.artifacts / file_name(blob_of(data).digest)).write_bytes(data)
    assert "4 files were read back" in the(work.artifacts(state), Verdict.OK).sentence
    (state.artifacts / file_name(runs.artifact.digest)).write_bytes(b"artifacT")
    assert "The artifact of digits version 3 has changed" in the(work.artifacts(state), Verdict.WRONG).sentence
    (state.artifacts / file_name(runs.artifact.digest)).unlink()
    assert "The artifact of digits version 3 is not there" in the(work.artifacts(state), Verdict.WRONG).sentence
    (state.artifacts / file_name(runs.artifact.digest)).mkdir()
    assert "cannot be read: Is a directory" in the(work.artifacts(state), Verdict.WRONG).sentence


def test_an_accelerator_that_was_refused_for_what_runs_is_named_with_its_reason(state):
    runs = a_manifest(3)
    keep(state, msgspec.structs.replace(fresh("digits", NOW), phase=Phase.SETTLED, settled=runs))
    state.artifacts.mkdir()
    assert list(work.refusals(state)) == []
    verdicts = Verdicts(state.artifacts / file_name(runs.artifact.digest), "onnxruntime 1.32")
    verdicts.agree("CPUExecutionProvider")
    verdicts.refuse("NpuExecutionProvider", Because("golden-disagrees", "It computes something else."))
    found = the(work.refusals(state), Verdict.WARNING)
    assert found.sentence == (
        "onnxruntime 1.32 NpuExecutionProvider does not compute digits version 3: It computes something else."
    )
    verdicts.refuse("NpuExecutionProvider", Because("provider-slower", "It takes longer than the CPU."))
    assert "takes longer" in the(work.refusals(state), Verdict.OK).sentence


def test_an_empty_spool_is_fine(state):
    assert the(work.spool(state, 1 << 20), Verdict.OK)


def test_what_telemetry_was_lost_is_told_by_its_reason(state):
    spool = Spool(state.spool, "default.press-1", "boot", 1 << 20)
    spool.append(a_window(1))
    spool.note(event("started", Because("started", "The agent started."), 0))
    spool.give_up("boot", 1, "refused")
    spool.close()
    assert "1 records wait" in the(work.spool(state, 1 << 20), Verdict.OK).sentence
    found = the(work.spool(state, 1 << 20), Verdict.WARNING)
    assert found.sentence == "1 records that the hub refused were dropped since the device joined."
    assert "hub's log" in found.remedy


def test_a_file_of_telemetry_that_cannot_be_read_is_told_beside_what_can(state, monkeypatch):
    for boot in ("b1", "b2"):
        Spool(state.spool, "default.press-1", boot, 1 << 20).append(a_window(1))
    ill(monkeypatch).add(files(state.spool)[0])
    assert "1 records wait" in the(work.spool(state, 1 << 20), Verdict.OK).sentence
    assert the(work.spool(state, 1 << 20), Verdict.WARNING).sentence.startswith("1 files of it cannot be read now")
