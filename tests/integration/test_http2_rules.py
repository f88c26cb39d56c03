"""The rules of RFC 9113 about frames and fields, one case each, and what floods get.

A case that breaks a rule for its stream only is followed by a request on another stream, which must be answered; one that breaks it
for the connection must get GOAWAY with the code that the RFC names, and the connection's end. A request that is malformed must not
reach the origin with a single byte.
"""

import struct

import pytest

from harness import OK, SLOW, PeerEnded, answering, proxying, response
from harness.http2 import (PREFACE, Code, Flag, Frame, GoneAway, Setting, block, data, frame, goaway, head, headers, integer, literal, rst_stream,
                           settings, window_update)

RESPOND = [{"name": "all", "match": {"path": "/{rest...}"}, "respond": {"status": 200, "body": "here"}}]


def u32(value):
    return struct.pack(">I", value)


def post(stream, *fields):
    return headers(stream, head("POST", headers=fields), end_stream=False)


# --- rules whose breach ends the connection: name, bytes, the codes that are right ---
P, F, S, W, C = Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR, Code.STREAM_CLOSED, Code.FLOW_CONTROL_ERROR, Code.COMPRESSION_ERROR
CONNECTION_ERRORS = {
    "4.2 a frame above SETTINGS_MAX_FRAME_SIZE": (post(1) + data(1, bytes(16385)), {F}),
    "4.2 a HEADERS above SETTINGS_MAX_FRAME_SIZE": (frame(Frame.HEADERS, Flag.END_HEADERS, 1, bytes(16385)), {F}),
    "4.3 a block that cannot be decoded": (headers(1, b"\xff\xff\xff\xff\xff\xff"), {C}),
    "4.3 an index without an entry": (headers(1, b"\x82\xff\x00"), {C}),
    "4.3 a Huffman string that is none": (headers(1, b"\x82\x00\x81\xff\x81\xff"), {C}),
    "4.3 a string longer than its block": (headers(1, b"\x82\x00\x7f\xff\x01a"), {C}),
    "4.3 a table larger than we allow": (headers(1, b"\x3f\xe1\xff\x03\x82"), {C}),
    "4.3 a change of the table behind a field": (headers(1, b"\x82\x20\x84"), {C}),
    "5.1 DATA on an idle stream": (data(1, b"x"), {P}),
    "5.1 RST_STREAM on an idle stream": (rst_stream(1), {P}),
    "5.1 WINDOW_UPDATE on an idle stream": (window_update(1, 1), {P}),
    "5.1 CONTINUATION on an idle stream": (frame(Frame.CONTINUATION, Flag.END_HEADERS, 1, block(head())), {P}),
    "5.1 DATA behind END_STREAM": (headers(1, head()) + data(1, b"x"), {S}),
    "5.1.1 an even stream": (headers(2, head()), {P}),
    "5.1.1 a lower stream than the last": (headers(5, head()) + headers(3, head()), {P}),
    "5.1.1 HEADERS on stream 0": (headers(0, head()), {P}),
    "6.1 DATA on stream 0": (data(0, b"x"), {P}),
    "6.1 more padding than payload": (post(1) + frame(Frame.DATA, Flag.PADDED, 1, b"\x05ab"), {P}),
    "6.1 padded without a length": (post(1) + frame(Frame.DATA, Flag.PADDED, 1), {F, P}),
    "6.2 HEADERS with too much padding": (frame(Frame.HEADERS, Flag.PADDED | Flag.END_HEADERS, 1, b"\xff" + block(head())), {P}),
    "6.2 HEADERS too short for its priority": (frame(Frame.HEADERS, Flag.PRIORITY | Flag.END_HEADERS, 1, b"\0\0"), {F, P}),
    "6.2 a block that another stream interrupts": (headers(1, head(), end_headers=False) + headers(3, head()), {P}),
    "6.2 a block that another kind interrupts": (headers(1, head(), end_headers=False) + frame(Frame.PING, payload=bytes(8)), {P}),
    "6.2 a block that an unknown kind interrupts": (headers(1, head(), end_headers=False) + frame(0xEE), {P}),
    "6.3 PRIORITY on stream 0": (frame(Frame.PRIORITY, 0, 0, bytes(5)), {P}),
    "6.4 RST_STREAM on stream 0": (rst_stream(0), {P}),
    "6.4 RST_STREAM of 3 bytes": (post(1) + frame(Frame.RST_STREAM, 0, 1, bytes(3)), {F}),
    "6.5 SETTINGS on a stream": (settings({}, stream=1), {P}),
    "6.5 SETTINGS ACK with a payload": (settings({1: 1}, flags=Flag.ACK), {F}),
    "6.5 SETTINGS of 5 bytes": (frame(Frame.SETTINGS, payload=bytes(5)), {F}),
    "6.5.2 ENABLE_PUSH 2": (settings({Setting.ENABLE_PUSH: 2}), {P}),
    "6.5.2 INITIAL_WINDOW_SIZE above 2^31-1": (settings({Setting.INITIAL_WINDOW_SIZE: 2**31}), {W}),
    "6.5.2 MAX_FRAME_SIZE below 2^14": (settings({Setting.MAX_FRAME_SIZE: 16383}), {P}),
    "6.5.2 MAX_FRAME_SIZE above 2^24-1": (settings({Setting.MAX_FRAME_SIZE: 2**24}), {P}),
    "6.9.2 a setting that takes a stream's window above 2^31-1":
        (post(1) + window_update(1, 2**31 - 1 - 65535) + settings({Setting.INITIAL_WINDOW_SIZE: 65536}), {W}),
    "6.6 PUSH_PROMISE": (headers(1, head()) + frame(Frame.PUSH_PROMISE, Flag.END_HEADERS, 1, u32(2) + block(head())), {P}),
    "6.7 PING on a stream": (frame(Frame.PING, stream=1, payload=bytes(8)), {P}),
    "6.7 PING of 7 bytes": (frame(Frame.PING, payload=bytes(7)), {F}),
    "6.8 GOAWAY on a stream": (frame(Frame.GOAWAY, stream=1, payload=bytes(8)), {P}),
    "6.8 GOAWAY of 7 bytes": (frame(Frame.GOAWAY, payload=bytes(7)), {F}),
    "6.9 WINDOW_UPDATE of 3 bytes": (frame(Frame.WINDOW_UPDATE, payload=bytes(3)), {F}),
    "6.9 WINDOW_UPDATE of 0 on the connection": (window_update(0, 0), {P}),
    "6.9.1 a window of the connection above 2^31-1": (window_update(0, 2**31 - 1), {W}),
    "6.10 CONTINUATION without HEADERS": (post(1) + frame(Frame.CONTINUATION, Flag.END_HEADERS, 1, block([("a", "b")])), {P}),
    "6.10 CONTINUATION behind END_HEADERS on stream 0": (frame(Frame.CONTINUATION, Flag.END_HEADERS, 0), {P}),
}


@pytest.mark.parametrize("case", CONNECTION_ERRORS)
def test_what_breaks_the_connection(case):
    sent, codes = CONNECTION_ERRORS[case]
    with proxying() as (gateway, origin):
        client = gateway.http2()
        client.ping()
        client.send_if_open(sent)
        assert client.read_goaway() in codes, client.goaways
        client.close()
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_downstream_connections_closed_total", reason="http2_error") == 1


def test_a_stream_that_is_over_takes_no_further_request():
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2()
        assert client.get("/").body == b"here"
        client.send_if_open(headers(1, head()))
        assert client.read_goaway() == S


@pytest.mark.parametrize("sent", [PREFACE[:-1] + b"x", PREFACE + frame(Frame.PING, payload=bytes(8)), PREFACE + headers(1, head())],
                         ids=["a wrong preface", "PING before SETTINGS", "HEADERS before SETTINGS"])
def test_what_must_come_first(sent):
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send(sent + bytes(20))
        client.read_to_end()
        gateway.wait_gauges_zero()
        assert not origin.requests


# --- rules whose breach ends a stream only; RFC 9113 §5.4.1 lets an endpoint take any for a connection error ---
STREAM_ERRORS = {
    "6.9 WINDOW_UPDATE of 0 on a stream": (post(1) + window_update(1, 0), {P}),
    "6.9.1 a window of a stream above 2^31-1": (post(1) + window_update(1, 2**31 - 1), {W}),
    "6.3 PRIORITY of 4 bytes": (post(1) + frame(Frame.PRIORITY, 0, 1, bytes(4)), {F}),
    "5.3.1 a stream that depends on itself": (frame(Frame.HEADERS, Flag.PRIORITY | Flag.END_HEADERS, 1, u32(1) + b"\0" + block(head("POST"))), {P}),
    "8.1 trailers without END_STREAM": (post(1) + headers(1, [("x-a", "1")], end_stream=False), {P}),
    "8.1 a second HEADERS with a pseudo-header": (post(1) + headers(1, head()), {P}),
    "8.1.1 content-length without a body": (headers(1, head("POST", headers=[("content-length", "5")])), {P}),
    "8.1.1 less than content-length": (post(1, ("content-length", "5")) + data(1, b"four", end_stream=True), {P}),
    "8.1.1 more than content-length": (post(1, ("content-length", "3")) + data(1, b"four"), {P}),
    "8.1.1 trailers before content-length is reached": (post(1, ("content-length", "5")) + data(1, b"four") + headers(1, [("a", "b")]), {P}),
}


@pytest.mark.parametrize("case", STREAM_ERRORS)
def test_what_breaks_a_stream(case):
    sent, codes = STREAM_ERRORS[case]
    with proxying(routes=RESPOND + [{"name": "post", "match": {"path": "/{rest...}", "methods": ["POST"]}, "upstream": "origin"}]) as (gateway, origin):
        client = gateway.http2()
        client.ping()
        client.send(sent)
        try:
            assert client.wait(1).reset in codes
            client.next_stream = 3
            assert client.get("/").body == b"here"
        except GoneAway:
            assert client.goaways[-1][1] in codes
        assert not origin.requests
        client.close()
        gateway.wait_gauges_zero()


IGNORED = {
    "4.1 a frame of an unknown kind": frame(0xEE, 0xFF, 0, b"what"),
    "4.1 unknown flags": frame(Frame.PING, 0xFE, payload=bytes(8)),
    "4.1 the reserved bit": frame(Frame.PING, stream=2**31, payload=bytes(8)),
    "5.1 PRIORITY on an idle stream": frame(Frame.PRIORITY, 0, 99, u32(0) + b"\x10"),
    "5.1 WINDOW_UPDATE on a stream that was answered": headers(1, head()) + window_update(1, 1),
    "5.1 RST_STREAM on a stream that was answered": headers(1, head()) + rst_stream(1),
    "6.5.2 an unknown setting": settings({0xEEEE: 1}),
    "6.7 an ACK of no PING": frame(Frame.PING, Flag.ACK, payload=bytes(8)),
    "9.1 PRIORITY_UPDATE (RFC 9218)": frame(0x10, 0, 0, u32(1) + b"u=1"),
}


@pytest.mark.parametrize("case", IGNORED)
def test_what_is_ignored(case):
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2()
        client.send(IGNORED[case])
        client.ping()
        assert 3 not in client.answers
        client.next_stream = 101
        assert client.get("/").body == b"here"


def trailers_behind_a_reset(client):
    """Which a client may have sent before it heard of the reset."""
    assert client.wait(1).reset is not None
    client.send(headers(1, [("a", "b")]))
    client.ping()
    client.next_stream = 101
    assert client.get("/").body == b"here"


def test_trailers_behind_our_reset_are_ignored():
    with proxying(routes=RESPOND) as (gateway, _):
        client = gateway.http2()
        client.send(post(1, ("content-length", "1")) + data(1, b"two"))
        trailers_behind_a_reset(client)


def test_trailers_of_a_stream_above_the_limit_are_ignored():
    """Which a client may open that has not heard of the limit."""
    with proxying(listener={"limits": {"http2_streams": 1}}) as (gateway, origin):
        client = gateway.http2(greets=False)
        client.send(PREFACE + settings({}) + post(1) + post(3) + headers(3, [("a", "b")]))
        assert client.wait(3).reset == Code.REFUSED_STREAM
        client.send(headers(3, [("a", "b")]))
        client.ping()
        client.send(data(1, b"", end_stream=True))
        origin.accept().answer(OK)
        assert client.wait(1).body == b"ok"


def test_trailers_of_a_request_that_came_too_late_are_ignored():
    """The last stream was named in a GOAWAY that the client had not read yet."""
    with proxying(listener={"limits": {"requests_per_connection": 1}}) as (gateway, origin):
        client = gateway.http2()
        slow = client.begin()
        client.wait_for(lambda: (slow, Code.NO_ERROR) in client.goaways)
        client.send(post(3) + data(3, b"late") + headers(3, [("a", "b")]))
        client.ping()
        origin.accept().answer(OK)
        assert client.wait(slow).body == b"ok"


# --- requests that are malformed, or that HTTP/1.1 upstream could read in another way ---
def request(*fields, **pseudo):
    return head(headers=fields, **pseudo)


def with_field(name, value):
    return request((name, value))


GOOD = request()
MALFORMED = {
    **{f"{what} in {where}": with_field(*pair) for what, character in
       [("CR", "\r"), ("LF", "\n"), ("NUL", "\0"), ("CR LF", "\r\nX-Evil: 1\r\n"), ("DEL", "\x7f"), ("VT", "\x0b")]
       for where, pair in [("a value", ("x-a", f"a{character}b")), ("a name", (f"x{character}b", "a"))]},
    "a value that begins with a space": with_field("x-a", " a"),
    "a value that ends with a tab": with_field("x-a", "a\t"),
    "an upper-case name": with_field("X-A", "a"),
    "a name with a colon": with_field("x:a", "a"),
    "a name with a space": with_field("x a", "a"),
    "a name that ends with a space": with_field("transfer-encoding ", "chunked"),
    "an empty name": with_field("", "a"),
    "a name beyond ASCII": with_field("x-\xe9", "a"),
    **{f"{name}: {value}": with_field(name, value) for name, value in [
        ("connection", "close"), ("connection", "x-a"), ("keep-alive", "1"), ("proxy-connection", "keep-alive"), ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("te", "gzip"), ("te", "trailers, gzip")]},
    **{f"content-length: {value!r}": with_field("content-length", value) for value in
       ["", "-1", "+1", "0x1", "1 ", "1,1", "1, 2", "18446744073709551616", "99999999999999999999999", "1e1"]},
    "content-length twice": request(("content-length", "0"), ("content-length", "0")),
    "content-length twice, and different": request(("content-length", "0"), ("content-length", "5")),
    **{f"{name} twice": [*GOOD, (name, value)] for name, value in GOOD},
    **{f"no {name}": [(other, value) for other, value in GOOD if other != name] for name, _ in GOOD},
    **{f"an empty {name}": [(other, "" if other == name else value) for other, value in GOOD] for name, _ in GOOD},
    "an unknown pseudo-header": [*GOOD, (":foo", "a")],
    ":status in a request": [*GOOD, (":status", "200")],
    "a pseudo-header behind a field": [*GOOD[:3], ("x-a", "a"), GOOD[3]],
    "a pseudo-header in upper case": [*GOOD[:3], (":Authority", "test.local")],
    "two hosts": request(("host", "other.local")),
    "two host fields": request(("host", "a"), ("host", "a"), authority=None),
    **{f":authority {value!r}": request(authority=value) for value in
       ["user@test.local", "user:pw@test.local", "a b", "test.local:x", "test.local:99999999", "a/b", "a\\b", "a?b", "a#b", "a,b", "test.local\r\nX: 1",
        "[::1", "@", "\xe9"]},
    **{f"host {value!r}": request(("host", value), authority=None) for value in ["user@test.local", "a b", "test.local:x", "a/b", ""]},
    **{f":path {value!r}": request(path=value) for value in
       ["x", "http://test.local/", "*", "/a b", "/a HTTP/1.1\r\nX: 1\r\n\r\n", "/a\tb", "/a\0", "/a#b", "//../..", "/..", "/%00", "/%", "/%zz",
        "/a\x7f", "?a", "\\"]},
    **{f":method {value!r}": request(method=value) for value in ["GET ", "G ET", "GET / HTTP/1.1\r\nX: 1", "get", "UNKNOWN", "PRI", "G\0T", "GET:", "CONNECT"]},
    **{f":scheme {value!r}": request(scheme=value) for value in ["ftp", "1", "http:", "a b", "\r\n"]},
    ":protocol without CONNECT": [*GOOD, (":protocol", "websocket")],
    "an unknown :protocol": [*request(method="CONNECT"), (":protocol", "foo")],
    "expect: something": with_field("expect", "something"),
}


@pytest.fixture(scope="module")
def judged():
    with proxying(answering(OK)) as pair:
        yield pair


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.encode("unicode_escape").decode())
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "before a body"])
def test_what_no_request_may_be(judged, case, ends):
    gateway, origin = judged
    requests = len(origin.requests)
    with gateway.http2() as client:
        client.send(headers(1, MALFORMED[case], end_stream=ends))
        if not ends:
            client.send(data(1, b"body", end_stream=True))
        client.next_stream = 3
        answer = client.wait(1)
        assert answer.reset == Code.PROTOCOL_ERROR or answer.status in (400, 405, 417, 501), answer
        client.ping()
        assert len(origin.requests) == requests, "a malformed request reached the origin"
        assert client.get("/alive").status == 200
        assert origin.requests[requests].first_line == "GET /alive HTTP/1.1" and len(origin.requests) == requests + 1
        assert all(bytes(connection.received).count(b"HTTP/1.1") == bytes(connection.received).count(b"GET /alive HTTP/1.1\r\n")
                   for connection in origin.connections)


@pytest.mark.parametrize("fields", [[(":path", "/x")], [("connection", "close")], [("transfer-encoding", "chunked")], [("X-A", "b")], [("x-a", "b\r\nc")],
                                    [("x a", "b")], [("te", "gzip")]], ids=str)
def test_what_no_trailers_may_hold(fields):
    with proxying() as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        connection = origin.accept()
        connection.read_request_head()
        client.send(headers(stream, fields))
        assert client.wait(stream).reset == Code.PROTOCOL_ERROR
        assert connection.read_to_end()[0] == b""
        client.ping()


def test_fields_that_mean_nothing_in_trailers_are_dropped():
    with proxying(answering(OK)) as (gateway, origin):
        client = gateway.http2()
        stream = client.begin("POST", end_stream=False)
        client.send(headers(stream, [("x-a", "1"), ("cookie", "a=b"), ("trailer", "x-b"), ("authorization", "x")]))
        assert client.wait(stream).status == 200
        assert origin.requests[0].trailers == [("x-a", "1")]


# --- floods ---
def flood(client, piece, most=200_000, batch=500):
    """Sends what `piece(n)` makes until the gateway says that it is enough; fails if it never does."""
    sent = 0
    try:
        while sent < most:
            client.send(b"".join(piece(sent + number) for number in range(batch)))
            sent += batch
            client.ping()
    except (GoneAway, PeerEnded, BrokenPipeError, ConnectionResetError):
        return sent
    raise AssertionError(f"{sent} and no end")


def stream_of(number):
    return 2 * number + 1


FLOODS = {
    "rapid reset": lambda n: headers(stream_of(n), head()) + rst_stream(stream_of(n)),
    "requests that break a rule": lambda n: headers(stream_of(n), [*head(), ("X", "")]),
    "bodies that lie about their length": lambda n: headers(stream_of(n), head("POST", headers=[("content-length", "1")]), end_stream=False)
        + data(stream_of(n), end_stream=True),
    "windows that overflow": lambda n: headers(stream_of(n), head("POST"), end_stream=False) + window_update(stream_of(n), 2**31 - 1),
    "PING": lambda n: frame(Frame.PING, payload=u32(n) + u32(7)),
    "SETTINGS": lambda n: settings({}),
    "empty DATA": lambda n: (post(1) if n == 0 else b"") + data(1),
    "empty fields in a block without end": lambda n: headers(1, b"", end_headers=False) if n == 0 else frame(Frame.CONTINUATION, 0, 1),
    "padding": lambda n: (post(1) if n == 0 else b"") + data(1, b"", padding=3),
}


@pytest.mark.parametrize("case", FLOODS)
def test_floods_are_ended(case):
    with proxying() as (gateway, _):
        client = gateway.http2()
        client.ping()
        before = gateway.rss_bytes()
        flood(client, FLOODS[case])
        assert gateway.rss_bytes() - before < 8_000_000
        client.close()
        gateway.wait_gauges_zero()
        ends = gateway.metrics()
        assert sum(ends.total("sluice_downstream_connections_closed_total", reason=reason) for reason in ("http2_flood", "http2_error")) == 1
        assert gateway.http2().ping() is None


def test_a_small_block_that_unpacks_to_much_is_refused_cheaply():
    with proxying() as (gateway, origin):
        client = gateway.http2()
        client.send(headers(1, block(head()) + literal("x-bomb", "a" * 3900, first=0x40)))
        before, cpu = gateway.rss_bytes(), gateway.cpu_seconds()
        for stream in range(3, 103, 2):  # 62 MB each
            client.send(headers(stream, block(head()) + b"\xbe" * 16_000))
            assert client.wait(stream).reset == 2  # INTERNAL_ERROR: not even looked at to its end
        assert gateway.rss_bytes() - before < 8_000_000
        assert gateway.cpu_seconds() - cpu < 0.5 * SLOW
        client.ping()


def test_a_malformed_head_request_is_refused_without_a_body():
    with proxying() as (gateway, origin):
        client = gateway.http2()
        client.send(headers(1, head("HEAD", scheme="ftp")))
        answer = client.wait(1)
        assert (answer.status, bytes(answer.body)) == (400, b"")
        client.ping()


def test_who_makes_us_refuse_streams_and_reads_nothing_is_cut_off():
    large = response(bytes(8 << 20))
    with proxying(answering(large), listener={"limits": {"http2_streams": 1}, "timeouts": {"write": "2s"}}) as (gateway, origin):
        # Settings that are never acknowledged: what is too much is refused, stream by stream, and not an error of the connection.
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}, receive_buffer=4096)
        client.send(window_update(0, 2**30) + headers(1, head()))
        gateway.wait_until_full()
        fields, before, number = block(head("POST")), gateway.rss_bytes(), 1
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
            while number < 10_000_000:
                client.send(b"".join(headers(stream_of(number + i), fields, end_stream=False) for i in range(2000)))
                number += 2000
                assert gateway.rss_bytes() - before < 8_000_000, number
        client.close()
        gateway.wait_gauges_zero()
