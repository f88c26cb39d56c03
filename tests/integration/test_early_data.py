"""TLS 1.3 early data (0-RTT) with clients: what is served before the handshake is over, what has to wait, and that nothing is lost."""

import ctypes
import hashlib
import itertools
import json
import subprocess
import threading

import pytest

from harness import (DEADLINE, Authority, EarlyContext, End, Http2Client, RawClient, answering, assert_problem, greeting, milliseconds, proxying,
                     request, response, sluice, wait_until)
from harness.early_data import libssl, pointer
from harness.http2 import PREFACE, data, head, headers, settings

RESULTS = "sluice_tls_early_data_total"
CLOSED = "sluice_downstream_connections_closed_total"
HANDSHAKE = milliseconds(1000)  # for what must be done within it


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:a.test", "DNS:b.test")


def serving(server, script=None, tls=None, listener=None, **rest):
    section = {"certificates": [{"cert_file": server[0], "key_file": server[1]}], "early_data": True, **(tls or {})}
    return proxying(script or greeting("hello"), listener={"tls": section, **(listener or {})}, **rest)


def connect(gateway, session=None, http2=False, name="a.test", **options):
    kind = Http2Client if http2 else RawClient
    client = kind(gateway.address(), tls=EarlyContext(session), server_name=name, **options)
    gateway.clients.append(client)
    return client


def visit(gateway, http2=False, path="/first", **options):
    """A first request, and the session that it brings."""
    with connect(gateway, http2=http2, **options) as client:
        assert client.get(path).status == 200
        return client.socket.session


def slow_until(go_on):
    """A script: /slow is answered when `go_on` is set, everything else at once."""

    def answer(message):
        assert message.target != "/slow" or go_on.wait(DEADLINE)
        return response(b"hello")

    return answering(answer)


def results(gateway):
    metrics = gateway.metrics()
    return {result: metrics.total(RESULTS, result=result) for result in ("accepted", "rejected")}


def frames(*requests):
    """What a client of HTTP/2 begins with, requests on streams 1, 3, 5..."""
    return PREFACE + settings({}) + b"".join(headers(number, head(*each[:2], scheme="https", authority="a.test"), *each[2:])
                                             for number, each in zip(itertools.count(1, 2), requests))


# --- what is served early ---

def test_a_safe_request_is_answered_before_the_client_ends_the_handshake(server):
    with serving(server, access_log={"format": "{path} {early_data} {reason}"}) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/early", host="a.test"))
            assert client.read_response().body == b"hello"
            client.socket.finish()
            assert client.socket.early_data == "accepted"
            assert client.get("/late").body == b"hello"
            assert client.ask("POST", "/late", body=b"x").status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests] == [
            ("/first", None), ("/early", "1"), ("/late", None), ("/late", None)]
        assert results(gateway) == {"accepted": 1, "rejected": 0}
        assert gateway.metrics().total("sluice_tls_handshakes_total", session="resumed") == 1
        gateway.wait_gauges_zero()
        wait_until(lambda: gateway.log_path.read_text().splitlines() == [
            "/first false none", "/early true none", "/late false none", "/late false none"], "four lines in the log")


def test_over_http2_too(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway, http2=True)
        with connect(gateway, session, http2=True) as client:
            streams = [client.begin("GET", "/early"), client.begin("HEAD", "/early"), client.begin("OPTIONS", "/early")]
            assert [client.wait(stream).status for stream in streams] == [200, 200, 200]
            assert bytes(client.answer(streams[0]).body) == b"hello"
            client.socket.finish()
            assert client.socket.early_data == "accepted"
            assert client.ask("POST", "/late", body=b"x").status == 200
        assert sorted((each.method, each.target, each.get("early-data")) for each in origin.requests) == [
            ("GET", "/early", "1"), ("GET", "/first", None), ("HEAD", "/early", "1"), ("OPTIONS", "/early", "1"), ("POST", "/late", None)]
        assert results(gateway) == {"accepted": 1, "rejected": 0}


@pytest.mark.parametrize("http2", [False, True])
def test_openssl_sends_a_file_and_gets_its_answer(server, tmp_path, http2):
    with serving(server) as (gateway, origin):
        common = ["openssl", "s_client", "-connect", gateway.address(), "-servername", "a.test", "-alpn", "h2" if http2 else "http/1.1"]
        session, early = tmp_path / "session", tmp_path / "early"
        with open(session, "wb"):
            first = subprocess.Popen([*common, "-sess_out", session, "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL)
        with first:
            first.stdin.write(frames(("GET", "/first")) if http2 else request("GET", "/first", {"Connection": "close"}))
            first.stdin.flush()
            while b"hello" not in (line := first.stdout.read1()):
                assert line
            first.kill()
        early.write_bytes(frames(("GET", "/early")) if http2 else request("GET", "/early", {"Connection": "close"}))
        again = subprocess.Popen([*common, "-sess_in", session, "-early_data", early], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        with again:
            text = b""
            while b"hello" not in text or b"Early data was" not in text:
                assert (some := again.stdout.read1())
                text += some
            again.kill()
        assert b"Early data was accepted" in text
        assert [(each.target, each.get("early-data")) for each in origin.requests] == [("/first", None), ("/early", "1")]


def test_what_a_client_says_of_early_data_is_passed_on_and_never_doubled(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/both", {"Early-Data": "1"}, host="a.test"))
            client.read_response()
            client.send(request("GET", "/named", {"Connection": "Early-Data, X-Hop", "Early-Data": "1", "X-Hop": "1"}, host="a.test"))
            client.read_response()
            client.socket.finish()
            client.get("/late", {"Early-Data": "1", "Connection": "early-data"})
        assert [(each.target, each.all("early-data"), each.get("x-hop")) for each in origin.requests[1:]] == [
            ("/both", ["1"], None), ("/named", ["1"], None), ("/late", ["1"], None)]


# --- what has to wait ---

REFUSED = {
    "a method that is not safe": request("POST", "/x", body=b""),
    "a body": request("GET", "/x", body=b"body"),
    "a body and a method": request("PUT", "/x", body=b"b" * 3000),
    "an upgrade": request("GET", "/x", {"Connection": "upgrade", "Upgrade": "websocket"}),
    "a safe method with side effects in practice": request("PROPFIND", "/x"),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_may_do_harm_if_repeated_is_425_and_the_connection_goes_on(server, refused):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(refused, request("GET", "/early", host="a.test"))
            assert_problem(client.read_response(), 425, "too_early")
            assert client.read_response().body == b"hello"
            client.socket.finish()
            client.send(refused)
            assert client.read_response().body == b"hello"
        assert [each.get("early-data") for each in origin.requests] == [None, "1", None]
        assert gateway.metrics().total("sluice_request_failures_total", reason="too_early") == 1
        assert gateway.logged(reason="too_early")["status"] == 425
        gateway.wait_gauges_zero()


def test_over_http2_it_is_425_too(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway, http2=True)
        with connect(gateway, session, http2=True) as client:
            post, get, body = client.begin("POST", "/x"), client.begin("GET", "/y"), client.begin("GET", "/z", end_stream=False)
            client.send(data(body, b"body", end_stream=True))
            upgrade = client.open()
            client.send(headers(upgrade, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/w"),
                                          (":authority", "a.test")], end_stream=False))
            for stream, status in [(post, 425), (get, 200), (body, 425), (upgrade, 425)]:
                assert client.wait(stream).status == status
            assert json.loads(client.answer(post).body)["reason"] == "too_early"
            client.socket.finish()
            assert client.ask("POST", "/again").status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests] == [("/first", None), ("/y", "1"), ("/again", None)]


def test_a_body_that_comes_behind_the_handshake_belongs_to_the_refused_request(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            post = request("POST", "/x", body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            client.send(post[:-20])
            assert_problem(client.read_response(), 425, "too_early")
            client.socket.finish()
            client.send(post[-20:], post)
            assert client.read_response().status == 200
        assert origin.targets == ["/first", "/x"]


def test_an_endpoint_that_finds_it_too_early_is_heard_by_the_client(server):
    def script(message):
        return response(b"later", 425 if message.get("early-data") else 200)

    retry = {"attempts": 3, "on": ["reset", 500, 503], "budget": "100%"}
    with serving(server, answering(script), upstream_settings={"retry": retry}) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/early", host="a.test"))
            answer = client.read_response()
            assert (answer.status, answer.body) == (425, b"later")
            client.socket.finish()
            assert client.get("/early").status == 200
        assert origin.targets == ["/first", "/early", "/early"]


# --- heads that are cut, and clients that stop ---

@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_head_of_which_some_came_early_is_early(server, cut):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/cut", host="a.test")[:cut])
            client.socket.finish()
            client.send(request("GET", "/cut", host="a.test")[cut:], request("GET", "/next", host="a.test"))
            assert [client.read_response().body for _ in range(2)] == [b"hello", b"hello"]
        with connect(gateway, session) as client:
            client.send(request("POST", "/cut", body=b"x")[:cut if cut > 0 else -2])
            client.socket.finish()
            client.send(request("POST", "/cut", body=b"x")[cut if cut > 0 else -2:])
            assert_problem(client.read_response(), 425, "too_early")
            assert client.ask("POST", "/again", body=b"x").status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests] == [
            ("/first", None), ("/cut", "1"), ("/next", None), ("/again", None)]


@pytest.mark.parametrize("early", ["\r", "\r\n"])
def test_an_empty_line_before_a_head_makes_nothing_early(server, early):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(early)
            client.socket.finish()
            client.send("\r\n"[len(early):], request("POST", "/late", body=b"x"))
            assert client.read_response().status == 200
        assert origin.requests[1].get("early-data") is None


def test_a_header_block_of_which_some_came_early_is_early(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway, http2=True)
        with connect(gateway, session, http2=True) as client:
            post = headers(client.open(), head("POST", "/cut", scheme="https"))
            client.send(post[:-1])
            client.socket.finish()
            client.send(post[-1:])
            assert client.wait(1).status == 425
            assert client.ask("POST", "/again").status == 200
        with connect(gateway, session, http2=True) as client:
            get = headers(client.open(), head("GET", "/cut", scheme="https"))
            client.send(get[:12])
            client.socket.finish()
            client.send(get[12:])
            assert client.wait(1).status == 200
            assert client.get("/next").status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests] == [
            ("/first", None), ("/again", None), ("/cut", "1"), ("/next", None)]


def test_pipelined_requests_are_early_as_far_as_they_came_so(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway)
        requests = [request("GET", f"/{number}", host="a.test") for number in range(6)]
        with connect(gateway, session) as client:
            client.send(b"".join(requests[:3]) + requests[3][:10])
            client.socket.finish()
            client.send(requests[3][10:] + b"".join(requests[4:]))
            for _ in requests:
                assert client.read_response().status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests[1:]] == [
            ("/0", "1"), ("/1", "1"), ("/2", "1"), ("/3", "1"), ("/4", None), ("/5", None)]


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_stops_behind_its_early_data_has_the_handshakes_time(server, http2):
    with serving(server, listener={"timeouts": {"tls_handshake": HANDSHAKE}}) as (gateway, origin):
        session = visit(gateway, http2=http2)
        with connect(gateway, session, http2=http2) as client:
            if http2:
                assert client.get("/early").status == 200
            else:
                client.send(request("GET", "/early", host="a.test"))
                assert client.read_response().status == 200
            gateway.wait_for_metric(CLOSED, 1, reason="tls_handshake_timeout")
        assert len(origin.requests) == 2
        gateway.wait_gauges_zero()


def test_one_that_ends_the_handshake_in_time_is_not_bound_by_it_any_more(server):
    """Neither is one whose Finished comes in the same segment as its last early data."""
    with serving(server, listener={"timeouts": {"tls_handshake": HANDSHAKE, "idle": "1s"}}) as (gateway, _):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/early", host="a.test"))
            assert client.read_response().status == 200
            client.socket.finish()
            gateway.wait_for_metric(CLOSED, 2)
            assert gateway.metrics().total(CLOSED, reason="idle_timeout") == 1


def test_early_requests_may_wait_for_their_turn_longer_than_a_handshake_may_take(server):
    go_on = threading.Event()

    with serving(server, slow_until(go_on), listener={"timeouts": {"tls_handshake": HANDSHAKE}}) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client, connect(gateway, session) as other:
            client.send(request("GET", "/slow", host="a.test") + request("GET", "/behind", host="a.test"))
            wait_until(lambda: len(origin.requests) == 2, "the early request is at the origin")
            client.socket.finish()
            other.send("GET")
            gateway.wait_for_metric(CLOSED, 1, reason="tls_handshake_timeout")
            go_on.set()
            assert [client.read_response().body for _ in range(2)] == [b"hello", b"hello"]
            assert client.get("/late").status == 200
        assert [(each.target, each.get("early-data")) for each in origin.requests[1:]] == [
            ("/slow", "1"), ("/behind", "1"), ("/late", None)]


@pytest.mark.parametrize("early", [b"GET / HT", request("GET", "/hangs", host="a.test")])
def test_a_client_that_goes_away_before_the_handshake_is_over_leaves_nothing(server, early):
    def script(connection):
        while connection.read_request().target == "/first":
            connection.send(response(b"hello"))
        connection.wait_closed()

    with serving(server, script) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(early)
            expected = 2 if b"/hangs" in early else 1
            wait_until(lambda: len(origin.requests) == expected, "the early request is at the origin")
        gateway.wait_for_metric(CLOSED, 1, reason="tls_closed")
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("http2", [False, True])
def test_an_early_request_may_outlive_its_client(server, http2):
    go_on = threading.Event()

    def answer(message):
        if message.target == "/first":
            return response(b"hello")
        assert go_on.wait(DEADLINE)
        return response(b"hello", headers=[("X-Session-Create", "alice")])

    with serving(server, answering(answer), plugins={"session": {"module": "session", "config": {"outlive_client": True}}},
                 stores={"default": {"type": "memory"}}, route={"plugins": ["session"]}) as (gateway, origin):
        session = visit(gateway, http2=http2)
        with connect(gateway, session, http2=http2) as client:
            client.begin("GET", "/create") if http2 else client.send(request("GET", "/create", host="a.test"))
            wait_until(lambda: len(origin.requests) == 2, "the early request is at the origin")
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="lost")
        go_on.set()
        gateway.wait_for_metric("sluice_plugin_events_total", 1, plugin="session", event="created")
        gateway.wait_for_metric("sluice_downstream_connections", 0)


def test_an_early_request_may_ask_for_the_connections_end(server):
    with serving(server) as (gateway, _):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/early", {"Connection": "close"}, host="a.test"))
            assert client.read_response().body == b"hello"
            assert client.wait_closed() is End.eof
            client.socket.finish()
            assert client.send_if_open("its own end finds an open socket")
        gateway.wait_gauges_zero()


# --- large answers, and changes meanwhile ---

@pytest.mark.parametrize("http2", [False, True])
def test_a_large_answer_is_whole_however_the_client_reads(server, http2):
    """The handshake ends while the answer has no room: its time is over by when the client reads on."""
    body = hashlib.shake_256(b"large").digest(8 << 20)
    with serving(server, answering(lambda message: response(body if message.target == "/large" else b"hello")),
                 listener={"timeouts": {"tls_handshake": HANDSHAKE}}) as (gateway, origin):
        session = visit(gateway, http2=http2)
        with connect(gateway, session, http2=http2, receive_buffer=4096) as client:
            if http2:
                stream = client.begin("GET", "/large")
                client.receive_frame()
            else:
                client.send(request("GET", "/large", host="a.test"))
            wait_until(lambda: len(origin.requests) == 2, "the early request is at the origin")
            client.socket.finish()
            with connect(gateway, session, http2=http2) as other:
                other.send("GET")
                gateway.wait_for_metric(CLOSED, 1, reason="tls_handshake_timeout")
            answer = client.wait(stream) if http2 else client.read_response()
            assert answer.status == 200 and bytes(answer.body) == body
            assert client.get("/late").status == 200
        gateway.wait_gauges_zero()


def test_a_large_answer_goes_out_before_the_handshake_is_over(server):
    body = hashlib.shake_256(b"large").digest(1 << 20)
    with serving(server, answering(lambda message: response(body))) as (gateway, _):
        session = visit(gateway)
        with connect(gateway, session, receive_buffer=4096) as client:
            client.send(request("GET", "/large", host="a.test"))
            assert client.read_response().body == body
            client.socket.finish()
            assert client.get("/late").body == body


@pytest.mark.parametrize("allowed", [True, False])
def test_a_reload_while_an_early_request_runs_disturbs_nobody(server, allowed):
    go_on = threading.Event()

    with serving(server, slow_until(go_on)) as (gateway, origin):
        session = visit(gateway)
        with connect(gateway, session) as client:
            client.send(request("GET", "/slow", host="a.test"))
            wait_until(lambda: len(origin.requests) == 2, "the early request is at the origin")
            gateway.reload(listeners={"public": {"tls": {"early_data": allowed}}}, process={"shutdown_grace": "9s"})
            go_on.set()
            assert client.read_response().body == b"hello"
            client.socket.finish()
            assert client.ask("POST", "/late", body=b"x").status == 200
        assert [each.get("early-data") for each in origin.requests] == [None, "1", None]


# --- early data that is not accepted ---

def assert_sent_again(gateway, origin, session, http2=False):
    """What is rejected was not looked at, and comes again behind the handshake."""
    before = len(origin.requests)
    with connect(gateway, session, http2=http2) as client:
        if http2:
            again = PREFACE + settings({}) + headers(client.open(), head("POST", "/again", scheme="https"))
            client.send(again[len(PREFACE + settings({})):])
        else:
            again = request("POST", "/again", body=b"x", host="a.test")
            client.send(again)
        client.socket.finish()
        assert client.socket.early_data == "rejected"
        client.send(again)
        answer = client.wait(1) if http2 else client.read_response()
        assert answer.status == 200
        assert client.get("/next").status == 200
    assert [(each.target, each.get("early-data")) for each in origin.requests[before:]] == [("/again", None), ("/next", None)]
    assert results(gateway) == {"accepted": 0, "rejected": 1}


@pytest.mark.parametrize("http2", [False, True])
def test_switched_off_it_is_rejected_and_comes_again(server, http2):
    with serving(server) as (gateway, origin):
        session = visit(gateway, http2=http2)
        gateway.reload(listeners={"public": {"tls": {"early_data": None}}})
        assert_sent_again(gateway, origin, session, http2)


def test_a_session_from_before_it_was_allowed_has_none(server):
    with serving(server, tls={"early_data": False}) as (gateway, origin):
        session = visit(gateway)
        gateway.reload(listeners={"public": {"tls": {"early_data": True}}})
        assert libssl.SSL_SESSION_get_max_early_data(pointer(session)) == 0
        with connect(gateway, visit(gateway)) as client:
            client.send(request("GET", "/early", host="a.test"))
            assert client.read_response().status == 200
        assert [each.get("early-data") for each in origin.requests] == [None, None, "1"]


@pytest.mark.parametrize("http2", [False, True])
def test_a_ticket_of_a_key_that_is_gone_is_rejected(server, tmp_path, http2):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(hashlib.shake_256(name.encode()).digest(80))
    with serving(server, tls={"ticket_key_files": [str(tmp_path / "one")]}) as (gateway, origin):
        session = visit(gateway, http2=http2)
        gateway.reload(listeners={"public": {"tls": {"ticket_key_files": [str(tmp_path / "two"), str(tmp_path / "one")]}}})
        with connect(gateway, session, http2=http2) as client:  # it may still be used, though it does not seal any more
            if http2:
                assert client.get("/early").status == 200
            else:
                client.send(request("GET", "/early", host="a.test"))
                assert client.read_response().status == 200
        assert results(gateway) == {"accepted": 1, "rejected": 0}
        gateway.reload(listeners={"public": {"tls": {"ticket_key_files": [str(tmp_path / "two")]}}})
        before = len(origin.requests)
        with connect(gateway, session, http2=http2) as client:
            client.send("GET /not-looked-at")
            client.socket.finish()
            assert client.socket.early_data == "rejected"
            client.send(frames(("POST", "/again")) if http2 else request("POST", "/again", host="a.test"))
            assert (client.wait(1) if http2 else client.read_response()).status == 200
        assert [each.target for each in origin.requests[before:]] == ["/again"]
        assert results(gateway) == {"accepted": 1, "rejected": 1}


def test_early_data_for_another_protocol_than_the_sessions_is_rejected(server):
    with serving(server) as (gateway, origin):
        session = visit(gateway, http2=True)
        libssl.SSL_SESSION_set1_alpn_selected(pointer(session), None, ctypes.c_size_t(0))  # OpenSSL's client would not do it knowingly
        assert_sent_again(gateway, origin, session)


def test_gateways_with_the_same_ticket_keys_take_each_others_early_data(server, tmp_path):
    (tmp_path / "key").write_bytes(hashlib.shake_256(b"key").digest(80))
    tls = {"ticket_key_files": [str(tmp_path / "key")]}
    with serving(server, tls=tls) as (one, _), serving(server, tls=tls) as (two, origin):
        session = visit(one)
        with connect(two, session) as client:
            client.send(request("GET", "/early", host="a.test"))
            assert client.read_response().status == 200
        assert [each.get("early-data") for each in origin.requests] == ["1"]


@pytest.mark.workers
def test_any_worker_takes_it(server):
    with serving(server, process={"workers": 4}) as (gateway, origin):
        session = visit(gateway)
        for _ in range(20):
            with connect(gateway, session) as client:
                client.send(request("GET", "/early", host="a.test"))
                assert client.read_response().status == 200
                client.socket.finish()
                assert client.get("/late").status == 200
        assert results(gateway) == {"accepted": 20, "rejected": 0}
        assert [each.get("early-data") for each in origin.requests] == [None] + ["1", None] * 20
        gateway.wait_gauges_zero()


# --- configuration ---

def test_what_does_not_go_with_it_is_told(server, tmp_path):
    def errors(tls, route=None):
        config = {"version": 1, "listeners": {"a": {"address": "127.0.0.1:1", "tls": {
            "certificates": [{"cert_file": server[0], "key_file": server[1]}], **tls}}},
            "upstreams": {"u": {"endpoints": ["127.0.0.1:1"], **(route or {})}},
            "routes": [{"name": "r", "match": {"path": "/"}, "upstream": "u"}]}
        (tmp_path / "c.yaml").write_text(json.dumps(config))
        done = sluice("check", "--config", tmp_path / "c.yaml")
        return done.returncode, done.stderr + done.stdout

    for tls, wanted in [
        ({"early_data": True, "session_tickets": False}, "early_data: it needs session_tickets"),
        ({"early_data": True, "client_ca_file": server[0]}, "early_data: not with client_ca_file"),
        ({"early_data": True, "client_ca_file": server[0], "client_certificate": "optional"}, "early_data: not with client_ca_file"),
        ({"early_data": True, "max_version": "1.2"}, "early_data: it needs TLS 1.3"),
        ({"early_date": True}, 'did you mean "early_data"?'),
        ({"early_data": 1}, "early_data"),
    ]:
        code, text = errors(tls)
        assert code != 0 and wanted in text and "c.yaml:1:" in text, (tls, text)
    assert errors({"early_data": True})[0] == 0
    code, text = errors({}, {"retry": {"attempts": 1, "on": [425]}})
    assert code != 0 and "425" in text
