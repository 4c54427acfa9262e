"""Ten coroutines that run side by side, are woken by a message or by `resume`, and return what they found."""

from greencoro import Coro, sleep


def worker(number, boss, coro=None):
    sleep(0.01 * number)  # the others run meanwhile
    boss.send(number)
    bonus = coro.suspend(timeout=5, alarm_value=0)
    return number + bonus


def boss(coro=None):
    workers = [Coro(worker, number, coro) for number in range(10)]
    order = [coro.receive(timeout=5) for _ in workers]
    print("they came in this order:", *order)
    sleep(0.01)  # the last one is about to suspend itself
    for each in workers:
        each.resume(100)
    print("and returned:", *[each.finish() for each in workers])


Coro(boss).finish()
