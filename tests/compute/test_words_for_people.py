"""What compute/ says, in the words of those who use it."""

import ast
import re
from pathlib import Path

import greencoro.compute

HERE = Path(greencoro.compute.__file__).parent
#: What we call things among ourselves.
OURS = re.compile(r"\b(leases?|lanes?|tickets?|incarnations?|zygotes?|slots?|reactor|discoro_\w+)\b")
#: What no user is told: a bug, or two processes of different versions.
NOT_TOLD = {"a zygote and its daemon do not understand each other: "}


def sentences(source):
    """The texts in it with more than a word, but for docstrings."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and " " in node.value.strip():
            yield node.value


def test_what_is_said_of_waits_and_losses_has_no_words_of_our_own():
    found = {
        text
        for file in sorted(HERE.glob("*.py"))
        for text in sentences(file.read_text())
        if OURS.search(text) and text not in NOT_TOLD
    }
    assert found == set()


def test_words_of_our_own_are_found_where_they_are_said():
    source = 'def f(x):\n    """Of a lease."""\n    say(f"its lease {x} has ended")\n    return "lease"'
    assert [text for text in sentences(source) if OURS.search(text)] == ["its lease "]
