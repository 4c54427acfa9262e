"""CategorizeMessages: a coroutine's messages by category."""

import functools

import pytest

from greencoro.legacy import asyncoro


def parity(message):
    return message % 2 if isinstance(message, int) else None


def sorted_by(messages, *steps, functions=(parity,)):
    """What each of the ``steps``, which are called with the categories, evaluates to."""

    def function(coro=None):
        categories = asyncoro.CategorizeMessages(coro)
        for each in functions:
            categories.add(each)
        for message in messages:
            coro.send(message)
        got = []
        for step in steps:
            got.append((yield step(categories)))
        raise StopIteration(got)

    return asyncoro.Coro(function).value(20)


def test_messages_of_a_category_come_in_order_and_others_are_kept():
    assert sorted_by(
        [1, 2, "a", 3, 4],
        lambda categories: categories.receive(0),
        lambda categories: categories.receive(category=0),
        lambda categories: categories.recv(1),
        lambda categories: categories.recv(1),
        lambda categories: categories.recv(),
    ) == [2, 4, 1, 3, "a"]


def test_the_function_added_last_is_asked_first_and_what_it_does_not_know_the_others_are_asked():
    def big(message):
        return "big" if message > 10 else None

    assert sorted_by(
        [1, 11],
        lambda categories: categories.receive("big"),
        lambda categories: categories.receive(1),
        functions=[parity, big],
    ) == [11, 1]


def test_a_partial_may_be_a_function_and_one_that_is_removed_is_asked_no_more():
    small = functools.partial(lambda limit, message: message < limit, 10)
    assert sorted_by(
        [1, 20, 2, 3],
        lambda categories: categories.receive(False),
        lambda categories: categories.remove(small),
        lambda categories: categories.receive(),
        lambda categories: categories.receive(True),
        functions=[small],
    ) == [20, None, 2, 1]


@pytest.mark.parametrize("function", [5, lambda: 1, lambda one, two: 1])
def test_what_is_no_function_of_a_message_is_ignored_with_a_warning(function, capsys):
    assert sorted_by([1], lambda categories: categories.receive(1), functions=[parity, function]) == [1]
    assert "it is ignored" in capsys.readouterr().out


def test_to_remove_what_was_not_added_is_a_warning(capsys):
    assert sorted_by([], lambda categories: categories.remove(len)) == [None]
    assert "was not added" in capsys.readouterr().out


def test_where_none_comes_in_time_there_is_the_alarm_value():
    assert sorted_by(
        [1],
        lambda categories: categories.receive(0, timeout=0.01, alarm_value="alarm"),
        lambda categories: categories.receive(0, timeout=0, alarm_value="alarm"),
        lambda categories: categories.receive(1, timeout=0),
    ) == ["alarm", "alarm", 1]


def test_a_message_equal_to_the_alarm_value_ends_a_wait_whatever_its_category():
    assert sorted_by(
        [1, None, 7, 2],
        lambda categories: categories.receive(0),
        lambda categories: categories.receive(0, alarm_value=7),
        lambda categories: categories.receive(0),
        lambda categories: categories.receive(1),
    ) == [None, 7, 2, 1]
