"""The parts of examples/analyse_sources.py that need no server."""

import ast
import dataclasses
import hashlib
import os
import sys
from collections import Counter

import pytest

from tests.support.examples import example, importable_examples

SOURCE = '''"""Doc."""
import os


class Parser:
    def feed(self):
        pass

    async def close(self):
        def inner():
            return 1

        return inner


def f(): return 0
'''


@pytest.fixture
def demo():
    with importable_examples():
        yield example("analyse_sources")


@pytest.fixture
def report():
    with importable_examples():
        yield example("source_report")


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def test_a_file_is_counted_and_digested(demo, write):
    path = write("a.py", SOURCE)
    assert demo.analyse(path) == demo.Analysis(
        path,
        sha256=hashlib.sha256(SOURCE.encode()).hexdigest(),
        lines=16,
        functions=4,
        classes=1,
        longest_function="Parser.close",
        longest_function_lines=5,
    )


def test_definitions_have_qualified_names_also_under_other_statements(demo):
    tree = ast.parse("if x:\n    class A:\n        try:\n            def f(): pass\n        finally: pass\n")
    assert {name for name, _ in demo.definitions(tree)} == {"A", "A.f"}


def test_an_empty_file_has_figures_of_zero(demo, write):
    analysis = demo.analyse(write("a.py", b""))
    assert (analysis.lines, analysis.functions, analysis.problem) == (0, 0, "")
    assert analysis.sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"def f(:\n", "cannot be parsed: invalid syntax (line 1)"),
        (b"x = 1\n\0\n", "cannot be parsed: "),
        (b"# coding: no-such-coding\n", "cannot be parsed: unknown encoding"),
        (b"x = '\xff'\n", "cannot be parsed: "),
        (b"x = " + b"-" * 100_000 + b"1\n", "cannot be parsed: "),
    ],
    ids=["syntax", "zero byte", "coding", "not utf-8", "deep"],
)
def test_a_file_that_cannot_be_parsed_still_has_digest_and_lines(demo, write, content, problem):
    analysis = demo.analyse(write("bad.py", content))
    assert analysis.problem.startswith(problem)
    assert analysis.sha256 == hashlib.sha256(content).hexdigest()
    assert (analysis.functions, analysis.lines) == (0, len(content.splitlines()))


def test_a_warning_of_the_parser_is_not_printed(demo, write, capsys, recwarn):
    assert demo.analyse(write("a.py", r"x = '\d'")).problem == ""
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


def test_files_that_cannot_be_read_are_results_too(demo, tmp_path):
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.py")
    assert demo.analyse(str(tmp_path / "gone.py")).problem == "cannot be read: No such file or directory"
    assert demo.analyse(str(tmp_path / "pipe.py")).problem == "cannot be read: not a regular file"


def test_python_files_are_found_largest_first_but_not_those_of_others(demo, write, tmp_path):
    small, large = write("z.py", "1\n"), write("package/a.py", "12345\n")
    for name in (".hidden/a.py", "__pycache__/a.py", "lib/site-packages/a.py", "a.txt", "a.pyc"):
        write(name, "1\n")
    (tmp_path / "directory.py").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert demo.find_sources(str(tmp_path)) == ([(large, 6), (small, 2)], [])


def test_the_directory_asked_for_may_be_one_that_is_skipped_elsewhere(demo, write, tmp_path):
    path = write("site-packages/a.py", "1\n")
    assert demo.find_sources(str(tmp_path / "site-packages")).files == [(path, 2)]


def test_a_directory_that_cannot_be_listed_is_named(demo, write, tmp_path, monkeypatch):
    path = write("a.py", "1\n")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(where):
        if where.endswith("closed"):
            raise PermissionError(13, "Permission denied", where)
        return scandir(where)

    monkeypatch.setattr(os, "scandir", refuse)
    assert demo.find_sources(str(tmp_path)) == ([(path, 2)], [f"{tmp_path}/closed: Permission denied"])


def test_batches_hold_every_file_once_in_order_and_keep_to_the_size(demo, monkeypatch):
    monkeypatch.setattr(demo, "BATCH_BYTES", 100)
    monkeypatch.setattr(demo, "JOBS_PER_SERVER", 1)
    files = [(f"{number}.py", size) for number, size in enumerate([500, 100, 60, 40, 30, 30, 1, 0, 0])]
    batches = demo.make_batches(files, servers=1)
    assert batches == [["0.py"], ["1.py"], ["2.py", "3.py"], ["4.py", "5.py", "6.py", "7.py", "8.py"]]
    assert demo.make_batches([], servers=1) == []


def test_where_there_is_little_source_each_server_still_has_several_jobs(demo):
    files = [(f"{number}.py", 100) for number in range(64)]
    assert [len(batch) for batch in demo.make_batches(files, servers=4)] == [2] * 32
    assert [len(batch) for batch in demo.make_batches(files, servers=64)] == [1] * 64


@pytest.fixture
def finished_run(demo, write):
    """A run on no server at all, with the results that servers would send, and what is expected."""
    paths = [write("a.py", SOURCE), write("b.py", "def f():\n    pass\n"), write("bad.py", "(")]
    expected = demo.run_sequentially(paths)
    results = [
        demo.Batch("server", 1, 0.1, [demo.analyse(path) for path in paths[:2]]),
        demo.Batch("server", 1, 0.1, [demo.analyse(paths[2])]),
    ]
    return demo.Run(["server"], [paths[:2], paths[2:]], results, Counter(server=3), 0.1, 0.2), expected


def test_equal_results_are_verified(demo, finished_run):
    assert demo.differences(*finished_run) == []


@pytest.mark.parametrize(
    "field", ["sha256", "lines", "functions", "classes", "longest_function", "longest_function_lines", "problem"]
)
def test_a_difference_in_any_field_is_found(demo, finished_run, field):
    run, expected = finished_run
    path = run.batches[0][1]
    altered = 7 if isinstance(getattr(expected[path], field), int) else "altered"
    expected[path] = dataclasses.replace(expected[path], **{field: altered})
    [line] = demo.differences(run, expected)
    assert line.startswith(f"{path}: {field} ")
    assert line.endswith(f", sequentially {altered!r}")


def test_a_job_that_failed_is_a_difference_for_each_of_its_files(demo, finished_run):
    run, expected = finished_run
    run.results[0] = OSError("out of it")
    assert demo.differences(run, expected) == [f"{path}: no result: OSError: out of it" for path in run.batches[0]]


def test_a_server_that_leaves_out_repeats_or_swaps_files_is_found(demo, finished_run):
    run, expected = finished_run
    first, second = run.results[0].analyses
    for analyses in ([first], [first, first], [second, first], [first, second, second], []):
        run.results[0] = run.results[0]._replace(analyses=analyses)
        assert len(demo.differences(run, expected)) == 2


def test_the_report_names_modules_servers_and_bad_files(demo, report, finished_run, tmp_path, capsys):
    run, _ = finished_run
    report.show(run, str(tmp_path))
    out = capsys.readouterr().out
    assert out.index("a.py") < out.index("b.py")
    assert "Parser.close" in out
    assert hashlib.sha256(SOURCE.encode()).hexdigest()[:12] in out
    assert "1 of the files could not be analysed:\n  bad.py: cannot be parsed: '(' was never closed (line 1)\n" in out
    assert "servers ready after 0.1 s, last result after 0.2 s" in out


def test_only_the_ten_largest_modules_are_shown(demo, report, write, tmp_path, capsys):
    paths = [write(f"m{number:02}.py", "x\n" * number) for number in range(12)]
    batch = demo.Batch("server", 1, 0.1, [demo.analyse(path) for path in paths])
    report.show(demo.Run(["server"], [paths], [batch], Counter(), 0.1, 0.2), str(tmp_path))
    out = capsys.readouterr().out
    shown = [number for number in range(12) if f"m{number:02}.py" in out]
    assert shown == list(range(2, 12))


def test_a_file_name_cannot_steer_the_terminal_or_the_markup(demo, report, write, tmp_path, capsys):
    path = write("\x1b[2J[red]\udcff.py", "(")
    batch = demo.Batch("server", 1, 0.1, [demo.analyse(path)])
    report.show(demo.Run(["server"], [[path]], [batch], Counter(), 0.1, 0.2), str(tmp_path))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count(r"\x1b[2J[red]\udcff.py") == 2


def test_a_directory_that_does_not_exist_gives_code_2_and_one_line(demo, tmp_path, capsys):
    assert demo.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr() == ("", f"demo: {tmp_path}/nowhere does not exist\n")


def test_a_file_in_place_of_a_directory_gives_code_2_and_one_line(demo, write, capsys):
    path = write("a.py", "1\n")
    assert demo.main([path]) == 2
    assert capsys.readouterr() == ("", f"demo: {path} is not a directory\n")


def test_help_says_what_the_times_include(demo, capsys):
    with pytest.raises(SystemExit) as caught:
        demo.main(["--help"])
    assert caught.value.code == 0
    assert "T includes the start of the server processes" in " ".join(capsys.readouterr().out.split())


def test_the_default_is_the_standard_library_of_this_interpreter(demo, monkeypatch):
    asked = []
    monkeypatch.setattr(demo, "demonstrate", lambda directory: asked.append(directory) or 0)
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    assert demo.main([]) == 0
    assert asked == [os.path.dirname(os.__file__)]


def test_on_a_terminal_a_bar_is_drawn_and_elsewhere_lines_now_and_then(report, monkeypatch, capsys):
    class Receiver:
        def __init__(self):
            self.messages = iter([*(FileDone("s", 10) for _ in range(3)), None])

        def receive(self):
            return next(self.messages)

    class FileDone:
        def __init__(self, server, lines):
            self.server, self.lines = server, lines

    monkeypatch.setattr(report, "LINE_SECONDS", 0.0)
    assert report.follow(3, coro=Receiver()) == Counter(s=3)
    assert capsys.readouterr().out.splitlines() == [f"{n} of 3 files, {n}0 lines" for n in (1, 2, 3)]

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert report.follow(3, coro=Receiver()) == Counter(s=3)
    out = capsys.readouterr().out
    assert "3/3" in out and "30 lines" in out
    # The cursor, hidden while the bar is drawn, comes back.
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")
