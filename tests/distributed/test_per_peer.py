"""What incarnations have under way, remembered as long as it is."""

import gc
import threading

import pytest

from greencoro.distributed.per_peer import PerPeer, Tally

A, B = b"a" * 16, b"b" * 16


def test_what_one_incarnation_has_under_way_is_counted_once_and_for_each_subject_on_its_own():
    held = PerPeer(lambda: Tally(2, 100))
    mine, other = held.of(A), held.of(A, "subject")
    assert held.of(A) is mine and held.of(A, "subject") is other
    assert mine is not other and held.of(B) is not mine
    assert sorted(map(str, held.subjects(A))) == ["None", "subject"]


def test_nothing_is_remembered_of_who_has_nothing_under_way():
    held = PerPeer(lambda: Tally(2, 100))
    for number in range(100):
        held.of(b"%016d" % number)
    under_way = held.of(A)
    gc.collect()
    assert len(held) == 1 and held.subjects(B) == []
    del under_way
    gc.collect()
    assert len(held) == 0


@pytest.mark.parametrize(
    ("sizes", "entered"),
    [([0] * 4, 3), ([50, 50, 1], 2), ([1000], 1), ([1000, 0], 1), ([40, 70, 60], 2)],
    ids=["number", "size", "one of any size", "none beside it", "one that fits after one that does not"],
)
def test_B1_so_many_are_under_way_and_so_many_bytes_but_one_may_always_be(sizes, entered):
    tally = Tally(3, 100)
    assert sum(tally.enter(size) for size in sizes) == entered == tally.items


def test_what_is_over_makes_room():
    tally = Tally(1, 100)
    assert tally.enter(70) and not tally.enter(1)
    tally.leave(70)
    assert (tally.items, tally.size) == (0, 0)
    assert tally.enter(1)


def test_threads_that_race_get_the_same_object_and_are_all_counted():
    held, start, found = PerPeer(lambda: Tally(10_000, 1 << 30)), threading.Barrier(4), []

    def count():
        start.wait()
        tally = held.of(A)
        found.append(tally)
        for _ in range(2000):
            assert tally.enter(3)
        for _ in range(1000):
            tally.leave(3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert (found[0].items, found[0].size) == (4000, 12_000)
