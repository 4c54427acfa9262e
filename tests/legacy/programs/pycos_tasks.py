"""Tasks with arguments, results, sub-calls, monitors, channels and locks, as pycos has them.

Prints:

    own task True
    sub-call 8
    nothing returned None
    keyword only True
    finished 8 at depth 1
    failed ValueError: 3 is too many
    results 8 ValueError
    terminated StopIteration None
    channel ['a', 'B', 'c']
    categories ['low', 'high']
    lock [0, 1, 2]
    joined False True
    main 42
    at exit
"""

import pycos
from pycos import Task


def double(n, depth=0, task=None):
    yield task.sleep(0.01)
    if n == 3:
        raise ValueError("%s is too many" % n)
    return 2 * n, depth


def nothing():
    yield 5


def keyword_only(*numbers, task=None):
    yield task.sleep(0)
    return isinstance(task, pycos.Task)


def forever(task=None):
    task.set_daemon()
    while True:
        yield task.receive()


def subscriber(channel, n, task=None):
    yield channel.subscribe(task)
    got = []
    for _ in range(n):
        got.append((yield task.recv()))
    yield channel.unsubscribe(task)
    return got


def sorter(task=None):
    sort = pycos.CategorizeMessages(task)
    sort.add(lambda msg: "number" if isinstance(msg, int) else None)
    got = [(yield sort.receive(category="number")), (yield sort.receive())]
    return got


def counter(lock, counts, task=None):
    yield lock.acquire()
    n = len(counts)
    yield task.sleep(0.005)
    counts.append(n)
    lock.release()


def main_proc(task=None):
    print("own task %s" % (pycos.Pycos.cur_task() is task))
    value, depth = yield double(4, task=task)
    print("sub-call %s" % value)
    print("nothing returned %s" % (yield nothing()))
    print("keyword only %s" % (yield Task(keyword_only, 1, 2).finish()))
    good, bad = Task(double, 4, depth=1), Task(double, 3)
    for each in (good, bad):
        yield task.monitor(each)
    statuses = {}
    for _ in range(2):
        msg = yield task.receive()
        if isinstance(msg, pycos.MonitorStatus):
            statuses[msg.info] = msg
    if statuses[good].type == StopIteration:
        print("finished %s at depth %s" % statuses[good].value)
    print("failed %s" % statuses[bad].value.splitlines()[-1])
    result, failure = (yield good()), (yield bad.finish())
    print("results %s %s" % (result[0], failure.type.__name__))
    endless = Task(forever)
    yield task.monitor(endless)
    yield task.sleep(0.01)
    endless.terminate()
    msg = yield task.receive()
    print("terminated %s %s" % (msg.type.__name__, msg.value))
    channel = pycos.Channel("letters", transform=lambda name, msg: msg.upper() if msg == "b" else msg)
    reader = Task(subscriber, channel, 3)
    yield channel.deliver("a", n=1)
    channel.send("b")
    channel.send("c")
    print("channel %s" % (yield reader.finish()))
    sorting = Task(sorter)
    sorting.send("high")
    sorting.send(1)
    print("categories %s" % [{1: "low"}.get(each, each) for each in (yield sorting())])
    lock, counts = pycos.Lock(), []
    tasks = [Task(counter, lock, counts) for _ in range(3)]
    for each in tasks:
        yield each()
    print("lock %s" % counts)
    return 42


def slow(task=None):
    yield task.sleep(0.3)


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.CRITICAL)
    main = Task(main_proc)
    value = main.value()
    Task(slow)
    print("joined %s %s" % (pycos.Pycos().join(timeout=0.01), pycos.Pycos().join()))
    print("main %s" % value)
    pycos.Pycos().atexit(2, print, "dropped")
    pycos.Pycos().drop_atexit(2, print)
    pycos.Pycos().atexit(1, print, "at exit")
