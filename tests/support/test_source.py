import ast

from tests.support.source import PACKAGE, comparisons, imports, uses


def test_imports_are_found_in_every_spelling():
    code = "import a.b\nfrom . import c\nfrom ..hub import d\ndef f():\n    from e import f as g\n"
    found = list(imports(ast.parse(code), PACKAGE / "distributed/x.py"))
    assert found == ["a.b", "greencoro.distributed.c", "greencoro.hub.d", "e.f"]


def test_imports_for_type_checkers_only_can_be_left_out():
    code = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\nimport c\n"
    assert list(imports(ast.parse(code), PACKAGE / "x.py", type_checking=False)) == ["b", "c"]


def test_uses_see_through_aliases_and_name_the_function():
    code = "import pickle as p\nfrom pickle import loads as l\nclass A:\n    def f(self):\n        p.load(l(x))\n"
    assert {("A.f", "pickle.load"), ("A.f", "pickle.loads")} <= set(uses(ast.parse(code)))


def test_comparisons_name_the_function_and_the_words_of_what_is_compared():
    code = """
class Door:
    def open(self, shown):
        return sha256(self._tokens[0] + b"x") == shown and self.name != "token" and len(shown) == len(KEY)
    def leave(self, my_key):
        return 1 < 2 or my_key.encode() != KEY or my_key is not None
"""
    door, key = {"sha256", "self", "token", "shown"}, {"my", "key", "encode"}
    assert list(comparisons(ast.parse(code))) == [("Door.open", door), ("Door.open", set()), ("Door.leave", key)]
