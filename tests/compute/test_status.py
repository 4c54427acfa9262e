from greencoro.compute.scheduler import Scheduler
from greencoro.compute.status import CoroInfo, Status


def test_status_unpacks_as_a_pair():
    status, info = Status(Status.ServerInitialized, "where")
    assert (status, info) == (12, "where")


def test_status_is_shown_by_name():
    assert repr(Status(Status.NodeClosed, "10.0.0.1")) == "Status(NodeClosed, '10.0.0.1')"
    assert Status(99, None).name == "99"


def test_scheduler_has_the_same_constants():
    names = [name for name in dir(Status) if name[0].isupper()]
    assert names
    assert all(getattr(Scheduler, name) == getattr(Status, name) for name in names)


def test_constants_differ_from_each_other():
    values = [getattr(Status, name) for name in dir(Status) if name[0].isupper()]
    assert len(set(values)) == len(values) == 13


def test_coro_info_has_the_fields_of_the_seed():
    assert CoroInfo._fields == ("coro", "args", "kwargs", "start_time")
