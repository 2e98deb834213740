# SPDX-License-Identifier: MIT
"""rediss://: a Redis over TLS is followed only when its certificate is signed by whom we trust and
holds the name that we asked for; a client certificate is shown where one is wanted.

A build without TLS must refuse rediss:// at its start; the tests that need TLS are skipped there.
"""

import os
import shutil
import subprocess

import pytest
import redis

from cluster import REDIS_SERVER, Gateway, Process, Redis, build_folder, post, read_all, wait_until

PROGRAMS = ["chat-gateway", "chat-persister"]


def start_refused(program, **settings):
    """The one line of a program that must not start."""
    done = subprocess.run([str(build_folder() / program)], env={**os.environ, **settings},
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def built_with_tls():
    line = start_refused("chat-gateway", REDIS_URL="rediss://127.0.0.1", REDIS_CERT="/nowhere")
    return "needs a build with TLS" not in line


needs_tls = pytest.mark.skipif("not built_with_tls()", reason="this build has no TLS")


class Authority:
    """A certificate authority in a folder, of openssl's command line."""

    def __init__(self, folder, name):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.name = name
        self.ca = folder / f"{name}.crt"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", self.ca,
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def run(self, *words):
        subprocess.run(["openssl", *map(str, words)], cwd=self.folder, check=True, timeout=60,
                       capture_output=True)

    def issue(self, name, holds="IP:127.0.0.1"):
        """The paths of a certificate for a server or a client, and of its key."""
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={name}", "-keyout", key, "-out", f"{name}.csr")
        (self.folder / f"{name}.ext").write_text(
            f"subjectAltName={holds}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", self.ca, "-CAkey",
                 f"{self.name}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                 "-out", cert)
        return cert, key


def tls_options(authority, pair, clients="no"):
    return {"tls-cert-file": str(pair[0]), "tls-key-file": str(pair[1]),
            "tls-ca-cert-file": str(authority.ca), "tls-auth-clients": clients}


class TlsRedis(Redis):
    """Serves TLS alone. host is how our programs call it."""

    def __init__(self, folder, authority, pair, host="127.0.0.1", clients="no", options=None):
        super().__init__(folder, {**tls_options(authority, pair, clients), **(options or {})})
        self.authority = authority
        self.pair = pair
        self.host = host

    @property
    def url(self):
        return f"rediss://{self.host}:{self.port}"

    def command(self):
        command = super().command()
        command[command.index("--port")] = "--tls-port"
        return [*command, "--port", "0"]

    def client(self, **options):
        # The test shows the server's own certificate, where one is wanted.
        return redis.Redis("127.0.0.1", self.port, decode_responses=True, ssl=True,
                           ssl_cert_reqs="required", ssl_ca_certs=str(self.authority.ca),
                           ssl_check_hostname=False, ssl_certfile=str(self.pair[0]),
                           ssl_keyfile=str(self.pair[1]), **options)


class TlsSentinel(Process):
    """Knows one master, `main`; asks it and is asked over TLS alone."""

    def __init__(self, folder, server):
        super().__init__("sentinel", folder)
        self.server = server

    def command(self):
        config = self.folder / "sentinel.conf"
        lines = ["port 0", f"tls-port {self.port}", "bind 127.0.0.1", "tls-replication yes",
                 f"sentinel monitor main 127.0.0.1 {self.server.port} 1"]
        options = tls_options(self.server.authority, self.server.pair)
        lines += [f"{name} {value}" for name, value in options.items()]
        config.write_text("\n".join(lines) + "\n")
        return [REDIS_SERVER, str(config), "--sentinel"]

    def ready(self):
        try:
            with redis.Redis("127.0.0.1", self.port, ssl=True, ssl_check_hostname=False,
                             ssl_ca_certs=str(self.server.authority.ca)) as client:
                return client.execute_command("SENTINEL", "get-master-addr-by-name", "main")
        except redis.RedisError:
            return False


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "trusted", "trusted")


@pytest.fixture
def serve(tmp_path, authority):
    """serve(gateway settings, **options of TlsRedis): that server, started, and a gateway that has
    not become ready."""
    running = []

    def start(settings, pair=None, url=None, **options):
        server = TlsRedis(tmp_path, authority, pair or authority.issue("server"), **options)
        gateway = Gateway("gateway", tmp_path, {"REDIS_URL": url or server.url, **settings})
        running.extend([gateway, server.start()])
        return server, gateway.start(wait=False)

    yield start
    for process in running:
        process.ask_end()
    problems = [problem for process in running for problem in process.judge_end()]
    assert not problems, "\n".join(problems)


def refused_for(gateway, words):
    """It lives, tells the reason in its log, and is not ready."""
    wait_until(lambda: words in gateway.log, 30, lambda: f"{words!r} in\n{gateway.log_tail()}")
    line = next(line for line in gateway.log.splitlines() if words in line)
    assert "redis unreachable" in line, line
    assert wait_until(lambda: gateway.probe("/livez")).status_code == 200
    answer = gateway.probe("/readyz")
    assert answer.status_code == 503
    assert "redis up" not in gateway.log


def linked(gateway):
    wait_until(lambda: "redis up" in gateway.log, 30, lambda: gateway.log_tail())


# --- the build ------------------------------------------------------------------------------------


@pytest.mark.skipif("built_with_tls()", reason="this build has TLS")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_build_without_tls_refuses(program):
    for url in ("rediss://127.0.0.1", "rediss+sentinel://127.0.0.1/main"):
        line = start_refused(program, REDIS_URL=url)
        assert line.startswith(f"{program}: REDIS_URL={url}: ") and "build with TLS" in line
    line = start_refused(program, REDIS_CA="/etc/ssl/certs/ca-certificates.crt")
    assert "REDIS_CA" in line and "build with TLS" in line


@needs_tls
@pytest.mark.parametrize("program", PROGRAMS)
def test_files_that_do_not_fit_are_refused_at_the_start(program, authority, tmp_path):
    cert, key = map(str, authority.issue("client"))
    other_key = str(authority.issue("other")[1])
    locked = str(tmp_path / "locked.key")
    authority.run("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked)
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    def line(url="rediss://127.0.0.1", **settings):
        text = start_refused(program, REDIS_URL=url, **settings)
        assert text.startswith(f"{program}: "), text
        return text

    assert "REDIS_CA=/nowhere: No such file" in line(REDIS_CA="/nowhere")
    assert f"REDIS_CA={empty}: " in line(REDIS_CA=str(empty))
    assert "needed together" in line(REDIS_CERT=cert)
    assert "needed together" in line(REDIS_KEY=key)
    assert "REDIS_CERT=/nowhere: No such file" in line(REDIS_CERT="/nowhere", REDIS_KEY=key)
    assert f"REDIS_KEY={other_key}: key values mismatch" in line(REDIS_CERT=cert,
                                                                 REDIS_KEY=other_key)
    assert f"REDIS_KEY={locked}: " in line(REDIS_CERT=cert, REDIS_KEY=locked)
    assert "need a REDIS_URL of rediss://" in line("redis://127.0.0.1", REDIS_CA=str(authority.ca))


# --- a cluster ------------------------------------------------------------------------------------


@needs_tls
def test_a_cluster_over_tls(make_cluster, authority, tmp_path):
    server = TlsRedis(tmp_path, authority, authority.issue("server"))
    cluster = make_cluster(server=server, settings={"REDIS_CA": str(authority.ca)})
    # Pages and publishes of many TLS records, with bytes that do not end with one.
    contents = [f"{n} " + "x" * (3000 + n) for n in range(300)]
    with cluster.subscribe(1) as viewer:
        for content in contents[:150]:
            assert post(cluster.gateways[0], "Ana", content).status_code == 201
        server.kill_subscriptions()
        wait_until(lambda: cluster.gateways[0].log.count("redis up") > 1)
        cluster.gateways[0].wait_ready()
        for content in contents[150:]:
            assert post(cluster.gateways[0], "Ana", content).status_code == 201
        wait_until(lambda: len(viewer.ids) >= 300)
        assert viewer.contents() == contents
    server.restart()
    for gateway in cluster.gateways:
        gateway.wait_ready()
    for gateway in cluster.gateways:
        gateway.restart()
        assert [message["content"] for message in read_all(gateway)] == contents


@needs_tls
def test_sentinel_over_tls(make_cluster, authority, tmp_path):
    server = TlsRedis(tmp_path, authority, authority.issue("server"))
    sentinel = TlsSentinel(tmp_path, server)
    cluster = make_cluster(start=False, gateways=1, server=server, settings={
        "REDIS_CA": str(authority.ca),
        "REDIS_URL": f"rediss+sentinel://127.0.0.1:{sentinel.port}/main"})
    server.start()
    sentinel.start()
    try:
        cluster.persister.start()
        cluster.gateways[0].start()
        assert post(cluster.gateways[0], "Ana", "hello").status_code == 201
    finally:
        sentinel.ask_end()
        assert not sentinel.judge_end()


# --- who is trusted -------------------------------------------------------------------------------


@needs_tls
def test_a_name_of_the_certificate(serve, authority):
    pair = authority.issue("server", "DNS:localhost")
    linked(serve({"REDIS_CA": str(authority.ca)}, pair, host="localhost")[1])


@needs_tls
def test_unknown_authority_is_refused(serve, tmp_path):
    other = Authority(tmp_path / "other", "other")
    gateway = serve({"REDIS_CA": str(other.ca)})[1]
    refused_for(gateway, "the server's certificate is refused: ")


@needs_tls
def test_the_systems_list_is_the_default(serve, authority):
    refused_for(serve({})[1], "the server's certificate is refused: ")


@needs_tls
def test_the_systems_list_can_be_another(serve, authority):
    linked(serve({"SSL_CERT_FILE": str(authority.ca)})[1])


@needs_tls
@pytest.mark.parametrize("host, holds, words", [
    ("localhost", "DNS:redis.example,IP:127.0.0.1", "hostname mismatch"),
    ("127.0.0.1", "DNS:127.0.0.1,IP:127.0.0.2", "IP address mismatch"),
])
def test_another_name_is_refused(serve, authority, host, holds, words):
    pair = authority.issue("server", holds)
    gateway = serve({"REDIS_CA": str(authority.ca)}, pair, host=host)[1]
    refused_for(gateway, f"the server's certificate is refused: {words}")


@needs_tls
def test_plain_text_behind_rediss_is_refused(cluster):
    gateway = cluster.add_gateway(REDIS_URL=f"rediss://127.0.0.1:{cluster.redis.port}")
    gateway.start(wait=False)
    refused_for(gateway, "does it speak TLS on this port?")


@needs_tls
def test_a_client_certificate(serve, authority):
    cert, key = map(str, authority.issue("client"))
    server, gateway = serve({"REDIS_CA": str(authority.ca)}, clients="yes")
    # The server's "certificate required" may be lost: it closes while we still write to it.
    refused_for(gateway, "redis unreachable")
    gateway.settings.update(REDIS_CERT=cert, REDIS_KEY=key)
    gateway.restart(wait=False)
    linked(gateway)


@needs_tls
def test_renewed_files_serve_without_a_restart(serve, authority, tmp_path):
    other = Authority(tmp_path / "other", "other")
    mounted = tmp_path / "ca.crt"
    shutil.copy(other.ca, mounted)
    gateway = serve({"REDIS_CA": str(mounted)})[1]
    refused_for(gateway, "the server's certificate is refused: ")
    # As it is for a moment while files are replaced one by one.
    mounted.unlink()
    wait_until(lambda: f"REDIS_CA={mounted}: No such file" in gateway.log, 30,
               lambda: gateway.log_tail())
    shutil.copy(authority.ca, tmp_path / "new.crt")
    (tmp_path / "new.crt").rename(mounted)
    linked(gateway)
