"""HTTP/2 with clients: what passes both ways, what limits and timeouts mean for a stream, and how connections end."""

import gzip
import hashlib
import json
import ssl
import subprocess
import time

import pytest

from harness import (CHUNKED, DEADLINE, OK, SLOW, Authority, End, RawClient, answering, assert_problem, chunked, echo, milliseconds, proxying,
                     request, response, wait_until)
from harness.http2 import (PREFACE, Code, Flag, Frame, Http2Client, Setting, block, data, frame, goaway, head, headers, rst_stream, settings,
                           window_update)

def routes(**action):
    return [{"name": "all", "match": {"path": "/{rest...}"}, **action}]


RESPOND = routes(respond={"status": 200, "body": "here"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls")).issue("server", "DNS:a.test")


def tls_section(certificate):
    return {"certificates": [{"cert_file": certificate[0], "key_file": certificate[1]}]}


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def body_of(count):
    return hashlib.shake_256(b"sluice").digest(count)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=DEADLINE, check=True, **options).stdout


def closed(gateway, reason):
    return gateway.metrics().total("sluice_downstream_connections_closed_total", reason=reason)


# --- requests and answers ---

def test_a_request_and_its_answer():
    with proxying(answering(response(b"hello", headers=[("X-Upper", "Yes"), ("Connection", "keep-alive"), ("Keep-Alive", "x")]))) as (gateway, origin):
        client = gateway.http2()
        answer = client.ask("POST", "/a?b", [("x-one", "1"), ("te", "trailers")], b"body")
        assert (answer.status, answer.body, answer.complete) == (200, b"hello", True)
        assert answer.get("x-upper") == "Yes" and answer.get("content-length") == "5"
        [seen] = origin.requests
        assert (seen.first_line, seen.get("host"), seen.body) == ("POST /a?b HTTP/1.1", "test.local", b"body")
        assert seen.chunked and seen.get("x-one") == "1"
        [line] = gateway.access_log()
        assert (line["protocol"], line["status"], line["method"]) == ("HTTP/2", 200, "POST")
        gateway.wait_gauges_zero()


def test_curl_and_nghttp_over_tls_and_in_the_clear(certificate):
    body = body_of(3_000_000)
    for tls in (True, False):
        with proxying(answering(echo), listener={"tls": tls_section(certificate)} if tls else {}) as (gateway, _):
            url = f"{'https' if tls else 'http'}://{gateway.address()}/x"
            how = ["--http2", "-k"] if tls else ["--http2-prior-knowledge"]
            assert run("curl", "-sS", *how, "--data-binary", "@-", "-w", "%{http_version}", url, input=body) == body + b"2"
            path = gateway.directory / "body"
            path.write_bytes(body)
            assert run("nghttp", "--no-verify-peer" if tls else "--no-dep", "-d", path, url) == body
            report = run("h2load", "-n", 200, "-c", 4, "-m", 20, url).decode()
            assert "200 succeeded, 0 failed" in report, report
            gateway.wait_gauges_zero()


def test_a_client_that_prefers_http_1_gets_it(certificate):
    with proxying(answering(echo), listener={"tls": tls_section(certificate)}) as (gateway, _):
        context = trusting()
        context.set_alpn_protocols(["http/1.1"])
        with gateway.client(tls=context) as client:
            assert client.socket.selected_alpn_protocol() == "http/1.1"
            assert client.get("/").status == 200


def test_where_http2_is_off_nobody_gets_it(certificate):
    with proxying(listener={"http2": False, "tls": tls_section(certificate)}) as (gateway, origin):
        context = trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        assert gateway.client(tls=context).socket.selected_alpn_protocol() == "http/1.1"
    with proxying(listener={"http2": False}) as (gateway, origin):
        problem = assert_problem(gateway.client().send(PREFACE + settings({})).read_response(), 505, "bad_version")
        assert "listeners.<name>.http2" in problem["detail"]
        assert not origin.connections


@pytest.mark.parametrize("at", [1, 3, 10, 23])
def test_the_preface_may_come_in_two_pieces(at):
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2(greets=False)
        client.send(PREFACE[:at])
        gateway.wait_for_metric("sluice_downstream_received_bytes_total", at)
        client.send(PREFACE[at:] + settings({}))
        assert client.get("/").body == b"here"


def test_many_streams_at_once_each_get_their_own():
    with proxying(answering(lambda seen: response(seen.body * 3))) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 100_000})
        streams = {client.begin("POST", "/", end_stream=False): body_of(5000 + number) for number in range(100)}
        for stream, body in streams.items():
            client.send_data(stream, body)
        for stream, body in streams.items():
            assert client.wait(stream).body == body * 3
        gateway.wait_gauges_zero()


def test_ten_thousand_requests_one_after_the_other_are_no_flood():
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2()
        for _ in range(100):
            streams = [client.begin() for _ in range(100)]
            assert all(client.wait(stream).status == 200 for stream in streams)
            client.answers.clear()


@pytest.mark.parametrize("method,answered", [
    ("HEAD", response(b"", headers=[("Content-Length", 9)], framed=False)),
    ("GET", response(b"", 204, framed=False)),
    ("GET", response(b"", 304, headers=[("Content-Length", 9)], framed=False)),
    ("GET", response(b"")),
])
def test_answers_without_a_body(method, answered):
    with proxying(answering(answered)) as (gateway, _):
        client = gateway.http2()
        answer = client.ask(method)
        assert answer.complete and answer.body == b""
        assert client.ask(method).complete
        gateway.wait_gauges_zero()


def test_trailers_pass_both_ways():
    with proxying(answering(response(headers=CHUNKED, framed=False) + chunked(b"abc", trailers=[("X-Sum", "9")]))) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.send(data(stream, b"up"), headers(stream, [("x-check", "7")]))
        answer = client.wait(stream)
        assert (answer.body, answer.trailers) == (b"abc", [("x-sum", "9")])
        assert (origin.requests[0].body, origin.requests[0].trailers) == (b"up", [("x-check", "7")])


def test_interim_answers_pass():
    with proxying() as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", fields=[("expect", "100-continue"), ("content-length", "4")], end_stream=False)
        connection = origin.accept()
        assert connection.read_request_head().get("expect") == "100-continue"
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        client.wait_for(lambda: len(client.answer(stream).interim) == 2)
        client.send_data(stream, b"body")
        assert connection.read_exactly(4) == b"body"
        connection.send(OK)
        answer = client.wait(stream)
        assert answer.interim == [(103, [("link", "</a>")]), (100, [])] and answer.body == b"ok"


def test_cookies_are_joined_and_the_length_of_a_body_is_passed_on():
    with proxying(answering(OK)) as (gateway, origin):
        client = gateway.http2()
        client.ask("POST", "/", [("cookie", "a=1"), ("x-between", "-"), ("cookie", "b=2"), ("content-length", "3")], b"abc")
        [seen] = origin.requests
        assert seen.get("cookie") == "a=1; b=2"
        assert seen.get("content-length") == "3" and not seen.chunked and seen.body == b"abc"


def test_an_answer_that_breaks_off_is_reset_and_the_connection_lives():
    def cut(connection):
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with proxying(cut) as (gateway, _):
        client = gateway.http2()
        answer = client.get("/")
        assert (answer.status, answer.body, answer.reset) == (200, b"half", Code.INTERNAL_ERROR)
        assert gateway.logged(reason="upstream_truncated")
        client.ping()


def test_static_files(tmp_path):
    content = body_of(2_000_000)
    (tmp_path / "file").write_bytes(content)
    with proxying(routes=routes(static={"root": str(tmp_path)})) as (gateway, _):
        client = gateway.http2()
        assert client.get("/file").body == content
        part = client.get("/file", [("range", "bytes=5-104")])
        assert (part.status, part.body) == (206, content[5:105])
        whole = client.ask("HEAD", "/file")
        assert whole.complete and whole.get("content-length") == str(len(content))
        assert_problem(client.get("/none"), 404, "file_not_found")


# --- limits ---

@pytest.mark.parametrize("limits,fields,path,status,reason", [
    ({"header_bytes": "4KiB", "request_line": "1KiB"}, [("x-long", "a" * 5000)], "/", 431, "header_too_large"),
    ({"headers": 10}, [(f"x-{n}", "1") for n in range(11)], "/", 431, "too_many_headers"),
    ({"request_line": "1KiB"}, [], "/" + "a" * 2000, 414, "request_line_too_long"),
    ({"body": "10B"}, [("content-length", "11")], "/", 413, "body_too_large"),
], ids=["bytes", "fields", "path", "body"])
def test_limits_of_a_request(limits, fields, path, status, reason):
    with proxying(listener={"limits": limits}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", path, fields, end_stream=False)
        assert_problem(client.wait(stream), status, reason)
        client.ping()
        assert not origin.connections


def in_continuations(stream, fields):
    """A HEADERS frame and as many CONTINUATIONs as its block needs."""
    whole = block(fields)
    pieces = [whole[at:at + 16384] for at in range(0, len(whole), 16384)]
    frames = [headers(stream, pieces[0], end_headers=len(pieces) == 1)]
    for number, piece in enumerate(pieces[1:], 2):
        frames.append(frame(Frame.CONTINUATION, Flag.END_HEADERS if number == len(pieces) else 0, stream, piece))
    return b"".join(frames)


@pytest.mark.parametrize("fields", [
    [("x-long", "a" * 65_000)],
    [(f"x-{n}", "a" * 7000) for n in range(10)],
    [("cookie", "a" * 6000)] * 12,
], ids=["one field", "ten fields", "cookies"])
def test_a_head_of_more_than_64_kib_is_refused_with_a_status(fields):
    with proxying() as (gateway, origin):
        client = gateway.http2()
        for _ in range(3):
            stream = client.open()
            client.send(in_continuations(stream, head("GET", "/" + "b" * 1000, fields)))
            assert_problem(client.wait(stream), 431, "header_too_large")
        asked = client.begin()
        origin.answer(OK)
        assert client.wait(asked).body == b"ok"
        assert gateway.logged(status=431)["reason"] == "header_too_large"


def test_a_field_of_more_than_64_kib_ends_the_connection():
    """nghttp2 unpacks no longer one (its NGHTTP2_HD_MAX_NV), and who has not read a block cannot read the next."""
    with proxying() as (gateway, origin):
        client = gateway.http2()
        client.send(in_continuations(client.open(), head(headers=[("x-long", "a" * 66_000)])))
        assert client.read_goaway() == Code.COMPRESSION_ERROR
        client.close()
        wait_until(lambda: closed(gateway, "http2_error") == 1, "the close is counted")
        assert not origin.connections


def test_a_body_of_unknown_length_that_grows_too_long():
    with proxying(listener={"limits": {"body": "10B"}}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.send(data(stream, b"a" * 11))
        assert_problem(client.wait(stream), 413, "body_too_large")
        client.wait_for(lambda: client.answers[stream].reset == Code.NO_ERROR)
        client.ping()


@pytest.mark.parametrize("ends", ["limit", "drain"])
def test_a_413_arrives_whole_on_a_connection_that_ends_with_it(ends):
    limits = {"body": "10B", **({"requests_per_connection": 1} if ends == "limit" else {})}
    with proxying(listener={"limits": limits}, process={"shutdown_grace": "3s"}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        if ends == "drain":
            origin.accept().read_request_head()
            gateway.admin("/drain", "POST")
        client.wait_for(lambda: client.goaways)
        client.send(data(stream, b"a" * 11))
        assert client.read_goaway() == Code.NO_ERROR
        assert_problem(client.answers[stream], 413, "body_too_large")
        assert client.answers[stream].complete and client.answers[stream].reset == Code.NO_ERROR
        assert client.goaways[-1] == (stream, Code.NO_ERROR)
        assert gateway.logged(status=413)["reason"] == "body_too_large"
        gateway.wait_gauges_zero()


def test_more_streams_than_allowed_are_refused():
    with proxying(listener={"limits": {"http2_streams": 2}}) as (gateway, origin):
        client = gateway.http2()
        first, second, third = (client.begin() for _ in range(3))
        assert client.wait(third).reset == Code.REFUSED_STREAM
        connections = [origin.accept() for _ in range(2)]
        for connection in connections:  # before one is answered, and given to the other
            connection.read_request()
        for connection in connections:
            connection.send(OK)
        assert client.wait(first).body == client.wait(second).body == b"ok"
        assert client.settings[Setting.MAX_CONCURRENT_STREAMS] == 2


def test_the_limit_of_requests_loses_none():
    with proxying(routes=RESPOND, listener={"limits": {"requests_per_connection": 3}}) as (gateway, _):
        client = gateway.http2()
        streams = [client.begin() for _ in range(5)]
        assert all(client.wait(stream).status == 200 for stream in streams)
        assert client.read_goaway() == Code.NO_ERROR
        assert client.goaways == [(2**31 - 1, 0), (streams[-1], 0)]
        wait_until(lambda: closed(gateway, "requests_limit") == 1, "the close is counted")


# --- timeouts ---

@pytest.mark.parametrize("idle", [milliseconds(200), "60s"])
def test_who_says_nothing_behind_the_preface_is_idle(idle):
    """And has as long for the first request as in HTTP/1.1 (timeouts.request_header)."""
    with proxying(listener={"timeouts": {"idle": idle, "request_header": milliseconds(200)}}) as (gateway, _):
        assert gateway.http2().read_goaway() == Code.NO_ERROR


def test_connections_that_idle_give_memory_back_and_go_on():
    """After a second of it, a page of 4 KiB each."""
    with proxying(routes=RESPOND) as (gateway, _):
        clients = [gateway.http2() for _ in range(500)]
        for client in clients:
            assert client.get("/").body == b"here"
        full = gateway.rss_bytes()
        wait_until(lambda: gateway.rss_bytes() < full - 400 * 4096, "pages are given back")
        for client in clients:
            assert client.get("/").body == b"here"


def test_an_idle_connection_ends_when_its_time_is_over_and_not_when_it_gives_memory_back():
    with proxying(routes=RESPOND, listener={"timeouts": {"idle": milliseconds(1500)}}) as (gateway, _):
        client = gateway.http2()
        began = time.monotonic()
        assert client.get("/").status == 200
        assert client.read_goaway() == Code.NO_ERROR
        assert time.monotonic() - began >= 1.5


def test_an_idle_connection_ends_with_goaway():
    with proxying(routes=RESPOND, listener={"timeouts": {"idle": milliseconds(200)}}) as (gateway, _):
        client = gateway.http2()
        assert client.get("/").status == 200
        assert client.read_goaway() == Code.NO_ERROR
        assert client.goaways == [(1, 0)]
        wait_until(lambda: closed(gateway, "idle_timeout") == 1, "the close is counted")


def test_a_head_that_is_never_completed():
    with proxying(listener={"timeouts": {"idle": milliseconds(200), "request_header": milliseconds(200)}}) as (gateway, _):
        client = gateway.http2()
        client.send(headers(1, head(), end_headers=False))
        assert client.read_goaway() is not None


def test_a_body_that_stalls():
    with proxying(listener={"timeouts": {"request_body": milliseconds(200)}}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.send(data(stream, b"a"))
        assert_problem(client.wait(stream), 408, "request_body_timeout")
        client.ping()


def test_a_client_that_opens_no_window_is_reset_alone():
    with proxying(answering(response(b"x" * 1000)), listener={"timeouts": {"write": milliseconds(300)}}) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 0})
        stuck, other = client.begin(), client.begin()
        client.wait_for(lambda: client.answer(stuck).status and client.answer(other).status)
        client.send(window_update(other, 1000))
        assert client.wait(other).body == b"x" * 1000
        answer = client.wait(stuck)
        assert answer.reset is not None and not answer.body
        assert gateway.logged(reason="client_write_timeout")
        client.ping()


def test_a_client_that_stops_reading_its_socket_is_let_go():
    listener = {"timeouts": {"write": milliseconds(300), "idle": milliseconds(300)}}
    with proxying(answering(response(b"x" * 1_000_000)), listener=listener) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}, receive_buffer=4096)
        client.send(window_update(0, 2**31 - 1 - 65535))
        for _ in range(20):
            client.begin()
        gateway.logged(reason="client_write_timeout")
        gateway.wait_for_metric("sluice_downstream_connections", 0)


def test_a_client_that_reads_slowly_but_steadily_gets_everything():
    body = b"x" * 40
    with proxying(answering(response(body)), listener={"timeouts": {"write": milliseconds(400)}}) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 0}, gives_windows=False)
        stream = client.begin()
        client.wait_for(lambda: client.answer(stream).status)
        begin = time.monotonic()
        for count in range(1, len(body) + 1):
            pace = begin + 0.025 * count * SLOW  # a second in all, each step far below the timeout
            wait_until(lambda: time.monotonic() > pace, "the time of the next byte")  # noqa: B023 read at once
            client.send(window_update(stream, 1))
            client.wait_for(lambda: len(client.answers[stream].body) == count or client.answers[stream].over)  # noqa: B023
        assert client.answers[stream].body == body and client.answers[stream].complete


# --- flow control ---

def test_a_byte_at_a_time():
    with proxying(answering(response(b"0123456789"))) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 1})
        assert client.get("/").body == b"0123456789"


def test_windows_that_shrink_below_nothing():
    body = body_of(50_000)
    with proxying(answering(response(body))) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 20_000}, gives_windows=False)
        stream = client.begin()
        client.wait_for(lambda: len(client.answer(stream).body) == 20_000)
        client.send(settings({Setting.INITIAL_WINDOW_SIZE: 5_000}), window_update(stream, 15_000))
        client.ping()
        assert len(client.answers[stream].body) == 20_000  # the window is 0 now: -15,000 + 15,000
        client.send(window_update(stream, 1))
        client.wait_for(lambda: len(client.answers[stream].body) == 20_001)
        client.send(settings({Setting.INITIAL_WINDOW_SIZE: 60_000}))
        assert client.wait(stream).body == body


def test_a_client_without_a_header_table():
    with proxying(answering(response(b"", headers=[("X-A", "1")]))) as (gateway, _):
        client = gateway.http2(initial={Setting.HEADER_TABLE_SIZE: 0})
        client.decoder.max_allowed_table_size = 0
        for _ in range(3):
            assert client.get("/").get("x-a") == "1"


def test_padding_costs_no_window():
    with proxying(answering(response(b"ok"))) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        for _ in range(5000):  # 1.3 MB
            client.wait_for(lambda: client.window(stream) >= 252 <= client.window(0))
            client.windows[stream] -= 252
            client.windows[0] -= 252
            client.send(data(stream, b"x", padding=250))
        client.send(data(stream, end_stream=True))
        assert client.wait(stream).status == 200
        assert origin.requests[0].body == b"x" * 5000


def test_a_slow_upstream_stops_only_its_own_stream():
    def script(connection):
        seen = connection.read_request_head()
        if seen.target == "/slow":
            connection.origin.stopping.wait(DEADLINE)
            return
        connection.read_body(seen, "none")
        connection.send(response(b"%d" % len(seen.body)))
        answering(lambda again: response(b"%d" % len(again.body)))(connection)

    with proxying(script) as (gateway, _):
        client = gateway.http2()
        slow = client.begin("POST", "/slow", end_stream=False)
        sent = 0
        while client.window(slow) > 0:
            sent += (piece := min(client.window(slow), client.window(0), 16384))
            client.send_data(slow, b"x" * piece, end_stream=False)
            client.ping()
        before = gateway.rss_bytes()
        for _ in range(50):
            assert client.ask("POST", "/fast", body=b"y" * 100_000).body == b"100000"
        assert gateway.rss_bytes() - before < 4_000_000
        assert sent < 8_000_000
        client.send(rst_stream(slow))
        gateway.wait_gauges_zero()


# --- ends ---

def test_a_reset_cancels_the_request_upstream():
    with proxying() as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.send(data(stream, b"x"))
        connection = origin.accept()
        connection.read_request_head()
        client.send(rst_stream(stream))
        connection.drain()
        assert gateway.logged(reason="http2_reset")["status"] == 499
        client.ping()
        gateway.wait_gauges_zero()


def test_a_client_that_disappears_cancels_all_its_requests():
    with proxying() as (gateway, origin):
        client = gateway.http2()
        for _ in range(3):
            client.begin()
        connections = [origin.accept() for _ in range(3)]
        for connection in connections:
            connection.read_request()
        client.close()
        for connection in connections:
            connection.drain()
        gateway.wait_gauges_zero()


ONCE = {"plugins": {"once": {"module": "idempotency", "config": {}}}, "stores": {"default": {"type": "memory"}},
        "route": {"plugins": ["once"]}}


@pytest.mark.parametrize("leaving", ["reset", "reset and close", "reset and goaway", "close"])
def test_what_outlives_its_client_is_carried_out(leaving):
    with proxying(**ONCE) as (gateway, origin):
        client = gateway.http2()
        key = [("idempotency-key", "abc"), ("content-length", "4")]
        stream = client.begin("POST", fields=key, end_stream=False)
        client.send(data(stream, b"body", end_stream=True))
        connection = origin.accept()
        connection.read_request()
        if leaving != "close":
            client.send(rst_stream(stream))
            client.ping()
        if leaving == "reset and goaway":
            client.send(goaway())
        if "close" in leaving:
            client.close()
            gateway.wait_for_metric("sluice_downstream_connections", 1, state="lost")
        connection.send(response(b"done", 201))
        gateway.logged(status=201)
        again = gateway.ask("POST", "/", {"Idempotency-Key": "abc"}, b"body")
        assert (again.status, again.body, again.get("idempotent-replayed")) == (201, b"done", "true")
        client.close()
        gateway.wait_for_metric("sluice_downstream_connections", 0)
        gateway.wait_for_metric("sluice_requests_in_flight", 0)
        assert len(origin.requests) == 1


def test_trailers_past_the_limits_are_refused_and_not_cut():
    with proxying(listener={"limits": {"headers": 10}}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        connection = origin.accept()
        connection.read_request_head()
        client.send(headers(stream, [(f"x-{number}", "1") for number in range(11)]))
        assert client.wait(stream).reset == Code.PROTOCOL_ERROR
        assert b"\r\n0\r\n" not in connection.read_to_end()[0]
        client.ping()


def test_plugins_see_requests_as_over_http_1(tmp_path):
    plugins = {"squeeze": {"module": "compress", "config": {}}, "few": {"module": "ratelimit", "config": {"requests": 3, "per": "1h", "key": "client"}}}
    text = b"many words " * 500
    with proxying(answering(response(text, headers=[("Content-Type", "text/plain")])), plugins=plugins,
                  stores={"default": {"type": "memory"}}, route={"plugins": ["squeeze", "few"]}) as (gateway, _):
        client = gateway.http2()
        answer = client.get("/", [("accept-encoding", "gzip")])
        assert gzip.decompress(answer.body) == text and answer.get("content-encoding") == "gzip"
        for _ in range(5):
            last = client.get("/")
        assert last.status == 429
        gateway.wait_for_metric("sluice_requests_in_flight", 0)


def test_a_request_that_failed_is_tried_again():
    calls = []

    def script(connection):
        calls.append(connection.read_request())
        if len(calls) > 1:
            connection.send(OK)

    retry = {"attempts": 1, "on": ["reset"], "budget": "100%"}
    with proxying(script, upstream_settings={"retry": retry}) as (gateway, _):
        assert gateway.http2().ask("PUT", "/", body=b"again").body == b"ok"
        assert [seen.body for seen in calls] == [b"again"] * 2


def test_a_connection_error_closes_the_connection():
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2()
        assert client.get("/").status == 200
        client.send(frame(Frame.PING, payload=b"short"))
        assert client.read_goaway() == Code.FRAME_SIZE_ERROR
        wait_until(lambda: closed(gateway, "http2_error") == 1, "the close is counted")


@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_before_the_end_of_the_request_arrives_whole(status):
    body = {} if status == 204 else {"body": "no"}
    with proxying(routes=routes(respond={"status": status, **body})) as (gateway, _):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.wait_for(lambda: client.answer(stream).reset is not None)
        answer = client.answers[stream]
        assert (answer.status, answer.body.decode(), answer.complete, answer.reset) == (status, body.get("body", ""), True, Code.NO_ERROR)
        client.ping()


def test_a_drain_serves_what_is_under_way_and_what_still_comes():
    with proxying(process={"shutdown_grace": "30s"}) as (gateway, origin):
        client = gateway.http2()
        first = client.begin()
        connection = origin.accept()
        connection.read_request()
        gateway.admin("/drain", "POST")
        client.wait_for(lambda: client.goaways == [(2**31 - 1, 0)])
        second = client.begin()
        late = origin.accept()
        late.answer(OK)
        assert client.wait(second).status == 200
        client.wait_for(lambda: client.goaways[-1] == (second, 0))
        connection.send(OK)
        assert client.wait(first).body == b"ok"
        assert client.read_goaway() == Code.NO_ERROR
        wait_until(lambda: closed(gateway, "drained") == 1, "the close is counted")


def test_a_listener_that_is_removed_lets_its_streams_end():
    with proxying(listeners={"old": {}}) as (gateway, origin):
        client = gateway.http2("old")
        stream = client.begin()
        connection = origin.accept()
        connection.read_request()
        assert gateway.reload(listeners={"old": None})["accepted"]
        client.wait_for(lambda: client.goaways)
        connection.send(OK)
        assert client.wait(stream).body == b"ok"
        assert client.read_goaway() == Code.NO_ERROR


def test_a_listener_that_is_removed_during_a_tls_handshake(certificate):
    section = {"tls": tls_section(certificate)}

    class Reloading(ssl.SSLContext):
        """Connected, and before the handshake: the listener goes."""
        def wrap_socket(self, *arguments, **options):
            gateway.wait_for_metric("sluice_downstream_connections", 1, listener="old", state="handshake")
            assert gateway.reload(listeners={"old": None})["accepted"]
            assert gateway.reload(listeners={"new": section})["accepted"]
            return super().wrap_socket(*arguments, **options)

    context = Reloading(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with proxying(listeners={"old": section}, routes=RESPOND) as (gateway, _):
        client = gateway.http2("old", tls=context)
        assert client.socket.selected_alpn_protocol() == "h2"
        assert client.get("/").body == b"here"
        assert client.read_goaway() == Code.NO_ERROR
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("sent", [b"", PREFACE[:10]])
def test_a_listener_that_is_removed_before_the_preface_is_whole(sent):
    with proxying(routes=RESPOND, listeners={"old": {}}, process={"shutdown_grace": "30s"}) as (gateway, _):
        client = gateway.http2("old", greets=False)
        client.send(sent)
        gateway.wait_for_metric("sluice_downstream_received_bytes_total", len(sent))
        gateway.wait_for_metric("sluice_downstream_connections", 1)
        assert gateway.reload(listeners={"old": None})["accepted"]
        client.send(PREFACE[len(sent):] + settings({}))
        assert client.get("/").status == 200
        assert client.read_goaway() == Code.NO_ERROR


def test_the_end_of_the_gateway_tells_running_streams():
    with proxying(process={"shutdown_grace": "200ms"}) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin()
        connection = origin.accept()
        connection.read_request()
        gateway.process.send_signal(15)
        assert_problem(client.wait(stream), 503, "shutting_down")
        assert client.read_goaway() == Code.NO_ERROR
