"""Standing calls of one image, in each state that tests begin with."""

import threading

import numpy as np

from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered, Call
from tests.fakes.sessions import an_image
from tests.fakes.waiting import until

IMAGE = Packed([("image", np.dtype(np.float32), (1, 4))])


def an_image_sent(label=1):
    return an_image(label)["image"].tobytes()


def standing(world):
    """The standing call of a model that has become quick."""
    until(lambda: world.ask().threads == [threading.current_thread().name])
    found = world.engine.standing(Call("digits", an_image()), IMAGE)
    assert found is not None
    return found


def bound(world):
    """The standing call of a model that has become quick, and has run in memory of its own once, as a proof."""
    call = standing(world)
    assert isinstance(call.run(an_image_sent(), patient=False), Answered)
    call.sent()
    world.windows()
    return call


def slow(world, session, **more):
    """The standing call of a model that is not quick."""
    world.runs(session, **more)
    found = world.engine.standing(Call("digits", an_image()), IMAGE)
    assert found is not None
    return found


class Turns:
    """Calls that wait, each as a client's connection has it done."""

    def __init__(self, call):
        self.call = call
        self.given = []
        self.called = []

    def begin(self, label):
        def begin(may_run):
            self.called.append(may_run)
            if may_run:
                answer = self.call.run_next(an_image_sent(label))
                self.given.append(int(answer.outputs["scores"].argmax()) if isinstance(answer, Answered) else answer)
                self.call.sent()

        return self.call.wait(begin)
