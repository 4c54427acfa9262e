"""Runs a function at every server as soon as that is there, and hears of all that happens.

Prints, with a node of two servers:

    node 127.0.0.1 is there, with 2 servers and some memory
    servers: 2
    started: 3 [(0,), (1,), (2,)]
    task 0: 0 at its server: True
    task 1: ValueError: odd
    task 2: terminated
    scheduled and closed: True
"""

import sys

import pycos
import pycos.netpycos
from pycos.dispycos import *


def compute(n, task=None):
    if n == 1:
        raise ValueError("odd")
    if n == 2:
        yield task.receive()
    yield task.sleep(0.01)
    return n, task.location


def status_proc(client, done, task=None):
    task.set_daemon()
    nodes, servers, tasks, ends, seen = {}, [], {}, {}, set()
    while Scheduler.ClientClosed not in seen:
        msg = yield task.receive()
        if isinstance(msg, DispycosStatus):
            seen.add(msg.status)
            if msg.status == Scheduler.NodeInitialized and isinstance(msg.info, DispycosNodeInfo):
                nodes[msg.info.addr] = msg.info
            elif msg.status == Scheduler.ServerInitialized and isinstance(msg.info, pycos.Location):
                servers.append(msg.info)
                if len(servers) == 2:
                    for n in range(3):
                        rtask = yield client.rtask_at(servers[n % 2], compute, n)
                        if n == 2:
                            rtask.terminate()
            elif msg.status == Scheduler.TaskStarted and isinstance(msg.info, DispycosTaskInfo):
                tasks[msg.info.task] = msg.info.args
        elif isinstance(msg, pycos.MonitorStatus):
            ends[tasks[msg.info][0]] = msg
            if len(ends) == 3:
                pycos.Task(close_proc, client)
    for address, info in nodes.items():
        free = isinstance(info.avail_info, DispycosNodeAvailInfo) and info.avail_info.memory > 0
        print("node %s is there, with %s servers and %s memory" % (address, info.cpus, "some" if free else "no"))
    print("servers: %s" % len(servers))
    print("started: %s %s" % (len(tasks), sorted(tasks.values())))
    value, place = ends[0].value
    print("task 0: %s at its server: %s" % (value, ends[0].type == StopIteration and place == ends[0].info.location))
    print("task 1: %s" % ends[1].value.splitlines()[-1])
    print("task 2: %s" % ("terminated" if ends[2].type == Scheduler.TaskTerminated else ends[2].type))
    print("scheduled and closed: %s" % (Scheduler.ClientScheduled in seen))
    done.set()


def close_proc(client, task=None):
    yield client.close()


def client_proc(client, task=None):
    done = pycos.Event()
    client.status_task = pycos.Task(status_proc, client, done)
    if (yield client.schedule()):
        raise Exception("could not schedule client")
    yield done.wait()


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.CRITICAL)
    pycos.Pycos(host="127.0.0.1", udp_port=int(sys.argv[1]))
    pycos.Task(client_proc, Client([compute]))
