import copy
import pickle

import pytest

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.filters import NodeFacts, NodeFilter, check_filters, decide

GIB = 2**30
FREE = NodeAvailInfo(cpu=90.0, memory=4 * GIB, disk=100 * GIB, addr="10.0.0.5")
LINUX = "Linux-6.1.0-x86_64-with-glibc2.36"


def facts(address="10.0.0.5", servers=4, platform=LINUX, avail=FREE, **tags):
    return NodeFacts(address, "a", servers, platform, tags, avail)


def accepted(filters, node):
    verdict, reason = decide(filters, node)
    assert bool(reason) is not verdict, "a reason is given for a rejection, and for nothing else"
    return verdict


# The sentences of the manual, one by one.
TABLE = [
    ("without filters every node is accepted", [], facts(), True),
    ("by default any address matches", [NodeFilter(cpus=99)], facts("fe80::1"), False),
    ("a filter without constraints accepts", [NodeFilter()], facts(), True),
    ("the address is a regular expression", [NodeFilter(r"10\.\d+\.0\.[56]$", cpus=99)], facts(), False),
    ("the address matches from its beginning", [NodeFilter("0.0.5", cpus=99)], facts(), True),
    ("the address need not match to its end", [NodeFilter("10.", cpus=99)], facts(), False),
    ("a node that no filter matches is accepted", [NodeFilter("192.168.", cpus=99)], facts(), True),
    ("as many servers as wanted are enough", [NodeFilter(cpus=4)], facts(), True),
    ("fewer servers are not", [NodeFilter(cpus=5)], facts(), False),
    ("0 servers are no constraint", [NodeFilter(cpus=0)], facts(servers=0), True),
    ("as much memory as wanted is enough", [NodeFilter(memory=4 * GIB)], facts(), True),
    ("less memory is not", [NodeFilter(memory=4 * GIB + 1)], facts(), False),
    ("as much disk as wanted is enough", [NodeFilter(disk=100 * GIB)], facts(), True),
    ("less disk is not", [NodeFilter(disk=100 * GIB + 1)], facts(), False),
    ("the platform may occur anywhere", [NodeFilter(platform="glibc2")], facts(), True),
    ("the platform is a regular expression", [NodeFilter(platform="linux.*x86_64")], facts(), True),
    ("the case of the platform is ignored", [NodeFilter(platform="LINUX")], facts(), True),
    ("another platform is rejected", [NodeFilter(platform="^Windows")], facts(), False),
    ("where nothing is known to be free, a node is accepted", [NodeFilter(memory=99 * GIB)], facts(avail=None), True),
    ("the same for disk", [NodeFilter(disk=999 * GIB)], facts(avail=None), True),
    ("how many servers there are is known all the same", [NodeFilter(cpus=99)], facts(avail=None), False),
    ("so is the platform", [NodeFilter(platform="^none")], facts(avail=None), False),
    ("all constraints must hold", [NodeFilter(cpus=1, memory=GIB, platform="^none")], facts(), False),
    ("the first that matches decides to accept", [NodeFilter("10."), NodeFilter(cpus=99)], facts(), True),
    ("the first that matches decides to reject", [NodeFilter(cpus=99), NodeFilter("10.")], facts(), False),
    ("one that does not match leaves it to the next", [NodeFilter("11."), NodeFilter(cpus=99)], facts(), False),
    (
        "a node is kept out by an impossible constraint",
        [NodeFilter("10.0.0.5$", platform="^unpossible"), NodeFilter("10.")],
        facts(),
        False,
    ),
    (
        "and its neighbour is not",
        [NodeFilter("10.0.0.5$", platform="^unpossible"), NodeFilter("10.")],
        facts("10.0.0.50"),
        True,
    ),
    # What is new.
    ("a tag that the node has", [NodeFilter(tags={"room": "b"})], facts(room="b", floor="2"), True),
    ("a tag with another value", [NodeFilter(tags={"room": "b"})], facts(room="bb"), False),
    ("a tag that the node has not", [NodeFilter(tags={"room": "b"})], facts(), False),
    ("tags are known without availability", [NodeFilter(tags={"room": "b"})], facts(avail=None), False),
    ("a function accepts", [lambda node: node.servers == 4, NodeFilter(cpus=99)], facts(), True),
    ("a function rejects", [lambda node: node.servers != 4, NodeFilter()], facts(), False),
    ("a function leaves it to the next", [lambda node: None, NodeFilter(cpus=99)], facts(), False),
    ("a function leaves it to nobody", [lambda node: None], facts(), True),
]


@pytest.mark.parametrize(("filters", "node", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_rule(filters, node, expected):
    assert accepted(check_filters(filters), node) is expected


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ([NodeFilter(cpus=5)], "filter 1: 5 servers wanted, it has 4"),
        ([NodeFilter("11."), NodeFilter(memory=5 * GIB)], f"filter 2: {5 * GIB} bytes of memory wanted, {4 * GIB} are"),
        ([NodeFilter(disk=2**50)], f"filter 1: {2**50} bytes of disk wanted, {100 * GIB} are free"),
        ([NodeFilter(platform="^win")], f"filter 1: platform '^win' wanted, it is '{LINUX}'"),
        ([NodeFilter(tags={"a": "1"})], "filter 1: tag 'a' should be '1', it has none"),
        ([NodeFilter(tags={"room": "c"})], "filter 1: tag 'room' should be 'c', it is 'b'"),
    ],
)
def test_a_rejection_says_which_filter_and_why(filters, reason):
    assert decide(filters, facts(room="b"))[1].startswith(reason)


def test_a_function_that_raises_rejects_and_is_named():
    def of_the_users(node):
        raise LookupError("no such rack")

    verdict, reason = decide([of_the_users, NodeFilter()], facts())
    assert not verdict
    assert reason.endswith("of_the_users raised LookupError: no such rack")


def test_a_function_whose_exception_has_no_text_rejects():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    def of_the_users(node):
        raise Mute

    verdict, reason = decide([of_the_users], facts())
    assert not verdict
    assert "raised Mute" in reason


def test_a_reason_is_bounded():
    def of_the_users(node):
        raise ValueError("x" * 100_000)

    assert len(decide([of_the_users], facts())[1]) <= 500


@pytest.mark.parametrize("verdict", [1, 0, "yes", ""])
def test_a_function_that_returns_something_else_rejects_and_is_named(verdict):
    accepts, reason = decide([lambda node: verdict], facts())
    assert not accepts
    assert reason.endswith(f"returned a {type(verdict).__name__}, not True, False or None")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"ip_addr": "10.("}, ValueError, "ip_addr '10.(' is no regular expression"),
        ({"platform": "*"}, ValueError, "platform '*' is no regular expression"),
        ({"ip_addr": 10}, TypeError, "ip_addr as a regular expression"),
        ({"platform": None}, TypeError, "platform as a regular expression"),
        ({"cpus": -1}, ValueError, "cpus as 0 or more"),
        ({"memory": 1e9}, TypeError, "memory as a whole number"),
        ({"disk": True}, TypeError, "disk as a whole number"),
        ({"tags": ["a"]}, TypeError, "tags as a dict of texts"),
        ({"tags": {"a": 1}}, TypeError, "tags as a dict of texts"),
    ],
)
def test_a_filter_that_is_none_is_refused_when_it_is_made(arguments, error, says):
    with pytest.raises(error) as caught:
        NodeFilter(**arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize("filters", [None, 5, NodeFilter(), ["10."], [NodeFilter(), None], [NodeFilter]])
def test_what_is_no_list_of_filters_is_refused(filters):
    with pytest.raises(TypeError, match="node_filters"):
        check_filters(filters)


def test_tags_of_a_filter_do_not_change_with_the_callers():
    tags = {"room": "b"}
    one = NodeFilter(tags=tags)
    tags["room"] = "c"
    assert accepted([one], facts(room="b"))


def test_equal_filters_are_one_in_a_set():
    assert len({NodeFilter(tags={"a": "1", "b": "2"}), NodeFilter(tags={"b": "2", "a": "1"}), NodeFilter()}) == 2


@pytest.mark.parametrize("value", [FREE, facts(room="b"), NodeFilter("10.", tags={"a": "b"})])
def test_what_travels_stays_equal_and_cannot_be_changed(value):
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    with pytest.raises(AttributeError):
        setattr(value, next(iter(type(value).__dataclass_fields__)), 1)
