"""``--explain``, as people run it."""

from .launching import program_fixture, run  # noqa: F401

PROGRAM = """
    import asyncoro
    import beside

    def work(coro=None):
        coro.register("x")
        yield coro.sleep(0.01)
        print("ran")
        raise StopIteration(beside.number())

    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
"""
BESIDE = """
    import asyncoro

    def number():
        return 7

    def later(coro=None):
        x = yield coro.recv()
        yield x.finish()
"""


def test_the_lines_are_told_on_standard_error_and_the_program_is_run(program, tmp_path):
    program(PROGRAM + '    print(asyncoro.Coro(work, "x").value() if 0 else 5)\n')
    program(BESIDE, "beside.py")
    ran = run("--explain", "program.py", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "5\n")
    lines = ran.stderr.splitlines()
    assert lines[0] == "greencoro legacy: how program.py would be written for greencoro itself, without the yields:"
    assert "program.py:7: yield coro.sleep(0.01)  ->  sleep(0.01)" in lines
    assert "    resume() does not end it: what may be resumed is coro.suspend(seconds)." in lines
    assert "program.py:9: raise StopIteration(beside.number())  ->  return beside.number()" in lines
    assert "beside.py:8: yield coro.recv()  ->  coro.receive()" in lines
    assert "beside.py:9: yield x.finish()  ->  ?" in lines
    assert "1 more are written the same." in lines
    assert "1 with a ? are of a class, or in a way, that reading alone does not tell." in lines


def test_a_module_is_explained_too_and_each_sentence_said_once(program, tmp_path):
    program("import asyncoro\ndef f(coro=None):\n    yield coro.sleep(1)\n    yield coro.sleep(2)\n", "shows.py")
    ran = run("--explain", "-m", "shows", cwd=tmp_path)
    assert ran.returncode == 0
    assert [line.partition(":")[0] for line in ran.stderr.splitlines() if "sleep(" in line] == ["shows.py"] * 2
    assert ran.stderr.count("resume() does not end it") == 1


def test_modules_in_packages_are_read_and_what_cannot_be_read_is_said(program, tmp_path):
    (tmp_path / "package").mkdir()
    program("from . import inner\n", "package/__init__.py")
    program("import asyncoro\nasyncoro.Channel('x')\n", "package/inner.py")
    program("raise StopIteration(", "broken.py")
    program("import asyncoro\nif 0:\n    import package, broken\n")
    ran = run("--explain", "program.py", cwd=tmp_path)
    lines = ran.stderr.splitlines()
    assert "package/inner.py:2: asyncoro.Channel('x')  ->  Channel('x')" in lines
    assert any(line.startswith("broken.py: cannot be read: ") for line in lines)


def test_without_it_nothing_is_said(program):
    ran = run(program("import asyncoro\ndef f(coro=None):\n    yield coro.sleep(1)\n"))
    assert (ran.stdout, ran.stderr) == ("", "")


def test_it_is_an_option_of_the_command_and_the_program_has_its_own(program):
    ran = run("legacy", "--explain", program("import sys\nprint(sys.argv[1:])\n"), "--explain", module="greencoro")
    assert ran.stdout == "['--explain']\n" and "how " in ran.stderr
