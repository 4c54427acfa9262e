"""Functions and a channel that clients may use here; run with a UDP port, ended by "quit"."""

import sys

import pycos
import pycos.netpycos


def halve(n, task=None):
    yield task.sleep(0.05)
    if n % 2:
        raise ValueError("%s is odd" % n)
    return n // 2, scheduler.name


def endless(client, task=None):
    client.send("begun")
    try:
        while True:
            yield task.receive()
    finally:
        client.send("ended")
        print("endless is over")
        sys.stdout.flush()


def talker(task=None):
    task.register("talker")
    while True:
        msg = yield task.receive()
        channel.send(msg)


if __name__ == "__main__":
    pycos.logger.setLevel(pycos.Logger.ERROR)
    scheduler = pycos.Pycos(host="127.0.0.1", udp_port=int(sys.argv[1]), name="rps_server", dest_path=sys.argv[2])
    channel = pycos.Channel("news")
    channel.register()
    talking = pycos.Task(talker)
    for function in (halve, endless):
        rps = pycos.RPS(function)
        if rps.register() != 0:
            raise Exception("could not register %s" % function)
    print("serving")
    sys.stdout.flush()
    while True:
        try:
            if input().strip().lower() in ("quit", "exit"):
                break
        except EOFError:
            break
    talking.terminate()
