"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import manymodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "manymodes"
author = "The manymodes developers"
copyright = author
version = release = manymodes.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "commands",
    "docstrings",
    "gallery",
    "mathml",
    "repository",
]
exclude_patterns = ["extensions", "templates", "static", "live", "generated/files"]
templates_path = ["templates"]
nitpicky = True
default_role = "autolink"

# Markdown: headings are anchors as on a forge, and formulas stand between dollars.
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_output_stderr = "remove"
smartquotes = False

# Docstrings: a page for each public name, with the sections of numpydoc.
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {name: f"manymodes.{name}" for name in manymodes.__all__}
numpydoc_xref_ignore = "all"

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "manymodes"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#00527f",
        "color-brand-content": "#00629b",
        "color-brand-visited": "#5b4a8a",
        "color-api-name": "#00527f",
        "color-api-pre-name": "#5c6570",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8cc8ec",
        "color-brand-content": "#7fbfe6",
        "color-brand-visited": "#b7a6e0",
        "color-api-name": "#8cc8ec",
        "color-api-pre-name": "#9aa3ad",
    },
    "navigation_with_keys": True,
}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_extra_path: list[str] = []
copybutton_exclude = ".linenos, .gp, .go"
