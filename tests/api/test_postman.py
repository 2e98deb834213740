# SPDX-License-Identifier: MIT
"""docs/postman/ by newman, against a real cluster."""

import json
import re

import contract
from cluster import REPO

POSTMAN = REPO / "docs/postman"
COLLECTION = POSTMAN / "chat.postman_collection.json"
ENVIRONMENT = POSTMAN / "chat.postman_environment.json"


def requests(item):
    for one in item["item"]:
        if "item" in one:
            yield from requests(one)
        else:
            yield one


def newman(run, gateway, collection, report):
    status, output = run(
        "newman", "run", collection, "--environment", ENVIRONMENT, "--env-var",
        f"baseUrl={gateway.url}", "--reporters", "cli,json", "--reporter-json-export", report,
        "--timeout-request", "60000", "--color", "off", "--disable-unicode")
    return status, output, json.loads(report.read_text())["run"]


def test_collection_runs_on_any_gateway(run, make_cluster, tmp_path):
    cluster = make_cluster(settings={"LAB": 1})
    for gateway in cluster.gateways:  # each sees what was written through the other
        status, output, result = newman(run, gateway, COLLECTION, tmp_path / "report.json")
        assert status == 0, output
        count = len(list(requests(json.loads(COLLECTION.read_text()))))
        assert result["stats"]["requests"] == {"total": count, "pending": 0, "failed": 0}
        assert result["stats"]["assertions"]["total"] > 3 * count
        for execution in result["executions"]:  # what newman was answered is documented, too
            answer = execution["response"]
            path = "/" + "/".join(execution["request"]["url"]["path"])
            contract.openapi.check(
                execution["request"]["method"], path, answer["code"],
                {header["key"].lower(): header["value"] for header in answer["header"]},
                bytes(answer["stream"]["data"]))


def test_newman_fails_when_an_answer_is_another(run, cluster, tmp_path):
    collection = json.loads(COLLECTION.read_text())
    one = next(requests(collection))
    lines = one["event"][-1]["script"]["exec"]
    assert any("201" in line for line in lines)
    one["event"][-1]["script"]["exec"] = [line.replace("201", "202") for line in lines]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(collection))
    status, output, _ = newman(run, cluster.gateways[0], changed, tmp_path / "report.json")
    assert status != 0 and "expected response to have status code 202" in output


def test_collection_has_all_of_the_api_and_tests_in_each_request():
    collection = json.loads(COLLECTION.read_text())
    known = {value["key"] for value in json.loads(ENVIRONMENT.read_text())["values"]}
    used, paths = set(), set()
    for one in requests(collection):
        script = "\n".join(line for event in one["event"] if event["listen"] == "test"
                           for line in event["script"]["exec"])
        assert "pm.test(" in script and "have.status(" in script, one["name"]
        text = json.dumps(one)
        known |= set(re.findall(r"environment\.set\('(\w+)'", text))
        used |= set(re.findall(r"\{\{(\w+)\}\}", text))
        path = one["request"]["url"]["raw"].removeprefix("{{baseUrl}}").split("?")[0]
        paths.add(contract.openapi.path_of(re.sub(r"\{\{\w+\}\}", "1", path)))
    assert used <= known
    assert paths - {None} == set(contract.openapi.document["paths"])
