import os

import pytest

from greencoro.compute.cpu_count import cpu_count, cpu_quota
from tests.support.system_tree import SystemTree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 8, 9})
    return SystemTree(tmp_path)


def test_without_quotas_the_affinity_counts(tree):
    assert cpu_quota(tree.root) is None
    assert cpu_count(tree.root) == 6


@pytest.mark.parametrize(
    ("cpu_max", "quota", "count"),
    [
        ("max 100000", None, 6),
        ("200000 100000", 2.0, 2),
        ("120000 100000", 1.2, 2),
        ("0 100000", None, 6),
        ("5000 100000", 0.05, 1),
        ("6400000 100000", 64.0, 6),
        ("100000", None, 6),
        ("100000 0", None, 6),
        ("nonsense", None, 6),
    ],
)
def test_quota_of_version_2(tree, cpu_max, quota, count):
    tree.group_of_version_2("/job")
    tree.write("sys/fs/cgroup/job/cpu.max", cpu_max)
    assert cpu_quota(tree.root) == quota
    assert cpu_count(tree.root) == count


@pytest.mark.parametrize(("quota_us", "count"), [(-1, 6), (300000, 3), (50000, 1)])
def test_quota_of_version_1(tree, quota_us, count):
    tree.group_of_version_1("cpu,cpuacct", "/job")
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota_us)
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", 100000)
    assert cpu_count(tree.root) == count


def test_the_narrowest_of_the_groups_around_counts(tree):
    tree.group_of_version_2("/batch/job")
    tree.write("sys/fs/cgroup/batch/cpu.max", "200000 100000")
    tree.write("sys/fs/cgroup/batch/job/cpu.max", "400000 100000")
    assert cpu_count(tree.root) == 2


def test_this_process_may_use_a_cpu():
    assert 1 <= cpu_count() <= len(os.sched_getaffinity(0))
