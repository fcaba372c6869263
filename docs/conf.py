"""How the documentation is built: `tox run -e docs`."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycnm

sys.path.insert(0, str(Path(__file__).parent))

import generated

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "pycnm"
copyright = "the pycnm contributors"
release = importlib.metadata.version("pycnm")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"
html_theme = "furo"
html_title = f"pycnm {release}"
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True
napoleon_custom_sections = ["Source", "Effects", ("Class attributes", "params_style")]

nitpicky = True
nitpick_ignore_regex = [
    # The build needs no network, so it can't look up where others document their names.
    (
        "py:.*",
        r"(attrs?|collections|datetime|netaddr|os|pathlib|sqlite3|subprocess|types|typing)\..*",
    ),
    ("py:class", r"EUI|IPAddress|IPNetwork"),
    # What is inside is seen in a signature, and documented in the code.
    ("py:class", r"Kernel|pycnm\.nft\..*"),
    # A sentence in place of a name: "The rest of what `popen` raises."
    ("py:exc", r".* .*"),
]

_PUBLIC = {
    f"{getattr(pycnm, name).__module__}.{name}": f"pycnm.{name}"
    for name in pycnm.__all__
    if name != "errors"
}


def _public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement
) -> Element | None:
    """Lead annotations, which name the module of a class, to the name that users import."""
    public = _PUBLIC.get(node.get("reftarget", ""))
    if public is None:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "class", public, node, content)


_TOGETHER = re.compile(r"( +)(\w+(?:, \w+)+)(: .*)")


def _one_by_one(*event: Any) -> None:
    """Describe each of several arguments that the code describes together: `ip, ip6: ...`."""
    lines: list[str] = event[-1]
    for place in reversed(range(len(lines))):
        found = _TOGETHER.fullmatch(lines[place])
        if found is None:
            continue
        margin, names, words = found.groups()
        end = place + 1
        while end < len(lines) and lines[end].startswith(margin + " "):
            end += 1
        rest = lines[place + 1 : end]
        lines[place:end] = [
            line for each in names.split(", ") for line in (f"{margin}{each}{words}", *rest)
        ]


def setup(app: Sphinx) -> None:
    """Write what is generated, before anything is read."""
    generated.write(Path(__file__).parent / "_build" / "generated")
    app.connect("missing-reference", _public_name)
    app.connect("autodoc-process-docstring", _one_by_one, priority=400)  # before napoleon
