"""jwt: who passes, what upstream, routes and logs learn of a token, where keys come from, and what happens when they cannot be had.
Tokens are made by PyJWT, which knows nothing of the gateway's code."""

import base64
import json
import ssl
import threading
import time
from contextlib import contextmanager

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from harness import (DEADLINE, Authority, RawOrigin, answering, assert_problem, echo, free_port, in_background, proxying, request, response,
                     sluice, upstream, wait_until)
from harness.http2 import rst_stream

SECRET = "0123456789abcdef0123456789abcdef"


class Key:
    """A key of ours under an id: signs, and shows what verifies."""

    def __init__(self, algorithm, kid=None, key=None):
        self.algorithm, self.kid = algorithm, kid
        self.key = key or self.generate(algorithm)

    @staticmethod
    def generate(algorithm):
        if algorithm[:2] in ("RS", "PS"):
            return rsa.generate_private_key(65537, 2048)
        if algorithm.startswith("ES"):
            return ec.generate_private_key({"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}[algorithm]())
        return ed25519.Ed25519PrivateKey.generate()

    def token(self, headers=None, **claims):
        """Good for ten minutes; a claim that is None is left out."""
        claims = {"sub": "alice", "exp": int(time.time()) + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        named = {"kid": self.kid} if self.kid else {}
        return pyjwt.encode(claims, self.key, self.algorithm, {**named, **(headers or {})})

    def jwk(self, **more):
        if isinstance(self.key, str):
            text = base64.urlsafe_b64encode(self.key.encode()).decode().rstrip("=")
            return {"kty": "oct", "k": text, **({"kid": self.kid} if self.kid else {}), **more}
        kind = RSAAlgorithm if self.algorithm[:2] in ("RS", "PS") else OKPAlgorithm if self.algorithm == "EdDSA" else ECAlgorithm
        if kind is ECAlgorithm:  # PyJWT writes no JWK of these
            public = self.key.public_key().public_numbers()
            size = (public.curve.key_size + 7) // 8
            text = {name: base64.urlsafe_b64encode(value.to_bytes(size, "big")).decode().rstrip("=") for name, value in
                    (("x", public.x), ("y", public.y))}
            jwk = {"kty": "EC", "crv": f"P-{public.curve.key_size}", **text}
        else:
            jwk = json.loads(kind.to_jwk(self.key.public_key()))
        jwk.pop("key_ops", None)
        return {**jwk, **({"kid": self.kid} if self.kid else {}), **more}

    def pem(self):
        return self.key.public_key().public_bytes(serialization.Encoding.PEM,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo).decode()


SHARED = Key("HS256", key=SECRET)
RSA, STRANGER = Key("RS256"), Key("RS256")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def key_set(*keys):
    return json.dumps({"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]})


def guarded(where="route", upstreams=None, workers=1, **config):
    """An echoing origin behind the plugin, which knows SECRET if nothing else is said."""
    config = {"keys": [{"secret": SECRET}], "claims_to_headers": {"sub": "X-User"}, **config}
    return proxying(answering(echo), plugins={"door": {"module": "jwt", "config": config}}, upstreams=upstreams or {},
                    process={"workers": workers}, **{where: {"plugins": ["door"]}})


def events(gateway, event):
    return gateway.metrics().total("sluice_plugin_events_total", plugin="door", event=event)


@pytest.mark.parametrize("where", ["route", "listener"])
def test_a_token_passes_and_the_upstream_knows_whose_it_is(where):
    with guarded(where) as (gateway, origin):
        client = gateway.client()
        token = SHARED.token()
        for _ in range(3):
            assert client.get("/", [*bearer(token).items(), ("X-User", "root"), ("x-user", "root")]).status == 200
            sent = origin.requests[-1]
            assert (sent.all("x-user"), sent.get("authorization")) == (["alice"], f"Bearer {token}")
        assert (events(gateway, "accepted"), events(gateway, "cached")) == (3, 2)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
                                       "ES384", "ES512", "EdDSA"])
def test_every_algorithm(algorithm, tmp_path):
    ours, other = {"R": (RSA.key, STRANGER.key), "P": (RSA.key, STRANGER.key), "H": ("k" * 64, "x" * 64)}.get(algorithm[0], (None, None))
    key = Key(algorithm, "mine", ours)
    (tmp_path / "keys.json").write_text(key_set(key.jwk(alg=algorithm), RSA.jwk(kid="other")))
    with guarded(keys=[{"jwks_file": str(tmp_path / "keys.json")}]) as (gateway, origin):
        for _ in range(2):
            assert gateway.get("/", bearer(key.token())).status == 200
        assert origin.requests[-1].get("x-user") == "alice"
        assert_problem(gateway.get("/", bearer(Key(algorithm, "mine", other).token())), 401, "jwt_signature")


def test_keys_of_several_sources_each_for_its_issuer(tmp_path):
    (tmp_path / "a.pem").write_text(RSA.pem())
    (tmp_path / "secret").write_text(SECRET + "\n")
    with guarded(keys=[{"pem_file": str(tmp_path / "a.pem"), "issuer": "a", "algorithms": "RS384"},
                       {"secret_file": str(tmp_path / "secret"), "issuer": "b"}]) as (gateway, _):
        other = Key("RS384", key=RSA.key)
        for token, status in ((other.token(iss="a"), 200), (other.token(iss="b"), 401), (SHARED.token(iss="b"), 200),
                              (SHARED.token(iss="a"), 401), (RSA.token(iss="a"), 401), (SHARED.token(), 401)):
            assert gateway.get("/", bearer(token)).status == status


def test_who_brings_no_token_is_told_what_is_needed_and_no_more():
    with guarded(realm="the door") as (gateway, origin):
        for headers in ({}, {"Authorization": "Basic eDp5"}):
            answer = gateway.get("/", headers)
            assert_problem(answer, 401, "jwt_missing")
            assert answer.get("www-authenticate") == 'Bearer realm="the door"'
        assert origin.requests == [] and events(gateway, "missing") == 2


def test_without_a_token_nobody_is_somebody_else():
    with guarded(required=False) as (gateway, origin):
        assert gateway.get("/", {"X-User": "root", "X_User": "root", "x_uSER": "root", "x-other": "1", "X_Users": "1"}).status == 200
        sent = origin.requests[-1]
        assert [sent.get(name) for name in ("x-user", "x_user", "x-other", "x_users")] == [None, None, "1", "1"]
        assert gateway.get("/", {**bearer(SHARED.token(sub=None)), "X-User": "root"}).status == 200
        assert origin.requests[-1].get("x-user") is None
        assert_problem(gateway.get("/", bearer("x")), 401, "jwt_malformed")  # a bad token is not none
        assert events(gateway, "anonymous") == 1


def b64(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(header, claims, key=SECRET):
    """HS256, whatever the header says."""
    text = b64(header) + "." + b64(claims)
    algorithm = pyjwt.algorithms.get_default_algorithms()["HS256"]
    return text + "." + b64(algorithm.sign(text.encode(), key.encode()))


SOON = int(time.time()) + 3000
GOOD = {"sub": "alice", "exp": SOON}
HS = {"alg": "HS256"}
BAD = {
    "none": ("malformed", pyjwt.encode(GOOD, None, "none")),
    "none with a signature": ("algorithm", signed({"alg": "none"}, GOOD)),
    "no signature": ("malformed", signed(HS, GOOD).rsplit(".", 1)[0] + "."),
    "two parts": ("malformed", signed(HS, GOOD).rsplit(".", 1)[0]),
    "four parts": ("malformed", signed(HS, GOOD) + ".x"),
    "five parts": ("malformed", "e30.e30.e30.e30.e30"),
    "empty parts": ("malformed", ".."),
    "padding": ("malformed", signed(HS, GOOD) + "="),
    "not base64url": ("malformed", "e30.e30.!!!!"),
    "alg twice": ("malformed", signed(b'{"alg":"HS256","alg":"HS256"}', GOOD)),
    "exp twice": ("malformed", signed(HS, b'{"exp":1,"exp":%d}' % SOON)),
    "crit": ("malformed", signed({**HS, "crit": ["exp"], "exp": 1}, GOOD)),
    "deep": ("malformed", signed(HS, b'{"exp":%d,"a":' % SOON + b"[" * 2000 + b"]" * 2000 + b"}")),
    "NUL": ("malformed", signed(HS, b'{"exp":%d,"sub":"a\0b"}' % SOON)),
    "NUL, escaped, for a header": ("claims", signed(HS, {**GOOD, "sub": "a\0b"})),
    "a line end for a header": ("claims", signed(HS, {**GOOD, "sub": "a\r\nX-Admin: 1"})),
    "claims no object": ("malformed", signed(HS, [1])),
    "expired": ("expired", signed(HS, {"exp": SOON - 4000})),
    "not yet": ("not_yet_valid", signed(HS, {**GOOD, "nbf": SOON})),
    "issued in the future": ("not_yet_valid", signed(HS, {**GOOD, "iat": SOON})),
    "exp a text": ("claims", signed(HS, {"exp": str(SOON)})),
    "no exp": ("claims", signed(HS, {"sub": "alice"})),
    "another secret": ("signature", signed(HS, GOOD, "x" * 32)),
    "public key as secret": ("signature", signed(HS, GOOD, RSA.pem())),
    "kid injection": ("key_unknown", signed({**HS, "kid": "../../dev/null"}, GOOD, "")),
    "jwk brought along": ("signature", signed({**HS, "jwk": {"kty": "oct", "k": b64(b"x" * 32)}}, GOOD, "x" * 32)),
    "jku": ("signature", signed({**HS, "jku": "http://127.0.0.1:1/"}, GOOD, "x" * 32)),
    "huge": ("too_long", signed(HS, {**GOOD, "x": "x" * 9000})),
}


@pytest.mark.parametrize("where", ["route", "listener"])
def test_bad_tokens_are_refused_with_the_reason_once_and_again(where, tmp_path):
    (tmp_path / "rsa.pem").write_text(RSA.pem())
    with guarded(where, keys=[{"secret": SECRET}, {"pem_file": str(tmp_path / "rsa.pem")}]) as (gateway, origin):
        client = gateway.client()
        for what, (reason, token) in BAD.items():
            before = events(gateway, reason)
            for _ in range(2):
                answer = client.get("/", bearer(token))
                assert_problem(answer, 401, f"jwt_{reason}")
                assert answer.get("www-authenticate").startswith('Bearer realm="api", error="invalid_token", error_description="The token')
            assert events(gateway, reason) == before + 2, what
        assert gateway.logged(status=401, reason="jwt_expired")
        assert origin.requests == []
        assert client.get("/", bearer(SHARED.token())).status == 200


def test_a_second_token_is_refused():
    with guarded() as (gateway, _):
        token = f"Bearer {SHARED.token()}"
        assert_problem(gateway.get("/", [("Authorization", token), ("Authorization", token)]), 401, "jwt_malformed")


@pytest.mark.parametrize("place, path, headers", [
    ({"header": "X-Token"}, "/", {"X-Token": "TOKEN"}),
    ({"header": "X-Token"}, "/", {"X-Token": "Bearer TOKEN"}),
    ({"cookie": "session"}, "/", {"Cookie": "a=b; session=TOKEN; c=d"}),
    ({"query": "access_token"}, "/?a=b&access_token=TOKEN", {}),
    (None, "/", {"Authorization": "bEaReR   TOKEN"}),
])
def test_where_a_token_may_be(place, path, headers):
    token = SHARED.token()
    headers = {name: value.replace("TOKEN", token) for name, value in headers.items()}
    config = {"from": place} if place else {}
    with guarded(**config) as (gateway, origin):
        assert gateway.get(path.replace("TOKEN", token), headers).status == 200
        assert origin.requests[-1].get("x-user") == "alice"
        assert gateway.get("/", bearer(token)).status == (401 if place else 200)
        twice = {name: f"{value}; {value}" for name, value in headers.items()}
        double = path.replace("TOKEN", token)
        assert gateway.get(double + ("&" + double[2:] if "?" in double else ""), twice).status == 401
    if place and "query" in place:
        return
    with guarded(forward=False, **config) as (gateway, origin):
        assert gateway.get("/", headers).status == 200
        sent = origin.requests[-1]
        assert token not in str(sent.headers)
        assert sent.get("cookie") == ("a=b; c=d" if place == {"cookie": "session"} else None)


@pytest.mark.parametrize("place, path, headers", [
    ({"cookie": "jwt"}, "/", {"Cookie": "jwt =forged; jwt=TOKEN"}),
    ({"cookie": "jwt"}, "/", {"Cookie": "a=b;\tjwt=forged; jwt=TOKEN"}),
    ({"query": "token"}, "/?%74oken=forged&token=TOKEN", {}),
    ({"query": "token"}, "/?%74%6F%6b%65n=forged&token=TOKEN", {}),
    (None, "/", {"Authorization": "Bearer\tforged"}),
])
def test_no_token_passes_beside_the_one_that_is_verified(place, path, headers):
    """An upstream that trims and decodes would read the other one."""
    token = SHARED.token()
    headers = {name: value.replace("TOKEN", token) for name, value in headers.items()}
    with guarded(required=False, **({"from": place} if place else {})) as (gateway, origin):
        assert_problem(gateway.get(path.replace("TOKEN", token), headers), 401, "jwt_malformed")
        assert origin.requests == []


@pytest.mark.parametrize("cookie", ["a=b; jwt =TOKEN ; c=d", "a=b;\tjwt=TOKEN; c=d"])
def test_a_cookie_is_found_and_taken_out_with_white_space_around_its_name(cookie):
    with guarded(**{"from": {"cookie": "jwt"}}, forward=False) as (gateway, origin):
        assert gateway.get("/", {"Cookie": cookie.replace("TOKEN", SHARED.token())}).status == 200
        assert origin.requests[-1].get("cookie") == "a=b; c=d"


@pytest.mark.parametrize("path, status", [("/?%74oken=TOKEN", 200), ("/?%74oke=TOKEN", 401), ("/?%74okens=TOKEN", 401), ("/?tok%65%6=TOKEN", 401)])
def test_a_parameter_is_known_by_its_decoded_name(path, status):
    with guarded(**{"from": {"query": "token"}}) as (gateway, _):
        assert gateway.get(path.replace("TOKEN", SHARED.token())).status == status


def test_a_scope_that_is_missing_is_403():
    with guarded(scopes=["read", "write"], audience="api", issuer=["https://a", "https://b"]) as (gateway, origin):
        good = {"scope": "write read", "aud": ["api", "x"], "iss": "https://b"}
        assert gateway.get("/", bearer(SHARED.token(**good))).status == 200
        for _ in range(2):
            answer = gateway.get("/", bearer(SHARED.token(**{**good, "scope": "read"})))
            assert_problem(answer, 403, "jwt_scope")
            assert answer.get("www-authenticate") == 'Bearer realm="api", error="insufficient_scope", scope="read write"'
        assert_problem(gateway.get("/", bearer(SHARED.token(**{**good, "aud": "web"}))), 401, "jwt_audience")
        assert_problem(gateway.get("/", bearer(SHARED.token(**{**good, "iss": "https://c"}))), 401, "jwt_issuer")
        assert len(origin.requests) == 1


def test_a_remembered_token_ends_with_its_time():
    with guarded(skew="0s") as (gateway, _):
        token = SHARED.token(exp=time.time() + 1)
        client = gateway.client()
        assert client.get("/", bearer(token)).status == 200
        answer = wait_until(lambda: (answer := client.get("/", bearer(token))).status == 401 and answer, "the token expires")
        assert_problem(answer, 401, "jwt_expired")
        assert events(gateway, "cached") > 0


def test_a_route_is_chosen_by_a_claim():
    with guarded("listener", required=False) as (gateway, _):
        gateway.reload(routes=[
            {"name": "golden", "match": {"path": "/", "claims": {"tier": "gold"}}, "respond": {"body": "golden"}},
            {"name": "other", "match": {"path": "/"}, "respond": {"body": "other"}}])
        for _ in range(2):
            assert gateway.get("/", bearer(SHARED.token(tier="gold"))).body == b"golden"
            assert gateway.get("/", bearer(SHARED.token(tier="tin"))).body == b"other"
            assert gateway.get("/").body == b"other"


def test_a_key_file_is_read_again_by_a_reload(tmp_path):
    keys = tmp_path / "keys.json"
    old, new = Key("ES256", "old"), Key("ES256", "new")
    keys.write_text(key_set(old))
    with guarded(keys=[{"jwks_file": str(keys)}]) as (gateway, _):
        tokens = [old.token(), new.token()]
        assert [gateway.get("/", bearer(token)).status for token in tokens] == [200, 401]
        keys.write_text(key_set(new))
        gateway.reload()
        assert [gateway.get("/", bearer(token)).status for token in tokens] == [401, 200]


def test_the_admin_listener_shows_no_secrets():
    with guarded() as (gateway, _):
        token = SHARED.token()
        gateway.get("/", bearer(token))
        gateway.logged(status=200)
        assert SECRET not in gateway.admin("/config")[1]
        assert token not in gateway.output() + gateway.log_path.read_text()


# --- keys that an issuer publishes ---

class Issuer:
    """A server of a key set that the test changes."""

    def __init__(self, *keys, tls=None):
        self.body = key_set(*keys)
        self.status = 200
        self.seconds = 0  # that an answer takes
        self.open = threading.Event()  # answers wait for it
        self.open.set()
        self.origin = RawOrigin(self.script, tls=tls)

    def script(self, connection):
        while True:
            connection.read_request()
            while not self.open.wait(0.05):
                if self.origin.stopping.is_set():
                    return
            self.origin.stopping.wait(self.seconds)
            connection.send(response(self.body.encode(), self.status))

    def publish(self, *keys):
        self.body = key_set(*keys)

    @property
    def fetches(self):
        return len(self.origin.requests)


@contextmanager
def issued(*keys, jwks=None, issuer=None, where="route", more_keys=(), tls=False, **config):
    issuer = issuer or Issuer(*keys)
    source = {"upstream": "issuer", "min_interval": "100ms", **(jwks or {})}
    with issuer.origin, guarded(where, upstreams={"issuer": upstream(issuer.origin, tls=tls)}, keys=[{"jwks": source}, *more_keys], **config) as (gateway, origin):
        yield gateway, origin, issuer


def test_keys_are_fetched_from_where_the_issuer_publishes_them():
    key = Key("RS256", "one", RSA.key)
    with issued(key, jwks={"path": "/keys?v=1", "host": "issuer.test"}) as (gateway, origin, issuer):
        for _ in range(3):
            assert gateway.get("/", bearer(key.token())).status == 200
        asked = issuer.origin.requests[0]
        assert (asked.method, asked.target, asked.get("host")) == ("GET", "/keys?v=1", "issuer.test")
        assert "application/json" in asked.get("accept")
        assert (issuer.fetches, events(gateway, "jwks_fetched")) == (1, 1)
        assert "1 key" in gateway.output()


def test_keys_are_fetched_over_tls_from_an_issuer_that_is_trusted(tmp_path):
    key, authority = Key("RS256", "one", RSA.key), Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("issuer", "DNS:id.test"))
    tls = {"ca_file": authority.certificate, "server_name": "id.test"}
    with issued(issuer=Issuer(key, tls=context), tls=tls) as (gateway, _, issuer):
        assert gateway.get("/", bearer(key.token())).status == 200
        assert [version for version, *_ in issuer.origin.handshakes] == ["TLSv1.3"]
    with issued(issuer=Issuer(key, tls=context), tls=tls | {"server_name": "other.test"}) as (gateway, _, issuer):
        assert_problem(gateway.get("/", bearer(key.token())), 503, "jwks_unavailable")
        assert issuer.fetches == 0 and "hostname mismatch" in gateway.output()


@pytest.mark.parametrize("where", ["route", "listener"])
def test_a_new_key_is_fetched_when_the_first_token_names_it_and_all_who_wait_share_the_fetch(where):
    old, new = Key("ES256", "old"), Key("ES256", "new")
    with issued(old, where=where, wait="10s", jwks={"timeout": "20s"}) as (gateway, origin, issuer):
        assert gateway.get("/", bearer(old.token())).status == 200
        issuer.publish(old, new)
        issuer.open.clear()
        wait_until(lambda: events(gateway, "jwks_fetched") == 1, "the first set")
        clients = [gateway.client() for _ in range(10)]

        def first_asks():
            answer = None
            clients[0].send(request("GET", "/", bearer(new.token())))
            wait_until(lambda: clients[0].buffer or not clients[0].is_silent() or issuer.fetches == 2, "it waits, or is refused")
            if issuer.fetches < 2:
                answer = clients[0].read_response()  # too soon after the first fetch
                assert answer.status == 401
            return answer is None

        wait_until(first_asks, "a fetch for the new key")
        for client in clients[1:]:
            client.send(request("GET", "/", bearer(new.token(jti=str(id(client))))))
        assert gateway.get("/", bearer(old.token())).status == 200  # others do not wait
        issuer.open.set()
        for client in clients:
            assert client.read_response().status == 200
        assert issuer.fetches == 2
        assert origin.requests[-1].get("x-user") == "alice"
        gateway.wait_gauges_zero()


def test_a_withdrawn_key_verifies_nothing_any_more_not_even_what_is_remembered():
    stays, goes, new = Key("ES256", "stays"), Key("RS256", "goes", RSA.key), Key("ES256", "new")
    with issued(stays, goes) as (gateway, _, issuer):
        tokens = [stays.token(), goes.token()]
        for _ in range(2):
            assert [gateway.get("/", bearer(token)).status for token in tokens] == [200, 200]
        assert events(gateway, "cached") == 2
        issuer.publish(stays, new)
        wait_until(lambda: gateway.get("/", bearer(new.token())).status == 200, "the new key")
        cached = events(gateway, "cached")
        assert_problem(gateway.get("/", bearer(tokens[1])), 401, "jwt_key_unknown")
        assert gateway.get("/", bearer(tokens[0])).status == 200
        assert events(gateway, "cached") == cached + 1  # the key that stays is the same key


@pytest.mark.workers
def test_keys_that_come_and_go_while_several_workers_verify(tmp_path):
    """Keys of a file, which the workers share and a reload changes, and those that each worker fetches for itself."""
    workers, rounds = 3, 5
    file = tmp_path / "keys.json"
    stays, held = Key("ES256", "stays"), Key("RS256", "held", RSA.key)
    fetched = [Key("ES256", f"fetched{i}") for i in range(rounds + 1)]
    filed = [Key("EdDSA", f"filed{i}") for i in range(rounds + 1)]
    file.write_text(key_set(held, filed[0]))
    with issued(stays, fetched[0], more_keys=[{"jwks_file": str(file)}], workers=workers, wait="10s") as (gateway, _, issuer):
        gateway.wait_for_metric("sluice_plugin_events_total", workers, plugin="door", event="jwks_fetched")
        good = [stays.token(), held.token()]

        def keep_asking(over):
            kept = gateway.client()
            while not over.is_set():
                with gateway.client() as fresh:
                    for client in (kept, fresh):
                        assert [client.get("/", bearer(token)).status for token in good] == [200, 200]
                        assert client.get("/", bearer(stays.token())).status == 200  # not remembered

        def on_many_connections(check):
            """Each is some worker's, and stays with it."""
            for _ in range(12):
                with gateway.client() as client:
                    check(client)

        def knows(client, token):
            wait_until(lambda: client.get("/", bearer(token)).status == 200, "the worker knows the key")

        with in_background(4, keep_asking):
            for i in range(rounds):
                tokens = [fetched[i].token(), filed[i].token()]
                on_many_connections(lambda client: [knows(client, token) for token in tokens])
                issuer.publish(stays, fetched[i + 1])
                file.write_text(key_set(held, filed[i + 1]))
                assert gateway.reload()["accepted"]
                new = fetched[i + 1].token()

                def has_forgotten(client):
                    knows(client, new)
                    assert [client.get("/", bearer(token)).status for token in tokens] == [401, 401]

                on_many_connections(has_forgotten)
        assert events(gateway, "cached") > 0


def test_a_key_that_changed_under_its_id_is_another_one():
    old, new = Key("ES256", "same"), Key("ES256", "same")
    with issued(old, jwks={"refresh": "1s"}) as (gateway, _, issuer):
        tokens = [old.token(), new.token()]
        assert [gateway.get("/", bearer(token)).status for token in tokens] == [200, 401]
        issuer.publish(new)
        wait_until(lambda: gateway.get("/", bearer(tokens[1])).status == 200, "the set is refreshed")
        assert_problem(gateway.get("/", bearer(tokens[0])), 401, "jwt_signature")


@pytest.mark.parametrize("fault", ["refused", "silent", "status", "garbage"])
def test_while_the_issuer_is_out_the_last_keys_go_on(fault):
    key, new = Key("ES256", "one"), Key("ES256", "new")
    with issued(key, jwks={"refresh": "1s", "timeout": "200ms"}) as (gateway, origin, issuer):
        assert gateway.get("/", bearer(key.token())).status == 200
        if fault == "refused":
            issuer.origin.refuse()
            for connection in issuer.origin.connections:
                connection.half_close()
        elif fault == "silent":
            issuer.open.clear()
        elif fault == "status":
            issuer.status = 500
        else:
            issuer.body = "<html>"
        wait_until(lambda: events(gateway, "jwks_failed") >= 2, "fetches fail")
        assert gateway.get("/", bearer(key.token(jti="fresh"))).status == 200
        # Nobody can know whether a key that is not there is one: that is not the client's fault.
        answer = gateway.get("/", bearer(new.token()))
        assert_problem(answer, 503, "jwks_unavailable")
        assert answer.get("retry-after") and answer.get("www-authenticate") is None
        assert gateway.output().count("could not be fetched") == 1
        if fault == "refused":
            return
        issuer.publish(key, new)
        issuer.status = 200
        issuer.open.set()
        wait_until(lambda: gateway.get("/", bearer(new.token())).status == 200, "the issuer is back")
        assert "can be fetched again" in gateway.output()


def test_before_there_is_a_first_set_requests_wait_for_it():
    key = Key("ES256", "one")
    issuer = Issuer(key)
    issuer.open.clear()
    with issued(issuer=issuer, wait="10s", jwks={"timeout": "30s"}) as (gateway, origin, _):
        clients = [gateway.client() for _ in range(3)]
        for client in clients:
            client.send(request("GET", "/", bearer(key.token())))
        gone = gateway.client()
        gone.send(request("GET", "/", bearer(key.token())))
        assert_problem(gateway.get("/"), 401, "jwt_missing")
        gone.reset()
        issuer.open.set()
        for client in clients:
            assert client.read_response().status == 200
        assert issuer.fetches == 1
        gateway.wait_gauges_zero()


def test_streams_of_http2_wait_for_the_keys_each_by_itself():
    key = Key("ES256", "one")
    issuer = Issuer(key)
    issuer.open.clear()
    with issued(issuer=issuer, wait="10s", jwks={"timeout": "30s"}) as (gateway, origin, _):
        client = gateway.http2()
        token = [("authorization", f"Bearer {key.token()}")]
        get, gone = client.begin("GET", "/get", token), client.begin("GET", "/gone", token)
        post = client.begin("POST", "/post", token, end_stream=False)
        client.send_data(post, b"first ", end_stream=False)
        strange = client.begin("GET", "/strange", [("authorization", f"Bearer {Key('ES256', 'other').token()}")])
        assert_problem(client.get("/none"), 401, "jwt_missing")  # it need not wait
        assert not client.answers.keys() & {get, gone, post, strange}
        client.send(rst_stream(gone))
        client.send_data(post, b"second")
        client.ping()
        issuer.open.set()
        assert client.wait(get).status == 200
        assert client.wait(post).body == b"first second"
        assert_problem(client.wait(strange), 401, "jwt_key_unknown")
        assert sorted(origin.targets) == ["/get", "/post"]
        assert gone not in client.answers
        gateway.wait_gauges_zero()


def test_without_a_first_set_the_wait_ends_with_503_and_never_401():
    key = Key("ES256", "one")
    silent = free_port()
    with guarded(upstreams={"issuer": {"endpoints": [f"127.0.0.1:{silent}"]}}, wait="100ms",
                 keys=[{"jwks": {"upstream": "issuer", "min_interval": "100ms"}}, {"secret": SECRET}]) as (gateway, _):
        for _ in range(2):
            answer = gateway.get("/", bearer(key.token()))
            assert_problem(answer, 503, "jwks_unavailable")
            assert answer.get("retry-after") and answer.get("www-authenticate") is None
        assert gateway.get("/", bearer(SHARED.token())).status == 200  # whose key is there is not concerned
        assert events(gateway, "unavailable") == 2
        # The issuer starts later than the gateway.
        late = Issuer(key)
        late.origin.listener.close()
        late.origin = RawOrigin(late.script, address=f"127.0.0.1:{silent}")
        with late.origin:
            wait_until(lambda: gateway.get("/", bearer(key.token())).status == 200, "the keys come at last")


@pytest.mark.parametrize("kid", ["one", None])
def test_a_key_without_an_id_does_not_hide_those_that_an_issuer_publishes(kid, tmp_path):
    (tmp_path / "old.pem").write_text(STRANGER.pem())
    key = Key("RS256", kid, RSA.key)
    issuer = Issuer(key)
    issuer.open.clear()
    sources = [{"pem_file": str(tmp_path / "old.pem")}, {"jwks": {"upstream": "issuer", "min_interval": "100ms", "timeout": "30s"}}]
    with issuer.origin, guarded(upstreams={"issuer": upstream(issuer.origin)}, keys=sources, wait="10s") as (gateway, _):
        client = gateway.client()
        client.send(request("GET", "/", bearer(key.token())))
        wait_until(lambda: gateway.metrics().total("sluice_requests_in_flight") == 1 or not client.is_silent(), "it waits, or is refused")
        issuer.open.set()
        assert client.read_response().status == 200
        if kid:
            new = Key("RS256", "new")
            issuer.publish(key, new)
            wait_until(lambda: gateway.get("/", bearer(new.token())).status == 200, "the new key")


def test_a_flood_of_unknown_keys_makes_one_fetch_an_interval():
    key = Key("ES256", "one")
    with issued(key, jwks={"min_interval": "400ms"}) as (gateway, _, issuer):
        began = time.monotonic()
        assert gateway.get("/", bearer(key.token())).status == 200
        client = gateway.client()
        count = 0
        while issuer.fetches < 4:
            unknown = Key("ES256", f"unknown-{count}", key.key)
            assert_problem(client.get("/", bearer(unknown.token())), 401, "jwt_key_unknown")
            count += 1
            assert time.monotonic() - began < DEADLINE
        took = time.monotonic() - began
        assert issuer.fetches <= 1 + took / 0.4 + 0.1
        assert (events(gateway, "jwks_fetched"), events(gateway, "key_unknown")) == (4, count) and count > 20


def test_an_issuer_that_is_slow_is_asked_once_for_a_key_that_it_does_not_have():
    key = Key("ES256", "one")
    with issued(key) as (gateway, _, issuer):
        assert gateway.get("/", bearer(key.token())).status == 200
        issuer.seconds = 0.3  # three times min_interval
        unknown = bearer(Key("ES256", "unknown", key.key).token())

        def fetched():
            before = issuer.fetches
            assert_problem(gateway.get("/", unknown), 401, "jwt_key_unknown")
            return issuer.fetches - before

        assert wait_until(fetched, "a fetch for the unknown key") == 1


def test_mistakes_in_the_configuration_are_told_with_their_places(tmp_path):
    (tmp_path / "private.pem").write_bytes(RSA.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (tmp_path / "public.pem").write_text(RSA.pem())
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "keys.json").write_text(key_set({"kty": "oct", "k": "AA", "kid": "a"}))
    config = tmp_path / "x.yaml"
    config.write_text("""version: 1
listeners: {a: {address: "127.0.0.1:1", plugins: [c, d]}}
plugins:
  c:
    module: jwt
    config:
      keys:
        - {pem_file: private.pem}
        - {secret_file: public.pem}
        - {secret_file: short}
        - {jwks_file: keys.json}
        - {jwks_file: short}
        - {pem_file: short}
        - {pem_file: public.pem, secret: x}
        - {pem_file: public.pem, algorithms: [ES256]}
        - {jwks: {upstream: isuer, path: keys, min_interval: 1ms}}
        - {jwks: {}, id: x}
        - {jwks: {path: /}}
      algorithms: [RS256, none]
      claims_to_headers: {sub: "X User", a: Host, b: X-Request-Id}
      from: {query: token}
      forward: false
      scopes: ["a b"]
      cache: {max_bytes: lots, ttl: 1h}
      audiance: x
  d: {module: jwt, config: {}}
upstreams: {issuer: {endpoints: ["127.0.0.1:1"]}}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ["8:22: error: pem_file: holds a private key", "9:25: error: secret_file: is no secret but a key in PEM",
                   "10:25: error: secret_file: a secret has at least 32 bytes",
                   'jwks_file: holds no key that can be used: key "a" is a secret of less than 32 bytes',
                   "12:23: error: jwks_file: holds no JWK", "13:22: error: pem_file: holds no PEM block",
                   "one of secret, secret_file, pem_file, jwks_file and jwks is needed, and only one",
                   "none of the algorithms that are allowed fits this key", 'there is no upstream "isuer"; did you mean "issuer"',
                   "path: a path begins with a slash", "min_interval: ", "the keys of a set bring their own", '"upstream" is missing',
                   '"none" is not one of HS256, HS384', '"X User" is not the name of a header', "Host is the gateway's own",
                   "20:54: error: b: X-Request-Id would not arrive, since the gateway makes it anew for upstreams; name another header",
                   "a token in the query always goes on", '"a b" is no scope', "max_bytes: ", "ttl: ",
                   'did you mean "audience"', '26:3: error: plugin "d": "keys" is missing']:
        assert wanted in told, (wanted, told)


@pytest.mark.parametrize("place, header, wanted", [
    *[(None, name, "the gateway makes it anew for upstreams") for name in ("X-Request-Id", "traceparent", "X-Forwarded-For", "x_forwarded_proto",
                                                               "X-Forwarded-Host", "Forwarded", "Proxy-Authorization")],
    (None, "Authorization", "the token is there"), ({"cookie": "c"}, "cookie", "the token is there"),
    ({"header": "X-Token"}, "x_token", "the token is there"),
    (None, "X-Token", None), ({"query": "authorization"}, "Authorization", None), ({"cookie": "X-User"}, "X-User", None)])
def test_a_claim_is_for_no_header_that_would_not_arrive_or_take_the_token_away(place, header, wanted, tmp_path):
    config = {"keys": [{"secret": SECRET}], "claims_to_headers": {"sub": header}, **({"from": place} if place else {})}
    (tmp_path / "x.yaml").write_text(json.dumps({
        "version": 1, "listeners": {"a": {"address": "127.0.0.1:1", "plugins": ["door"]}},
        "plugins": {"door": {"module": "jwt", "config": config}}, "routes": [{"match": {"path": "/"}, "respond": {"body": "hi"}}]}))
    told = sluice("check", "--config", tmp_path / "x.yaml")
    assert (told.returncode != 0, "error: sub: " in told.stderr) == (bool(wanted), bool(wanted)), told.stderr
    assert not wanted or wanted in told.stderr
