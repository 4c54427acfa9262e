"""What jobs print and log appears at their client, wherever that is."""

import pytest

pytestmark = pytest.mark.cluster

# A client that finds its one server at a node daemon elsewhere.
CLIENT = """
    import logging, os, sys, time
    from greencoro import Computation, Coro, Scheduler, sleep

    {functions}

    with Scheduler(nodes=[{node!r}]), Computation() as computation:
        {body}
"""


@pytest.fixture
def client(programs):
    def run(functions, body, *options):
        node, location = programs.node("-c", "1", "-n", "host", *options)
        functions, body = functions.strip("\n").replace("\n", "\n    "), body.strip("\n").replace("\n", "\n        ")
        program = programs.script(CLIENT.format(node=location, functions=functions, body=body))
        assert program.wait() == 0, program.errors()
        return program.rest().splitlines(), program.errors().splitlines(), node

    return run


def test_prints_and_log_lines_of_jobs_appear_with_where_they_come_from(client):
    functions = """
def work():
    print("out")
    print("err", file=sys.stderr)
    logging.getLogger("mine").warning("logged")
"""
    out, err, _ = client(functions, "computation.run(work).value(10)")
    assert out == ["[host-1 work/3] out"]
    assert err == ["[host-1 work/3] err", "[host-1 work/3] logged"]


def test_what_a_job_printed_appears_before_what_its_client_does_with_the_result(client):
    functions = """
def work(n):
    print("job", n, end="")
"""
    body = """
for n in range(20):
    computation.run(work, n).value(10)
    print("client", n, flush=True)
"""
    out, _, _ = client(functions, body)
    assert [line.rpartition("] ")[2] for line in out] == [f"{who} {n}" for n in range(20) for who in ("job", "client")]


def test_lines_of_jobs_that_print_at_once_stay_whole(client):
    functions = """
def work(n):
    for _ in range(20):
        for part in ("a", "b", "c"):
            print(part * n, end=" ")
            sleep(0.001)
        print()
"""
    body = """
for job in [computation.run(work, n) for n in (1, 2, 3)]:
    job.value(20)
"""
    out, _, _ = client(functions, body)
    for n in (1, 2, 3):
        assert out.count(f"[host-1 work/{n + 2}] {'a' * n} {'b' * n} {'c' * n} ") == 20
    assert len(out) == 60


def test_job_that_prints_without_end_is_cut_short_and_holds_up_nobody(client):
    functions = """
def flood():
    for n in range(300_000):
        print("line", n)
        if not n % 1000:
            sleep(0)

def other():
    times = []
    for _ in range(20):
        began = time.monotonic()
        sleep(0.01)
        times.append(time.monotonic() - began)
    return max(times)
"""
    body = """
flood = computation.run(flood)
other = computation.run(other)
assert other.value(60) < 5
flood.value(120)
computation.run(print, "and then").value(10)
"""
    out, err, _ = client(functions, body)
    shown = [line for line in out if "] line " in line]
    left_out = sum(int(line.split()[2]) for line in err if line.endswith(" left out"))
    assert len(shown) + left_out >= 300_000 - 1
    assert 100 <= len(shown) < 30_000
    assert "[host-1 print/5] and then" in out or left_out > 300_000 - len(shown)


def test_nothing_in_a_line_steers_the_terminal(client):
    out, _, _ = client("", r'computation.run(print, "\x1b[2J\x07 bell").value(10)')
    assert out == [r"[host-1 print/3] \x1b[2J\x07 bell"]


def test_what_c_code_writes_goes_to_the_node(client):
    out, err, node = client("", 'computation.run(os.write, 1, b"from C\\n").value(10)')
    assert (out, err) == ([], [])
    assert node.line() == "from C"


def test_hub_that_a_job_keeps_from_turning_is_reported_to_the_client(client, monkeypatch):
    monkeypatch.setenv("GREENCORO_MAX_BLOCKED_SECONDS", "0.2")
    functions = """
def compute():
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        pass
"""
    _, err, _ = client(functions, "computation.run(compute).value(20)")
    assert any(
        line.startswith("[host-1] ") and "the hub has not turned for" in line and "compute/3" in line for line in err
    ), err


def test_where_it_is_not_to_be_forwarded_output_stays_at_the_node_as_it_is(programs):
    node, location = programs.node("-c", "1", "-n", "host")
    body = 'computation.run(print, "stays").value(10)'
    script = CLIENT.format(node=location, functions="", body=body)
    program = programs.script(script.replace("Computation()", "Computation(forward_output=False)"))
    assert program.wait() == 0, program.errors()
    assert (program.rest(), program.errors()) == ("", "")
    assert node.line() == "stays"


def test_local_cluster_shows_each_line_once(programs):
    program = programs.script(
        """
        import os, sys
        from greencoro import Computation, LocalCluster

        def work():
            print("once")
            print("on stderr", file=sys.stderr)

        with LocalCluster(servers=1) as cluster, Computation() as computation:
            computation.run(work).value(10)
        """
    )
    assert program.wait() == 0
    assert program.rest().count("once") == 1
    assert program.errors().count("on stderr") == 1
