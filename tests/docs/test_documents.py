# SPDX-License-Identifier: MIT
"""What documents point to exists: links and anchors, files, bounds; every setting is told; and a
translation says as much as the original."""

import re
import subprocess
from pathlib import PurePosixPath

import pytest
from cluster import build_folder
from documents import DOCUMENTS, PATHS, REPO, anchors, commands, headings, links, prose, read

# Files that a document tells to make, or that belong to something else.
NOT_HERE = {"chat-seccomp.json", "default.json", "dist/rapidoc-min.js",
            "package/dist/rapidoc-min.js", "spec.json"}
SOURCE = r"(?:c|h|lua|py|js|mjs|sh|md|ya?ml|toml|cfg|json|css|html|svg|png|http|dot|seq|mk|env|gz)"
PATH = re.compile(rf"(?<![\w/.:@$%~*<{{-])((?:\.?[\w-][\w.-]*/)*\.?[\w-][\w.-]*\.{SOURCE})(?![\w/*-]|\.\w)")
TOP = "|".join(re.escape(path) for path in sorted(PATHS) if "/" not in path and
               (REPO / path).is_dir())
BELOW = re.compile(rf"`((?:{TOP})/[\w./-]*)`")
NAMES = {PurePosixPath(path).name for path in PATHS}


def target(document, path):
    """The path in the repository that a link of a document leads to."""
    parts = []
    for part in (*PurePosixPath(document).parent.parts, *path.split("/")):
        if part == "..":
            parts.pop()
        elif part not in (".", ""):
            parts.append(part)
    return "/".join(parts)


def broken_links(document, text):
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        where = target(document, path) if path else document
        if where not in PATHS:
            yield link
        elif anchor and anchor not in anchors(read(where)):
            yield link


def missing_paths(document, text):
    """Names of files that are nowhere: as they are written, from the document's folder, or, for a
    name that was introduced with its folder, below any."""
    text = re.sub(r"\b[a-z]+://[^\s)>`]+", "", text)
    for path in {*PATH.findall(text), *BELOW.findall(text)} - NOT_HERE:
        path = path.rstrip("/")
        known = (path in PATHS or target(document, path) in PATHS or path in NAMES or
                 f"{path}.c" in PATHS or  # a program of tests is named as it is built
                 any(other.endswith("/" + path) for other in PATHS))
        if not known and not path.startswith(("build/", "var/")):
            yield path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    assert list(broken_links(document, read(document))) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document):
    assert list(missing_paths(document, read(document))) == []


def test_planted_mistakes_are_found():
    text = "see `common/gone.c`, [a](docs/GONE.md), [b](docs/API.md#gone) and tests/gone/"
    assert sorted(broken_links("README.md", text)) == ["docs/API.md#gone", "docs/GONE.md"]
    assert set(missing_paths("README.md", text + " `tests/gone/`")) == {
        "common/gone.c", "docs/GONE.md", "tests/gone"}
    assert list(broken_links("docs/API.md", "[c](../README.md), [d](#curl)")) == []


def test_bounds_exist():
    """NAMES_LIKE_THIS in backticks are settings, bounds or variables of some file."""
    sources = "\n".join(
        (REPO / path).read_text(errors="replace") for path in PATHS
        if not path.startswith(("docs/", "tests/fuzz/corpus")) and (REPO / path).is_file() and
        not path.endswith((".md", ".gz", ".png")))
    known = set(re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", sources))
    for document in DOCUMENTS:
        named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", prose(read(document))))
        assert named <= known, (document, named - known)


def test_every_bound_is_told():
    bounds = re.findall(r"^ {4}([A-Z][A-Z0-9_]+) = ", read("common/limits.h"), re.M)
    told = " ".join(prose(read(f"docs/{name}.md"))
                    for name in ("PROTOCOL", "OPERATIONS", "ARCHITECTURE"))
    assert "WS_PING_MS" in bounds
    assert [name for name in bounds if f"`{name}`" not in told] == []


# --- settings -------------------------------------------------------------------------------------


def of_program(program):
    """[(name, default, accepted)] as --help tells."""
    text = subprocess.run([build_folder() / program, "--help"], capture_output=True, text=True, timeout=60,
                          check=True).stdout
    return re.findall(r"^([A-Z_]+) +--\S+ +(\S+) +(\S.*?)  +\S.*$", text, re.M)


@pytest.mark.parametrize("program, title", [
    ("chat-gateway", "Of a gateway"), ("chat-persister", "Of the persister")])
def test_operations_tells_every_setting(program, title):
    section = read("docs/OPERATIONS.md").split(f"\n### {title}\n")[1].split("\n#")[0]
    told = re.findall(r"^\| `([A-Z_]+)` \| (\S+) \| (.+?) \| \S.* \|$", section, re.M)
    told = [(name, "-" if value == "–" else value.strip("`"), accepted)
            for name, value, accepted in told]
    source = read(f"{program.removeprefix('chat-')}/settings.c")
    assert told == of_program(program)
    assert [name for name, _, _ in told] == re.findall(r'\{"([A-Z_]+)", CONFIG_', source)


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spanish", [path for path in DOCUMENTS if path.endswith(".es.md")])
def test_translation_has_the_same_parts(spanish):
    """Headings of the same levels, the same commands (what they post may be in the other language),
    tables, and links, to the same documents in either language."""
    other, own = read(spanish.removesuffix(".es.md") + ".md"), read(spanish)
    assert [level for level, _ in headings(own)] == [level for level, _ in headings(other)]
    posted = re.compile(r'(?<=post \$[AB] )\w+|(?<="content":")[^"]*')
    assert [posted.sub("", line) for line in commands(own)] == [
        posted.sub("", line) for line in commands(other)]
    rows = [[line.count("|") for line in text.splitlines() if line.startswith("|")]
            for text in (own, other)]
    assert rows[0] == rows[1]
    led = [sorted(link.replace(".es.md", ".md") for link in links(text) if link[0] != "#")
           for text in (own, other)]
    assert led[0] == led[1]


# --- figures --------------------------------------------------------------------------------------


def table(text, column):
    """{first cell: {title: cell}} of the table that has such a column."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        titles, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]]
                            for line in block.splitlines()]
        if column in titles:
            return {row[0]: dict(zip(titles[1:], row[1:])) for row in rows}
    return {}


@pytest.mark.parametrize("document", ["README.md", "README.es.md"])
def test_figures_are_the_measured_ones(document):
    measured, told = (table(read(path), "POST, µs") for path in ("docs/BENCHMARKS.md", document))
    assert len(told) >= 3
    for server, cells in told.items():
        assert cells == {title: measured[server][title] for title in cells}, server
