"""Which nodes a client of dispycos uses, and what is refused of it."""

import pytest

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.filters import NodeFacts
from greencoro.compute.status import Status, StatusCodes
from greencoro.legacy.dispycos_words import DispycosNodeAllocate, StatusNumbers, number_of

MIB = 2**20


def node(address="10.0.0.5", servers=4, platform="Linux-6.1-x86_64", memory=None, disk=None):
    avail = None if memory is None else NodeAvailInfo(100.0, memory, disk, 100.0, address)
    return NodeFacts(address, "a node", servers, platform, avail=avail)


@pytest.mark.parametrize(
    ("allocate", "facts", "verdict"),
    [
        (DispycosNodeAllocate("*"), node(), True),
        (DispycosNodeAllocate("10.0.0.*"), node(), True),
        (DispycosNodeAllocate("10.0.0.5"), node(), True),
        (DispycosNodeAllocate("10.0.0.5"), node("10.0.0.55"), None),
        (DispycosNodeAllocate("10.0.1.*"), node(), None),
        (DispycosNodeAllocate("10.0.0.*"), node("10a0b0c5"), None),
        (DispycosNodeAllocate("*", platform="Windows"), node(), None),
        (DispycosNodeAllocate("*", platform="Linux.*x86_64"), node(), True),
        (DispycosNodeAllocate("*", cpus=0), node(), False),
        (DispycosNodeAllocate("*", cpus=4), node(), True),
        (DispycosNodeAllocate("*", cpus=5), node(), False),
        (DispycosNodeAllocate("*", memory=8 * MIB), node(memory=7 * MIB, disk=MIB), False),
        (DispycosNodeAllocate("*", memory=8 * MIB), node(memory=8 * MIB, disk=MIB), True),
        (DispycosNodeAllocate("*", memory=8 * MIB), node(), True),
        (DispycosNodeAllocate("*", disk=2 * MIB), node(memory=7 * MIB, disk=MIB), False),
    ],
)
def test_a_node_is_used_refused_or_left_to_the_next(allocate, facts, verdict):
    assert allocate.verdict(facts) is verdict


def test_a_subclass_decides_by_its_own_allocate():
    class Odd(DispycosNodeAllocate):
        def allocate(self, ip_addr, name, platform, cpus, memory, disk):
            return cpus if int(ip_addr.rpartition(".")[2]) % 2 else 0

    assert Odd("*").verdict(node("10.0.0.5")) is True
    assert Odd("*").verdict(node("10.0.0.6")) is False


def test_to_leave_out_some_servers_of_a_node_is_refused():
    with pytest.raises(ValueError, match="nodes are used as a whole"):
        DispycosNodeAllocate("*", cpus=-1)


def test_each_status_of_greencoro_has_a_number_of_pycos():
    names = [name for name, value in vars(StatusCodes).items() if isinstance(value, int)]
    numbers = {name: number_of(name) for name in names}
    assert len(set(numbers.values())) == len(names)
    assert numbers["CoroCreated"] == StatusNumbers.TaskCreated == 21
    assert (numbers["ServerInitialized"], numbers["ComputationClosed"]) == (13, 32)
    assert Status(Status.CoroCreated, None).name in names
