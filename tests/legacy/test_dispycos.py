"""Parameters of pycos' clients."""

import pytest

from tests.legacy.launching import program_fixture, run  # noqa: F401


@pytest.mark.parametrize(
    "parameters",
    [
        "node_setup=setup",
        "server_setup=setup",
        "disable_nodes=True",
        "disable_servers=True",
        "restart_servers=True",
        "nodes='10.0.0.1'",
        "nodes=[5]",
        "pulse_interval=1",
        "pulse_interval=1000",
        "status_task=5",
        "zombie_period=-1",
        "ping_interval=1",
    ],
)
def test_what_a_client_cannot_be_given_is_refused_with_a_word_about_it(program, parameters):
    text = f"""
        import pycos.dispycos
        def setup(task=None):
            yield
        try:
            pycos.dispycos.Client([setup], {parameters})
        except Exception as error:
            print(type(error).__name__, error)
    """
    ran = run(program(text))
    word = parameters.partition("=")[0].replace("status_task", "status_coro")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Exception ") and word in ran.stdout


def test_a_client_takes_what_pycos_has_of_parameters_that_correspond(program):
    text = """
        import pycos.dispycos
        def compute(task=None):
            yield
        allocate = pycos.dispycos.DispycosNodeAllocate("*", cpus=2)
        client = pycos.dispycos.Client(compute, nodes=["127.0.0.1", allocate], node_allocations=[allocate],
            pulse_interval=20, ping_interval=30, zombie_period=500, abandon_zombie_nodes=True)
        print(client.status_task, client.pulse_interval, client.zombie_period)
        print(pycos.dispycos.Computation(compute).pulse_interval)
    """
    ran = run(program(text))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "None 20 500\n50\n", "")
