"""How much of what was made is kept."""

import threading
import weakref

from greencoro.compute.remembered import Remembered


def kept(remembered, keys):
    return [key for key in keys if remembered.get(key) is not None]


def test_the_last_things_are_kept_so_many_of_them():
    remembered = Remembered(3)
    for key in "abcd":
        remembered.put(key, key.upper())
    assert kept(remembered, "abcd") == ["b", "c", "d"]
    assert remembered.get("b") == "B"


def test_the_last_things_are_kept_with_so_many_bytes_together():
    remembered = Remembered(100, 100)
    for key, size in [("a", 40), ("b", 40), ("c", 20), ("d", 30)]:
        remembered.put(key, key, size)
    assert kept(remembered, "abcd") == ["b", "c", "d"]


def test_the_last_thing_is_kept_whatever_its_size():
    remembered = Remembered(100, 100)
    remembered.put("a", "a", 10)
    remembered.put("b", "b", 1000)
    assert kept(remembered, "ab") == ["b"]
    remembered.put("c", "c", 100)
    assert kept(remembered, "abc") == ["c"]


def test_what_is_put_anew_is_in_place_of_what_was_there_and_the_newest():
    remembered = Remembered(100, 100)
    remembered.put("a", "old", 60)
    remembered.put("b", "b", 10)
    remembered.put("a", "new", 60)
    assert remembered.get("a") == "new"
    assert kept(remembered, "ab") == ["a", "b"]
    remembered.put("c", "c", 40)
    assert kept(remembered, "abc") == ["a", "c"]


def test_what_is_forgotten_may_be_asked_for_while_it_goes():
    class Held:
        pass

    remembered = Remembered(1)
    first = Held()
    gone = []
    weakref.finalize(first, lambda: gone.append(remembered.put("third", Held())))
    remembered.put("first", first)
    del first
    thread = threading.Thread(target=remembered.put, args=("second", Held()), daemon=True)
    thread.start()
    thread.join(10)
    assert gone == [None]
