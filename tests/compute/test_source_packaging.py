"""Jobs as the text of their source."""

import json
import sys
import types
from textwrap import dedent

import pytest

from greencoro.compute.loader import Loader
from greencoro.compute.parts import Entry, Package, SourceText
from greencoro.compute.source_packaging import NamedFunction, SourcePackager, source_of, source_text
from greencoro.errors import PackagingError

ENTRY = Entry("tests.compute.test_source_packaging", "run")


def run(name, args, kwargs):
    """What runs a job at the server."""
    return vars(sys.modules["__main__"])[name](*args, **kwargs)


class Sources:
    """A client whose jobs travel as texts, and a server."""

    def __init__(self, pair, directory):
        self.directory = directory
        self.pair = pair
        self.packager = SourcePackager(ENTRY, [source_text("given", "given = ['of the preamble']", "<preamble>")])

    def define(self, source):
        """Run the text of a program in the client's main module."""
        file = self.directory / "client.py"
        file.write_text(dedent(source))
        self.pair.client.__file__ = str(file)
        with self.pair.at(self.pair.client):
            exec(compile(file.read_text(), file, "exec"), vars(self.pair.client))
        return self.pair.client

    def set_up(self, *components):
        with self.pair.at(self.pair.client):
            package = self.packager.components(components)
        self.install(package)
        return package

    def install(self, package):
        header, contents = package.to_wire()
        for part in header["parts"]:
            # The server has no such file; here both are one process.
            if "file" in part:
                part["file"] = "/at/the/client.py"
        with self.pair.at(self.pair.server):
            self.pair.loader.install(Package.from_wire(json.loads(json.dumps(header)), contents))

    def run(self, function, *args, **kwargs):
        with self.pair.at(self.pair.client):
            if isinstance(function, str):
                function = getattr(self.pair.client, function)
            call = self.packager.call(function, args, kwargs)
            assert call.is_generator
        self.install(call.shipment.package)
        with self.pair.at(self.pair.server):
            args, kwargs = self.pair.loader.load_arguments(call.arguments.data)
            return self.pair.loader.resolve(call.shipment.entry)(*args, **kwargs)


@pytest.fixture
def sources(pair, tmp_path):
    return Sources(pair, tmp_path)


def names(package):
    return [part.name for part in package.parts]


def test_a_job_sees_what_the_components_define_and_nothing_of_the_client(sources):
    client = sources.define("""
        secret = 'of the client'
        class C:
            def twice(self, n): return helper(n) * 2
        def helper(n): return n + 1
        def job(n): return C().twice(n), given, 'secret' in globals()
    """)
    package = sources.set_up(client.C, client.helper)
    assert names(package) == ["given", "C", "helper"]
    assert sources.run("job", 3) == (8, ["of the preamble"], False)


def test_a_component_that_is_the_job_is_not_sent_again_and_another_function_is_sent_with_the_job(sources):
    client = sources.define("def listed(): return 1\ndef other(): return 2")
    sources.set_up(client.listed)
    with sources.pair.at(sources.pair.client):
        assert names(sources.packager.pack(client.listed).package) == []
        assert names(sources.packager.pack(client.other).package) == ["other"]


def test_jobs_share_globals_that_the_client_has_otherwise(sources):
    sources.define("""
        data = object()
        def load(value):
            global data
            data = value
        def read(): return data
    """)
    sources.run("load", [1])
    assert sources.run("read") == [1]


def test_instances_travel_both_ways_by_the_name_of_their_class(sources):
    client = sources.define("""
        class C:
            def __init__(self, n): self.n = n
        def job(c): return type(c) is C, c.n
    """)
    sources.set_up(client.C)
    assert sources.run("job", client.C(5)) == (True, 5)


def test_an_instance_among_the_components_is_its_class(sources):
    client = sources.define("class C: n = 4\ndef job(): return C.n")
    sources.set_up(client.C())
    assert sources.run("job") == 4


def test_functions_inside_of_functions_are_jobs_without_what_is_around_them(sources):
    sources.define("""
        def client():
            around = 5
            def job(n):
                if n:
                    return n
                return around
            return job
        job = client()
    """)
    assert sources.run("job", 3) == 3
    with pytest.raises(NameError):
        sources.run("job", 0)


def test_two_functions_of_one_name_in_turn_are_each_run_as_they_are(sources):
    client = sources.define("""
        def first():
            def job(): return 1
            return job
        def second():
            def job(): return 2
            return job
    """)
    one, two = client.first(), client.second()
    assert [sources.run(job) for job in (one, two, one)] == [1, 2, 1]


def test_a_function_that_is_at_the_server_is_run_by_its_name(sources):
    client = sources.define("def job(n): return n + 1")
    sources.set_up(client.job)
    assert sources.run(NamedFunction("job"), 1) == 2


def test_a_component_of_the_same_name_counts_once(sources):
    client = sources.define("def job(): return 1")
    assert names(sources.set_up(client.job, client.job)) == ["given", "job"]


def test_files_and_modules_are_components(sources, tmp_path, monkeypatch, restored_process):
    (tmp_path / "gc_old_module.py").write_text("def value(): return 6")
    (tmp_path / "data.txt").write_text("text")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__("gc_old_module")
    sources.define("def job():\n    import gc_old_module\n    return gc_old_module.value(), open('data.txt').read()")
    sources.set_up(module, str(tmp_path / "data.txt"))
    monkeypatch.chdir(sources.pair.directory)
    assert sources.run("job") == (6, "text")


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (types.SimpleNamespace, "components.0.: the source of <class 'types.SimpleNamespace'> cannot be had"),
        (5, "components.0.: the source of <class 'int'> cannot be had"),
        ("/no/such/file", "components.0.: /no/such/file cannot be read: No such file"),
        (types.ModuleType("gc_none"), "components.0.: module gc_none: is no module of your own"),
    ],
)
def test_what_has_no_source_is_refused(sources, component, message):
    with pytest.raises(PackagingError, match=message):
        sources.packager.components([component])


def test_a_text_that_is_no_python_by_itself_is_refused():
    with pytest.raises(PackagingError, match=r"the source of f is no Python by itself: unmatched '.'"):
        source_text("f", "f = lambda x: x, y]", "file.py")


def test_an_argument_that_cannot_travel_is_named(sources):
    client = sources.define("import threading\ndef job(x): pass")
    with pytest.raises(PackagingError, match=r"job\.args\[0\]: cannot pickle '_thread.lock' object"):
        sources.packager.call(client.job, (client.threading.Lock(),), {})


def test_a_text_says_where_it_stands():
    text = source_of(test_a_text_says_where_it_stands, "job")
    assert (text.file, text.line) == (__file__, test_a_text_says_where_it_stands.__code__.co_firstlineno)
    assert text.content.decode().startswith(dedent("def test_a_text_says_where_it_stands():"))
    assert isinstance(text, SourceText)


def test_a_loader_that_has_a_text_is_not_asked_to_run_it_again(sources):
    client = sources.define("n = 0\ndef job():\n    global n\n    n = globals().get('n', 0) + 1\n    return n")
    assert [sources.run(client.job) for _ in range(3)] == [1, 2, 3]
    assert isinstance(sources.pair.loader, Loader)
