"""A figure as SVG, in a form that a page can include: text stays text, and nothing in it affects the page."""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from analysis.figures import style
from analysis.figures.style import Drawn

SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
HREF = f"{{{LINK}}}href"
URL = re.compile(r"url\(#([^)]+)\)")
NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
"""Characters that XML forbids; a name in a foreign store may have them."""

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", LINK)


@style.applied()
def svg(drawn: Drawn) -> bytes:
    """Returns the figure as SVG. The same figure gives the same bytes.

    Ids begin with the figure's name, so that several figures fit on one page.
    """
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's fonts have characters that ours lacks
        drawn.figure.savefig(out, format="svg", metadata={"Date": None})
    drawn.figure.set_layout_engine("none")  # a second layout would differ slightly
    root = ElementTree.fromstring(NOT_XML.sub("", out.getvalue()))
    _drop_what_concerns_a_page(root)
    _rename_ids(root, drawn.name)
    root.set("role", "img")
    root.set("aria-label", drawn.title)
    content: bytes = ElementTree.tostring(root, encoding="utf-8")
    return content + b"\n"


def _drop_what_concerns_a_page(root: Element) -> None:
    """Removes metadata and the style sheet, which would apply to the whole page; its settings become attributes."""
    for child in list(root):
        is_sheet = child.tag == f"{{{SVG}}}defs" and child.find(f"{{{SVG}}}style") is not None
        if is_sheet or child.tag == f"{{{SVG}}}metadata":
            root.remove(child)
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")


def _rename_ids(root: Element, name: str) -> None:
    """Puts the figure's name before each id that is referred to, and removes the others."""
    used = {target for element in root.iter() for target in _targets(element)}
    for element in root.iter():
        found = element.attrib.pop("id", None)
        if found in used:
            element.set("id", f"{name}-{found}")
        for key, value in element.attrib.items():
            if key == HREF:
                element.set(key, f"#{name}-{value.removeprefix('#')}")
            elif "url(#" in value:
                element.set(key, URL.sub(rf"url(#{name}-\1)", value))


def _targets(element: Element) -> list[str]:
    links = [value.removeprefix("#") for key, value in element.attrib.items() if key == HREF]
    return links + [target for value in element.attrib.values() for target in URL.findall(value)]
