from greencoro.compute.references import Import, lines_of, references_of


def code(source):
    return next(c for c in compile(source, "x.py", "exec").co_consts if hasattr(c, "co_code"))


def test_names_are_those_of_globals_nested_code_included():
    used = references_of(code("def f(a):\n    b = a.c + d\n    def g(): return e(b)\n    return [h for _ in g()]\n"))
    assert set(used.names) == {"d", "e", "h"}
    assert "c" in used.attributes


def test_a_name_that_is_only_set_counts():
    assert references_of(code("def f():\n    global x, y\n    x = 1\n    del y\n")).names == ("x", "y")


def test_a_class_body_inside_a_function_is_read():
    used = references_of(code("def f():\n    class A(B):\n        x = y\n        def m(self): return z\n"))
    assert {"B", "y", "z"} <= set(used.names)


def test_imports_are_found_with_their_names_and_level():
    used = references_of(code("def f():\n    import a.b\n    from ..c import d, e\n    from . import g\n"))
    assert used.imports == (Import("a.b", (), 0), Import("c", ("d", "e"), 2), Import("", ("g",), 1))


def test_lines_span_nested_code():
    assert lines_of(code("\n@deco\ndef f():\n    def g():\n        return 1\n    return g\n")) == (2, 6)
