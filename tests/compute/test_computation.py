"""What a computation does before any server is there."""

import logging
import threading

import greencoro.compute
from greencoro import Computation
from greencoro.compute import computation as computations
from greencoro.compute import scheduler as schedulers
from tests.support.polling import poll_until


def test_default_timeout_is_read_when_a_computation_is_made(monkeypatch):
    before = Computation()
    monkeypatch.setattr(greencoro.compute, "MsgTimeout", 2.5)
    assert (before.timeout, Computation().timeout, Computation(timeout=3).timeout) == (10.0, 2.5, 3.0)


class DeafScheduler:
    """Gives a computation its turn and never says that its servers have ended."""

    def submit(self, computation):
        computation._has_begun()
        return 1, "token"

    def give_up(self, number):
        pass


def test_close_says_so_where_nodes_do_not_answer(monkeypatch, caplog):
    monkeypatch.setattr(schedulers, "_current", DeafScheduler())
    monkeypatch.setattr(computations, "_CLOSE_SECONDS", 0.01)
    computation = Computation()
    computation.schedule()
    with caplog.at_level(logging.WARNING):
        computation.close()
    assert "not every node has said within 0.01 s" in caplog.text


def test_a_computation_that_waits_for_its_turn_says_so(monkeypatch, caplog):
    monkeypatch.setattr(computations, "_SAY_AFTER_SECONDS", 0.01)
    computation = Computation()
    waiting = threading.Thread(target=computation._wait_for_turn)
    waiting.start()
    try:
        poll_until(lambda: "waits for its turn" in caplog.text, what="it is said")
        assert waiting.is_alive()
    finally:
        computation._has_begun()
        waiting.join()
