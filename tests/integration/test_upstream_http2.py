"""HTTP/2 to endpoints: many requests on one connection, back-pressure by stream, and what becomes of requests when their connection
ends. The servers are python3-h2."""

import hashlib
import ssl
import threading
from concurrent import futures
from contextlib import contextmanager

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from harness import (CHUNKED, DEADLINE, SANITIZER, Authority, End, Http2Origin, RawOrigin, Sluice, answering,
                     assert_problem, chunked, merged, milliseconds, proxy_config, request, response, sluice,
                     wait_until)
from harness.http2 import Setting, window_update

ACTIVE = "sluice_upstream_connections_active"
STREAMS = "sluice_upstream_streams"
OPENED = "sluice_upstream_connections_opened_total"
CLOSED = "sluice_upstream_connections_closed_total"
RETRIES = "sluice_upstream_retries_total"
PENDING = "sluice_upstream_pending_requests"
PATIENT = {"pool": {"pending_timeout": "60s"}}
ONE = {"pool": {"max_open": 1, "pending_timeout": "60s"}}
NO_RETRY = {"retry": {"attempts": 0}}
LARGE = {"listener": {"limits": {"body": "1GiB"}}}
MEGABYTE = bytes(range(256)) * 4096

@contextmanager
def proxying2(script=None, origin=None, upstream_settings=None, **config):
    """A gateway before one endpoint that speaks HTTP/2: yields (gateway, origin)."""
    settings = merged({"protocol": "http2"}, upstream_settings or {})
    with Http2Origin(script, **(origin or {})) as server:
        with Sluice(proxy_config(server, upstream_settings=settings, **config)) as gateway:
            yield gateway, server


def ok(asked):
    asked.read()
    asked.respond(b"ok")


def echo(asked):
    asked.respond(asked.read())


def ask_all(gateway, count, path="/{}", **options):
    """`count` requests at a time, each of a client of its own; returns the clients."""
    return [gateway.client().send(request(path=path.format(number), **options)) for number in range(count)]


# --- messages ---

def test_a_request_and_its_answer_cross_http2():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request("GET", "/a?b=c", headers=[("X-Thing", "Value"), ("Cookie", "a=1")]))
        asked = origin.request()
        assert asked.get(":method") == "GET"
        assert asked.get(":path") == "/a?b=c"
        assert asked.get(":scheme") == "http"
        assert asked.get(":authority")
        assert asked.get("x-thing") == "Value"
        assert asked.get("cookie") == "a=1"
        names = [name for name, _ in asked.headers]
        assert not {"host", "connection", "transfer-encoding"} & set(names)
        asked.respond(b"hello", fields=[("x-answer", "yes"), ("content-length", "5")])
        answer = client.read_response()
        assert answer.status == 200
        assert answer.body == b"hello"
        assert answer.get("x-answer") == "yes"
        assert answer.get("content-length") == "5"


def test_a_body_of_unknown_length_is_chunked_for_the_client():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().head().data(b"one").data(b"two", end=True)
        answer = client.read_response()
        assert answer.chunked
        assert answer.body == b"onetwo"


def test_trailers_cross_both_ways():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request("POST", "/", CHUNKED) + chunked(b"body", trailers=[("X-Sum", "1")]))
        asked = origin.request()
        assert asked.read() == b"body"
        assert asked.trailers == [("x-sum", "1")]
        asked.head().data(b"answer").trail([("x-check", "2")])
        answer = client.read_response()
        assert answer.body == b"answer"
        assert [(name.lower(), value) for name, value in answer.trailers] == [("x-check", "2")]


def test_1xx_heads_cross_before_the_final_one():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        asked.head(103, [("link", "</a>")])
        asked.respond(b"ok")
        answer = client.read_response()
        assert [each.status for each in answer.interim] == [103]
        assert answer.interim[0].get("link") == "</a>"
        assert answer.body == b"ok"


def test_the_answer_to_head_has_a_length_and_no_body():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request("HEAD"))
        asked = origin.request()
        assert asked.get(":method") == "HEAD"
        asked.head(200, [("content-length", "12345")], end=True)
        assert client.read_response(to="HEAD").get("content-length") == "12345"
        client.send(request("GET", "/next"))
        origin.request().respond(b"next")
        assert client.read_response().body == b"next"


def head_with_a_body(asked):
    asked.head(200, [("content-length", "5")])
    asked.connection.raw(b"\0\0\5\0\1" + asked.stream.to_bytes(4, "big") + b"hello")


def head_with(*fields):
    def script(asked):
        with asked.connection.speaking() as speaker:
            speaker.send_headers(asked.stream, fields, end_stream=True)

    return script


MALFORMED = {
    "a length that is none": head_with((":status", "200"), ("content-length", "x5")),
    "no status": head_with(("content-length", "5")),
    "a field of HTTP/1.1": head_with((":status", "200"), ("connection", "close")),
    "capitals": head_with((":status", "200"), ("X-Name", "value")),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_answer_to_head_is_502(case):
    with proxying2(lambda asked: (MALFORMED[case] if asked.get(":method") == "HEAD" else ok)(asked), {"lax": True}) as (gateway, origin):
        client, over_http2 = gateway.client(), gateway.http2()
        client.send(request("HEAD"))
        assert client.read_response(to="HEAD").status == 502
        answer = over_http2.ask("HEAD")
        assert (answer.status, bytes(answer.body), answer.complete) == (502, b"", True)
        assert client.get("/").body == over_http2.get("/").body == b"ok"
        assert len(origin.connections) == 1
        assert [line["reason"] for line in gateway.access_log(4)][:2] == ["upstream_http2_error"] * 2
        gateway.wait_gauges_zero()


def test_a_body_behind_an_answer_to_head_reaches_nobody():
    with proxying2(lambda asked: (head_with_a_body if asked.get(":method") == "HEAD" else ok)(asked), {"lax": True}) as (gateway, origin):
        client = gateway.client().send(request("HEAD"))
        assert client.read_response(to="HEAD").get("content-length") == "5"
        assert client.wait_closed() is End.eof
        over_http2 = gateway.http2()
        answer = over_http2.ask("HEAD")
        assert (answer.status, bytes(answer.body), answer.complete, answer.reset) == (200, b"", False, ErrorCodes.INTERNAL_ERROR)
        assert over_http2.get("/").body == b"ok"
        assert len(origin.connections) == 1
        assert [line["reason"] for line in gateway.access_log(3)][:2] == ["upstream_http2_error"] * 2
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(status):
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().head(status, end=True)
        assert client.read_response().status == status
        client.send(request("GET", "/next"))
        origin.request().respond(b"next")
        assert client.read_response().body == b"next"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_bodies_cross_byte_by_byte(framing):
    body = MEGABYTE * 5
    with proxying2(echo, **LARGE) as (gateway, origin):
        client = gateway.client()
        sent = request("POST", "/", body=body) if framing == "length" else request("POST", "/", CHUNKED) + chunked(
            *[body[at:at + 70_000] for at in range(0, len(body), 70_000)])
        client.send_in_background(sent)
        answer = client.read_response()
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
        assert len(origin.connections) == 1
        gateway.wait_gauges_zero()


def test_a_body_that_is_shorter_than_its_length_is_an_abort():
    with proxying2(origin={"lax": True}) as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().head(200, [("content-length", "10")]).data(b"short", end=True)
        answer = client.read_response()
        assert answer.end is not End.complete
        assert answer.body == b"short"


@pytest.mark.parametrize("chunked_body", [False, True])
def test_a_stream_reset_in_its_body_is_an_abort_that_the_client_sees(chunked_body):
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        asked.head(200, [] if chunked_body else [("content-length", "10")]).data(b"short").reset()
        assert client.read_response().end is not End.complete
        assert gateway.logged(reason="upstream_truncated")["status"] == 200
        # The connection goes on.
        other = gateway.client().send(request("GET", "/other"))
        assert origin.request().connection is asked.connection
        origin.requests[-1].respond(b"ok")
        assert other.read_response().body == b"ok"


def test_a_stream_reset_before_its_answer_is_502():
    with proxying2(upstream_settings=NO_RETRY) as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().reset()
        assert_problem(client.read_response(), 502, "upstream_reset")


def test_a_client_that_goes_away_cancels_its_stream_only():
    with proxying2() as (gateway, origin):
        leaving = gateway.client().send(request("GET", "/leaving"))
        first = origin.request()
        staying = gateway.client().send(request("GET", "/staying"))
        second = origin.request()
        assert first.connection is second.connection
        leaving.reset()
        assert first.cancelled.wait(DEADLINE)
        assert first.cancel_code == ErrorCodes.CANCEL
        second.respond(b"ok")
        assert staying.read_response().body == b"ok"
        gateway.wait_gauges_zero()


def test_an_upgrade_is_refused_with_a_reason():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request(headers={"Connection": "upgrade", "Upgrade": "websocket"}))
        assert_problem(client.read_response(), 501, "upstream_no_upgrade")
        assert not origin.requests


# --- what is agreed on ---
@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def shown(authority, *alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "IP:127.0.0.1"))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.mark.parametrize("protocol", ["http2", "auto"])
def test_http2_is_spoken_over_tls_if_the_endpoint_chooses_it(authority, protocol):
    settings = {"protocol": protocol, "tls": {"ca_file": authority.certificate}}
    with proxying2(ok, {"tls": shown(authority, "h2", "http/1.1")}, settings) as (gateway, origin):
        clients = ask_all(gateway, 5)
        assert [client.read_response().body for client in clients] == [b"ok"] * 5
        assert origin.protocols == ["h2"]
        assert origin.requests[0].get(":scheme") == "https"


@pytest.mark.parametrize("alpn", [["http/1.1"], []])
def test_auto_speaks_http1_to_an_endpoint_that_does_not_choose_http2(authority, alpn):
    with RawOrigin(answering(response(b"ok")), tls=shown(authority, *alpn)) as origin:
        settings = {"protocol": "auto", "tls": {"ca_file": authority.certificate}}
        with Sluice(proxy_config(origin, upstream_settings=settings)) as gateway:
            clients = ask_all(gateway, 3)
            assert [client.read_response().body for client in clients] == [b"ok"] * 3
            client = gateway.client().send(request("POST", "/", CHUNKED) + chunked(b"body"))
            assert client.read_response().body == b"ok"
            assert origin.requests[-1].body == b"body"
            assert {alpn for _, _, alpn in origin.handshakes} == {alpn_chosen(alpn)}


def alpn_chosen(alpn):
    return alpn[0] if isinstance(alpn, list) and alpn else alpn or None


def test_http2_over_tls_needs_the_endpoints_consent(authority):
    with RawOrigin(answering(response(b"ok")), tls=shown(authority)) as origin:
        settings = {"protocol": "http2", "tls": {"ca_file": authority.certificate}, **NO_RETRY}
        with Sluice(proxy_config(origin, upstream_settings=settings)) as gateway:
            assert_problem(gateway.get("/"), 502, "upstream_http2_error")


def test_auto_without_tls_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "sluice.yaml"
    path.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:0"}}
upstreams:
  a:
    endpoints: ["127.0.0.1:1"]
    protocol: auto
routes: [{name: all, match: {path: "/"}, upstream: a}]
""")
    result = sluice("check", "--config", path)
    assert result.returncode != 0
    assert "6:15" in result.stdout + result.stderr
    assert "tls: {}" in result.stdout + result.stderr


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"\x00\x00\x01\x04\x00\x00\x00\x00\x00\x00",
                                  b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_who_does_not_speak_http2_is_502(said):
    with proxying2(origin={"raw": said}, upstream_settings=NO_RETRY) as (gateway, origin):
        assert_problem(gateway.get("/"), 502, "upstream_http2_error")
        gateway.wait_gauges_zero()


def test_an_endpoint_that_says_nothing_is_a_connect_timeout():
    settings = {**NO_RETRY, "timeouts": {"connect": milliseconds(200)}}
    with proxying2(origin={"raw": b""}, upstream_settings=settings) as (gateway, _):
        assert_problem(gateway.get("/"), 504, "connect_timeout")


@pytest.mark.parametrize("frame", [
    pytest.param(b"\x00\x00\x05\x00\x00\x00\x00\x00\x07hello", id="DATA on an idle stream"),
    pytest.param(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", id="a frame that is too large"),
    pytest.param(b"\x00\x00\x02\x01\x04\x00\x00\x00\x01\xff\xff", id="a broken header block"),
    pytest.param(b"\x00\x00\x00\x04\x00\x00\x00\x00\x01", id="SETTINGS on a stream"),
    pytest.param(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", id="a window update of nothing"),
    pytest.param(b"\x00\x00\x04\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02", id="a push"),
])
def test_an_endpoint_that_breaks_the_rules_loses_its_connection(frame):
    with proxying2(origin={"lax": True}, upstream_settings=NO_RETRY) as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        with asked.connection.lock:
            asked.connection.raw(frame)
        assert_problem(client.read_response(), 502, "upstream_http2_error")
        wait_until(lambda: asked.connection.over, "the connection is closed")
        assert asked.connection.goaway_code not in (None, 0)
        again = gateway.client().send(request())
        origin.request().respond(b"ok")
        assert again.read_response().body == b"ok"
        assert len(origin.connections) == 2


@pytest.mark.parametrize("fields", [[("x-large", "a" * 70_000)], [(f"x-{number}", "1") for number in range(300)]])
def test_a_response_head_that_is_too_large_is_502(fields):
    with proxying2(origin={"lax": True}) as (gateway, origin):
        client = gateway.client().send(request())
        first = origin.request()
        with first.connection.speaking() as speaker:
            speaker.max_outbound_frame_size = 16384
        first.respond(b"", fields=fields)
        assert_problem(client.read_response(), 502, "upstream_head_too_large")
        client.send(request("GET", "/next"))
        assert (second := origin.request()).connection is first.connection
        second.respond(b"next")
        assert client.read_response().body == b"next"


# --- the pool ---
def test_a_hundred_requests_at_a_time_take_one_connection():
    with proxying2() as (gateway, origin):
        clients = ask_all(gateway, 100)
        asked = [origin.request() for _ in clients]
        assert len(origin.connections) == 1
        assert gateway.metrics().total(STREAMS) == 100
        assert gateway.metrics().total(ACTIVE) == 1
        for each in asked:
            each.respond(each.target.encode())
        assert [client.read_response().body for client in clients] == [b"/%d" % number for number in range(100)]
        gateway.wait_gauges_zero()
        assert gateway.metrics().total(OPENED) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_streams_than_the_endpoint_allows(most):
    with proxying2(ok, {"settings": {SettingCodes.MAX_CONCURRENT_STREAMS: most}}, ONE) as (gateway, origin):
        clients = ask_all(gateway, 30)
        assert [client.read_response().status for client in clients] == [200] * 30
        assert len(origin.connections) == 1
        assert origin.connections[0].most_at_once <= most
        assert gateway.metrics().total(RETRIES) == 0


def test_no_more_streams_than_we_allow():
    with proxying2(upstream_settings={"pool": {"max_streams": 2, "max_open": 1, "pending_timeout": "60s"}}) as (gateway, origin):
        clients = ask_all(gateway, 5)
        for _ in range(5):
            asked = origin.request()
            asked.respond(b"ok")
        assert [client.read_response().status for client in clients] == [200] * 5
        assert origin.connections[0].most_at_once <= 2


def test_another_connection_is_opened_only_when_none_has_room():
    with proxying2(upstream_settings={"pool": {"max_streams": 2, "pending_timeout": "60s"}}) as (gateway, origin):
        clients = ask_all(gateway, 5)
        asked = [origin.request() for _ in clients]
        assert len(origin.connections) == 3
        for each in asked:
            each.respond(b"ok")
        assert [client.read_response().status for client in clients] == [200] * 5


def test_an_endpoint_that_lowers_its_limit_gets_no_more():
    with proxying2(upstream_settings=ONE) as (gateway, origin):
        first = gateway.client().send(request())
        asked = origin.request()
        asked.connection.change(MAX_CONCURRENT_STREAMS=1)
        wait_until(lambda: asked.connection.protocol.local_settings.max_concurrent_streams == 1, "the gateway knows it")
        second = gateway.client().send(request("GET", "/second"))
        gateway.wait_for_metric(PENDING, 1)
        asked.respond(b"first")
        assert first.read_response().body == b"first"
        origin.request().respond(b"second")
        assert second.read_response().body == b"second"


def test_a_connection_ends_after_max_requests_when_its_last_stream_is_over():
    with proxying2(upstream_settings={"pool": {"max_requests": 2, "pending_timeout": "60s"}}) as (gateway, origin):
        clients = ask_all(gateway, 3)
        asked = [origin.request() for _ in clients]
        assert len({each.connection for each in asked}) == 2
        for each in asked:
            each.respond(b"ok")
        assert [client.read_response().status for client in clients] == [200] * 3
        gateway.wait_for_metric(CLOSED, 1, reason="pool_lifetime")


def test_a_connection_past_its_lifetime_takes_no_new_streams_but_ends_the_old():
    with proxying2(upstream_settings={"pool": {"max_lifetime": milliseconds(200)}}) as (gateway, origin):
        slow = gateway.client().send(request("GET", "/slow"))
        first = origin.request()

        def another():
            with gateway.client() as client:
                client.send(request("GET", "/quick"))
                asked = origin.request()
                asked.respond(b"quick")
                assert client.read_response().body == b"quick"
            return asked.connection is not first.connection

        wait_until(another, "another connection is opened")
        first.respond(b"slow")
        assert slow.read_response().body == b"slow"
        wait_until(lambda: first.connection.over, "the old one is closed")
        assert gateway.metrics().total(CLOSED, reason="pool_lifetime") >= 1


def test_an_idle_connection_ends_after_its_timeout_with_a_goodbye():
    with proxying2(ok, upstream_settings={"pool": {"idle_timeout": milliseconds(200)}}) as (gateway, origin):
        assert gateway.get("/").status == 200
        wait_until(lambda: origin.connections[0].over, "it is closed")
        assert origin.connections[0].goaway_code == ErrorCodes.NO_ERROR
        gateway.wait_for_metric(CLOSED, 1, reason="pool_idle")


def test_an_idle_connection_that_the_endpoint_ends_is_noticed():
    with proxying2(ok) as (gateway, origin):
        assert gateway.get("/").status == 200
        origin.connections[0].close()
        gateway.wait_for_metric(CLOSED, 1, reason="upstream_closed_idle")
        assert gateway.get("/").status == 200
        assert len(origin.connections) == 2


def test_a_reload_keeps_the_connection_and_what_it_carries():
    with proxying2() as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        assert gateway.reload(listeners={"public": {"limits": {"headers": 77}}})["accepted"]
        other = gateway.client().send(request("GET", "/other"))
        assert origin.request().connection is asked.connection
        origin.requests[1].respond(b"other")
        asked.respond(b"ok")
        assert client.read_response().body == b"ok"
        assert other.read_response().body == b"other"
        assert len(origin.connections) == 1


def test_a_reload_that_takes_the_upstream_away_lets_its_streams_end():
    with proxying2() as (gateway, origin), RawOrigin(answering(response(b"new"))) as new:
        client = gateway.client().send(request())
        asked = origin.request()
        assert gateway.reload(upstreams={"origin": {"endpoints": [new.endpoint], "protocol": None}})["accepted"]
        assert gateway.get("/").body == b"new"
        asked.respond(b"old")
        assert client.read_response().body == b"old"
        wait_until(lambda: asked.connection.over, "the old connection is closed")


def test_an_endpoint_that_falls_silent_gets_no_new_streams():
    settings = {**NO_RETRY, "timeouts": {"response_header": milliseconds(200)}}
    with proxying2(upstream_settings=settings) as (gateway, origin):
        assert_problem(gateway.get("/"), 504, "upstream_timeout")
        wait_until(lambda: origin.connections[0].over, "the silent connection is closed")
        client = gateway.client().send(request())
        origin.request()
        origin.request().respond(b"ok")
        assert client.read_response().body == b"ok"
        assert len(origin.connections) == 2


# --- ends and repetitions ---
def test_requests_above_the_last_stream_of_goaway_are_repeated_and_those_below_go_on():
    with proxying2(upstream_settings=NO_RETRY) as (gateway, origin):
        clients = ask_all(gateway, 10, method="POST", body=b"once")
        asked = sorted((origin.request() for _ in clients), key=lambda each: each.stream)
        old = asked[0].connection
        old.goaway(asked[3].stream)
        repeated = [origin.request() for _ in range(6)]
        assert {each.connection for each in repeated} == {origin.connections[1]}
        for each in repeated + asked[:4]:
            assert each.read() == b"once"
            each.respond(each.target.encode())
        assert sorted(client.read_response().body for client in clients) == sorted(b"/%d" % number for number in range(10))
        wait_until(lambda: old.over, "the connection that said GOAWAY is closed")
        assert gateway.metrics().total(RETRIES, kind="refused") == 6
        assert gateway.metrics().total(RETRIES, kind="policy") == 0
        gateway.wait_gauges_zero()


def test_requests_that_wait_for_a_full_socket_when_goaway_comes_are_repeated():
    # More than Linux's buffers hold, which grow to 4 MiB for what is sent.
    small = {"receive_buffer": 4096, "settings": {SettingCodes.MAX_CONCURRENT_STREAMS: 1000}}
    with proxying2(origin=small, upstream_settings={"pool": {"max_streams": 1000}, **NO_RETRY}) as (gateway, origin):
        gateway.client().send(request("POST", "/first"))
        first = origin.request()
        origin.reads.clear()
        clients = ask_all(gateway, 250, method="POST", headers=[("x-large", "~" * 30_000)])
        gateway.wait_until_full()
        assert len(origin.connections) == 1
        first.connection.goaway((1 << 31) - 1)
        origin.wait_for_connections(2)
        origin.reads.set()
        asked = [origin.request() for _ in clients]
        repeated = [each for each in asked if each.connection is not first.connection]
        assert repeated
        assert len({each.target for each in asked}) == len(clients)
        for each in asked:
            each.respond(each.target.encode())
        assert sorted(client.read_response().body for client in clients) == sorted(b"/%d" % number for number in range(250))
        assert gateway.metrics().total(RETRIES, kind="refused") == len(repeated)


def test_goaway_in_the_middle_of_traffic_loses_no_request():
    lasts = {}  # of each connection that said GOAWAY
    lock = threading.Lock()

    def script(asked):
        body = asked.read()
        connection = asked.connection
        with lock:
            if connection not in lasts and len(connection.requests) >= 20:
                with connection.lock:
                    lasts[connection] = max(connection.requests)
                    connection.goaway(lasts[connection])
            processed = connection not in lasts or asked.stream <= lasts[connection]
        if processed:
            asked.respond(body)

    with proxying2(script, upstream_settings={**NO_RETRY, **PATIENT}) as (gateway, origin):
        wrong = []

        def ask(number):
            for turn in range(20):
                body = b"%d/%d" % (number, turn)
                if gateway.ask("POST", "/", body=body).body != body:
                    wrong.append(body)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert not wrong
        assert len(origin.connections) >= 5


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_repeated_once(method):
    body = b"body" if method == "POST" else None
    with proxying2(upstream_settings=NO_RETRY) as (gateway, origin):
        client = gateway.client().send(request(method, body=body))
        origin.request().reset(ErrorCodes.REFUSED_STREAM)
        asked = origin.request()
        assert asked.read() == (body or b"")
        asked.respond(b"ok")
        assert client.read_response().body == b"ok"
        client.send(request(method, body=body))
        origin.request().reset(ErrorCodes.REFUSED_STREAM)
        origin.request().reset(ErrorCodes.REFUSED_STREAM)
        assert_problem(client.read_response(), 503, "upstream_refused")


def test_a_post_that_may_have_been_processed_is_not_repeated():
    with proxying2(upstream_settings={"retry": {"attempts": 3, "on": ["reset"]}}) as (gateway, origin):
        client = gateway.client().send(request("POST", body=b"once"))
        origin.request().reset(ErrorCodes.INTERNAL_ERROR)
        assert_problem(client.read_response(), 502, "upstream_reset")
        assert len(origin.requests) == 1


def test_a_status_is_repeated_with_its_body_by_the_policy():
    with proxying2(upstream_settings={"retry": {"attempts": 1, "on": [503]}}) as (gateway, origin):
        client = gateway.client().send(request("PUT", body=b"twice"))
        first = origin.request()
        assert first.read() == b"twice"
        first.respond(status=503)
        second = origin.request()
        assert second.read() == b"twice"
        second.respond(b"ok")
        assert client.read_response().body == b"ok"
        gateway.wait_gauges_zero()


def test_an_answer_that_comes_with_goaway_before_the_request_ends_is_passed_on():
    with proxying2(**LARGE) as (gateway, origin):
        origin.holds_windows = True
        client = gateway.client()
        client.send_in_background(request("POST", "/", body=MEGABYTE))
        asked = origin.request()
        with asked.connection.lock:  # in one segment
            goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + asked.stream.to_bytes(4, "big") + bytes(4)
            head = b"\x00\x00\x05\x01\x05" + asked.stream.to_bytes(4, "big") + b"\x08\x03413"  # :status, END_STREAM
            asked.connection.raw(goaway + head)
        assert client.read_response().status == 413
        gateway.wait_gauges_zero()


def test_a_connection_that_dies_fails_its_streams():
    with proxying2(upstream_settings=NO_RETRY) as (gateway, origin):
        clients = ask_all(gateway, 5, method="POST", body=b"x")
        asked = [origin.request() for _ in clients]
        asked[0].connection.close()
        for client in clients:
            assert_problem(client.read_response(), 502, "upstream_reset")
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_connection_that_ended_leaves_its_place_while_a_slow_client_gets_the_rest(goodbye):
    with proxying2(upstream_settings=ONE) as (gateway, origin):
        slow = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 0}, gives_windows=False)
        stream = slow.begin(path="/slow")
        first = origin.request()
        first.head().data(MEGABYTE[:65_537])  # past its watermark: the gateway pauses
        first.connection.settle()
        first.data(end=True)
        first.connection.settle()
        first.connection.goaway(first.stream) if goodbye else first.connection.close()
        wait_until(lambda: first.connection.over, "the connection is closed")
        gateway.wait_for_metric(ACTIVE, 0)
        client = gateway.client().send(request("GET", "/second"))
        second = origin.request()
        assert second.connection is not first.connection
        second.respond(b"second")
        assert client.read_response().body == b"second"
        assert gateway.metrics().total(CLOSED) == 1
        slow.send(window_update(stream, 200_000), window_update(0, 200_000))
        assert slow.wait(stream).complete
        assert slow.answers[stream].body == MEGABYTE[:65_537]
        slow.close()
        gateway.wait_gauges_zero()
        assert gateway.metrics().total(CLOSED) == 1


def test_a_kept_connection_that_proves_stale_is_replaced():
    with proxying2(upstream_settings=NO_RETRY) as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().respond(b"ok")
        assert client.read_response().body == b"ok"
        clients = ask_all(gateway, 5)
        asked = [origin.request() for _ in clients]
        asked[0].connection.close()
        again = [origin.request() for _ in clients]
        assert {each.connection for each in again} == {origin.connections[1]}
        for each in again:
            each.respond(b"ok")
        assert [each.read_response().body for each in clients] == [b"ok"] * 5


# --- endpoints that vanish: who does not answer a PING is not there ---
VANISHING = {"answers_pings": False}


def pinging(after=0.5, **more):
    return merged({"timeouts": {"ping": milliseconds(after * 1000)}}, more)


def test_an_endpoint_that_vanishes_is_found_by_a_ping_and_all_its_streams_end():
    with proxying2(origin=VANISHING, upstream_settings=pinging(**NO_RETRY)) as (gateway, origin):
        clients = ask_all(gateway, 5, method="POST", body=b"once")
        asked = [origin.request() for _ in clients]
        for client in clients:
            assert_problem(client.read_response(), 502, "upstream_silent")
        assert asked[0].connection.pings == 1
        gateway.wait_for_metric(CLOSED, 1, reason="upstream_silent")
        client = gateway.client().send(request())
        again = origin.request()
        assert again.connection is not asked[0].connection
        again.respond(b"ok")
        assert client.read_response().body == b"ok"
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("retry", [{"attempts": 0}, {"attempts": 1, "on": ["reset"]}])
def test_what_was_on_a_vanished_connection_is_repeated_where_that_is_safe(retry):
    with proxying2(origin=VANISHING, upstream_settings=pinging(retry=retry)) as (gateway, origin):
        if retry["attempts"] == 0:  # then only that of a kept connection is
            assert gateway.client().send(request()) and origin.request().respond()
            gateway.wait_for_metric(ACTIVE, 0)
        safe = gateway.client().send(request("GET", "/safe"))
        asked = origin.request()
        unsafe = gateway.client().send(request("POST", "/unsafe", body=b"once"))
        assert origin.request().connection is asked.connection
        assert_problem(unsafe.read_response(), 502, "upstream_silent")
        again = origin.request()
        assert again.target == "/safe"
        assert again.connection is origin.connections[1]
        again.respond(b"ok")
        assert safe.read_response().body == b"ok"
        assert origin.arrived.empty()


def test_a_body_whose_endpoint_vanishes_is_an_abort():
    with proxying2(origin=VANISHING, upstream_settings=pinging()) as (gateway, origin):
        client = gateway.client().send(request())
        origin.request().head().data(b"begun")
        answer = client.read_response()
        assert answer.end is not End.complete
        assert gateway.logged(reason="upstream_silent")["status"] == 200


def test_an_endpoint_that_answers_pings_is_asked_once_in_a_silence_and_keeps_its_streams():
    timeouts = {"timeouts": {"response_header": milliseconds(4000)}}
    with proxying2(upstream_settings=pinging(1, **timeouts, **NO_RETRY)) as (gateway, origin):
        slow = gateway.client().send(request("GET", "/slow"))
        asked = origin.request()
        wait_until(lambda: asked.connection.pings == 1, "a PING came")
        asked.connection.settle()  # its answer has come
        quick = gateway.client().send(request("GET", "/quick"))
        other = origin.request()
        assert other.connection is asked.connection
        other.respond(b"quick")
        assert quick.read_response().body == b"quick"
        wait_until(lambda: asked.connection.pings == 2, "another one came, for something had been heard")
        assert_problem(slow.read_response(), 504, "upstream_timeout")
        assert asked.connection.pings == 2


@pytest.mark.parametrize("stops", [False, True])
def test_an_upload_that_is_slow_is_a_sign_of_life_and_one_that_stands_still_is_not(stops):
    window = 64 << 20
    slow = {"settings": {SettingCodes.INITIAL_WINDOW_SIZE: window}, "receive_buffer": 65536, "read_pause": 0.025}
    with proxying2(origin=slow, upstream_settings=pinging(**NO_RETRY), **LARGE) as (gateway, origin):
        origin.holds_windows = True  # it says nothing until the body's end, and a PING waits behind all that the sockets hold
        client = gateway.client()
        client.send_in_background(request("POST", "/", body=MEGABYTE * 8))
        asked = origin.request()
        with asked.connection.speaking() as speaker:
            speaker.increment_flow_control_window(window)
        if stops:
            wait_until(lambda: origin.body_bytes > 2 * len(MEGABYTE), "the body is on its way")
            origin.reads.clear()
            assert_problem(client.read_response(), 502, "upstream_silent")
        else:
            asked.read()
            asked.respond(b"ok")
            assert client.read_response().body == b"ok"


def test_no_request_is_given_to_a_connection_before_it_answered_its_ping():
    with proxying2(origin=VANISHING, upstream_settings=pinging(**NO_RETRY)) as (gateway, origin):
        first = gateway.client().send(request("GET", "/first"))
        asked = origin.request()
        wait_until(lambda: asked.connection.pings == 1, "a PING came")
        second = gateway.client().send(request("GET", "/second"))
        other = origin.request()
        assert other.connection is not asked.connection
        other.respond(b"second")
        assert second.read_response().body == b"second"
        assert_problem(first.read_response(), 502, "upstream_silent")


@pytest.mark.parametrize("settings", [pinging(pool={"idle_timeout": milliseconds(1500)}),
                                      {"timeouts": {"ping": "0", "response_header": "500ms"}}])
def test_idle_connections_get_no_pings_and_neither_do_those_of_who_wants_none(settings):
    with proxying2(upstream_settings=settings) as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        if "pool" in settings:
            asked.respond(b"ok")
            assert client.read_response().body == b"ok"
            asked.connection.settle()
            asked.connection.pings = 0  # one may have come if we were slow to answer
        wait_until(lambda: asked.connection.over, "the connection is closed")
        assert asked.connection.pings == 0


# --- back-pressure ---
def test_a_slow_client_holds_up_no_other_stream():
    with proxying2() as (gateway, origin):
        slow = gateway.client(receive_buffer=4096).send(request("GET", "/slow"))
        first = origin.request().head()
        body = MEGABYTE * 8
        sending = threading.Thread(target=lambda: first.data(body, end=True), daemon=True)
        sending.start()
        connection = first.connection

        def is_full():
            with connection.lock:
                return connection.protocol.local_flow_control_window(first.stream) == 0

        wait_until(is_full, "the slow stream's window is closed")
        for number in range(5):
            quick = gateway.client().send(request("GET", f"/{number}"))
            asked = origin.request()
            assert asked.connection is connection
            asked.respond(MEGABYTE)
            assert quick.read_response().body == MEGABYTE
        assert slow.read_response().body == body
        sending.join(DEADLINE)
        gateway.wait_gauges_zero()


def test_an_endpoint_that_does_not_read_holds_up_its_client_only():
    with proxying2(**LARGE) as (gateway, origin):
        origin.holds_windows = True
        body = MEGABYTE * 4
        client = gateway.client()
        client.send_in_background(request("POST", "/", body=body))
        asked = origin.request()
        gateway.wait_until_full()
        assert len(asked.body) == 65535
        quick = gateway.client().send(request("GET", "/quick"))
        origin.request().respond(b"quick")
        assert quick.read_response().body == b"quick"
        with asked.connection.speaking() as speaker:
            origin.holds_windows = False
            speaker.acknowledge_received_data(len(asked.body), asked.stream)
        assert asked.read() == body
        asked.respond(b"ok")
        assert client.read_response().body == b"ok"


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory grows with what is allocated")
def test_slow_clients_and_slow_endpoints_take_bounded_memory():
    with proxying2(**LARGE) as (gateway, origin):
        warm = gateway.client().send(request("POST", body=b"x" * 65536))
        origin.request().respond(b"y" * 65536)
        warm.read_response()
        baseline = gateway.rss_bytes()
        origin.holds_windows = True
        body = bytes(32 << 20)
        client = gateway.client()
        client.send_in_background(request("POST", "/", body=body))
        up = origin.request()
        slow = gateway.client(receive_buffer=4096).send(request("GET", "/slow"))
        down = origin.request().head()
        sending = threading.Thread(target=lambda: down.data_until_over(body), daemon=True)
        sending.start()
        gateway.wait_until_full()
        wait_until(lambda: down.connection.protocol.local_flow_control_window(down.stream) == 0, "the slow stream's window is closed")
        assert gateway.rss_bytes() - baseline < 8 << 20
        slow.reset()
        assert down.cancelled.wait(DEADLINE)
        up.respond(status=413)
        assert client.read_response().status == 413
        assert up.cancelled.wait(DEADLINE)
        sending.join(DEADLINE)
        gateway.wait_gauges_zero()


def test_an_answer_before_the_whole_request_ends_the_stream():
    with proxying2(**LARGE) as (gateway, origin):
        origin.holds_windows = True
        client = gateway.client()
        client.send_in_background(request("POST", "/", body=MEGABYTE))
        asked = origin.request()
        asked.respond(b"enough", status=413)
        answer = client.read_response()
        assert (answer.status, answer.body) == (413, b"enough")
        assert asked.cancelled.wait(DEADLINE)
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("frame", [b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8), b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"],
                         ids=["PING", "SETTINGS"])
def test_a_flood_ends_the_connection_or_is_answered_within_bounds(frame):
    with proxying2(origin={"lax": True}, upstream_settings=NO_RETRY) as (gateway, origin):
        client = gateway.client().send(request())
        asked = origin.request()
        baseline = gateway.rss_bytes()
        connection = asked.connection
        flood = threading.Thread(target=lambda: [connection.raw(frame * 1000) for _ in range(200) if not connection.over], daemon=True)
        flood.start()
        flood.join(DEADLINE)
        assert gateway.rss_bytes() - baseline < 16 << 20
        client.close()
        gateway.wait_gauges_zero()


@contextmanager
def grpc_behind(handlers, **settings):
    """A gateway before a server of grpcio's: yields (gateway, channel)."""
    grpc = pytest.importorskip("grpc")
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Sluice(proxy_config(f"127.0.0.1:{port}", upstream_settings={"protocol": "http2", **settings})) as gateway:
            with grpc.insecure_channel(gateway.address()) as channel:
                yield gateway, channel
    finally:
        server.stop(None).wait(DEADLINE)


def test_grpc_crosses_http2_on_both_sides():
    grpc = pytest.importorskip("grpc")

    def upper(body, context):
        context.set_trailing_metadata((("x-sum", str(len(body))),))
        return body.upper()

    def count(bodies, context):
        for body in bodies:
            yield body * 2
        context.abort(grpc.StatusCode.DATA_LOSS, "that was all")

    as_they_are = {"request_deserializer": None, "response_serializer": None}
    handlers = {"Upper": grpc.unary_unary_rpc_method_handler(upper, **as_they_are),
                "Count": grpc.stream_stream_rpc_method_handler(count, **as_they_are)}
    with grpc_behind(handlers) as (_, channel):
        answer, call = channel.unary_unary("/test.Test/Upper").with_call(b"hello", timeout=DEADLINE)
        assert answer == b"HELLO"
        assert ("x-sum", "5") in [tuple(each) for each in call.trailing_metadata()]
        received = []
        with pytest.raises(grpc.RpcError) as failure:
            for piece in channel.stream_stream("/test.Test/Count")(iter([b"a" * 100_000] * 20), timeout=DEADLINE):
                received.append(piece)
        assert received == [b"a" * 200_000] * 20
        assert failure.value.code() is grpc.StatusCode.DATA_LOSS
        assert failure.value.details() == "that was all"


def test_a_server_of_grpc_does_not_take_our_pings_for_abuse():
    grpc = pytest.importorskip("grpc")
    answers = threading.Event()

    def wait(body, _):
        answers.wait(DEADLINE)
        return body

    with grpc_behind({"Wait": grpc.unary_unary_rpc_method_handler(wait)}, **pinging(0.4)) as (gateway, channel):
        with pytest.raises(grpc.RpcError) as failure:  # it would end the connection with the fourth PING
            channel.unary_unary("/test.Test/Wait")(b"hello", timeout=DEADLINE / 3)
        answers.set()
        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert gateway.metrics().total(OPENED) == 1
        assert gateway.metrics().total(CLOSED) == 0
