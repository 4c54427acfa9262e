"""Whether the kernel killed processes for want of memory, as far as control groups say so."""

import pytest

from greencoro.compute import control_groups
from greencoro.compute.control_groups import memory_kills
from tests.support.system_tree import SystemTree


@pytest.fixture
def tree(tmp_path):
    return SystemTree(tmp_path)


def test_version_2_counts_them_among_its_events(tree):
    tree.group_of_version_2("/job")
    tree.write("sys/fs/cgroup/job/memory.events", "low 0\nhigh 9\noom 4\noom_kill 3\noom_group_kill 7\n")
    assert memory_kills(tree.root) == 3


def test_version_1_counts_them_beside_its_switches(tree):
    tree.group_of_version_1("memory", "/job")
    tree.write("sys/fs/cgroup/memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert memory_kills(tree.root) == 5


def test_the_innermost_group_that_counts_says_it(tree):
    tree.group_of_version_2("/outer/inner")
    tree.write("sys/fs/cgroup/outer/inner/memory.events", "low 0\n")
    tree.write("sys/fs/cgroup/outer/memory.events", "oom_kill 2\n")
    tree.write("sys/fs/cgroup/memory.events", "oom_kill 900\n")
    assert memory_kills(tree.root) == 2


def test_nobody_says_it_where_no_group_counts(tree):
    assert memory_kills(tree.root) is None
    tree.group_of_version_2("/job")
    assert memory_kills(tree.root) is None


def test_none_yet_is_a_number(tree):
    tree.group_of_version_2("/job")
    tree.write("sys/fs/cgroup/job/memory.events", "oom_kill 0\n")
    assert memory_kills(tree.root) == 0


def test_other_controllers_are_not_asked(tree):
    tree.group_of_version_1("cpu", "/job")
    tree.write("sys/fs/cgroup/cpu/job/memory.oom_control", "oom_kill 5\n")
    assert memory_kills(tree.root) is None
    assert control_groups.groups("cpu", tree.root)
