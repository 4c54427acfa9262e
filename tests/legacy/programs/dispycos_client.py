"""Runs generator functions on servers: those that compute one at a time at each, others beside them.

Prints, with a node of two servers:

    results [0, 1, 4, 9, 16]
    one at a time: True
    failure ZeroDivisionError
    not at the servers None
    objects of the client's class: True
    beside each other: 4
    at a place: True
    on nodes ['127.0.0.1']
    awaited ['late']
"""

import sys

import pycos
import pycos.netpycos
from pycos.dispycos import *


class Order(object):
    def __init__(self, number):
        self.number = number


def square(client, n, task=None):
    import time

    client.send(("begin", str(task.location), time.time()))
    yield task.sleep(0.05)
    client.send(("end", str(task.location), time.time()))
    return n * n


def divide(n, task=None):
    yield task.sleep(0)
    return 1 // n


def charge(order, task=None):
    if not isinstance(order, Order):
        raise TypeError("no order: %s" % order)
    yield task.sleep(0)
    return Order(order.number + 1)


def waits(client, task=None):
    client.send(task)
    msg = yield task.receive()
    return msg, pycos.Pycos().location == task.location


def late(client, task=None):
    yield task.sleep(0.2)
    client.send("late")


def client_proc(client, task=None):
    if (yield client.schedule()):
        raise Exception("could not schedule client")
    rtasks = []
    for n in range(5):
        rtask = yield client.rtask(square, task, n)
        rtasks.append(rtask)
    results = []
    for rtask in rtasks:
        results.append((yield rtask()))
    print("results %s" % results)
    times = {}
    for _ in range(10):
        what, location, when = yield task.receive()
        times.setdefault(location, []).append((when, what))
    heard = [[what for when, what in sorted(each)] for each in times.values()]
    print("one at a time: %s" % all(each == ["begin", "end"] * (len(each) // 2) for each in heard))
    rtask = yield client.rtask(divide, 0)
    failure = yield rtask()
    print("failure %s" % failure.type.__name__)
    print("not at the servers %s" % (yield client.rtask(divide)))
    rtask = yield client.io_rtask(charge, Order(1))
    order = yield rtask.finish()
    print("objects of the client's class: %s" % (isinstance(order, Order) and order.number == 2))
    waiting = []
    for _ in range(4):
        rtask = yield client.io_rtask(waits, task)
        waiting.append((yield task.receive()))
    print("beside each other: %s" % len(waiting))
    at = []
    for each in list(waiting):
        rtask = yield client.io_rtask_at(each.location, waits, task)
        at.append(rtask.location == each.location)
        waiting.append((yield task.receive()))
    for each in waiting:
        each.send("end")
    rtask = yield client.rtask_at("127.0.0.1", divide, 1)
    at.append((yield rtask()) == 1)
    print("at a place: %s" % all(at))
    print("on nodes %s" % (yield client.nodes()))
    yield client.io_rtask(late, task)
    yield client.close(await_io=True)
    print("awaited %s" % [(yield task.receive(timeout=5))])


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.CRITICAL)
    Scheduler(host="127.0.0.1", udp_port=int(sys.argv[1]))
    client = Client([square, divide, Order], nodes=[DispycosNodeAllocate("127.0.0.*", platform="linux")])
    pycos.Task(client_proc, client)
