"""A whole program: two servers, one job, its result. Its argument: the first of four free ports in a row."""

import subprocess
import sys

first_port = int(sys.argv[1])
# First of all, so that the node starts while this process imports.
options = "--daemon --clean -c 2 -i 127.0.0.1"
ports = f"--scheduler_port {first_port} --node_ports {first_port + 1}-{first_port + 3}"
command = [sys.executable, "-m", "pycos.dispycosnode", *options.split(), *ports.split()]
node = subprocess.Popen(command, stdin=subprocess.DEVNULL)

import pycos  # noqa: E402
import pycos.config  # noqa: E402

pycos.config.NetPort = first_port
pycos.logger.setLevel(pycos.Logger.ERROR)

import pycos.netpycos  # noqa: E402  # reads the port
from pycos.dispycos import Client, Scheduler  # noqa: E402


def square(number, task=None):
    yield
    return number * number


def main(task=None):
    # Nothing has to be discovered. The node is dialled from here because its own way (--peer) is tried once only, and
    # on a busy machine loses a message about one time in four, after which it is never used.
    node_location = pycos.Location("127.0.0.1", first_port + 1)
    while (yield pycos.Pycos.instance().peer(node_location)) != 0:
        yield task.sleep(0.005)
    client = Client([square])
    assert (yield client.schedule()) == 0
    remote = yield client.rtask(square, 7)
    print("result", (yield remote()), flush=True)
    yield client.close()


try:
    Scheduler(host="127.0.0.1", discover_peers=False)
    pycos.Task(main).value()
finally:
    node.terminate()
    node.wait(10)
