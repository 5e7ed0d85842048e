"""Sphinx: the pages of this folder, and one reference page per public module, found by itself."""

import importlib
import pkgutil
import sys
from pathlib import Path

import ecgkit

sys.path.append(str(Path(__file__).resolve().parent))
from pictures import write_gallery

project = "ecgkit"
author = "the ecgkit developers"
copyright = "2026, the ecgkit developers"
version = release = ecgkit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "licences"]
html_theme = "furo"
html_title = f"ecgkit {release}"
suppress_warnings = ["ref.python"]  # two classes may both have .labels
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch"]

HERE = Path(__file__).resolve().parent
TOP = """(api)=
# Reference

```{{eval-rst}}
.. automodule:: ecgkit
   :no-members:

.. autofunction:: ecgkit.set_threads
.. autofunction:: ecgkit.get_threads
.. autofunction:: ecgkit.show_config
```

```{{toctree}}
:maxdepth: 1

{pages}
```
"""
PAGE = """# `ecgkit.{name}`

```{{eval-rst}}
.. automodule:: ecgkit.{name}
   :members:
```
"""


def write_reference(_app) -> None:
    """``docs/api/<module>.md`` for every module of the package whose name has no underscore."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    names = sorted(m.name for m in pkgutil.iter_modules(ecgkit.__path__))
    names = [name for name in names if not name.startswith("_")]
    pages = {"index": TOP.format(pages="\n".join(names))}
    for name in names:
        importlib.import_module(f"ecgkit.{name}")
        pages[name] = PAGE.format(name=name)
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app) -> None:
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_gallery)
