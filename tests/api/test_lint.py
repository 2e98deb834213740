# SPDX-License-Identifier: MIT
"""The API's documents by Redocly, Spectral and the AsyncAPI parser, without a warning; and each of
these finds a mistake that is planted."""

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from cluster import REPO

HERE = Path(__file__).parent
DOCS = REPO / "docs"


def redocly(run, folder=HERE):
    return run("redocly", "lint", "--config", "redocly.yaml", "../../docs/openapi.json", cwd=folder)


def spectral(run, folder=HERE):
    return run("spectral", "lint", "--fail-severity", "warn", "--ruleset", "spectral.yaml",
               "../../docs/openapi.json", cwd=folder)


def asyncapi(run, folder=HERE):
    return run("node", HERE / "asyncapi.mjs", "../../docs/asyncapi.json", cwd=folder)


LINTERS = [redocly, spectral, asyncapi]


@pytest.mark.parametrize("lint", LINTERS)
def test_document_is_without_fault(run, lint):
    status, output = lint(run)
    assert status == 0, output


def misspell_reference(document):
    components = document["components"]
    page = components["responses" if "openapi" in document else "messages"]
    name = next(iter(page))
    page[name + "2"] = page.pop(name)


def lose_title(document):
    del document["info"]["title"]


@pytest.mark.parametrize("damage", [misspell_reference, lose_title])
@pytest.mark.parametrize("lint", LINTERS)
def test_planted_mistake_is_found(run, tmp_path, lint, damage):
    folder = tmp_path / "tests/api"
    folder.mkdir(parents=True)
    for name in ("redocly.yaml", ".redocly.lint-ignore.yaml", "spectral.yaml"):
        shutil.copy(HERE / name, folder)
    (tmp_path / "docs").mkdir()
    for name in ("openapi.json", "asyncapi.json"):
        document = json.loads((DOCS / name).read_text())
        damage(document)
        (tmp_path / "docs" / name).write_text(json.dumps(document))
    status, output = lint(run, folder)
    assert status != 0, output


def test_viewer_is_the_one_that_its_note_tells():
    vendor = REPO / "gateway/web/vendor"
    rows = re.findall(r"^\| `(\S+)\.gz` \|.* ([0-9.]+) \|.*`([0-9a-f]{64})` \|$",
                      (vendor / "README.md").read_text(), re.M)
    assert {f"{name}.gz" for name, _, _ in rows} == {path.name for path in vendor.glob("*.gz")}
    for name, version, digest in rows:
        content = gzip.decompress((vendor / f"{name}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == digest
        assert f"RapiDoc {version}".encode() in content[:400]
