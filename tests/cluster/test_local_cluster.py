"""LocalCluster: its servers, its end."""

import os
import signal

import pytest

from greencoro import Computation, ComputeError, DeadlineExceeded, LocalCluster
from greencoro.compute.client_phase import Phase
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def process_id():
    return os.getpid()


def test_it_has_the_servers_that_were_asked_for():
    with LocalCluster(servers=2) as cluster:
        cluster.wait_for_servers()
        with Computation() as computation:
            assert computation.wait_for_servers(2) == 2
            cluster.wait_for_servers()
            assert len(set(computation.servers())) == 2
            with pytest.raises(DeadlineExceeded, match=r"2 of 3 servers .*: no node has another one to give$"):
                computation.wait_for_servers(3, 0.01)
            assert computation.run(process_id).value(10) not in (os.getpid(), cluster.pid)


def test_more_servers_than_it_has_are_not_waited_for_without_end():
    with LocalCluster(servers=1) as cluster, pytest.raises(DeadlineExceeded, match="of 2 servers"):
        cluster.wait_for_servers(2, timeout=0.2)


def test_a_cluster_whose_daemon_was_killed_says_so():
    with LocalCluster(servers=1) as cluster:
        cluster.wait_for_servers()
        os.kill(cluster.pid, signal.SIGKILL)
        poll_until(lambda: cluster._node.has_ended)
        with pytest.raises(ComputeError, match="daemon has ended"):
            cluster.wait_for_servers()


def test_an_inline_cluster_starts_no_process(programs):
    program = programs.script(
        """
        import os
        from greencoro import Computation, LocalCluster

        with LocalCluster(inline=True) as cluster:
            with Computation() as computation:
                print(computation.run(os.getpid).value(10) == os.getpid() == cluster.pid)
                print(len(os.listdir(f"/proc/self/task")) > 0, open("/proc/self/task/%d/children" % os.getpid()).read())
        """
    )
    assert program.line() == "True"
    assert program.line().split() == ["True"]
    assert program.wait() == 0


def test_an_inline_cluster_stands_aside_when_it_is_closed(cluster):
    with LocalCluster(inline=True), Computation() as computation:
        assert computation.run(process_id).value(10) == os.getpid()
    with Computation() as computation:
        assert computation.run(process_id).value(20) != os.getpid()
        assert computation._jobs.client.phase is Phase.CURRENT


def test_notebooks_are_shown_where_it_is(cluster):
    html = cluster._repr_html_()
    assert str(cluster.location) in html
    assert str(cluster.pid) in html
    assert "2" in html
