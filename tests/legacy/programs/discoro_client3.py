"""Objects of a class go to jobs and come back; the computation is closed, and its scheduler is not.

Prints, with a node of two servers:

    <Order 0: 0>
    <Order 1: 10>
    <Order 2: 20>
    <Order 3: 30>
    at the client they are orders: True
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


class Order(object):
    def __init__(self, number):
        self.number = number
        self.price = None

    def charge(self, each):
        self.price = self.number * each

    def __repr__(self):
        return "<Order %s: %s>" % (self.number, self.price)


def compute(order, client, coro=None):
    if not isinstance(order, Order):
        raise TypeError("no order: %s" % order)
    yield coro.sleep(0.02)
    order.charge(10)
    yield client.deliver(order)
    # one that is made here
    raise StopIteration(Order(order.number + 100))


def client_proc(computation, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    for i in range(4):
        rcoro = yield rcoro_scheduler.schedule(compute, Order(i), coro)
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("failed to create: %s" % (rcoro,))
    orders = []
    for i in range(4):
        order = yield coro.receive()
        orders.append(order)
    for order in sorted(orders, key=lambda order: order.number):
        print(order)
    print("at the client they are orders: %s" % all(isinstance(order, Order) for order in orders))
    yield computation.close()


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([Order, compute])
    asyncoro.Coro(client_proc, computation)
