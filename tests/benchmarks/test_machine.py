from benchmarks import machine


def test_it_names_the_processor_the_python_and_the_versions():
    here = machine.describe(["psutil", "no-such-distribution"])
    assert here.cpus >= 1
    assert here.python.startswith("CPython 3.")
    assert here.packages["psutil"]
    assert here.packages["no-such-distribution"] is None


def test_a_processor_without_a_name_is_called_by_its_architecture():
    assert machine._cpu("processor : 0\nmodel name\t: Fast One\n") == "Fast One"
    assert machine._cpu("processor : 0\nCPU part : 0xd0c\n").startswith("unnamed ")
