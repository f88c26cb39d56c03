"""The files in config/examples and the commands in README.md do what they say: each example is started as it stands, but for the
addresses in it, and asked what it is there to show."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import BINARY, RawOrigin, Redis, Sluice, answering, echo, free_port, response

SOURCE = Path(os.environ.get("SLUICE_SOURCE_DIR", Path(__file__).parents[2]))
EXAMPLES = SOURCE / "config/examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
BESIDE = {str(path.relative_to(EXAMPLES)): path.read_bytes() for path in EXAMPLES.rglob("*")
          if path.is_file() and (path.parent != EXAMPLES or path.suffix != ".yaml")}
JSON = answering(lambda message: response(b'{"is": "a text that is long enough to be worth some work"}' * 40,
                                          headers=[("Content-Type", "application/json")]))


def as_written(tree):
    """PyYAML reads the key `on` as true, as YAML 1.1 had it."""
    if isinstance(tree, dict):
        return {"on" if key is True else key: as_written(value) for key, value in tree.items()}
    return [as_written(value) for value in tree] if isinstance(tree, list) else tree


class Example:
    """The gateway of an example, each of its addresses on a free port; all its endpoints are one origin."""

    def __init__(self, name, script=None):
        self.origin = RawOrigin(script or answering(echo))
        self.redis = Redis()
        self.config = as_written(yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text()))

    def __enter__(self):
        self.origin.__enter__()
        uses_redis = [store for store in self.config.get("stores", {}).values() if store["type"] == "redis"]
        if uses_redis:
            self.redis.__enter__()
        for store in uses_redis:
            store["address"] = [self.redis.address]
        for listener in self.config.get("listeners", {}).values():
            listener["address"] = f"127.0.0.1:{free_port()}"
        for upstream in self.config.get("upstreams", {}).values():
            upstream["endpoints"] = [self.origin.endpoint]
        for section in ("admin", "access_log", "process"):
            self.config.pop(section, None)
        self.gateway = Sluice(self.config, files=BESIDE)
        self.gateway.__enter__()
        return self

    def __exit__(self, *error):
        self.gateway.__exit__(*error)
        if self.redis.directory:
            self.redis.__exit__(*error)
        self.origin.__exit__(*error)

    def ask(self, method, path, headers=(), body=None, listener=None):
        with self.gateway.client(listener or next(iter(self.config["listeners"]))) as client:
            return client.ask(method, path, headers, body)

    def get(self, path, headers=(), **options):
        return self.ask("GET", path, headers, **options)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_serves(name):
    with Example(name) as example:
        for listener in example.config["listeners"]:
            for path in ("/", "/v1/x", "/login"):
                assert 200 <= example.get(path, listener=listener).status < 600


def test_the_examples_of_access_do_what_they_say():
    with Example("jwt") as example:
        refused = example.get("/v1/x")
        assert refused.status == 401 and refused.get("www-authenticate").startswith("Bearer")
    with Example("api-key") as example:
        assert example.get("/v1/x").status == 401
        assert example.get("/v1/x", {"X-API-Key": "demo-key-of-the-mobile-app"}).status == 200
    with Example("basic-auth") as example:
        assert example.get("/x").status == 401
        assert example.get("/x", {"Authorization": "Basic YWxpY2U6c2VjcmV0"}).status == 200
    with Example("ip-filter") as example:
        assert example.get("/", {"X-Forwarded-For": "192.0.2.7"}).status == 403
        assert example.get("/", {"X-Forwarded-For": "203.0.113.7"}).status == 200
    with Example("session") as example:
        sent = example.get("/account?a=1")
        assert (sent.status, sent.get("location")) == (303, "/login?to=%2Faccount%3Fa%3D1")


def test_the_examples_of_limits_and_repetitions_do_what_they_say():
    with Example("ratelimit") as example:
        assert [example.get("/login").status for _ in range(6)] == [200] * 5 + [429]
        assert example.get("/v1/x", {"X-API-Key": "k"}).get("ratelimit-limit")
    with Example("idempotency") as example:
        answers = [example.ask("POST", "/orders/x", {"Idempotency-Key": '"8e03978e-40d5"'}, b"{}") for _ in range(2)]
        assert [answer.get("idempotent-replayed") for answer in answers] == [None, "true"]
        assert len(example.origin.requests) == 1


def test_the_examples_of_answers_do_what_they_say():
    with Example("request-id") as example:
        answer = example.get("/")
        assert answer.get("x-request-id") and answer.get("x-correlation-id") is None
        assert example.origin.requests[-1].get("x-correlation-id") == answer.get("x-request-id")
    with Example("cors") as example:
        allowed = example.get("/x", {"Origin": "https://example.com"})
        assert allowed.get("access-control-allow-origin") == "https://example.com"
    with Example("compress", JSON) as example:
        assert example.get("/api/x", {"Accept-Encoding": "gzip"}).get("content-encoding") == "gzip"
    with Example("headers") as example:
        assert example.get("/").get("x-served-by") == "edge-1"
    with Example("fault") as example:
        assert example.get("/checkout/1").status == 200


def test_the_example_with_everything_does_it_all():
    with Example("everything", JSON) as example:
        page = example.get("/", {"Accept-Encoding": "br", "Origin": "https://shop.example.com"})
        assert (page.status, page.get("content-encoding")) == (200, "br")
        assert page.get("x-request-id") and page.get("x-content-type-options") == "nosniff"
        assert page.get("access-control-allow-origin") == "https://shop.example.com"
        assert example.get("/", {"X-Forwarded-For": "192.0.2.7"}).status == 403
        assert example.get("/account/orders").get("location") == "/login?to=%2Faccount%2Forders"
        assert example.get("/v1/products").status == 401
        assert example.ask("POST", "/v1/payments", body=b"{}").status == 401
        assert example.get("/partners/x").status == 401
        assert example.get("/partners/x", {"X-API-Key": "demo-key-of-the-mobile-app"}).status == 200
        assert example.get("/office/x", {"Authorization": "Basic YWxpY2U6c2VjcmV0"}).status == 200
        assert example.get("/assets/index.html").status == 200


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("openssl") is None, reason="curl and openssl are needed")
def test_the_commands_of_the_readme_work_as_printed(tmp_path):
    block = next(text for text in re.findall(r"```sh\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL) if "pay()" in text)
    # But for where the binary and the files are, and which ports are free.
    ports = {"8080": str(free_port()), "9001": str(free_port())}
    for path in EXAMPLES.glob("payments.*"):
        text = path.read_text()
        for usual, free in ports.items():
            text = text.replace(f":{usual}", f":{free}")
        (tmp_path / path.name).write_text(text + ("" if path.suffix != ".yaml" else f'admin: {{listen: "127.0.0.1:{free_port()}"}}\n'))
    block = block.replace("sluice origin", f"sluice origin --listen 127.0.0.1:{ports['9001']}")
    block = block.replace("build/release/sluice", str(BINARY)).replace("config/examples/", f"{tmp_path}/")
    block = block.replace("localhost:8080", f"127.0.0.1:{ports['8080']}").replace("curl -i", "curl -is --retry 20 --retry-connrefused")
    script = "trap 'kill $(jobs -p)' EXIT\n" + block
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    heads = re.findall(r"^HTTP/1.1 (\d+).*?\r\n\r\n", done.stdout.replace("\n", "\r\n").replace("\r\r", "\r"), re.DOTALL | re.MULTILINE)
    assert heads == ["401", "200", "200", "200", "422"], done.stdout + done.stderr
    assert done.stdout.count("Idempotent-Replayed: true") == 1
    assert "alice" in done.stdout and "WWW-Authenticate: Bearer" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("openssl") is None, reason="curl and openssl are needed")
def test_https_of_the_readme_works_as_printed(tmp_path):
    block = next(text for text in re.findall(r"```sh\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL) if "https.yaml" in text)
    # But for where the binary is, and which ports are free.
    block = block.replace("8443", str(free_port())).replace("build/release/sluice", str(BINARY))
    block = block.replace("version: 1", f'version: 1\nadmin: {{listen: "127.0.0.1:{free_port()}"}}').replace("curl", "curl -s --retry 20 --retry-connrefused")
    script = "trap 'kill $(jobs -p)' EXIT\n" + block
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert "x-tls: TLSv1.3" in done.stdout and "hello" in done.stdout, done.stdout + done.stderr
