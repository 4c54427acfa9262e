"""The answers that one side of a link waits for, and its loss."""

import threading

from greencoro.errors import PeerLost
from tests.distributed.test_link import call, make


def test_of_answer_and_loss_that_race_exactly_one_is_told():
    for _ in range(200):
        link = make()
        heard = []
        numbers = [link.answers.expect(lambda answer, error, heard=heard: heard.append(answer)) for _ in range(10)]
        start = threading.Barrier(2)

        def answer(link=link, numbers=numbers, start=start):
            start.wait()
            for number in numbers:
                link.answers.came(number, 1)

        thread = threading.Thread(target=answer)
        thread.start()
        start.wait()
        link.lose(PeerLost("gone"), call)
        thread.join()
        assert len(heard) == 10
