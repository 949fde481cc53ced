"""Locks for which others on this machine wait, and which end with their holder, however that ends."""

import logging
import multiprocessing
import os
import signal
import threading

import pytest
from filelock import Timeout

from trainers.data.disk import locked

spawn = multiprocessing.get_context("spawn")


def hold(path, held):
    with locked(path):
        held.set()
        threading.Event().wait()


def test_a_lock_ends_with_a_holder_that_is_killed_and_its_file_stays(tmp_path):
    path, held = tmp_path / "deep" / "pack.lock", spawn.Event()
    holder = spawn.Process(target=hold, args=(path, held), daemon=True)
    holder.start()
    assert held.wait(60)
    with pytest.raises(Timeout), locked(path, wait=False):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    with locked(path):
        pass
    assert path.exists()


def test_threads_wait_for_each_other_and_say_so_once(tmp_path, caplog):
    inside, told = [], threading.Event()

    class Told(logging.Handler):
        def emit(self, record):
            told.set()

    def enter():
        with locked(tmp_path / "pack.lock"):
            inside.append("second")

    handler = Told()
    logging.getLogger("trainers").addHandler(handler)
    with caplog.at_level(logging.INFO, "trainers"), locked(tmp_path / "pack.lock"):
        second = threading.Thread(target=enter)
        second.start()
        assert told.wait(60)
        assert inside == []
        inside.append("first")
    second.join(60)
    logging.getLogger("trainers").removeHandler(handler)
    assert inside == ["first", "second"]
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for another process that is making {tmp_path / 'pack'}"
    ]
