import os
from types import SimpleNamespace

import psutil
import pytest

from greencoro.compute import availability
from greencoro.compute.availability import Availability
from tests.support.system_tree import SystemTree

MIB = 2**20


class Machine(SystemTree):
    """Two CPUs, memory and a clock that tests move."""

    def __init__(self, root):
        super().__init__(root)
        self.now = 1000.0
        self.cpus = [[100.0, 1000.0], [100.0, 1000.0]]
        self.free_memory(800)

    def free_memory(self, mib, swap_free_mib=0, swap_mib=0):
        numbers = {
            "MemTotal": 1000,
            "MemFree": mib,
            "MemAvailable": mib,
            "Buffers": 0,
            "Cached": 0,
            "Active": 0,
            "Inactive": 0,
            "Shmem": 0,
            "SwapTotal": swap_mib,
            "SwapFree": swap_free_mib,
        }
        self.write("proc/meminfo", "\n".join(f"{name}: {number * 1024} kB" for name, number in numbers.items()))
        self.write("proc/vmstat", "pswpin 0\npswpout 0")

    def passes(self, seconds, *busy):
        """Time, of which each CPU computes a part."""
        self.now += seconds
        for cpu, part in zip(self.cpus, busy, strict=True):
            cpu[0] += seconds * part
            cpu[1] += seconds * (1 - part)

    def times(self, percpu):
        assert percpu
        nothing = dict.fromkeys(("nice", "system", "iowait", "irq", "softirq", "steal"), 0.0)
        return [SimpleNamespace(user=user, idle=idle, **nothing) for user, idle in self.cpus]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    monkeypatch.setattr(psutil, "cpu_times", machine.times)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(availability.native, "monotonic", lambda: machine.now)
    return machine


def measure(machine):
    return Availability(machine.root, root=machine.root).measure()


def test_cpu_is_what_was_idle_since_the_last_call(machine):
    meter = Availability(machine.root, root=machine.root)
    machine.passes(10, 1.0, 0.5)
    assert meter.measure().cpu == 25.0
    machine.passes(10, 0.0, 0.0)
    assert meter.measure().cpu == 100.0
    machine.passes(10, 1.0, 1.0)
    assert meter.measure().cpu == 0.0


def test_cpus_outside_of_the_affinity_do_not_count(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1})
    meter = Availability(machine.root, root=machine.root)
    machine.passes(10, 1.0, 0.5)
    assert meter.measure().cpu == 50.0


@pytest.mark.parametrize("quota", ["max 100000", "50000 100000"])
def test_two_calls_at_once_measure_something(machine, quota):
    machine.group_of_version_2("/")
    machine.write("sys/fs/cgroup/cpu.max", quota)
    machine.write("sys/fs/cgroup/cpu.stat", "usage_usec 1000000")
    meter = Availability(machine.root, root=machine.root)
    assert meter.measure().cpu == meter.measure().cpu == 100.0


def test_a_cpu_that_comes_or_goes_is_not_taken_for_a_load(machine):
    meter = Availability(machine.root, root=machine.root)
    machine.cpus.pop()
    machine.passes(10, 0.5)
    assert meter.measure().cpu == 100.0
    machine.passes(10, 0.5)
    assert meter.measure().cpu == 50.0
    machine.cpus.append([500.0, 0.0])
    machine.passes(10, 0.0, 0.0)
    assert meter.measure().cpu == 100.0


def test_cpu_under_a_quota_of_version_2(machine):
    machine.group_of_version_2("/job")
    machine.write("sys/fs/cgroup/job/cpu.max", "50000 100000")
    machine.write("sys/fs/cgroup/job/cpu.stat", "usage_usec 1000000\nuser_usec 1")
    meter = Availability(machine.root, root=machine.root)
    machine.passes(10, 0.2, 0.2)
    machine.write("sys/fs/cgroup/job/cpu.stat", "usage_usec 5000000\nuser_usec 1")
    assert meter.measure().cpu == 20.0, "4 s of the 5 s that the quota gave are used"
    machine.passes(10, 0.6, 0.6)
    assert meter.measure().cpu == 40.0, "others left less than the quota allows"


@pytest.mark.parametrize("controllers", [("cpu,cpuacct", "cpu,cpuacct"), ("cpu", "cpuacct")])
def test_cpu_under_a_quota_of_version_1(machine, controllers):
    for one in sorted(set(controllers)):
        machine.group_of_version_1(one, "/job")
    machine.write(f"sys/fs/cgroup/{controllers[0]}/job/cpu.cfs_quota_us", 100000)
    machine.write(f"sys/fs/cgroup/{controllers[0]}/job/cpu.cfs_period_us", 100000)
    machine.write(f"sys/fs/cgroup/{controllers[1]}/job/cpuacct.usage", 0)
    meter = Availability(machine.root, root=machine.root)
    machine.passes(10, 0.5, 0.5)
    machine.write(f"sys/fs/cgroup/{controllers[1]}/job/cpuacct.usage", 9_000_000_000)
    assert meter.measure().cpu == 10.0


def test_more_used_than_the_quota_gave_leaves_nothing(machine):
    machine.group_of_version_2("/")
    machine.write("sys/fs/cgroup/cpu.max", "10000 100000")
    machine.write("sys/fs/cgroup/cpu.stat", "usage_usec 0")
    meter = Availability(machine.root, root=machine.root)
    machine.passes(1, 0.5, 0.5)
    machine.write("sys/fs/cgroup/cpu.stat", "usage_usec 200000")
    assert meter.measure().cpu == 0.0


def test_memory_is_what_the_system_has(machine):
    assert measure(machine).memory == 800 * MIB


def test_memory_under_a_limit_of_version_2_counts_the_cache_of_files_as_free(machine):
    machine.group_of_version_2("/batch/job")
    machine.write("sys/fs/cgroup/batch/job/memory.max", "max")
    machine.write("sys/fs/cgroup/batch/job/memory.current", 100 * MIB)
    machine.write("sys/fs/cgroup/batch/memory.max", 300 * MIB)
    machine.write("sys/fs/cgroup/batch/memory.current", 200 * MIB)
    machine.write("sys/fs/cgroup/batch/memory.stat", f"anon 1\ninactive_file {50 * MIB}")
    assert measure(machine).memory == 150 * MIB


def test_memory_under_a_limit_of_version_1(machine):
    machine.group_of_version_1("memory", "/job")
    machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", 300 * MIB)
    machine.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", 280 * MIB)
    machine.write("sys/fs/cgroup/memory/job/memory.stat", f"inactive_file 1\ntotal_inactive_file {10 * MIB}")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", 500 * MIB)
    assert measure(machine).memory == 30 * MIB


def test_a_limit_above_what_the_system_has_gives_no_more(machine):
    machine.group_of_version_2("/")
    machine.write("sys/fs/cgroup/memory.max", 5000 * MIB)
    machine.write("sys/fs/cgroup/memory.current", 0)
    assert measure(machine).memory == 800 * MIB


def test_a_group_beyond_its_limit_has_nothing(machine):
    machine.group_of_version_2("/")
    machine.write("sys/fs/cgroup/memory.max", 10 * MIB)
    machine.write("sys/fs/cgroup/memory.current", 11 * MIB)
    assert measure(machine).memory == 0


def test_swap_in_percent(machine):
    assert measure(machine).swap == 0.0
    machine.free_memory(800, swap_free_mib=75, swap_mib=100)
    assert measure(machine).swap == 75.0


def test_disk_of_the_directorys_partition(machine):
    here = os.statvfs(machine.root)
    assert abs(measure(machine).disk - here.f_bavail * here.f_frsize) < 2**30


def test_a_directory_that_is_gone_is_an_error(machine):
    with pytest.raises(OSError, match="no-such"):
        Availability(machine.root / "no-such", root=machine.root).measure()


def test_this_machine_can_be_measured(tmp_path):
    meter = Availability(tmp_path, "10.0.0.5")
    info = meter.measure()
    assert 0.0 <= info.cpu <= 100.0
    assert 0.0 <= info.swap <= 100.0
    assert 0 < info.memory <= psutil.virtual_memory().total
    assert info.disk > 0
    assert info.addr == "10.0.0.5"
