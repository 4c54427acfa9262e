"""Ends while what it has started at pycos_rps_server.py goes on; that is ended then.

Prints:

    begun
"""

import sys

import pycos
import pycos.netpycos


def hears(task=None):
    task.set_daemon()
    msg = yield task.receive()
    print(msg)
    heard.set()
    yield task.receive()


def client_proc(task=None):
    endless = yield pycos.RPS.locate("endless", timeout=10)
    rtask = yield endless(pycos.Task(hears))
    if not isinstance(rtask, pycos.Task):
        raise Exception("no task: %s" % rtask)
    yield heard.wait()


if __name__ == "__main__":
    pycos.Pycos(host="127.0.0.1", udp_port=int(sys.argv[1]))
    heard = pycos.Event()
    pycos.Task(client_proc)
