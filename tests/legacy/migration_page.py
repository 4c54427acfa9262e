"""The tables of the manual's page on migration, out of the one table there is.

After a change of that, ``python -m tests.legacy.migration_page`` writes them into the page.
"""

from pathlib import Path

from greencoro.legacy.spelling import Spelling
from greencoro.legacy.spellings import SPELLINGS

PAGE = Path(__file__).parent.parent.parent / "docs/howto/migrate-from-asyncoro.md"


def tables() -> str:
    """One for each old module, under a heading."""
    parts = []
    for module in dict.fromkeys(spelling.module for spelling in SPELLINGS):
        rows = [_row(spelling) for spelling in SPELLINGS if spelling.module == module]
        parts.append("\n".join([f"### {module}", "", "| asyncoro | greencoro | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _row(spelling: Spelling) -> str:
    native = f"`{spelling.new}`" if spelling.native else "none"
    return f"| `{spelling.old}` | {native} | {spelling.note} |".replace("  |", " |")


def with_tables(page: str) -> str:
    """The page, in which what is between the two marks is what `tables` says."""
    before, _, rest = page.partition("<!-- tables -->\n")
    _, mark, after = rest.partition("\n<!-- end of tables -->")
    return f"{before}<!-- tables -->\n\n{tables()}\n{mark}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
