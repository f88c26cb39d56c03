"""TLS to the endpoints of an upstream: whom the gateway trusts and what it says of those that it does not, sessions taken up again,
ends that are no ends, and what a reload does. The servers are Python's ssl."""

import json
import shutil
import ssl
import threading

import pytest

from harness import (CHUNKED, DEADLINE, Authority, DnsServer, End, RawOrigin, Sluice, answering, assert_problem, chunked, echo, merged,
                     proxy_config, request, response, sluice, upstream, wait_until)

OK = answering(response(b"ok"))
HANDSHAKES = "sluice_upstream_tls_handshakes_total"
CLOSED = "sluice_upstream_connections_closed_total"
MEGABYTE = bytes(range(256)) * 4096
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
UPGRADE = {"Connection": "upgrade", "Upgrade": "demo"}
SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: demo\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def ours(authority):
    """What most servers here show."""
    return authority.issue("server", "DNS:app.test", "DNS:localhost", "IP:127.0.0.1")


def server(identity, version=None, clients_of=None, alpn=("http/1.1",)):
    """What a server shows and asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    context.set_alpn_protocols(list(alpn))
    if version:
        context.minimum_version = context.maximum_version = version
    if clients_of:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_of.certificate)
    return context


def trusting(authority, **tls):
    return {"ca_file": authority.certificate, **tls}


def behind(*origins, tls, **settings):
    """A gateway before these origins, which are entered already."""
    upstream_settings = {"retry": {"attempts": 0}, **settings, "tls": tls}
    return Sluice(proxy_config(*origins, upstream_settings=upstream_settings))


def handshakes(gateway):
    """(whole ones, sessions taken up again), as the gateway counts them."""
    metrics = gateway.metrics()
    return tuple(int(metrics.total(HANDSHAKES, session=session)) for session in ("full", "resumed"))


TLS_FAILED = "TLS with the endpoint could not be agreed on: its certificate, ours, or what it speaks."


def refused(gateway, origin, why):
    """A request fails since TLS does: the client learns that, the logs and the metrics why."""
    problem = assert_problem(gateway.get("/"), 502, "tls_handshake_failed")
    assert problem["detail"] == TLS_FAILED
    line = gateway.logged(status=502)
    assert (line["reason"], line["endpoint"]) == ("tls_handshake_failed", origin.endpoint)
    assert why in line["detail"]
    assert f"upstream endpoint {origin.endpoint}" in gateway.output() and why in gateway.output()
    assert gateway.metrics().total(CLOSED, reason="tls_handshake_failed") == 1
    assert not origin.requests
    gateway.wait_gauges_zero(pooled=True)


# --- whom the gateway trusts ---

@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
def test_a_server_that_is_trusted_gets_the_request(authority, ours, version):
    with RawOrigin(answering(echo), tls=server(ours, version)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        answer = gateway.ask("POST", "/path?q=1", body=b"hello")
        assert (answer.status, answer.body) == (200, b"hello")
        sent = origin.requests[0]
        assert (sent.target, sent.get("host"), sent.get("x-forwarded-proto")) == ("/path?q=1", "test.local", "http")
        assert origin.handshakes == [(version.name.replace("_", "."), False, "http/1.1")]
        line = gateway.logged(status=200)
        assert (line["endpoint"], line["upstream_reused"]) == (origin.endpoint, False)
        (shown,) = json.loads(gateway.admin("/upstreams")[1])["upstreams"]
        assert shown["tls"] == {"server_name": None, "verify": True}
        assert shown["endpoints"][0]["tls_handshakes"] == {"full": 1, "resumed": 0}


def test_a_server_of_an_unknown_authority_is_refused(other_authority, ours):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls=trusting(other_authority)) as gateway:
        refused(gateway, origin, "unable to get local issuer certificate")


def test_the_systems_authorities_do_not_know_ours(ours):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls=True) as gateway:
        refused(gateway, origin, "unable to get local issuer certificate")


def test_a_certificate_that_has_expired_is_refused(authority):
    expired = authority.issue_expired("expired", "IP:127.0.0.1")
    with RawOrigin(OK, tls=server(expired)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        refused(gateway, origin, "certificate has expired")


@pytest.mark.parametrize("tls, why", [({"server_name": "other.test"}, "hostname mismatch"),
                                      ({"server_name": "127.0.0.2"}, "IP address mismatch")])
def test_a_certificate_for_another_name_is_refused(authority, ours, tls, why):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls=trusting(authority, **tls)) as gateway:
        refused(gateway, origin, why)


def test_a_certificate_without_the_endpoints_address_is_refused(authority):
    nameless = authority.issue("nameless", "DNS:app.test")
    with RawOrigin(OK, tls=server(nameless)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        refused(gateway, origin, "IP address mismatch")


@pytest.mark.parametrize("name, wanted", [("app.test", "app.test"), (None, None), ("127.0.0.1", None)])
def test_the_server_hears_the_name_unless_it_is_an_address(authority, ours, name, wanted):
    context = server(ours)
    heard = []
    context.sni_callback = lambda _, sni, __: heard.append(sni)
    tls = trusting(authority, **({"server_name": name} if name else {}))
    with RawOrigin(OK, tls=context) as origin, behind(origin, tls=tls) as gateway:
        assert gateway.get("/").status == 200
        assert heard == [wanted]


def test_an_endpoint_that_is_a_name_is_verified_as_that_name(authority):
    context = server(authority.issue("named", "DNS:app.test"))
    heard = []
    context.sni_callback = lambda _, sni, __: heard.append(sni)
    with DnsServer() as dns, RawOrigin(OK, tls=context) as origin:
        port = origin.endpoint.split(":")[1]
        for name in ("app.test", "other.test"):
            dns.set(name, "127.0.0.1")
        config = {"process": {"dns": {"servers": [dns.endpoint]}}}
        endpoints = {name: upstream(f"{name}.test:{port}", tls=trusting(authority), retry={"attempts": 0}) for name in ("app", "other")}
        routes = [{"match": {"path": f"/{name}"}, "upstream": name} for name in endpoints]
        with Sluice({**config, "upstreams": endpoints, "routes": routes}) as gateway:
            assert gateway.get("/app").status == 200
            assert_problem(gateway.get("/other"), 502, "tls_handshake_failed")
            assert "hostname mismatch" in gateway.logged(status=502)["detail"]
            assert heard == ["app.test", "other.test"]


def test_localhost_is_verified_as_that_name(authority):
    named = authority.issue("localhost", "DNS:localhost")
    context = server(named)
    with RawOrigin(OK, tls=context) as origin:
        port = origin.endpoint.split(":")[1]
        with behind(f"localhost:{port}", tls=trusting(authority)) as gateway:
            assert gateway.get("/").status == 200


def test_without_verification_anybody_will_do(other_authority, ours):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls={"verify": False, "server_name": "x.test"}) as gateway:
        assert gateway.get("/").status == 200
        assert "anybody may pose as them" in gateway.output()


def test_enabled_false_is_the_clear():
    with RawOrigin(OK) as origin, behind(origin, tls=False) as gateway:
        assert gateway.get("/").status == 200
        assert not any(name == HANDSHAKES for name, _ in gateway.metrics())


@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
def test_a_server_that_asks_who_we_are_is_told(authority, ours, version):
    certificate, key = authority.issue("gateway")
    with RawOrigin(OK, tls=server(ours, version, clients_of=authority)) as origin:
        with behind(origin, tls=trusting(authority, cert_file=certificate, key_file=key)) as gateway:
            assert gateway.get("/").status == 200
            assert dict(sum(origin.connections[0].socket.getpeercert()["subject"], ()))["commonName"] == "authority-gateway"


@pytest.mark.parametrize("version, why", [(OLD, "handshake failure"), (NEW, "certificate required")],
                         ids=lambda value: getattr(value, "name", ""))
def test_a_server_that_is_not_told_who_we_are_refuses_us(authority, ours, version, why):
    with RawOrigin(OK, tls=server(ours, version, clients_of=authority)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        refused(gateway, origin, why)


def test_a_server_that_wants_another_certificate_of_ours_refuses_us(authority, other_authority, ours):
    certificate, key = other_authority.issue("gateway")
    tls = trusting(authority, cert_file=certificate, key_file=key)
    with RawOrigin(OK, tls=server(ours, clients_of=authority)) as origin, behind(origin, tls=tls) as gateway:
        refused(gateway, origin, "unknown ca")


def test_a_server_that_does_not_speak_tls_is_found_out(authority):
    def plain(connection):
        connection.read_exactly(1)
        connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with RawOrigin(plain) as origin, behind(origin, tls=trusting(authority)) as gateway:
        refused(gateway, origin, "wrong version number")


# --- handshakes that do not end well ---

def test_a_server_that_stalls_in_the_handshake_runs_into_the_connect_timeout(authority):
    silent = threading.Event()
    with RawOrigin(lambda connection: silent.wait(DEADLINE)) as origin:
        with behind(origin, tls=trusting(authority), timeouts={"connect": "300ms"}) as gateway:
            assert_problem(gateway.get("/"), 504, "connect_timeout")
            assert "TLS handshake" in gateway.logged(status=504)["detail"]
            assert gateway.metrics().total(CLOSED, reason="connect_timeout") == 1
            gateway.wait_gauges_zero(pooled=True)
        silent.set()


def test_the_gateway_ends_well_in_the_middle_of_a_handshake(authority):
    silent = threading.Event()
    with RawOrigin(lambda connection: silent.wait(DEADLINE)) as origin:
        with behind(origin, tls=trusting(authority), timeouts={"connect": "1h"}) as gateway:
            client = gateway.client()
            client.send(request())
            gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
            wait_until(lambda: origin.connections, "the connection is made")
            gateway.stop()
            assert_problem(client.read_response(), 503, "shutting_down")
        silent.set()


@pytest.mark.parametrize("heard", [0, 1])
def test_a_server_that_closes_in_the_handshake_is_a_failure_of_it(authority, heard):
    with RawOrigin(lambda connection: connection.read_exactly(heard)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        assert_problem(gateway.get("/"), 502, "tls_handshake_failed")
        assert any(why in gateway.logged(status=502)["detail"] for why in ("closed in the middle", "Connection reset", "Broken pipe"))
        gateway.wait_gauges_zero(pooled=True)


def test_a_failed_handshake_is_tried_again_elsewhere_as_a_refused_connection_is(authority, other_authority, ours):
    strange = other_authority.issue("strange", "IP:127.0.0.1")
    with RawOrigin(OK, tls=server(strange)) as bad, RawOrigin(OK, tls=server(ours)) as good:
        with behind(bad, good, tls=trusting(authority), balance="round_robin", retry={"attempts": 1, "budget": "100%"}) as gateway:
            for _ in range(6):
                assert gateway.ask("POST", "/", body=b"once").status == 200
            assert (len(bad.requests), len(good.requests)) == (0, 6)
            failed = gateway.metrics().total(CLOSED, reason="tls_handshake_failed")
            assert failed > 0
            wait_until(lambda: len(bad.refusals) == failed, "the bad endpoint heard of each")


# --- what passes ---

def test_connections_are_kept(authority, ours):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        assert [client.get("/").status for _ in range(20)] == [200] * 20
        assert len(origin.connections) == 1
        assert handshakes(gateway) == (1, 0)
        assert gateway.access_log(20)[-1]["upstream_reused"]


@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_bodies_pass_both_ways(authority, ours, version, framing):
    def back(message):
        whole = framing == "length"
        return response(message.body) if whole else response(chunked(message.body), headers=CHUNKED, framed=False)

    with RawOrigin(answering(back), recording=False, tls=server(ours, version)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        for _ in range(3):
            if framing == "length":
                client.send_in_background(request("POST", "/", body=MEGABYTE))
            else:
                client.send_in_background(request("POST", "/", CHUNKED, chunked(MEGABYTE[:500_000], MEGABYTE[500_000:])))
            answer = client.read_response()
            assert answer.body == MEGABYTE and answer.end is End.complete
        assert origin.requests[0].body == MEGABYTE
        assert len(origin.connections) == 1


def test_a_tunnel_passes_bytes_and_the_end_of_each_side(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request("GET", "/", UPGRADE))
        connection, _ = origin.answer(SWITCHING)
        assert client.read_response().status == 101
        client.send_in_background(MEGABYTE)
        assert connection.read_exactly(len(MEGABYTE)) == MEGABYTE
        connection.send("from the server")
        assert client.read_exactly(15) == b"from the server"
        client.half_close()
        assert connection.drain() is End.eof  # a close_notify
        connection.send("still there")
        assert client.read_exactly(11) == b"still there"
        connection.say_end()
        assert client.wait_closed() is End.eof
        gateway.wait_gauges_zero(pooled=True)


def test_a_tunnel_whose_server_ends_first(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request("GET", "/", UPGRADE))
        connection, _ = origin.answer(SWITCHING)
        assert client.read_response().status == 101
        connection.send("bye")
        connection.say_end()
        assert client.read_exactly(3) == b"bye"
        assert client.wait_closed() is End.eof
        client.send("but I go on")
        assert connection.read_exactly(11) == b"but I go on"
        client.half_close()
        assert connection.drain() is End.eof
        gateway.wait_gauges_zero(pooled=True)


def test_a_tunnel_that_is_cut_is_cut_for_the_client(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request("GET", "/", UPGRADE))
        connection, _ = origin.answer(SWITCHING)
        assert client.read_response().status == 101
        connection.close()
        assert client.wait_closed() is End.reset


# --- ends ---

@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_body_that_ends_with_the_connection_is_whole_only_after_a_close_notify(authority, ours, politely, version):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request("GET", "/", version=version))
        connection, _ = origin.answer("HTTP/1.1 200 OK\r\n\r\nall of it, or not?")
        if politely:
            connection.say_end()
        connection.close()
        if version == "1.0":
            body, end = client.read_to_end()
            assert body.endswith(b"all of it, or not?")
            assert end is (End.eof if politely else End.reset)
        else:
            answer = client.read_response()
            assert answer.body == b"all of it, or not?"
            assert (answer.end is End.complete) == politely
        assert gateway.logged(status=200)["reason"] == ("none" if politely else "upstream_truncated")
        gateway.wait_gauges_zero(pooled=True)


@pytest.mark.parametrize("head, body", [("Content-Length: 9", "a part"), ("Transfer-Encoding: chunked", "6\r\na part\r\n")])
@pytest.mark.parametrize("politely", [True, False])
def test_a_body_that_is_cut_before_its_end_is_aborted(authority, ours, head, body, politely):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request())
        connection, _ = origin.answer(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")
        if politely:
            connection.say_end()
        connection.close()
        answer = client.read_response()
        assert answer.body in (b"", b"a part") and answer.end is not End.complete
        assert gateway.logged(status=200)["reason"] == "upstream_truncated"


def test_a_body_of_known_length_is_whole_without_a_close_notify(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        client.send(request())
        connection, _ = origin.answer(response(b"ok", headers={"Connection": "close"}))
        connection.close()
        answer = client.read_response()
        assert (answer.body, answer.end) == (b"ok", End.complete)


def test_a_kept_connection_that_went_stale_is_replaced(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority)) as gateway:
        client = gateway.client()
        for _ in range(3):
            client.send(request())
            connection, _ = origin.answer(response(b"ok"))
            assert client.read_response().status == 200
            with gateway.stopped():
                connection.close()
                client.send(request())
            _, _ = origin.answer(response(b"again"))
            assert client.read_response().body == b"again"
            origin.connections[-1].close()


def test_our_own_end_is_a_close_notify(authority, ours):
    with RawOrigin(tls=server(ours)) as origin, behind(origin, tls=trusting(authority), pool={"idle_timeout": "50ms"}) as gateway:
        client = gateway.client()
        client.send(request())
        connection, _ = origin.answer(response(b"ok"))
        assert client.read_response().status == 200
        assert connection.drain() is End.eof


# --- sessions ---

@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
def test_a_session_is_taken_up_again(authority, ours, version):
    context = server(ours, version)
    with RawOrigin(OK, tls=context) as origin, behind(origin, tls=trusting(authority), pool={"max_requests": 1}) as gateway:
        client = gateway.client()
        for _ in range(6):
            assert client.get("/").status == 200
        assert len(origin.connections) == 6
        assert [reused for _, reused, _ in origin.handshakes] == [False] + [True] * 5
        assert context.session_stats()["hits"] == 5
        assert handshakes(gateway) == (1, 5)


@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
def test_a_session_outlives_connections_that_the_server_cuts(authority, ours, version):
    with RawOrigin(lambda connection: connection.answer(response(b"ok")), tls=server(ours, version)) as origin:
        with behind(origin, tls=trusting(authority)) as gateway:
            client = gateway.client()
            for _ in range(5):
                assert client.get("/").status == 200
                gateway.wait_for_metric("sluice_upstream_connections_idle", 0)
            assert [reused for _, reused, _ in origin.handshakes] == [False] + [True] * 4


def test_a_session_that_the_server_forgot_costs_a_whole_handshake_and_nothing_else(authority, ours):
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls=trusting(authority), pool={"max_requests": 1}) as gateway:
        client = gateway.client()
        assert [client.get("/").status for _ in range(2)] == [200, 200]
        origin.tls = server(ours)  # with other keys for its tickets
        assert [client.get("/").status for _ in range(2)] == [200, 200]
        assert handshakes(gateway) == (2, 2)


@pytest.mark.parametrize("version", [OLD, NEW], ids=lambda version: version.name)
def test_after_a_handshake_that_failed_no_session_is_offered(authority, other_authority, ours, version):
    good, bad = server(ours, version), server(other_authority.issue("strange", "IP:127.0.0.1"), version)
    with RawOrigin(OK, tls=good) as origin, behind(origin, tls=trusting(authority), pool={"max_requests": 1}) as gateway:
        client = gateway.client()
        assert client.get("/").status == 200
        origin.tls = bad
        assert_problem(client.get("/"), 502, "tls_handshake_failed")
        origin.tls = good
        assert client.get("/").status == 200
        assert handshakes(gateway) == (2, 0)


def test_a_session_of_one_endpoint_is_not_offered_to_another(authority, ours):
    context = server(ours)  # with the same keys, so that either could take up the other's
    with RawOrigin(OK, tls=context) as one, RawOrigin(OK, tls=context) as other:
        with behind(one, other, tls=trusting(authority), balance="round_robin", pool={"max_requests": 1}) as gateway:
            client = gateway.client()
            for _ in range(4):
                assert client.get("/").status == 200
            for origin in (one, other):
                assert [reused for _, reused, _ in origin.handshakes] == [False, True]


@pytest.mark.workers
def test_each_worker_has_its_own_sessions_and_many_requests_pass(authority, ours):
    with RawOrigin(answering(echo), tls=server(ours), recording=False) as origin:
        config = proxy_config(origin, upstream_settings={"tls": trusting(authority), "pool": {"max_requests": 3}})
        with Sluice(config | {"process": {"workers": 4}}) as gateway:
            failures = []

            def ask(number):
                try:
                    for turn in range(10):
                        client = gateway.client()
                        body = f"{number} {turn}".encode() * 1000
                        answer = client.ask("POST", "/", body=body)
                        assert (answer.status, answer.body) == (200, body)
                        client.close()
                except Exception as failure:  # noqa: BLE001
                    failures.append(failure)

            threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
            assert not failures, failures[0]
            wait_until(lambda: sum(handshakes(gateway)) == len(origin.handshakes), "both count the same")
            full, resumed = handshakes(gateway)
            assert full >= 1 and resumed >= 1


# --- reloads and the configuration ---

def test_a_renewed_authority_is_read_at_a_reload_and_what_did_not_change_keeps_its_connections(authority, other_authority, ours, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(other_authority.certificate, ca)
    with RawOrigin(OK, tls=server(ours)) as origin, behind(origin, tls={"ca_file": str(ca)}) as gateway:
        client = gateway.client()
        assert_problem(client.get("/"), 502, "tls_handshake_failed")
        shutil.copy(authority.certificate, ca)
        assert gateway.reload()["changes"] == ['upstream "origin": tls.ca_file: it holds other certificates']
        assert client.get("/").status == 200
        assert gateway.reload()["changes"] == []
        assert client.get("/").status == 200
        assert len(origin.handshakes) == 1
        shutil.copy(other_authority.certificate, ca)
        gateway.reload()
        assert_problem(client.get("/"), 502, "tls_handshake_failed")  # no connection or session of the one before is used
        ca.write_text("nothing\n")
        report = gateway.reload()
        assert not report["accepted"]
        assert f"ca_file: {ca} cannot be used: there is no certificate in it" in report["errors"][0]["message"]


def test_tls_can_be_switched_on_by_a_reload(authority, ours):
    with RawOrigin(OK) as plain, RawOrigin(OK, tls=server(ours)) as secure, behind(plain, tls=False) as gateway:
        assert gateway.get("/").status == 200
        gateway.reload(upstreams={"origin": upstream(secure, tls=trusting(authority))})
        assert gateway.get("/").status == 200
        assert (len(plain.requests), len(secure.requests)) == (1, 1)


def test_mistakes_are_told_with_their_place(tmp_path):
    (tmp_path / "sluice.yaml").write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080"}}
upstreams:
  app:
    endpoints: ["127.0.0.1:9001", "unix:/run/app.sock"]
    tls:
      ca_file: none.pem
      cert_file: ours.pem
      server_name: "a b"
      sni: app.test
routes: [{match: {path: /}, upstream: app}]
""")
    (tmp_path / "ours.pem").write_text("")
    ended = sluice("check", "--config", tmp_path / "sluice.yaml")
    assert ended.returncode != 0
    text = ended.stdout + ended.stderr
    assert "                 ^" in text
    for expected in ('5:35: error: TLS is not possible over a unix socket', '7:16: error: ca_file: cannot read ',
                     '8:18: error: "cert_file" and "key_file" belong together',
                     '9:20: error: server_name: "a b" is neither a host name nor an IP address',
                     '10:7: error: unknown key "sni"', "      ca_file: none.pem\n"):
        assert expected in text, text


def test_diff_tells_what_would_change(authority, tmp_path):
    shutil.copy(authority.certificate, tmp_path / "ca.pem")
    with behind("127.0.0.1:9", tls={"ca_file": str(tmp_path / "ca.pem")}) as gateway:
        new = gateway.directory / "new.yaml"
        new.write_text(json.dumps(merged(gateway.config, {"upstreams": {"origin": {"tls": {"verify": False}}}})))
        ended = sluice("diff", "--config", new, "--admin", gateway.config["admin"]["listen"])
        assert 'upstream "origin": tls.verify: set to false' in ended.stdout, ended.stdout + ended.stderr
