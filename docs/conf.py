"""The site: ``sphinx-build -W docs site``."""

from importlib import metadata

project = "grism_align"
author = copyright = "The grism_align developers"  # noqa: A001
release = metadata.version("grism_align")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb"}
root_doc = "index"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have types, with shapes and units
napoleon_use_rtype = False
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
# the page that is a notebook is run by each build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
html_theme = "furo"
html_title = "grism_align"
