"""What a test of a scheduler's decisions feeds them, and how it looks at what they order."""

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_words import NodeFacts
from greencoro.distributed.location import Location

HERE = Location("10.0.0.9", 1)
AT = Location("10.0.0.1", 5)
LOST, CLOSED = client.NodeChange.LOST, client.NodeChange.CLOSED


def facts(address):
    return NodeFacts(address, address, servers=2, ready=2, platform="", cpus=2)


def feed(state, *events):
    return [instruction for event in events for instruction in state.handle(event)]


def told(instructions):
    return [each.notice for each in instructions if isinstance(each, vocabulary.Tell)]


def names(instructions):
    return [type(each).__name__ for each in told(instructions)]


def orders(instructions):
    return [each for each in instructions if not isinstance(each, vocabulary.Tell)]


def up(node="n", address="10.0.0.1"):
    return vocabulary.NodeUp(node, facts(address))


def accept(node="n", computation=1):
    return client.Verdict(computation, node, accepted=True)


def started(server="s", node="n", attempt=1):
    return vocabulary.ServerStarted(node, attempt, server, AT, "node-1")


SUBMITTED = vocabulary.Submitted(1)
ASKED = (SUBMITTED, up(), accept())
RESERVED = (*ASKED, vocabulary.Granted("n", 1))
READY = (*RESERVED, started(), client.SetUpDone(1, "s"))
CLOSE = client.Close(1)
LOOKED = vocabulary.Looked("n", facts("10.0.0.1"))
