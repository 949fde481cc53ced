"""A trial is over once all that follows its last epoch is done; Ray Tune may kill it right after."""

from collections import deque

import pytest

from trainers.cluster import trial as module
from trainers.cluster.trial import CAUSE, EPOCH, OVER, TrialProcess
from trainers.errors import WorkError
from trainers.events import EpochDone


class Told:
    def put(self, event):
        """Takes it."""


@pytest.fixture
def make_trial(monkeypatch):
    """A trial of two epochs whose checkpoints are then brought to where they last by `finish`."""

    def make(finish):
        def events():
            yield EpochDone({"epoch": 1.0}, "")
            yield EpochDone({"epoch": 2.0}, "")
            finish()

        trial = object.__new__(TrialProcess)
        trial._number, trial._epochs, trial._queue, trial._events = 0, 2, Told(), events()
        trial._history, trial._again, trial._waited = [], deque(), False
        trial._sweep, trial._resources = None, type("Resources", (), {"gpu": False, "workers": 1})()
        return trial

    monkeypatch.setattr(module, "report_of", lambda sweep, history: {EPOCH: int(history[-1]["epoch"])})
    return make


def test_the_last_checkpoint_is_where_it_lasts_before_a_trial_is_over(make_trial):
    done = []
    trial = make_trial(lambda: done.append(1))
    assert trial.step() == {EPOCH: 1, OVER: False, "done": False}
    assert done == []
    assert trial.step() == {EPOCH: 2, OVER: True, "done": True}
    assert done == [1]


def test_a_trial_whose_last_checkpoint_cannot_be_brought_there_has_failed(make_trial):
    def away():
        raise WorkError("storage.path: 127.0.0.1 cannot be reached")

    trial = make_trial(away)
    trial.step()
    assert trial.step()[CAUSE] == "storage.path: 127.0.0.1 cannot be reached"
