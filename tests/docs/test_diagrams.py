# SPDX-License-Identifier: MIT
"""docs/diagrams: each picture shows what its text says, and the text names what there is."""

import json
import re
import shutil
from xml.etree import ElementTree

import draw
import pytest
from documents import PATHS, REPO, read

FOLDER = REPO / "docs/diagrams"
GRAPHS, SEQUENCES = sorted(FOLDER.glob("*.dot")), sorted(FOLDER.glob("*.seq"))
SOURCES = GRAPHS + SEQUENCES
SVG = "{http://www.w3.org/2000/svg}"


def ids(paths):
    return [path.name for path in paths]


def shown(svg):
    """What a picture by Graphviz says, without where: (class, name, words), sorted."""
    groups = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.get("class") not in ("node", "edge", "cluster"):
            continue
        texts = [" ".join(text.itertext()).strip() for text in group.iter(f"{SVG}text")]
        groups.append((group.get("class"), group.findtext(f"{SVG}title"), " ".join(texts).split()))
    return sorted(groups)


@pytest.mark.parametrize("source", GRAPHS, ids=ids(GRAPHS))
def test_graph_is_the_one_of_its_text(source):
    if not shutil.which("dot"):
        pytest.skip("there is no dot (graphviz)")
    committed = source.with_suffix(".svg").read_text()
    assert shown(committed) == shown(draw.graph(source)), "run: make diagrams"
    assert len(shown(committed)) > 10


def test_another_graph_is_another_one(tmp_path):
    if not shutil.which("dot"):
        pytest.skip("there is no dot (graphviz)")
    text = (FOLDER / "architecture.dot").read_text()
    committed = shown((FOLDER / "architecture.svg").read_text())
    for before, after in (("hash: last id", "hash: first id"), ("page -> one", "page -> two"),
                          ("{chat}:live</b>", "{chat}:dead</b>"), ("sqlite [", "store [")):
        assert before in text
        (tmp_path / "changed.dot").write_text(text.replace(before, after))
        assert shown(draw.graph(tmp_path / "changed.dot")) != committed, after


@pytest.mark.parametrize("source", SEQUENCES, ids=ids(SEQUENCES))
def test_sequence_is_the_one_of_its_text(source):
    assert source.with_suffix(".svg").read_text() == draw.draw(source.read_text()), \
        "run: make diagrams"


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_picture_has_a_background(source):
    """So that it can be read where the page is dark."""
    root = ElementTree.fromstring(source.with_suffix(".svg").read_text())
    first = next(shape for shape in root.iter() if shape.tag in (f"{SVG}rect", f"{SVG}polygon"))
    assert first.get("fill") == "white"


def names(text):
    """Names in a text that must be those of something: files, scripts, programs, keys, commands."""
    files = re.findall(r"[\w./-]*\w\.(?:lua|c|h|md|ya?ml|gateway|persister)\b|gateway/web|\.ci/run",
                       text)
    return {*files, *re.findall(r"\bchat-[a-z]+\b|\{chat\}:\w+|\./dev \w+(?:-\w+)?|\bmake \w+|"
                                r"\b(?:GET|POST) /\w*", text)}


def exists(name):
    if name.startswith("{chat}:"):
        return f'"{name[7:]}"' in read("common/script.c")
    if name.startswith("./dev "):
        return re.search(rf"^  {name[6:]}\b", read("dev"), re.M)
    if name.startswith("make "):
        return re.search(rf"^{name[5:]}:", read("Makefile"), re.M)
    if name.startswith(("GET ", "POST ")):
        method, path = name.split()
        return method.lower() in json.loads(read("docs/openapi.json"))["paths"].get(path, {})
    if name.startswith("chat-"):
        return (REPO / name.removeprefix("chat-") / "main.c").exists()
    return name in PATHS or f"common/{name}" in PATHS


@pytest.mark.parametrize("source", SOURCES, ids=ids(SOURCES))
def test_what_a_picture_names_exists(source):
    text = re.sub(r"(?m)^\s*(//|#).*", "", source.read_text())
    found = names(text) - {"chat-as"}
    assert len(found) >= 5
    assert [name for name in sorted(found) if not exists(name)] == []
    for name in ("gone.lua", "{chat}:gone", "./dev gone", "make gone", "POST /gone", "chat-gone"):
        assert not exists(name)


def jobs(workflow):
    """{job: the jobs that it needs} of a workflow."""
    text = read(f".github/workflows/{workflow}.yml").split("\njobs:\n")[1]
    parts = re.split(r"^  ([\w-]+):\n", text, flags=re.M)
    found = {}
    for name, body in zip(parts[1::2], parts[2::2]):
        needs = re.search(r"^    needs: (.+)$", body, re.M)
        found[name.replace("-", "_")] = set(re.findall(r"\w+", needs[1])) if needs else set()
    return found


@pytest.mark.parametrize("workflow", ["ci", "fuzz", "release"])
def test_every_job_is_in_the_picture(workflow):
    text = read("docs/diagrams/delivery.dot")
    drawn = set(re.findall(rf"^ +{workflow}_(\w+) \[", text, re.M))
    assert drawn == set(jobs(workflow))
    arrows = set()
    for line in re.findall(r"^ +(\w+(?: -> \w+)+)(?: \[(?!style=invis)[^]]*\])?$", text, re.M):
        chain = line.split(" -> ")
        arrows |= set(zip(chain, chain[1:]))
    assert {(f"{workflow}_{before}", f"{workflow}_{name}")
            for name, needs in jobs(workflow).items() for before in needs} == {
        arrow for arrow in arrows if all(end.startswith(workflow) for end in arrow)}


def test_drawing_refuses_what_it_does_not_know():
    for line in ("a -> b: words", "actor a", "note a: words", "a => b"):
        with pytest.raises(draw.Mistake):
            draw.parse(line)
