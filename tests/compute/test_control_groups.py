import pytest

from greencoro.compute.control_groups import Group, groups
from tests.support.system_tree import SystemTree


@pytest.fixture
def tree(tmp_path):
    return SystemTree(tmp_path)


def directories(tree, controller):
    return [
        (group.version, f"/{group.directory.relative_to(tree.root / 'sys/fs/cgroup')}")
        for group in groups(controller, tree.root)
    ]


def test_groups_of_version_2_from_the_inside_out(tree):
    tree.group_of_version_2("/user.slice/job 1.scope")
    expected = [(2, "/user.slice/job 1.scope"), (2, "/user.slice"), (2, "/.")]
    assert directories(tree, "cpu") == directories(tree, "memory") == expected


def test_each_controller_of_version_1_has_its_tree(tree):
    tree.group_of_version_1("cpu,cpuacct", "/a")
    tree.group_of_version_1("memory", "/b")
    assert directories(tree, "cpuacct") == [(1, "/cpu,cpuacct/a"), (1, "/cpu,cpuacct")]
    assert directories(tree, "memory") == [(1, "/memory/b"), (1, "/memory")]
    assert directories(tree, "pids") == []


def test_both_versions_at_once(tree):
    tree.group_of_version_2("/", mount_point="/sys/fs/cgroup/unified")
    tree.group_of_version_1("cpu", "/a")
    assert directories(tree, "cpu") == [(1, "/cpu/a"), (1, "/cpu"), (2, "/unified")]


def test_a_container_sees_its_own_group_at_the_top(tree):
    tree.group_of_version_2("/docker/abc/inner", mounted="/docker/abc")
    assert directories(tree, "cpu") == [(2, "/inner"), (2, "/.")]


@pytest.mark.parametrize("own", ["/docker/abc", "/../../other"])
def test_a_path_that_is_not_below_the_mount_is_the_top(tree, own):
    tree.group_of_version_2(own, mounted="/elsewhere")
    assert directories(tree, "cpu") == [(2, "/.")]


def test_a_path_out_of_the_tree_is_the_top(tree):
    tree.group_of_version_2("/../../etc")
    assert directories(tree, "cpu") == [(2, "/.")]


def test_a_mount_point_with_a_blank(tree):
    tree.group_of_version_2("/", mount_point=r"/sys/fs/cgroup/a\040b")
    assert directories(tree, "cpu") == [(2, "/a b")]


def test_a_system_without_control_groups(tree):
    assert groups("cpu", tree.root) == []


def test_numbers_in_files(tree):
    tree.write("g/plain", 42)
    tree.write("g/none", "max")
    tree.write("g/stat", "usage_usec 17\nusage 5\nbroken\n")
    group = Group(2, tree.root / "g")
    assert group.number("plain") == 42
    assert group.number("none") is None
    assert group.number("stat", "usage") == 5
    assert group.number("stat", "broken") is None
    assert group.number("stat", "absent") is None
    assert group.number("absent") is None
    assert group.read("absent") == ""


def test_the_groups_of_this_process_can_be_read():
    for group in groups("memory"):
        assert group.directory.is_dir()
