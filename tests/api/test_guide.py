# SPDX-License-Identifier: MIT
"""What docs/API.md and docs/chat.http tell to type does what they say."""

import json
import re
import shlex
import subprocess

from cluster import REPO, get
from rawws import BINARY, RawWS

GUIDE = (REPO / "docs/API.md").read_text()
HTTP = (REPO / "docs/chat.http").read_text()


def commands(program):
    """The lines of the guide's sh blocks that start with a program."""
    return [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.S)
            for line in block.splitlines() if line.startswith(program + " ")]


def of_cluster(line, cluster):
    for number, gateway in enumerate(cluster.gateways):
        line = line.replace(f"localhost:{8080 + number}", f"127.0.0.1:{gateway.port}")
    return shlex.split(line)


def test_curl(cluster):
    lines = [line for line in commands("curl") if "Upgrade" not in line]
    assert len(lines) >= 5
    for line in lines:
        result = subprocess.run([*of_cluster(line, cluster), "--fail", "--show-error"], timeout=60,
                                capture_output=True, text=True, check=False)
        assert result.returncode == 0, (line, result.stderr)
        json.loads(result.stdout.split("\n\n")[-1])
    assert [message["content"] for message in get(cluster.gateways[1]).json()] == ["Hola"]


def test_curl_shows_the_handshake(cluster):
    (line,) = [line for line in commands("curl") if "Upgrade" in line]
    sent = cluster.gateways[0].http.post("/messages", json={"username": "a", "content": "seen"})
    assert sent.status_code == 201
    output = subprocess.run(of_cluster(line, cluster), timeout=60, capture_output=True,
                            check=False).stdout
    for words in ("HTTP/1.1 101 Switching Protocols", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="):
        assert words in GUIDE and output.count(words.encode()) == 1, output
    assert output.endswith(sent.content), output


def test_newman(run, cluster):
    (line,) = commands("npx newman")
    arguments = shlex.split(line)[2:]
    status, output = run("newman", *arguments, "--env-var", f"baseUrl={cluster.gateways[0].url}",
                         cwd=REPO)
    assert status == 0, output


def test_wscat(run, cluster):
    (line,) = commands("npx wscat")
    status, output = run("wscat", *of_cluster(line, cluster)[2:])
    assert status == 0 and '{"type":"ack","nonce":"2","id":1}' in output, output
    assert '{"id":1,"username":"Ana","content":"hi",' in output


def test_chat_http(cluster):
    variables = dict(re.findall(r"^@(\w+) = (\S+)$", HTTP, re.M))
    variables["base"] = cluster.gateways[0].url
    requests = re.split(r"^###.*\n", HTTP, flags=re.M)[1:]
    assert len(requests) >= 10
    for text in requests:
        status, request = re.fullmatch(r"# (\d{3})\n(.*)", text, re.S).groups()
        request = re.sub(r"\{\{(\w+)\}\}", lambda name: variables[name[1]], request)
        head, _, body = request.partition("\n\n")
        (method, url), *headers = (line.split(maxsplit=1) for line in head.strip().splitlines())
        answer = cluster.gateways[0].http.request(
            method, url, content=body.strip() or None,
            headers={name.rstrip(":"): value for name, value in headers})
        assert answer.status_code == int(status), (text, answer.text)


def test_steps_of_a_tester(cluster):
    first, second = cluster.gateways
    frames = re.findall(r"^\d\. Send `(.*?)`\.", GUIDE, re.M)
    assert len(frames) == 3
    with RawWS(first.port, "/ws", headers={"Origin": "https://websocketking.com"}) as ws:
        ws.send_text(frames[0])
        assert ws.read_json()["content"] == "hi"
        for _ in range(2):
            ws.send_text(frames[1])
        answers = [ws.read_json() for _ in range(3)]
        assert answers.count({"type": "ack", "nonce": "1", "id": 2}) == 2
        assert [answer["id"] for answer in answers if "content" in answer] == [2]
        ws.send_text(frames[2])
        error = ws.read_json()
        assert json.dumps(error["hint"])[1:-1] in GUIDE and error["code"] == "invalid_json"
        ws.send_text(error["hint"].removeprefix("send "))
        assert ws.read_json()["content"] == "Hola"
        ws.send_frame(b"hi", BINARY)
        assert "close 1003" in GUIDE and ws.read_close() == 1003
    with RawWS(second.port, "/ws?after=1") as ws:
        assert [ws.read_json()["id"] for _ in range(2)] == [2, 3]
