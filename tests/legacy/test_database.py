"""AsyncDBCursor as old programs use it (legacy-api, section 3.7)."""

import sqlite3
import threading

import pytest

from greencoro import Coro
from greencoro.errors import ClosedResource
from greencoro.legacy.asyncoro import AsyncDBCursor, AsyncThreadPool
from tests.support.polling import poll_until


@pytest.fixture
def pool():
    made = AsyncThreadPool(3)
    yield made
    made.terminate()


@pytest.fixture
def cursor(pool):
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    yield AsyncDBCursor(pool, connection.cursor())
    connection.close()


class Slow:
    """A cursor that stands in each query until it is told to go on."""

    def __init__(self):
        self.running = []
        self.most = 0
        self.threads = set()
        self.gate = threading.Event()

    def execute(self, query, *args):
        self.running.append(query)
        self.threads.add(threading.get_ident())
        self.most = max(self.most, len(self.running))
        assert self.gate.wait(10)
        self.running.remove(query)
        return query, args

    executemany = callproc = execute


def test_queries_run_and_what_else_is_asked_the_cursor_answers(cursor):
    def coroutine():
        yield cursor.execute("CREATE TABLE people (name TEXT, age INTEGER)")
        yield cursor.executemany("INSERT INTO people VALUES (?, ?)", [("Ada", 36), ("Alan", 41)])
        assert cursor.rowcount == 2
        yield cursor.execute("SELECT name FROM people WHERE age > ?", (40,))
        raise StopIteration(cursor.fetchall())

    assert Coro(coroutine).value(10) == [("Alan",)]


def test_what_a_query_raises_is_raised_at_the_yield_and_the_next_one_runs(cursor):
    def coroutine():
        try:
            yield cursor.execute("SELECT 1 FROM nowhere")
        except sqlite3.OperationalError as error:
            yield cursor.execute("SELECT 1")
            raise StopIteration(str(error), cursor.fetchone()) from None

    message, row = Coro(coroutine).value(10)
    assert "nowhere" in message
    assert row == (1,)


CALLS = [
    ("execute", ("q",), ()),
    ("execute", ("q", None), ()),
    ("execute", ("q", (1,)), ((1,),)),
    ("execute", ("q", {}), ({},)),
    ("executemany", ("q", [(1,)]), ([(1,)],)),
    ("callproc", ("q",), ((),)),
    ("callproc", ("q", (1,)), ((1,),)),
]


@pytest.mark.parametrize(("method", "arguments", "given"), CALLS)
def test_the_yield_gives_what_the_cursors_method_returned(pool, method, arguments, given):
    slow = Slow()
    slow.gate.set()
    cursor = AsyncDBCursor(pool, slow)

    def coroutine():
        raise StopIteration((yield getattr(cursor, method)(*arguments)))

    assert Coro(coroutine).value(10) == ("q", given)
    assert slow.threads.isdisjoint({threading.get_ident()})


def test_queries_of_one_cursor_run_one_at_a_time_and_others_beside_them(pool):
    one, other = Slow(), Slow()
    cursors = AsyncDBCursor(pool, one), AsyncDBCursor(pool, other)

    def coroutine(cursor, number):
        yield cursor.execute(number)

    coros = [Coro(coroutine, cursor, number) for cursor in cursors for number in range(4)]
    poll_until(lambda: one.running and other.running)
    # A third thread of the pool is free all the time.
    assert (one.running, other.running) == ([0], [0])
    one.gate.set()
    other.gate.set()
    for coro in coros:
        coro.value(10)
    assert (one.most, other.most) == (1, 1)


def test_a_query_whose_coroutine_was_terminated_keeps_the_cursor_until_it_is_over(pool):
    slow = Slow()
    cursor = AsyncDBCursor(pool, slow)

    def coroutine(number):
        yield cursor.execute(number)

    first = Coro(coroutine, 1)
    poll_until(lambda: slow.running == [1])
    waiting, second = Coro(coroutine, 2), Coro(coroutine, 3)
    first.terminate()
    # One that had not begun leaves the line.
    waiting.terminate()
    poll_until(lambda: not first.is_alive() and not waiting.is_alive())
    assert slow.running == [1]
    slow.gate.set()
    second.value(10)
    assert slow.most == 1


def test_a_pool_that_takes_no_more_is_told_every_time():
    pool = AsyncThreadPool(1)
    pool.terminate()
    cursor = AsyncDBCursor(pool, Slow())

    def coroutine():
        yield cursor.execute("q")

    for _ in range(2):
        with pytest.raises(ClosedResource):
            Coro(coroutine).value(10)


def test_what_neither_has_is_missing(cursor):
    with pytest.raises(AttributeError, match="nothing"):
        cursor.nothing  # noqa: B018
