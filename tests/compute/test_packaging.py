import functools
import sys
import threading

import pytest

from greencoro.compute import by_value
from greencoro.compute.packaging import PYTHON
from greencoro.compute.parts import DataFile, Entry
from greencoro.errors import PackagingError


def names(package):
    return sorted(getattr(part, "name", "") for part in package.parts)


def refused(pair, *args, job="job", **kwargs):
    with pair.at(pair.client), pytest.raises(PackagingError) as caught:
        pair.packager.pack(getattr(pair.client, job))
        pair.packager.arguments(args, kwargs)
    return str(caught.value)


def test_a_job_takes_along_every_name_it_reaches(pair):
    pair.define("""
        import functools
        LIMIT = [1]
        def by_global(): return LIMIT
        def by_default(): pass
        def by_keyword(): pass
        def by_closure(): pass
        def by_partial(): pass
        def by_decorator(f):
            @functools.wraps(f)
            def wrapper(*args): return f(*args)
            return wrapper
        def by_method(): pass
        class Meta(type): pass
        class Base(metaclass=Meta): pass
        class By(Base):
            def method(self): return by_method()
        def make(f):
            def inner(): return f, By
            return inner
        inner = make(by_closure)
        partial = functools.partial(by_partial)
        class Annotated: pass
        unused = open
        @by_decorator
        def job(a=by_default, *, b=by_keyword) -> Annotated:
            return [by_global() for _ in inner()], partial
    """)
    reached = {"LIMIT", "by_global", "by_default", "by_keyword", "by_closure", "by_partial", "by_method", "inner"}
    reached |= {"Meta", "Base", "By", "partial", "Annotated", "job"}
    assert set(names(pair.pack("job").package)) == reached


def test_a_name_that_is_not_bound_yet_is_taken_along_once_it_is(pair):
    pair.define("def job(): return later()")
    assert names(pair.pack("job").package) == ["job"]
    pair.define("def later(): return 4")
    assert names(pair.pack("job").package) == ["job", "later"]
    assert pair.run("job") == 4


def test_a_named_job_goes_by_its_name_and_a_nameless_one_by_its_digest(pair):
    pair.define("""
        class A:
            @staticmethod
            def s(): pass
        def job(): pass
        jobs = [lambda: 1]
    """)
    assert pair.pack("job").entry == Entry("__main__", "job")
    assert pair.pack(pair.client.A.s).entry == Entry("__main__", "A.s")
    assert pair.pack(functools.reduce).entry == Entry("_functools", "reduce")
    shipment = pair.pack(pair.client.jobs[0])
    assert [part.digest for part in shipment.package.parts] == [shipment.entry.digest]


def test_what_is_no_callable_is_refused(pair):
    with pytest.raises(PackagingError, match=r"^job: a int cannot be called"):
        pair.pack(3)


def test_packing_again_pickles_nothing(pair, monkeypatch):
    pair.define("""
        N = 1
        def helper(): return N
        def job(): return helper()
        lambdas = [lambda: helper()]
    """)
    first = [pair.pack("job"), pair.pack(pair.client.lambdas[0])]

    def fail(*args):
        raise AssertionError("pickled again")

    monkeypatch.setattr(by_value._Pickler, "dump", fail)
    assert pair.pack("job") is first[0]
    assert pair.pack(pair.client.lambdas[0]) is first[1]


def test_a_function_that_holds_much_is_packed_once_however_much(pair):
    pair.define("""
        def make(size):
            held = bytes(size)
            def job(): return len(held)
            return job
        jobs = [make(70_000_000), make(70_000)]
    """)
    for job in pair.client.jobs:
        assert pair.pack(job) is pair.pack(job)


def test_only_the_name_that_changed_is_pickled_again(pair, monkeypatch):
    pair.define("""
        N = 1
        def helper(): return N
        def job(): return helper()
    """)
    before = {part.name: part for part in pair.pack("job").package.parts}
    pickled = []
    define = by_value.define
    monkeypatch.setattr(by_value, "define", lambda obj, *rest: pickled.append(obj) or define(obj, *rest))
    pair.define("N = 2")
    after = {part.name: part for part in pair.pack("job").package.parts}
    assert pickled == [2]
    assert [name for name in after if after[name] != before[name]] == ["N"]


@pytest.mark.parametrize(
    "change",
    [
        "def helper(): return 2",
        "helper.__code__ = (lambda: 2).__code__",
        "helper.__defaults__ = (3,)",
        "helper.__kwdefaults__ = {'b': 3}",
        "del helper",
        "len = max",
        "cell.cell_contents = 2",
    ],
)
def test_a_change_is_seen(pair, change):
    pair.define("""
        def helper(a=1, *, b=2): return 1
        def make():
            x = 1
            def job(): return helper(), len, x
            return job
        job = make()
        cell = job.__closure__[0]
    """)
    before = pair.pack("job")
    pair.define(change)
    assert pair.pack("job").package.digest != before.package.digest or change.startswith("cell")
    assert pair.pack("job") is not before


def test_binding_an_equal_object_changes_no_digest(pair):
    pair.define("N = 10**6\ndef job(): return N")
    before = pair.pack("job")
    pair.define("N = 10**6 + 1 - 1")
    assert pair.pack("job").package.digest == before.package.digest


def test_the_same_code_has_the_same_digest_whoever_packs_it(pair):
    from greencoro.compute.packaging import Packager

    pair.define("def job(a='text', *, b=(1, 2)): return a + 'text', {1, 2, 3}")
    held = [pair.client.job.__code__.co_consts] * 10
    with pair.at(pair.client):
        assert Packager().pack(pair.client.job).package.digest == pair.pack("job").package.digest
    assert len(held) == 10


def test_the_package_says_which_python_packed_it(pair):
    pair.define("def job(): pass")
    assert pair.pack("job").package.python == PYTHON == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_plain_arguments_need_nothing(pair):
    with pair.at(pair.client):
        assert not pair.packager.arguments((1, "a", [b""]), {"k": {2.0}}).package


def test_classes_that_occur_in_arguments_only_are_shipped(pair):
    pair.define("""
        def unit(): return "m"
        class Base:
            def __init__(self, v): self.v = v
            def text(self): return f"{self.v} {unit()}"
        class Length(Base): pass
        def job(values, k): return [v.text() for v in values], k
    """)
    length = pair.client.Length
    with pair.at(pair.client):
        assert names(pair.packager.arguments(([length(1)],), {}).package) == ["Base", "Length", "unit"]
    texts, returned = pair.run("job", [length(1), length(2)], k=length(3))
    assert texts == ["1 m", "2 m"]
    assert type(returned) is length
    assert returned.v == 3


def test_big_buffers_of_arguments_can_travel_beside(pair):
    np = pytest.importorskip("numpy")
    pair.define("def job(a): return int(a.sum())")
    buffers = []
    with pair.at(pair.client):
        arguments = pair.packager.arguments((np.ones(100_000, "u1"),), {}, buffers=buffers.append)
    assert len(arguments.data) < 1000
    (array,), _ = pair.loader.load_arguments(arguments.data, buffers)
    assert array.sum() == 100_000


LOCK = "cannot pickle '_thread.lock' object"
RLOCK = "cannot pickle '_thread.RLock' object"


class Holder:
    def __init__(self, **fields):
        vars(self).update(fields)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, Holder(lock=threading.RLock())), {}, f"job.args[1].lock: {RLOCK}"),
        ((), {"k": [{"a": (0, threading.Lock())}]}, f"job.kwargs['k'][0]['a'][1]: {LOCK}"),
        ((Holder(a=Holder(b={3: sys.stdout})),), {}, "job.args[0].a.b[3]: "),
        ((functools.partial(len, threading.Lock()),), {}, f"job.args[0].args[0]: {LOCK}"),
        (({frozenset({threading.Lock}): 1}, iter([threading.Lock()])), {}, "job.args[1].__reduce__()[1][0][0]: "),
        ((Holder(lock=1).__init__, [(n for n in [])]), {}, "job.args[1][0]: cannot pickle 'generator' object"),
    ],
)
def test_the_path_to_an_argument_that_cannot_be_shipped(pair, args, kwargs, message):
    pair.define("def job(*args, **kwargs): pass")
    assert refused(pair, *args, **kwargs).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("lock = threading.RLock()\ndef job(): return lock", f"job.lock: {RLOCK}"),
        ("def helper(): return lock\nlock = threading.Lock()\ndef job(): helper()", f"job.helper.lock: {LOCK}"),
        ("def job(a=1, b=[threading.Lock()]): pass", f"job.defaults[1][0]: {LOCK}"),
        ("def job(*, b=threading.Lock()): pass", f"job.kwdefaults['b']: {LOCK}"),
        ("def job(): pass\njob.cache = threading.Lock()", f"job.cache: {LOCK}"),
        (
            "def make():\n conn = threading.Lock()\n def helper(): return conn\n return helper\n"
            "helper = make()\ndef job(): helper()",
            f"job.helper.closure.conn: {LOCK}",
        ),
        ("class A:\n lock = threading.Lock()\ndef job(): A()", f"job.A.lock: {LOCK}"),
        ("class A:\n def m(self, x=threading.Lock()): pass\ndef job(): A()", f"job.A.m.defaults[0]: {LOCK}"),
        (
            "class A:\n @property\n def p(self, x=threading.Lock()): 1\ndef job(): A()",
            f"job.A.p.fget.defaults[0]: {LOCK}",
        ),
        ("class A:\n @staticmethod\n def p(x=threading.Lock()): pass\ndef job(): A()", f"job.A.p.defaults[0]: {LOCK}"),
        (
            "class A: pass\na = A(); a.b = {'k': A()}; a.b['k'].lock = threading.Lock()\ndef job(): a",
            f"job.a.b['k'].lock: {LOCK}",
        ),
        (
            "class A:\n def __init__(self): self.lock = threading.Lock()\n def job(self): pass\njob = A().job",
            f"job.__self__.lock: {LOCK}",
        ),
        (
            "class A:\n def __reduce__(self): raise ValueError('no')\na = [A()]\ndef job(): a",
            "job.a[0]: ValueError: no",
        ),
        ("a = []\nfor _ in range(100_000): a = [a]\ndef job(): a", "job.a: is nested too deeply to be pickled"),
        (
            "ns = {'lock': threading.Lock()}\nexec('def f(): lock', ns)\nf = ns['f']\ndef job(): f()",
            f"job.f.globals['lock']: {LOCK}",
        ),
    ],
)
def test_the_path_to_what_a_job_uses_and_cannot_be_shipped(pair, source, message):
    pair.define("import threading\n" + source)
    assert refused(pair) == message


def test_the_path_goes_through_a_class_that_occurs_in_arguments_only(pair):
    pair.define("import threading\nclass A:\n lock = threading.Lock()\ndef job(a): pass")
    assert refused(pair, pair.client.A()) == f"job.A.lock: {LOCK}"


def test_a_refusal_is_a_type_error_with_its_cause(pair):
    pair.define("import threading\nlock = threading.Lock()\ndef job(): lock")
    with pytest.raises(TypeError) as caught:
        pair.pack("job", "components[2]")
    assert str(caught.value).startswith("components[2].lock: ")
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_refused_job_can_be_packed_once_it_is_mended(pair):
    pair.define("import threading\nlock = threading.Lock()\ndef job(): return lock")
    refused(pair)
    pair.define("lock = 3")
    assert pair.run("job") == 3


def test_components_are_functions_classes_and_files(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/in.txt").write_bytes(b"1")
    (tmp_path / "data/in.txt").chmod(0o750)
    (tmp_path.parent / "above.txt").write_bytes(b"2")
    pair.define("class A: pass\ndef helper(): return A\ndef job(): helper()")
    with pair.at(pair.client):
        package = pair.packager.components(
            [pair.client.job, pair.client.A, "data/in.txt", "../above.txt", tmp_path / "data/in.txt", "./data/in.txt"]
        )
    files = [(part.path, part.mode, part.content) for part in package.parts if isinstance(part, DataFile)]
    assert files[0] == ("data/in.txt", 0o750, b"1")
    assert (files[1][0], files[1][2]) == ("above.txt", b"2")
    # By an absolute path it is at the top wherever the client was started.
    assert [path for path, _, _ in files[2:]] == ["in.txt"]
    assert {"A", "helper", "job"} <= set(names(package))


def test_components_that_cannot_be_shipped_are_named_by_their_place(pair, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for directory in "ab":
        (tmp_path / directory / "same").touch()
    with pair.at(pair.client):
        for components, message in [
            ([len, 3], r"components\[1\]: a int is no function, class, module or path"),
            ([tmp_path / "missing"], r"components\[0\]: .*missing cannot be read: No such file"),
            ([tmp_path], r"components\[0\]: .* cannot be read: Is a directory"),
            ([threading], r"components\[0\]: module threading: is no module of your own"),
            ([tmp_path / "a/same", tmp_path / "b/same"], r"components\[1\]: .* would both become same"),
        ]:
            with pytest.raises(PackagingError, match=message):
                pair.packager.components(components)


def test_a_closure_variable_that_gets_a_value_is_seen(pair):
    pair.define("""
        def make():
            def job(): return early, late
            early = 1
            if not early:
                late = 2
            return job
        job = make()
        late = job.__closure__[1]
    """)
    before = pair.pack("job")
    pair.define("late.cell_contents = 2")
    assert pair.pack("job") is not before


@pytest.mark.parametrize("values", [(), (1, 2.5, True, None, "x", b"y", 1j)])
def test_plain_arguments_are_the_same_there_and_need_nothing(pair, values):
    pair.define("def job(*args): return args")
    assert pair.run("job", *values) == values
    arguments = pair.packager.arguments(values, {})
    assert not arguments.package and not arguments.scattered


def test_what_only_looks_like_a_plain_argument_is_shipped_with_its_class(pair):
    pair.define("""
        class Number(int): pass
        def job(number): return type(number).__name__
    """)
    assert pair.run("job", pair.client.Number(3)) == "Number"
    assert names(pair.packager.arguments((1,), {}).package) == []
