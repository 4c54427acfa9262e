import os
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from greencoro.compute.loader import Loader
from greencoro.compute.packaging import PYTHON
from greencoro.compute.parts import DataFile, Definition, Entry, ModuleFile, Package, SourceText, digest_of
from greencoro.errors import PackagingError

ROOT = Path(__file__).parents[2]


def package(*parts, python=PYTHON):
    return Package(parts, python)


def module(name, source, imports=()):
    return ModuleFile(name, False, tuple(imports), digest_of(source.encode()), source.encode())


def file(path, content=b"x", mode=0o644):
    return DataFile(path, mode, digest_of(content), content)


def source(name, text, line=1):
    return SourceText(name, "/at/the/client.py", line, digest_of(text.encode()), text.encode())


def test_jobs_share_the_globals_of_main(pair):
    pair.define("""
        count = 0
        def up():
            global count
            count += 1
            return count
        def read(): return count
        def make():
            global made
            made = [count]
        def use(): return made
    """)
    assert [pair.run("up"), pair.run("up"), pair.run("read")] == [1, 2, 2]
    pair.run("make")
    assert pair.run("use") == [2]


def test_a_global_that_a_job_set_stays_until_the_client_binds_it_anew(pair):
    pair.define("""
        data = None
        def load():
            global data
            data = "loaded"
        def read(suffix=""): return data
    """)
    pair.run("load")
    assert pair.run("read") == "loaded"
    pair.define("def read(): return [data]")
    assert pair.run("read") == ["loaded"]
    pair.define("data = 'client'")
    assert pair.run("read") == ["client"]


def test_a_client_that_redefines_a_helper_wins_and_may_go_back(pair):
    pair.define("def helper(): return 1\ndef job(): return helper()")
    first = pair.client.helper
    results = [pair.run("job")]
    pair.define("def helper(): return 2")
    results.append(pair.run("job"))
    pair.client.helper = first
    results.append(pair.run("job"))
    assert results == [1, 2, 1]


def test_a_name_is_bound_once_for_the_same_definition(pair):
    pair.define("class A: pass\ndef job(): return id(A)\ndef other(): return id(A)")
    assert pair.run("job") == pair.run("job") == pair.run("other")


def test_a_job_without_a_name_keeps_its_state_at_the_server(pair):
    pair.define("""
        def make():
            n = 0
            def up():
                nonlocal n
                n += 1
                return n
            return up
        jobs = [make()]
    """)
    assert [pair.run(pair.client.jobs[0]) for _ in range(3)] == [1, 2, 3]


def test_a_package_of_another_python_is_refused(pair):
    pair.define("def job(): pass")
    shipped = pair.pack("job").package
    with pytest.raises(PackagingError, match=r"packs with Python 3\.99, this server runs Python 3\.\d+ .*same version"):
        pair.loader.install(Package(shipped.parts, "3.99"))


def test_a_name_that_fails_to_load_is_named_and_leaves_the_old_binding(pair):
    pair.define("""
        class Touchy:
            def __init__(self, ok): self.ok = ok
            def __setstate__(self, state):
                if not state["ok"]: raise RuntimeError("touched")
                self.__dict__ = state
        value = Touchy(True)
        def job(): return value.ok
    """)
    assert pair.run("job") is True
    pair.define("value = Touchy(False)\ndef helper(): return 1\ndef more(): return helper(), value")
    with pytest.raises(PackagingError, match=r"^__main__\.value: cannot be loaded .* RuntimeError: touched"):
        pair.run("more")
    assert pair.server.value.ok is True
    assert not hasattr(pair.server, "helper")
    pair.define("value = 5\ndef job(): return value")
    assert pair.run("job") == 5


def test_a_module_that_the_server_lacks_is_named_with_who_needs_it(pair, restored_process):
    pair.define("""
        import sys, types
        sys.modules["gc_absent"] = gc_absent = types.ModuleType("gc_absent")
        def job(): return gc_absent
    """)
    shipment = pair.pack("job")
    del sys.modules["gc_absent"]
    with (
        pair.at(pair.server),
        pytest.raises(PackagingError, match=r"^__main__\.gc_absent: needs the module 'gc_absent', which"),
    ):
        pair.loader.install(shipment.package)


def test_arguments_of_a_class_that_was_not_shipped_are_refused(pair):
    pair.define("class A: pass")
    with pair.at(pair.client):
        data = pair.packager.arguments((pair.client.A(),), {}).data
    with pair.at(pair.server), pytest.raises(PackagingError, match=r"arguments of the job: .*'A'"):
        pair.loader.load_arguments(data)


@pytest.mark.parametrize(
    "entry", [Entry("__main__", "f"), Entry("gc_absent", "f"), Entry("os", "path.f"), Entry("__main__", "", "0" * 64)]
)
def test_a_job_that_was_not_shipped_is_refused(pair, entry):
    with pair.at(pair.server), pytest.raises(PackagingError):
        pair.loader.resolve(entry)


def test_content_that_came_once_need_not_come_again(pair):
    pair.define("def helper(): return 1\ndef job(): return helper()\ndef other(): return helper() + 1")
    first, second = pair.pack("job").package, pair.pack("other").package
    pair.loader.keep(first)  # arrived, not installed yet
    rest = second.without(first.digests())
    assert pair.loader.missing(rest) == frozenset()
    with pair.at(pair.server):
        pair.loader.install(rest)
        assert pair.server.other() == 2
    assert not hasattr(pair.server, "job")


def test_content_that_never_came_is_reported(pair):
    pair.define("def job(): return 1")
    bare = pair.pack("job").package.without(pair.pack("job").package.digests())
    assert pair.loader.missing(bare) == bare.digests()
    with pytest.raises(PackagingError, match="without the content of 1 parts"):
        pair.loader.install(bare)


def test_a_package_is_there_from_its_installation_until_another_changes_a_part_of_it(pair):
    pair.define("def helper(): return 1\ndef job(): return helper()")
    before = pair.pack("job").package.digest
    assert pair.loader.has([]) and not pair.loader.has([before])
    pair.run("job")
    assert pair.loader.has([before]) and not pair.loader.has([before, "other"])
    pair.define("def helper(): return 2")
    assert pair.run("job") == 2
    assert not pair.loader.has([before])


def test_installing_what_is_installed_opens_nothing(pair, monkeypatch):
    pair.define("def helper(): return 1\ndef job(): return helper()")
    pair.run("job")
    monkeypatch.setattr("greencoro.compute.loader._load", None)
    assert pair.run("job") == 1


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil", "", "link/evil", "a\\b"])
def test_a_data_file_cannot_leave_the_working_directory(pair, path):
    outside = pair.directory.parent / "outside"
    outside.mkdir()
    (pair.directory / "link").symlink_to(outside)
    with pytest.raises(PackagingError, match=r"^file "):
        pair.loader.install(package(file(path)))
    assert list(outside.iterdir()) == []
    assert sorted(p.name for p in pair.directory.parent.iterdir()) == ["outside", "server"]


def test_a_data_file_lands_in_the_working_directory_and_is_replaced_when_it_changes(pair):
    pair.loader.install(package(file("d/run.sh", b"1", 0o755)))
    assert os.access(pair.directory / "d/run.sh", os.X_OK)
    pair.loader.install(package(file("d/run.sh", b"2")))
    assert (pair.directory / "d/run.sh").read_bytes() == b"2"


def test_a_changed_module_is_imported_anew_with_those_that_use_it(pair):
    a, b, c = module("gc_a", "x = 1"), module("gc_b", "from gc_a import x", ["gc_a"]), module("gc_c", "state = []")
    pair.loader.install(package(a, b, c))
    pair.loader.resolve(Entry("gc_c", "state.append"))(1)
    assert pair.loader.resolve(Entry("gc_b", "x")) == 1
    pair.loader.install(package(module("gc_a", "x = 2"), b, c))  # the same second, the same size
    assert pair.loader.resolve(Entry("gc_b", "x")) == 2
    assert pair.loader.resolve(Entry("gc_c", "state")) == [1]


def test_a_module_of_the_same_name_in_use_at_the_server_is_not_replaced(pair):
    with pytest.raises(PackagingError, match=r"^module pytest: this server uses another of that name"):
        pair.loader.install(package(module("pytest", "x = 1")))
    assert list(pair.directory.iterdir()) == []


def test_a_module_that_the_server_has_from_elsewhere_is_left_alone(pair, tmp_path, monkeypatch):
    (tmp_path / "gc_here.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    import gc_here

    pair.loader.install(package(module("gc_here", "x = 1")))
    assert sys.modules["gc_here"] is gc_here
    assert list(pair.directory.iterdir()) == []


def test_a_definition_is_not_opened_when_another_part_is_refused(pair):
    bomb = Definition("__main__", "bomb", digest_of(b"cposix\nsystem\n."), b"cposix\nsystem\n.")
    with pytest.raises(PackagingError):
        pair.loader.install(package(file("../x"), bomb))
    assert not hasattr(pair.server, "bomb")


def test_the_directory_comes_first_on_the_path_once(restored_process, tmp_path):
    Loader(tmp_path), Loader(tmp_path)
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_a_definition_with_garbage_is_named(pair):
    garbage = Definition("__main__", "f", "", b"garbage")
    with pair.at(pair.server), pytest.raises(PackagingError, match=r"^__main__\.f: cannot be loaded"):
        pair.loader.install(package(replace(garbage, digest=digest_of(b"garbage"))))
    assert not hasattr(pair.server, "f")


# Between two processes.


@pytest.fixture
def client(tmp_path):
    """Runs a client's script, with `server` a server process of its own; returns what it printed."""
    (tmp_path / "client").mkdir()
    (tmp_path / "server").mkdir()

    def run(script, modules=()):
        for path, source in dict(modules).items():
            (tmp_path / "client" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "client" / path).write_text(dedent(source))
        text = "from tests.compute.job_server import JobFailed, JobServer\n" + dedent(script)
        (tmp_path / "client" / "program.py").write_text(text)
        ran = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path / "client",
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return run


def test_a_script_ships_its_functions_and_classes_and_gets_instances_back(client):
    printed = client("""
        import dataclasses, enum
        from collections import namedtuple

        SCALE = 3
        Pair = namedtuple("Pair", "left right")
        Color = enum.Enum("Color", "RED GREEN")

        class Shape:
            def area(self): return 0
        class Square(Shape):
            def __init__(self, side): self.side = side
            def area(self): return super().area() + scaled(self.side ** 2)
        @dataclasses.dataclass
        class Result:
            value: int
            colors: list = dataclasses.field(default_factory=list)

        def scaled(x): return SCALE * x
        seen = 0
        def job(shape, color):
            global seen
            seen += 1
            return Result(shape.area(), [color, Color.GREEN]), Pair(seen, Square), Square(seen)

        with JobServer("../server") as server:
            for side in (1, 2):
                result, pair, square = server.run(job, Square(side), color=Color.RED)
                print(result.value, result == Result(result.value, [Color.RED, Color.GREEN]), type(result) is Result)
                print(pair.left, pair.right is Square, square.side, square.area())
            print(server.run(lambda x: x * SCALE, 5))
    """)
    assert printed == ["3 True True", "1 True 1 3", "12 True True", "2 True 2 12", "15"]


def test_modules_beside_the_script_travel_with_their_packages(client):
    printed = client(
        """
        import shapes.flat
        from helpers import describe
        import helpers as h

        def job(side):
            from late import LATE
            return describe(shapes.flat.Square(side)), h.__file__, LATE

        with JobServer("../server") as server:
            text, path, late = server.run(job, 2)
            print(text, late, path.endswith("server/helpers.py"))
            print(server.run(describe, shapes.flat.Square(3)))
            print(type(server.run(shapes.flat.Square, 3)) is shapes.flat.Square)
        """,
        {
            "helpers.py": "def describe(shape): return f'{type(shape).__name__} {shape.area()}'",
            "late.py": "LATE = 'late'",
            "shapes/__init__.py": "from . import base",
            "shapes/base.py": "class Shape:\n    def area(self): return self.side ** 2",
            "shapes/flat.py": """
                from .base import Shape
                class Square(Shape):
                    def __init__(self, side): self.side = side
                """,
        },
    )
    assert printed == ["Square 4 late True", "Square 9", "True"]


def test_a_reloaded_module_takes_effect_at_the_server(client):
    printed = client(
        """
        import importlib, pathlib
        import helpers
        from helpers import value

        def job(): return helpers.value(), value()

        with JobServer("../server") as server:
            print(server.run(job))
            pathlib.Path("helpers.py").write_text("def value(): return 2")
            importlib.reload(helpers)
            from helpers import value
            print(server.run(job))
        """,
        {"helpers.py": "def value(): return 1"},
    )
    assert printed == ["(1, 1)", "(2, 2)"]


def test_components_are_there_before_the_first_job(client):
    printed = client(
        """
        import tools
        class Unused: pass
        def job():
            import importlib
            return open("data/in.txt").read(), importlib.import_module("tools." + "dynamic").X, Unused.__name__

        with JobServer("../server", [tools, Unused, "data/in.txt"]) as server:
            print(server.run(job))
        """,
        {"tools/__init__.py": "", "tools/dynamic.py": "X = 5", "data/in.txt": "text"},
    )
    assert printed == ["('text', 5, 'Unused')"]


def test_a_remote_traceback_shows_the_lines_of_the_clients_files(client):
    printed = client(
        """
        import helpers, os
        def job(x):
            return helpers.divide(1, x)  # line of the script
        with JobServer("../server") as server:
            server.run(job, 1)
            os.rename("program.py", "gone.py")  # as if the server were on another machine
            os.rename("helpers.py", "gone_too.py")
            try:
                server.run(job, 0)
            except JobFailed as failed:
                print(failed)
        """,
        {"helpers.py": "def divide(a, b):\n    return a / b  # line of the module"},
    )
    text = "\n".join(printed)
    assert "# line of the script" in text
    assert "# line of the module" in text
    assert "ZeroDivisionError" in text


def test_a_module_installed_only_at_the_client_is_named(client):
    printed = client(
        """
        import sys, types
        sys.modules["only_here"] = only_here = types.ModuleType("only_here")
        def job(): return only_here
        with JobServer("../server") as server:
            try:
                server.run(job)
            except JobFailed as failed:
                print(str(failed).splitlines()[-1])
        """
    )
    assert "__main__.only_here: needs the module 'only_here'" in printed[0]


def test_a_job_that_cannot_be_shipped_sends_nothing(client):
    printed = client(
        """
        import threading
        class Holder:
            def __init__(self): self.lock = threading.RLock()
        def job(*args): pass
        with JobServer("../server") as server:
            try:
                server.run(job, 1, Holder())
            except TypeError as err:
                print(err)
            print(server.run(job, 1))
        """
    )
    assert printed == ["job.args[1].lock: cannot pickle '_thread.RLock' object", "None"]


def test_a_large_file_is_kept_on_the_disk_alone_and_is_there_for_another_place(pair):
    content = bytes(2 << 20)
    pair.loader.install(package(file("one", content)))
    assert not pair.loader._kept
    again = package(file("two", content)).without({digest_of(content)})
    assert not pair.loader.missing(again)
    pair.loader.install(again)
    assert (pair.directory / "two").read_bytes() == content
    assert not pair.loader._kept


@pytest.mark.parametrize("change", [lambda path: path.write_text("x"), lambda path: path.unlink()])
def test_a_large_file_that_a_job_has_changed_is_not_taken_for_what_came(pair, change):
    content = bytes(2 << 20)
    pair.loader.install(package(file("one", content)))
    change(pair.directory / "one")
    with pytest.raises(PackagingError, match="file 'one' was changed here"):
        pair.loader.install(package(file("two", content)).without({digest_of(content)}))


def test_a_part_whose_content_came_in_pieces_is_installed(pair):
    pair.loader.keep_content(digest_of(b"x" * 10), bytearray(b"x" * 10))
    pair.loader.install(package(file("one", b"x" * 10)).without({digest_of(b"x" * 10)}))
    assert (pair.directory / "one").read_bytes() == b"x" * 10


def test_source_is_run_in_main_in_its_order_after_modules_and_files(pair, monkeypatch):
    parts = [
        source("Base", "class Base: pass"),
        module("gc_helper", "value = 3"),
        file("data.txt"),
        source("Derived", "import gc_helper\nclass Derived(Base): data = open('data.txt').read(), gc_helper.value"),
    ]
    monkeypatch.chdir(pair.directory)
    with pair.at(pair.server):
        pair.loader.install(package(*parts))
    assert pair.server.Derived.data == ("x", 3)
    assert pair.server.Derived.__mro__[1] is pair.server.Base
    assert (pair.server.Base.__module__, pair.server.__name__) == ("__main__", "__main__")


def test_source_is_run_once_until_another_one_of_its_name_comes(pair):
    count, other = source("count", "runs = globals().get('runs', 0) + 1"), source("count", "runs = -1")
    runs = []
    for text in (count, count, other, count):
        with pair.at(pair.server):
            pair.loader.install(package(text))
        runs.append(pair.server.runs)
    assert runs == [1, 1, -1, 0]


def test_tracebacks_show_source_as_it_stands_in_its_file(pair):
    with pair.at(pair.server):
        pair.loader.install(package(source("job", "def job():\n    return 1 / 0  # here\n", 41)))
        with pytest.raises(ZeroDivisionError) as caught:
            pair.server.job()
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "/at/the/client.py", line 42, in job\n    return 1 / 0  # here' in shown


def test_source_that_raises_is_named(pair):
    with pair.at(pair.server), pytest.raises(PackagingError, match=r"__main__\.job: .* NameError: name 'np' is not"):
        pair.loader.install(package(source("job", "def job(x=np.pi): pass")))
