"""api-key: where keys are looked for, whose they are, and that nobody else sees them."""

import hashlib

import pytest

from harness import answering, assert_problem, echo, proxying, sluice


def hashed(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


KEYS = {"alice": [hashed("alice-1"), hashed("alice-2").replace("a", "A").replace("shA", "sha")], "bob": hashed("bob-1")}


def guarded(where="route", **config):
    config = {"keys": KEYS, "consumer_header": "X-Consumer", **config}
    config = {key: value for key, value in config.items() if value is not None}
    return proxying(answering(echo), plugins={"door": {"module": "api-key", "config": config}}, **{where: {"plugins": ["door"]}})


@pytest.mark.parametrize("where", ["route", "listener"])
def test_a_key_passes_and_the_upstream_knows_whose_it_is(where):
    with guarded(where) as (gateway, origin):
        client = gateway.client()
        for key, consumer in (("alice-1", "alice"), ("alice-2", "alice"), ("bob-1", "bob")):
            assert client.get("/", {"x-api-key": key, "X-Consumer": "root", "x_Consumer": "root"}).status == 200
            sent = origin.requests[-1]
            assert (sent.all("x-consumer"), sent.get("x_consumer"), sent.get("x-api-key")) == ([consumer], None, None)
        assert gateway.metrics().total("sluice_plugin_events_total", plugin="door", event="accepted") == 3


@pytest.mark.parametrize("config, path, headers", [
    ({}, "/", {"X-API-Key": "bob-1"}),
    ({"header": "Token"}, "/", {"token": "bob-1"}),
    ({"scheme": "Bearer"}, "/", {"Authorization": "bearer  bob-1"}),
    ({"query": "key"}, "/?a=1&key=bob-1&b", {}),
    ({"query": "key"}, "/?key=%62ob%2d1", {}),
    ({"header": "", "query": "key"}, "/?key=bob-1", {"X-API-Key": "wrong"}),
])
def test_where_a_key_may_be(config, path, headers):
    with guarded(**config) as (gateway, origin):
        assert gateway.get(path, headers).status == 200
        assert origin.requests[-1].get("x-consumer") == "bob"


@pytest.mark.parametrize("config, path, headers, reason", [
    ({}, "/", {}, "missing"), ({}, "/?key=bob-1", {}, "missing"), ({}, "/", {"Authorization": "Bearer bob-1"}, "missing"),
    ({}, "/", {"X-API-Key": "wrong"}, "invalid"), ({}, "/", {"X-API-Key": ""}, "invalid"), ({}, "/", {"X-API-Key": "x" * 3000}, "invalid"),
    ({}, "/", {"X-API-Key": hashed("bob-1")}, "invalid"), ({}, "/", [("X-API-Key", "bob-1"), ("X-API-Key", "bob-1")], "invalid"),
    ({"query": "key"}, "/?key=bob-1", {"X-API-Key": "alice-1"}, "invalid"), ({"query": "key"}, "/?key=bob-1%2", {}, "invalid"),
    ({"query": "key"}, "/?key=" + "%61" * 2000, {}, "invalid"), ({"query": "key"}, "/?monkey=bob-1", {}, "missing"),
    ({"scheme": "Token"}, "/", {"Authorization": "Bearer bob-1"}, "missing"), ({"scheme": "Token"}, "/", {"Authorization": "Token "}, "missing"),
])
def test_others_are_refused(config, path, headers, reason):
    with guarded(**config) as (gateway, origin):
        answer = gateway.get(path, headers)
        assert_problem(answer, 401, f"api_key_{reason}")
        assert answer.get("www-authenticate") == f'{config.get("scheme", "ApiKey")} realm="api"'
        assert gateway.logged(status=401)["reason"] == f"api_key_{reason}"
        assert gateway.metrics().total("sluice_plugin_events_total", plugin="door", event=reason) == 1
        assert origin.requests == []


def test_a_key_goes_on_if_that_is_wanted_and_other_authorization_always_does():
    with guarded(forward_key=True) as (gateway, origin):
        gateway.get("/", {"X-API-Key": "bob-1"})
        assert origin.requests[-1].get("x-api-key") == "bob-1"
    with guarded(scheme="Bearer") as (gateway, origin):
        gateway.get("/", {"X-API-Key": "bob-1", "Authorization": "Basic eDp5"})
        assert origin.requests[-1].get("authorization") == "Basic eDp5"
        gateway.get("/", {"Authorization": "Bearer bob-1"})
        assert origin.requests[-1].get("authorization") is None


def test_a_file_of_keys_is_read_again_by_a_reload(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"# ours\n\nalice: plain-key\r\nbob:{hashed('bob-1')}\n")
    with guarded(keys=None, keys_file=str(keys)) as (gateway, origin):
        assert [gateway.get("/", {"X-API-Key": key}).status for key in ("plain-key", "bob-1", "bob")] == [200, 200, 401]
        keys.write_text("alice: other-key")
        gateway.reload()
        assert [gateway.get("/", {"X-API-Key": key}).status for key in ("plain-key", "bob-1", "other-key")] == [401, 401, 200]


def test_neither_the_log_nor_the_admin_listener_shows_keys():
    with guarded() as (gateway, _):
        gateway.get("/", {"X-API-Key": "bob-1"})
        gateway.logged(status=200)
        shown = gateway.admin("/config")[1]
        assert "alice" in shown and "sha256:" not in shown and shown.count("<hidden>") == 3
        assert "bob-1" not in gateway.output() + gateway.log_path.read_text()


def test_mistakes_in_the_configuration_are_told_with_their_places(tmp_path):
    (tmp_path / "keys").write_text("alice\nbob: sha256:12\n")
    config = tmp_path / "x.yaml"
    config.write_text(f"""version: 1
listeners: {{a: {{address: "127.0.0.1:1", plugins: [c, d, e, f]}}}}
plugins:
  c:
    module: api-key
    config:
      keys: {{alice: plain, bob: ["{hashed('x')}", "{hashed('x')}"]}}
      header: "X Key"
      scheme: basic
  d: {{module: api-key, config: {{keys_file: keys, header: ""}}}}
  e: {{module: api-key}}
  f: {{module: api-key, config: {{consumer_header: traceparent, keys_file: keys}}}}
routes: [{{match: {{path: /}}, respond: {{body: hi}}}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ["7:21: error: alice: keys stand here as sha256:<64 hex digits>", 'a key of "bob" is there twice',
                   '8:15: error: header: "X Key" is not a name', "9:15: error: scheme: that is for the plugin basic-auth",
                   "keys_file: line 1 is not of the form consumer: key", "keys_file: line 2 has a sha256: that is not followed by 64 hex digits",
                   '10:3: error: plugin "d": nothing is looked at', '11:3: error: plugin "e": keys are missing',
                   "12:50: error: consumer_header: traceparent would not arrive, since the gateway makes it anew for upstreams; name another header"]:
        assert wanted in told, told
