"""Runs functions of pycos_rps_server.py, hears how they ended, waits for results, and closes what it has used.

Prints:

    peer rps_server is online: True
    4: 2 at rps_server
    5: ValueError: 5 is odd
    6: 3 at rps_server
    result (5, 'rps_server'), failure ValueError
    refused None
    endless: begun ended
    closed -1 None
    no such function: None
    heard hello from the channel
    file sent 0, again 1, deleted 0
"""

import sys

import pycos
import pycos.netpycos


def client_proc(task=None):
    scheduler = pycos.Pycos()
    scheduler.peer_status(task)
    msg = yield task.receive()
    while not (isinstance(msg, pycos.PeerStatus) and msg.name == "rps_server"):
        msg = yield task.receive()
    scheduler.peer_status(None)
    print("peer rps_server is online: %s" % (msg.status == pycos.PeerStatus.Online))
    halve = yield pycos.RPS.locate("halve", timeout=10)
    if not isinstance(halve, pycos.RTI) or halve.monitor(task) != 0:
        raise Exception("could not monitor")
    numbers, lines, rtasks = {}, [], {}
    for n in range(4, 7):
        rtask = yield halve(n)
        if not isinstance(rtask, pycos.Task):
            raise Exception("no task: %s" % rtask)
        numbers[rtask], rtasks[n] = n, rtask
    while numbers:
        msg = yield task.receive()
        if not isinstance(msg, pycos.MonitorStatus):
            continue
        n = numbers.pop(msg.info)
        if msg.type == StopIteration:
            lines.append("%s: %s at %s" % ((n,) + msg.value))
        else:
            lines.append("%s: %s" % (n, msg.value.splitlines()[-1]))
    for line in sorted(lines):
        print(line)
    location = halve.location
    quiet = yield pycos.RPS.locate("halve", location)
    rtask = yield quiet(10)
    result = yield rtask()
    failure = yield rtasks[5].finish()
    print("result %s, failure %s" % (result, failure.type.__name__))
    print("refused %s" % (yield quiet()))
    endless = yield pycos.RPS.locate("endless", location)
    yield endless(task)
    words = [(yield task.receive())]
    endless.close()
    words.append((yield task.receive()))
    print("endless: %s" % " ".join(words))
    print("closed %s %s" % (endless.close(), (yield endless(task))))
    print("no such function: %s" % (yield pycos.RPS.locate("no_such_function", location, timeout=0.5)))
    channel = yield pycos.Channel.locate("news", location)
    yield channel.subscribe(task)
    talker = yield pycos.Task.locate("talker", location)
    yield talker.deliver("hello")
    print("heard %s from the channel" % (yield task.receive()))
    yield channel.unsubscribe(task)
    sent = yield scheduler.send_file(location, __file__)
    again = yield scheduler.send_file(location, __file__)
    deleted = yield scheduler.del_file(location, __file__)
    print("file sent %s, again %s, deleted %s" % (sent, again, deleted))


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.CRITICAL)
    pycos.Pycos(host=["127.0.0.1"], udp_port=int(sys.argv[1]))
    pycos.Task(client_proc).value()
