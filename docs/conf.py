"""How the manual is built."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import greencoro
from greencoro import config

project = "greencoro"
author = "The greencoro developers"
copyright = f"2026, {author}"
release = version = greencoro.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Attributes that a docstring lists are not documented a second time as members.
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"greencoro {release}"


class SettingsTable(SphinxDirective):
    """``{settings}``: every setting, from the one place that describes them."""

    def run(self) -> list[nodes.Node]:
        entries = nodes.definition_list()
        for setting in config.describe():
            term = nodes.term("", "", nodes.literal(text=setting.name), nodes.Text(f" = {setting.default}"))
            variable = nodes.paragraph("", "", nodes.literal(text=setting.environment_variable))
            variable += nodes.Text(f": {setting.allowed}.")
            body = nodes.definition("", nodes.paragraph(text=setting.doc), variable)
            entries += nodes.definition_list_item("", term, body)
        return [entries]


def setup(app: Sphinx) -> None:
    app.add_directive("settings", SettingsTable)
