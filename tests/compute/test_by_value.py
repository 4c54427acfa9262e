"""What of Python can be shipped by value: each test defines it in one main module and uses it in another."""

import sys

import pytest


def test_a_closure_keeps_what_it_closed_over(pair):
    pair.define("""
        def make(n):
            def inner(x):
                return x + n
            return inner
        job = make(3)
    """)
    assert pair.run("job", 4) == 7


def test_a_function_in_its_own_closure_can_call_itself(pair):
    pair.define("""
        def make():
            def fact(n):
                return 1 if n == 0 else n * fact(n - 1)
            return fact
        job = make()
    """)
    assert pair.run("job", 5) == 120


def test_functions_made_together_share_their_variable(pair):
    pair.define("""
        def make():
            n = 0
            def up():
                nonlocal n
                n += 1
            def get():
                return n
            return {"up": up, "get": get}
        counter = make()
        def job():
            counter["up"](), counter["up"]()
            return counter["get"]()
    """)
    assert pair.run("job") == 2


def test_a_lambda_with_a_default(pair):
    pair.define("job = lambda x, y=[2]: x * y[0]")
    assert pair.run("job", 4) == 8


def test_mutual_recursion(pair):
    pair.define("""
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
    """)
    assert pair.run("even", 10) is True


def test_partials_methods_and_classmethods_are_jobs(pair):
    pair.define("""
        import functools
        class A:
            def __init__(self, v): self.v = v
            def plus(self, x): return self.v + x
            @classmethod
            def name(cls, x): return cls.__name__, x
            @staticmethod
            def twice(x): return 2 * x
        def minus(a, b): return a - b
        partial, method, classmethod_, static = functools.partial(minus, 10), A(4).plus, A.name, A.twice
    """)
    assert [pair.run(name, 3) for name in ("partial", "method", "classmethod_", "static")] == [7, 7, ("A", 3), 6]


def test_decorated_functions(pair):
    pair.define("""
        import contextlib, functools
        def twice(f):
            @functools.wraps(f)
            def wrapper(*args): return 2 * f(*args)
            return wrapper
        @twice
        def doubled(n): return n
        @functools.lru_cache(maxsize=7)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        @contextlib.contextmanager
        def five(): yield 5
        @functools.singledispatch
        def kind(x): return "object"
        @kind.register
        def _(x: int): return "int"
        @kind.register(str)
        def _(x): return "str"
        def job():
            with five() as number:
                return doubled(10), fib(10), fib.cache_info().maxsize, number, [kind(x) for x in (1, "", 1.5)]
    """)
    assert pair.run("job") == (20, 55, 7, 5, ["int", "str", "object"])
    assert pair.run("fib", 3) == 2


def test_a_class_with_a_base_decorated_methods_and_super(pair):
    pair.define("""
        import functools
        LIMIT = 10
        class Base:
            def hi(self): return f"base {LIMIT}"
        class Sub(Base):
            class Inner: v = 3
            def hi(self): return f"sub of {super().hi()} {self.Inner.v}"
            @property
            def p(self): return 5
            @functools.cached_property
            def c(self): return 6
            def _times(self, x, y): return x * y
            ten_times = functools.partialmethod(_times, 10)
        def job(): return Sub().hi(), Sub().p, Sub().c, Sub().ten_times(2), Sub.Inner.__qualname__
    """)
    assert pair.run("job") == ("sub of base 10 3", 5, 6, 20, "Sub.Inner")


def test_classes_that_refer_to_each_other(pair):
    pair.define("""
        class A: pass
        class B: a = A
        A.b, A.instance, B.instance = B, B(), A()
        def job(): return A.b is B, B.a is A, type(A.instance) is B, type(B.instance) is A
    """)
    assert pair.run("job") == (True,) * 4


@pytest.mark.parametrize("first", ["Base", "Sub", "Mixin"])
def test_a_registry_of_subclasses_is_shipped_and_not_filled_again(pair, first):
    pair.define(f"""
        class Mixin:
            known = []
        class Base:
            known = []
            def __init_subclass__(cls, *, tag, **options):
                super().__init_subclass__(**options)
                Base.known.append(cls)
                Mixin.known.append(cls)
                cls.tag = tag
        class Sub(Mixin, Base, tag="x"): pass
        def job(of={first}):
            return Base.known == [Sub] == Mixin.known, Sub.tag, Sub.__mro__[1:3] == (Mixin, Base)
    """)
    assert pair.run("job") == (True, "x", True)


def test_a_metaclass_does_its_work_once(pair):
    pair.define("""
        class Meta(type):
            made = []
            def __new__(meta, name, bases, namespace, **options):
                meta.made.append(name)
                return super().__new__(meta, name, bases, namespace)
            def __init__(cls, name, bases, namespace, **options): cls.options = options
            def hello(cls): return cls.__name__
        class A(metaclass=Meta, z=1): pass
        def job(): return A.hello(), A.options, Meta.made
    """)
    assert pair.run("job") == ("A", {"z": 1}, ["A"])


def test_abstract_classes(pair):
    pair.define("""
        import abc
        class A(abc.ABC):
            @property
            @abc.abstractmethod
            def f(self): ...
        A.register(int)
        class B(A):
            f = 1
        def job():
            try: A()
            except TypeError: return B().f, isinstance(3, A), isinstance("", A)
    """)
    assert pair.run("job") == (1, True, False)


def test_slots_and_private_names(pair):
    pair.define("""
        class A:
            __slots__ = ("a", "__b")
            def __init__(self): self.a, self.__b = 1, 2
            def sum(self): return self.a + self.__b
        class B(A):
            __slots__ = ()
        def job(): return B().sum(), hasattr(B(), "__dict__")
    """)
    assert pair.run("job") == (3, False)


def test_descriptors_keep_the_name_they_were_told(pair):
    pair.define("""
        class Named:
            def __set_name__(self, owner, name): self.name = name
            def __get__(self, instance, owner): return self.name
        class A: field = Named()
        def job(): return A().field
    """)
    assert pair.run("job") == "field"


def test_dataclasses(pair):
    pair.define("""
        from dataclasses import *
        @dataclass(slots=True, frozen=True, order=True)
        class D:
            a: int
            b: list = field(default_factory=list, metadata={"unit": "m"})
            _: KW_ONLY
            c: int = 0
            def up(self): return replace(self, a=self.a + 1)
        def job():
            return [f.name for f in fields(D)], asdict(D(1).up()), D(1) < D(2), fields(D)[1].metadata["unit"], D(3, c=4)
    """)
    *facts, returned = pair.run("job")
    assert facts == [["a", "b", "c"], {"a": 2, "b": [], "c": 0}, True, "m"]
    assert returned == pair.client.D(3, c=4)


def test_named_tuples_and_typed_dicts(pair):
    pair.define("""
        from collections import namedtuple
        from typing import NamedTuple, TypedDict
        P = namedtuple("P", "x y", defaults=[2])
        class N(NamedTuple):
            a: int
            b: int = 2
            def sum(self): return self.a + self.b
        class T(TypedDict):
            a: int
        def job(): return P(1), N(1)._replace(b=5).sum(), T(a=1)
    """)
    assert pair.run("job") == (pair.client.P(1, 2), 6, {"a": 1})


def test_enumerations(pair):
    pair.define("""
        import enum
        class Planet(enum.Enum):
            EARTH = (6.0, 2.0)
            def __init__(self, mass, radius): self.mass, self.radius = mass, radius
            @property
            def density(self): return self.mass / self.radius
        class Access(enum.Flag):
            R, W, RW = 1, 2, 3
        class Code(int, enum.Enum):
            def __new__(cls, value, label):
                member = int.__new__(cls, value)
                member._value_, member.label = value, label
                return member
            OK = 200, "fine"
        class Word(enum.StrEnum):
            yes = enum.auto()
            def __str__(self): return self.value + "!"
        def job():
            return (Planet.EARTH.density, Planet((6.0, 2.0)) is Planet.EARTH, (Access.R | Access.W) is Access.RW,
                    Code(200).label, Code.OK + 1, str(Word.yes), Word.yes.upper(), Planet.EARTH)
    """)
    assert pair.run("job") == (3.0, True, True, "fine", 201, "yes!", "YES", pair.client.Planet.EARTH)


def test_an_enumeration_that_cannot_be_made_again_is_refused(pair):
    pair.define("""
        import datetime, enum
        class Day(datetime.date, enum.Enum):
            FIRST = 2020, 1, 1
        def job(): return Day.FIRST
    """)
    with pytest.raises(TypeError, match=r"^job\.Day: "):
        pair.pack("job")


def test_generics_protocols_and_type_variables(pair):
    pair.define("""
        from typing import Generic, NewType, Protocol, TypeVar, runtime_checkable
        T = TypeVar("T")
        Number = NewType("Number", int)
        class Stack(Generic[T]):
            def __init__(self): self.items: list[T] = []
        class Ints(Stack[int]): pass
        @runtime_checkable
        class HasF(Protocol):
            def f(self) -> int: ...
        class A:
            def f(self): return 1
        def job(x: T) -> Number:
            return Ints.__orig_bases__[0].__args__[0], job.__annotations__["x"] is T, isinstance(A(), HasF), Number(x)
    """)
    assert pair.run("job", 1) == (int, True, True, 1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_parameters(pair):
    pair.define("""
        type Pair[A] = tuple[A, A]
        class Stack[T: int]:
            def first(self, x: T) -> T: return x
        def job[T](x: T) -> T: return Stack().first(x), job.__type_params__[0].__name__, Pair.__name__
    """)
    assert pair.run("job", 1) == (1, "T", "Pair")


def test_an_object_that_is_known_by_its_name_stays_that_object(pair):
    pair.define("""
        class Missing:
            def __reduce__(self): return "MISSING"
        MISSING = Missing()
        def job(x, y=MISSING): return x is y is MISSING
    """)
    assert pair.run("job", pair.client.MISSING) is True


def test_two_names_of_a_function_or_class_stay_one_thing(pair):
    pair.define("""
        def f(): return 1
        class A: pass
        g, B = f, A
        def job(): return g is f, B is A
    """)
    assert pair.run("job") == (True, True)


def test_imported_modules_attributes_and_submodules(pair):
    pair.define("""
        import concurrent.futures as cf, os.path, xml.etree.ElementTree
        import numpy as np
        from os import path
        from math import sqrt
        from types import FunctionType
        def job():
            import json
            return (xml.etree.ElementTree.fromstring("<a/>").tag, path is os.path, cf.__name__, sqrt(4), json.dumps(1),
                    float(np.linalg.norm([3, 4])), FunctionType.__name__)
    """)
    assert pair.run("job") == ("a", True, "concurrent.futures", 2.0, "1", 5.0, "function")


def test_a_class_inside_a_function_finds_globals(pair):
    pair.define("""
        def helper(): return 2
        def job():
            class Local:
                v = helper()
                def m(self): return helper()
            return Local.v + Local().m()
    """)
    assert pair.run("job") == 4


def test_a_function_with_globals_of_its_own_takes_those_it_uses(pair):
    pair.define("""
        namespace = {"k": 4, "lock": open}
        exec("def f(x): return x + k if x < 9 else f(1)", namespace)
        f = namespace["f"]
        def job(): return f(10)
    """)
    assert pair.run("job") == 5


def test_exceptions_and_views_travel_as_values(pair):
    pair.define("""
        import collections, types
        class Wrong(Exception):
            def __init__(self, a, b):
                super().__init__(a, b)
                self.b = b
        view = types.MappingProxyType({1: 2})
        fives = collections.defaultdict(lambda: 5)
        def job(error): return error.b, view[1], fives["x"], Wrong(3, 4)
    """)
    *facts, error = pair.run("job", pair.client.Wrong(1, 2))
    assert facts == [2, 2, 5]
    assert type(error) is pair.client.Wrong
    assert error.args == (3, 4)


def test_functions_and_local_classes_as_arguments(pair):
    pair.define("""
        def local():
            class C:
                v = 7
            return C
        one = 1
        plus = [lambda x: x + one]
        def job(f, made): return f(3), made.v
    """)
    assert pair.run("job", pair.client.plus[0], pair.client.local()()) == (4, 7)
