"""How Sphinx builds the documentation: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import o2v_jax

project = "o2v_jax"
author = "the o2v_jax authors"
version = release = o2v_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "generated_tables",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "sphinx_book_theme"
html_title = "o2v_jax"
html_theme_options = {"show_toc_level": 2}

nb_execution_mode = "off"  # a test executes the notebooks, which hold their outputs
myst_heading_anchors = 3
default_role = "code"  # what docstrings put between single backticks
smartquotes = False  # options begin with two hyphens

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80

# prompts are not copied, nor is what a command prints
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
