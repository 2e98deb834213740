# SPDX-License-Identifier: MIT
"""Holds what a gateway says against docs/openapi.json and docs/asyncapi.json, so that they cannot
lie: an answer with a status, a header or a field that is not documented is a violation, and so is
one without a header that is documented as required.

Checked are all answers to httpx clients of a gateway, handshakes and all frames of subscribers
(cluster.py and subscriber.py ask for it). A violation is raised where an answer is met, and all are
kept for the end of the test, because what is raised in a thread is seen by nobody.
"""

import functools
import gzip
import json
import re
import threading
from pathlib import Path

import jsonschema

DOCS = Path(__file__).resolve().parents[2] / "docs"

# What any answer may have by RFC 9110 and RFC 9112; the document says so in its description.
ANY = {"date", "content-length", "content-type", "connection"}

violations = []
seen = set()  # (method, path of the document, status)
_lock = threading.Lock()


class Violation(AssertionError):
    pass


def load(name):
    return json.loads((DOCS / name).read_text())


class Schemas:
    """Validators of a document's schemas, which refer to #/components."""

    def __init__(self, document, dialect):
        self.components = {"components": document["components"]}
        self.dialect = dialect
        self.made = {}

    def mistakes(self, schema, value):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.made:
            self.made[key] = self.dialect({"allOf": [schema], **self.components})
        return [f"{error.json_path}: {error.message}"[:500]
                for error in self.made[key].iter_errors(value)]


class OpenApi:
    def __init__(self, document):
        self.document = document
        self.schemas = Schemas(document, jsonschema.Draft202012Validator)
        # Paths without parameters come first, as the specification wants it.
        self.paths = [(path, re.compile(re.sub(r"\{\w+\}", "[^/]*", re.escape(path).replace(
            r"\{", "{").replace(r"\}", "}")) + "$"))
                      for path in sorted(document["paths"], key=lambda path: "{" in path)]

    def resolve(self, thing):
        while "$ref" in thing:
            thing = functools.reduce(lambda at, name: at[name.replace("~1", "/")],
                                     thing["$ref"].split("/")[1:], self.document)
        return thing

    def path_of(self, path):
        return next((name for name, pattern in self.paths if pattern.match(path)), None)

    def documented(self, method, path, status):
        """(path of the document, response or None)."""
        name = self.path_of(path)
        common = self.document["components"]["responses"]
        if name is None:
            return None, common["NotFound"] if status == 404 else None
        operation = self.document["paths"][name].get(method.lower())
        if operation is None:
            return name, common["MethodNotAllowed"] if status == 405 else None
        response = operation["responses"].get(str(status))
        return name, self.resolve(response) if response else None

    def mistakes(self, method, path, status, headers, body):
        """headers: a dict with names in lower case. body: bytes."""
        name, response = self.documented(method, path, status)
        with _lock:
            seen.add((method, name, status))
        if response is None:
            return [f"{status} is not documented"]
        return [*self._headers(response, headers), *self._body(method, response, headers, body)]

    def _headers(self, response, headers):
        known = {name.lower(): self.resolve(header)
                 for name, header in response.get("headers", {}).items()}
        for name in headers.keys() - known.keys() - ANY:
            yield f"header {name} is not documented"
        for name, header in known.items():
            if name in headers:
                value = headers[name]
                if header["schema"].get("type") == "integer" and re.fullmatch("[0-9]+", value):
                    value = int(value)
                for mistake in self.schemas.mistakes(header["schema"], value):
                    yield f"header {name}: {mistake}"
            elif header.get("required"):
                yield f"header {name} is missing"

    def _body(self, method, response, headers, body):
        content = response.get("content", {})
        media = headers.get("content-type")
        if media is None:
            if body:
                yield "a body without Content-Type"
            if content and method != "HEAD":
                yield "the body is missing"
            return
        if media not in content:
            yield f"Content-Type {media} is not documented"
        elif method != "HEAD" and media == "application/json":
            yield from self.schemas.mistakes(content[media]["schema"], json.loads(body))

    def check(self, method, path, status, headers, body):
        mistakes = self.mistakes(method, path, status, headers, body)
        if mistakes:
            raise Violation(_keep(f"{method} {path} -> {status} {headers} {body[:300]!r}", mistakes))


class AsyncApi:
    """The frames that the gateway sends, and those that it takes."""

    def __init__(self, document):
        self.schemas = Schemas(document, jsonschema.Draft7Validator)
        self.close_codes = {int(code) for code in document["components"]["x-close-codes"]}
        self.sent, self.received = {}, {}  # by type; None: the one with a chat message
        for operation in document["operations"].values():
            kind = self.sent if operation["action"] == "send" else self.received
            for reference in operation["messages"]:
                _, channels, channel, _, message = reference["$ref"].split("/")
                target = document[channels][channel]["messages"][message]["$ref"].split("/")[-1]
                payload = document["components"]["messages"][target]["payload"]
                schema = document["components"]["schemas"][payload["$ref"].split("/")[-1]]
                kind[schema["properties"].get("type", {}).get("const")] = schema

    @functools.lru_cache(maxsize=10000)  # many subscribers get the same bytes
    def mistakes(self, text):
        """Of a frame from the gateway, as bytes."""
        value = json.loads(text)
        kind = value.get("type")
        if kind not in self.sent:
            return [f"a frame of type {kind} is not documented"]
        if kind is None and not text.startswith(b'{"id":'):
            return ["a chat message whose first field is not id"]
        return self.schemas.mistakes(self.sent[kind], value)

    def taken(self, value):
        """Is this a frame that the gateway understands?"""
        return any(not self.schemas.mistakes(schema, value) for schema in self.received.values())

    def check(self, text):
        mistakes = self.mistakes(text)
        if mistakes:
            _keep(f"frame {text[:300]!r}", mistakes)

    def check_close(self, code):
        if code not in self.close_codes:
            _keep(f"close {code}", ["this close code is not documented"])


def _keep(what, mistakes):
    text = "\n  ".join([what, *mistakes])
    with _lock:
        violations.append(text)
    return text


def take_violations():
    with _lock:
        taken = list(violations)
        violations.clear()
    return taken


openapi = OpenApi(load("openapi.json"))
asyncapi = AsyncApi(load("asyncapi.json"))


def check_httpx(answer):
    """An event hook of httpx."""
    answer.read()
    headers = {name: ", ".join(answer.headers.get_list(name)) for name in answer.headers}
    openapi.check(answer.request.method, answer.request.url.path, answer.status_code, headers,
                  answer.content)


def check_raw(method, target, answer):
    """A rawws.Response."""
    packed = answer.headers.get("content-encoding") == "gzip" and answer.body
    openapi.check(method, target.split("?")[0], answer.status, answer.headers,
                  gzip.decompress(answer.body) if packed else answer.body)
