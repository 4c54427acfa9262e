"""A computation says what it needs, and hears before its first job what a server lacks of that."""

import pytest

from greencoro import Computation, LocalCluster
from greencoro.errors import NoMatchingServer

pytestmark = pytest.mark.cluster


def test_server_that_lacks_a_package_is_not_used_and_it_is_said_why(cluster, caplog):
    wanted = ["pytest>=999", "no-such-package", "gevent", "greenlet"]
    cluster.wait_for_servers(1)
    with Computation(requirements=wanted, timeout=4) as computation, pytest.raises(NoMatchingServer) as caught:
        computation.run(pow, 2, 3)
    for text in (caplog.text, str(caught.value)):
        assert f"pytest {pytest.__version__} here, {pytest.__version__} at " in text
        assert "where pytest>=999 is wanted" in text
        assert "no-such-package not installed here, absent at " in text
        assert "gevent" not in text


def test_servers_that_have_everything_are_used(cluster):
    with Computation(requirements=["pytest", "gevent>=1,!=1.5"]) as computation:
        cluster.wait_for_servers(1)
        assert computation.run(pow, 2, 3).value(10) == 8


@pytest.mark.parametrize(("wanted", "error"), [("pytest", TypeError), (["py test"], ValueError), ([3], TypeError)])
def test_nonsense_is_refused_at_once(cluster, wanted, error):
    with pytest.raises(error):
        Computation(requirements=wanted)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(servers=1) as cluster:
        yield cluster
