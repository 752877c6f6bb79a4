"""Which models and versions can be asked, which are awaited, and what is told to who asks for another."""

import pytest

from edge_agent.serving.port import Answered, ModelUnknown, ModelUnready
from fleet_contract.because import Because
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, serving


def test_models_and_versions_that_are_not_there_are_told_apart():
    with serving("digits", "faces") as world:
        world.runs(FakeSession(1), a_manifest(3))
        for model, version, kind in (
            ("nobody", "", ModelUnknown),
            ("digits@shadow", "", ModelUnknown),
            ("digits", "2", ModelUnknown),
            ("faces", "", ModelUnready),
        ):
            assert isinstance(world.ask(model=model, version=version).given[0], kind), (model, version)
            assert not world.engine.ready(model, version)
            with pytest.raises(kind):
                world.engine.manifest(model, version)
        assert isinstance(world.ask(version="3").wait()[0], Answered)
        assert world.engine.ready("digits")
        assert world.engine.models() == ("digits", "faces"), "one that waits for its first version is there, too"
        assert set(world.slots) == {"digits", "faces", "digits@shadow", "faces@shadow"}, "asking makes no slots"


def test_who_asks_for_a_model_that_is_not_live_is_told_where_the_device_is_with_it():
    because = Because("fetching", "3 of 5 MB are here.")
    with serving(why={"digits": because}.get) as world:
        (told,) = world.ask().given
        assert isinstance(told, ModelUnready)
        assert "3 of 5 MB are here. [fetching]" in str(told)


def test_what_was_live_before_a_start_is_awaited_and_what_was_never_live_here_is_not():
    starting = [True]
    with serving("digits", "faces", starting=lambda: starting[0]) as world:
        assert world.engine.awaited() == ("digits", "faces")
        world.runs(FakeSession(1))
        assert world.engine.awaited() == ("faces",)
        starting.clear()
        starting.append(False)
        assert world.engine.awaited() == ()
        assert not world.engine.ready("faces")
        world.engine.close()
        assert world.engine.awaited() == ("digits", "faces"), "nothing answers any more"


def test_a_model_that_is_gone_is_unknown_again():
    with serving() as world:
        world.runs(FakeSession(1))
        world.ask().wait()
        world.slot("digits").switch(None)
        assert isinstance(world.ask().given[0], ModelUnready)
        del world.known["digits"]
        assert isinstance(world.ask().given[0], ModelUnknown)
