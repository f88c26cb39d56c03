"""basic-auth: who passes, what the upstream and the client see of it, and what wrong passwords cost."""

import base64
import ctypes
import time

import pytest

from harness import answering, assert_problem, echo, proxying, sluice

SALT = {"bcrypt": "$2y$04$abcdefghijklmnopqrstuu", "sha512": "$6$rounds=1000$saltsalt", "sha256": "$5$rounds=1000$saltsalt",
        "yescrypt": "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/"}


def hashed(password, kind="bcrypt"):
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), SALT[kind].encode()).decode()


def basic(user, password, scheme="Basic"):
    return {"Authorization": f"{scheme} " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def guarded(where="route", passwords=None, **config):
    """An echoing origin behind the plugin; alice's password is "secret"."""
    config = {"passwords": passwords or {"alice": hashed("secret")}, "header": "X-User", **config}
    return proxying(answering(echo), plugins={"door": {"module": "basic-auth", "config": config}}, **{where: {"plugins": ["door"]}})


def events(gateway, event):
    return gateway.metrics().total("sluice_plugin_events_total", plugin="door", event=event)


@pytest.mark.parametrize("where", ["route", "listener"])
def test_a_user_with_its_password_passes_and_the_upstream_knows_who_it_is(where):
    with guarded(where) as (gateway, origin):
        client = gateway.client()
        for _ in range(3):
            assert client.get("/", {**basic("alice", "secret"), "X-User": "root", "x_user": "root"}).status == 200
            sent = origin.requests[-1]
            assert (sent.all("x-user"), sent.get("x_user"), sent.get("authorization")) == (["alice"], None, None)
        assert (events(gateway, "accepted"), events(gateway, "cached")) == (3, 2)


def test_authorization_goes_on_if_that_is_wanted():
    with guarded(forward_authorization=True) as (gateway, origin):
        assert gateway.get("/", basic("alice", "secret", "bAsIc")).status == 200
        assert origin.requests[-1].get("authorization").startswith("bAsIc ")


@pytest.mark.parametrize("headers, reason", [
    ({}, "missing"), (basic("alice", "Secret"), "invalid"), (basic("alice", ""), "invalid"), (basic("bob", "secret"), "invalid"),
    (basic("alice", "secret", "Bearer"), "invalid"), ({"Authorization": "Basic"}, "invalid"), ({"Authorization": "Basic %%%"}, "invalid"),
    ({"Authorization": "Basic " + base64.b64encode(b"alice").decode()}, "invalid"), (basic("alice", "secret\0more"), "invalid"),
    (basic("alice", "x" * 2000), "invalid"),
    ([*basic("alice", "secret").items(), *basic("alice", "secret").items()], "invalid"),
])
@pytest.mark.parametrize("again", [False, True])
def test_others_are_refused(headers, reason, again):
    with guarded(realm="the door") as (gateway, origin):
        client = gateway.client()
        for _ in range(1 + again):
            answer = client.get("/", headers)
            assert_problem(answer, 401, f"basic_auth_{reason}")
            assert answer.get("www-authenticate") == 'Basic realm="the door", charset="UTF-8"'
        assert events(gateway, reason) == 1 + again
        assert gateway.logged(status=401)["reason"] == f"basic_auth_{reason}"
        assert origin.requests == []
        assert client.get("/", basic("alice", "secret")).status == 200


def test_before_routing_nobody_learns_which_routes_there_are():
    with guarded("listener") as (gateway, _):
        gateway.reload(routes=[{"name": "one", "match": {"path": "/one"}, "upstream": "origin"}])
        assert gateway.get("/two").status == 401
        assert gateway.get("/two", basic("alice", "secret")).status == 404


@pytest.mark.parametrize("kind", SALT)
def test_kinds_of_hashes(kind):
    with guarded(passwords={"zoë": hashed("pass:wört", kind)}) as (gateway, origin):
        assert gateway.get("/", basic("zoë", "pass:wört")).status == 200
        assert gateway.get("/", basic("zoë", "pass:wort")).status == 401
        assert origin.requests[-1].get("x-user").encode("latin-1").decode() == "zoë"


def test_a_file_of_users_is_read_again_by_a_reload(tmp_path):
    users = tmp_path / "users"
    users.write_text(f"# the team\n\nalice:{hashed('secret')}\r\nbob:{hashed('hunter2')}:more\n")
    config = {"passwords_file": str(users)}
    with proxying(answering(echo), plugins={"door": {"module": "basic-auth", "config": config}}, route={"plugins": ["door"]}) as (gateway, _):
        assert [gateway.get("/", basic(*who)).status for who in (("alice", "secret"), ("bob", "hunter2"))] == [200, 200]
        users.write_text(f"alice:{hashed('changed')}\n")
        gateway.reload()
        assert [gateway.get("/", basic(*who)).status for who in (("alice", "secret"), ("bob", "hunter2"), ("alice", "changed"))] == [401, 401, 200]


def test_a_client_that_guesses_has_to_wait_and_those_who_are_known_do_not():
    with guarded() as (gateway, _):
        client = gateway.client()
        assert client.get("/", basic("alice", "secret")).status == 200
        statuses = [client.get("/", basic("alice", f"guess {i}")).status for i in range(20)]
        assert statuses[:10] == [401] * 10 and 429 in statuses
        answer = client.get("/", basic("alice", "one more"))
        assert_problem(answer, 429, "basic_auth_limited")
        assert answer.get("retry-after") == "1" and answer.get("www-authenticate") is None
        assert client.get("/", basic("alice", "guess 1")).status == 401  # known to be wrong: that costs nothing
        assert client.get("/", basic("alice", "secret")).status == 200
        assert events(gateway, "limited") >= 2


def test_all_guesses_together_take_a_share_of_the_time_only():
    """A hash of some 100 ms, asked for by ever new clients."""
    slow = "$2y$11$abcdefghijklmnopqrstuu"
    SALT["slow"] = slow
    with guarded(passwords={"alice": hashed("secret", "slow")}) as (gateway, _):
        gateway.reload(trusted_proxies=["127.0.0.0/8"])
        client = gateway.client()
        began, statuses = time.monotonic(), []
        while 503 not in statuses and len(statuses) < 100:
            headers = {**basic("alice", f"guess {len(statuses)}"), "X-Forwarded-For": f"10.0.0.{len(statuses)}"}
            statuses.append((answer := client.get("/", headers)).status)
        assert statuses[-1] == 503 and set(statuses[:-1]) == {401}
        assert_problem(answer, 503, "basic_auth_busy")
        assert time.monotonic() - began < 8 and events(gateway, "busy") == 1


def test_the_admin_listener_shows_no_hashes():
    with guarded() as (gateway, _):
        shown = gateway.admin("/config")[1]
        assert "alice" in shown and "$2y$" not in shown and "<hidden>" in shown


def test_mistakes_in_the_configuration_are_told_with_their_places(tmp_path):
    (tmp_path / "users").write_text("alice\nbob:plain\n")
    config = tmp_path / "x.yaml"
    config.write_text(f"""version: 1
listeners: {{a: {{address: "127.0.0.1:1", plugins: [c, d, e, f, g]}}}}
plugins:
  c:
    module: basic-auth
    config:
      passwords: {{"a:b": "{hashed('x')}", md5: "$apr1$x$y", short: "{hashed('x')[:-1]}", salt: "$6$salt"}}
      header: "X User"
      realm: 'a "quote"'
  d:
    module: basic-auth
    config: {{passwords_file: users}}
  e: {{module: basic-auth}}
  f: {{module: basic-auth, config: {{header: X-Forwarded-For, passwords_file: users}}}}
  g: {{module: basic-auth, config: {{header: authorization, passwords_file: users}}}}
routes: [{{match: {{path: /}}, respond: {{body: hi}}}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ['7:26: error: a:b: "a:b" is not the name of a user', 'user "md5" is hashed in a way that is broken; make it anew with htpasswd -B',
                   'user "short" has a hash that is malformed', 'user "salt" has a hash that is malformed',
                   '8:15: error: header: "X User" is not the name of a header', "9:14: error: realm: a realm holds no quotes",
                   "12:30: error: passwords_file: line 1 is not of the form name:hash", 'user "bob" has no hash that is known here',
                   '13:3: error: plugin "e": users are missing',
                   "14:44: error: header: X-Forwarded-For would not arrive, since the gateway makes it anew for upstreams; name another header",
                   "15:44: error: header: the credentials are there; name another header"]:
        assert wanted in told, told
    assert "plain" not in told.replace("explain", "")
