# SPDX-License-Identifier: MIT
"""The repository's documents, and what stands in them."""

import os
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", "node_modules", "build", "var", "__pycache__"}


def _walk():
    for folder, folders, names in os.walk(REPO):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for name in folders + names:
            yield os.path.relpath(os.path.join(folder, name), REPO)


PATHS = frozenset(_walk())
DOCUMENTS = sorted(path for path in PATHS if path.endswith(".md"))


def read(path):
    return (REPO / path).read_text()


def prose(text):
    """Without fenced code."""
    return re.sub(r"^( *)(```+).*?^\1\2 *$", "", text, flags=re.M | re.S)


def headings(text):
    """[(level, words)]."""
    return [(len(marks), words) for marks, words in
            re.findall(r"^(#{1,6}) +(.+?) *#*$", prose(text), re.M)]


def anchors(text):
    """The names that GitHub gives to the headings."""
    names = []
    for _, words in headings(text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", words).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = sum(re.fullmatch(re.escape(name) + r"(-\d+)?", other) is not None for other in names)
        names.append(f"{name}-{count}" if count else name)
    return names


def links(text):
    """The targets of links and images, in Markdown and in HTML."""
    text = re.sub(r"(`+).+?\1", "", prose(text), flags=re.S)
    return (re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text) +
            re.findall(r"(?:href|src|srcset)=\"([^\"]+)\"", text))


def commands(text):
    """The lines of fenced and of indented code, without their comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"(?:^    .*\n)+", prose(text), re.M)
    lines = "\n".join(blocks).splitlines()
    return [line for line in (re.sub(r"(^|\s+)# .*", "", line).strip() for line in lines) if line]
