"""One request, one upstream: what passes, what is changed on the way, and what each side sees of the other's end."""

import hashlib
import random
import re

import pytest

from harness import CHUNKED, OK, End, answering, assert_problem, chunked, echo, proxying, request, response

EIGHT_MIB = random.Random(1).randbytes(8 << 20)
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def echoing():
    """A gateway whose origin answers each request with its body; for tests that change nothing."""
    with proxying(answering(echo)) as pair:
        yield pair


# --- methods and bodies ---
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND", "PURGE"])
def test_a_request_without_body_reaches_the_origin_and_its_answer_the_client(echoing, method):
    gateway, origin = echoing
    answer = gateway.ask(method, "/a/b?c=d&e")
    assert (answer.status, answer.get("x-method"), answer.get("x-target")) == (200, method, "/a/b?c=d&e")
    sent = origin.requests[-1]
    assert sent.body == b"" and not sent.names & {"content-length", "transfer-encoding"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "REPORT"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_body_arrives_byte_for_byte_in_one_framing(echoing, method, framing):
    gateway, origin = echoing
    body = bytes(range(256)) * 3
    with gateway.client() as client:
        if framing == "length":
            client.send(request(method, "/", body=body))
        else:
            client.send(request(method, "/", CHUNKED), chunked(body[:1], body[1:400], body[400:]))
        assert client.read_response().body == body
    sent = origin.requests[-1]
    assert sent.body == body
    assert len(sent.names & {"content-length", "transfer-encoding"}) == 1


def test_a_head_request_gets_the_head_alone_and_the_connection_lives_on():
    def ten_bytes(asked):
        return response(b"" if asked.method == "HEAD" else b"x" * 10, headers=[("Content-Length", "10")], framed=False)

    with proxying(answering(ten_bytes)) as (gateway, _):
        client = gateway.client()
        head = client.ask("HEAD", "/")
        assert (head.status, head.get("content-length"), head.body) == (200, "10", b"")
        assert client.get("/").body == b"x" * 10


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_forbids_a_body_ends_at_its_head(status):
    with proxying(answering(response(status=status, phrase="None", headers=[("ETag", '"a"')], framed=False))) as (gateway, _):
        client = gateway.client()
        for _ in range(3):
            answer = client.get("/")
            assert (answer.status, answer.body, answer.get("etag")) == (status, b"", '"a"')
            assert answer.get("transfer-encoding") is None


def test_eight_mebibytes_pass_both_ways_unchanged(echoing):
    gateway, _ = echoing
    with gateway.client() as client:
        client.send_in_background(request("POST", "/", body=EIGHT_MIB))
        assert digest(client.read_response().body) == digest(EIGHT_MIB)


def test_eight_mebibytes_of_chunks_pass_both_ways_unchanged():
    pieces = [EIGHT_MIB[at:at + 10007] for at in range(0, len(EIGHT_MIB), 10007)]

    def chunked_echo(asked):
        assert digest(asked.body) == digest(EIGHT_MIB)
        return response(headers=CHUNKED, framed=False) + chunked(*pieces)

    with proxying(answering(chunked_echo)) as (gateway, _):
        client = gateway.client()
        client.send_in_background(request("POST", "/", CHUNKED) + chunked(*pieces))
        assert digest(client.read_response().body) == digest(EIGHT_MIB)


def test_a_request_that_arrives_byte_by_byte_is_answered(echoing):
    gateway, _ = echoing
    with gateway.client() as client:
        data = request("POST", "/slow", CHUNKED) + chunked(b"ab", b"c")
        client.send(*(data[at:at + 1] for at in range(len(data))))
        assert client.read_response().body == b"abc"


def test_a_response_that_arrives_byte_by_byte_is_passed_on():
    data = response(headers=CHUNKED, framed=False) + chunked(b"ab", b"c", trailers=[("X-Sum", "3")])
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        origin.answer(*(data[at:at + 1] for at in range(len(data))))
        assert client.read_response().body == b"abc"


def test_body_bytes_are_passed_on_at_once_and_not_when_the_body_ends():
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "6")]), b"one")
        upstream = origin.accept()
        upstream.read_request_head()
        assert upstream.read_exactly(3) == b"one"
        client.send(b"two")
        assert upstream.read_exactly(3) == b"two"
        upstream.send(response(headers=[("Content-Length", "6")], framed=False), b"uno")
        assert client.read_through(b"\r\n\r\nuno")
        upstream.send(b"due")
        assert client.read_exactly(3) == b"due"


def test_a_server_may_stream_events_one_by_one():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream, _ = origin.answer(response(headers=[*CHUNKED, ("Content-Type", "text/event-stream")], framed=False))
        assert client.read_through(b"\r\n\r\n")
        for number in range(20):
            event = b"data: %d\n\n" % number
            upstream.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert client.read_chunk() == event


# --- framing of responses ---
def test_a_chunked_response_stays_chunked_for_http_11():
    with proxying(answering(response(headers=CHUNKED, framed=False) + chunked(b"one", b"two"))) as (gateway, _):
        answer = gateway.get("/")
        assert answer.chunked and answer.body == b"onetwo" and answer.get("content-length") is None


def close_delimited(connection):
    connection.answer(response(b"until the end", framed=False))


def test_a_close_delimited_response_becomes_chunked_and_the_client_keeps_its_connection():
    with proxying(close_delimited) as (gateway, origin):
        client = gateway.client()
        for _ in range(3):
            answer = client.get("/")
            assert answer.chunked and answer.body == b"until the end" and answer.end is End.complete
        assert len(origin.connections) == 3


@pytest.mark.parametrize("asked", [(), [("Connection", "keep-alive")]])
def test_a_close_delimited_response_ends_by_close_for_http_10(asked):
    with proxying(close_delimited) as (gateway, _):
        answer = gateway.ask("GET", "/", asked, version="1.0")
        assert answer.get("transfer-encoding") is None
        assert (answer.body, answer.end) == (b"until the end", End.complete)
        assert (answer.get("connection") or "close").lower() == "close"


def test_a_chunked_response_is_unwrapped_for_http_10():
    with proxying(answering(response(headers=CHUNKED, framed=False) + chunked(b"one", b"two"))) as (gateway, _):
        answer = gateway.ask("GET", "/", version="1.0")
        assert answer.get("transfer-encoding") is None and answer.body == b"onetwo"


def test_a_response_without_any_framing_to_a_head_request_needs_no_close():
    with proxying(answering(response(framed=False))) as (gateway, _):
        client = gateway.client()
        assert [client.ask("HEAD", "/").status for _ in range(3)] == [200] * 3


def test_an_empty_response_body_is_a_body_of_length_0(echoing):
    gateway, _ = echoing
    assert gateway.get("/").get("content-length") == "0"


def test_an_http_10_origin_is_understood_and_its_connection_ends_with_its_answer():
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"
    with proxying() as (gateway, origin):
        client = gateway.client()
        for _ in range(2):
            client.send(request())
            connection, _ = origin.answer(answer)
            assert client.read_response().body == b"old"
            assert connection.wait_closed() is End.eof


# --- connections ---
def test_http_10_closes_after_the_answer_unless_keep_alive_was_asked_for(echoing):
    gateway, origin = echoing
    with gateway.client() as client:
        answer = client.ask("GET", "/", [("Connection", "keep-alive")], version="1.0")
        assert answer.get("connection").lower() == "keep-alive"
        assert client.ask("GET", "/", version="1.0").status == 200
        assert client.wait_closed() is End.eof
    assert origin.requests[-1].first_line.endswith("HTTP/1.1")


def test_http_10_without_host_is_proxied(echoing):
    gateway, origin = echoing
    assert gateway.ask("GET", "/", version="1.0", host=None).status == 200
    assert origin.requests[-1].get("host") is not None


def test_connection_close_is_honoured_and_announced(echoing):
    gateway, _ = echoing
    with gateway.client() as client:
        answer = client.get("/", [("Connection", "close")])
        assert answer.get("connection").lower() == "close"
        assert client.wait_closed() is End.eof


def test_an_upstream_connection_is_used_again():
    with proxying(answering(OK)) as (gateway, origin):
        for _ in range(20):
            assert gateway.get("/").body == b"ok"
        assert len(origin.connections) == 1
        assert gateway.metrics().total("sluice_upstream_connections_reused_total") == 19


def test_connection_close_from_the_upstream_does_not_close_the_client():
    with proxying(answering(response(b"bye", headers=[("Connection", "close")]))) as (gateway, origin):
        client = gateway.client()
        for _ in range(3):
            answer = client.get("/")
            assert answer.body == b"bye" and answer.get("connection") is None
        assert len(origin.connections) == 3


@pytest.mark.parametrize("count", [2, 100])
def test_pipelined_requests_in_one_segment_are_answered_in_order(echoing, count):
    gateway, _ = echoing
    with gateway.client() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(count)))
        assert [client.read_response().get("x-target") for _ in range(count)] == [f"/{number}" for number in range(count)]


def test_pipelined_posts_with_either_framing_keep_their_bodies_apart(echoing):
    gateway, _ = echoing
    bodies = [b"body %d " % number * (number * 100 + 1) for number in range(20)]
    with gateway.client() as client:
        client.send_in_background(b"".join(
            request("POST", "/", body=body) if number % 2 else request("POST", "/", CHUNKED) + chunked(body[:3], body[3:])
            for number, body in enumerate(bodies)))
        assert [client.read_response().body for _ in bodies] == bodies


def test_pipelined_requests_before_the_client_s_fin_are_all_answered(echoing):
    gateway, _ = echoing
    with gateway.client() as client:
        client.send(b"".join(request("GET", f"/{number}") for number in range(5))).half_close()
        assert [client.read_response().get("x-target") for _ in range(5)] == [f"/{number}" for number in range(5)]
        assert client.wait_closed() is End.eof


def test_a_long_body_may_come_behind_requests_that_wait():
    body = EIGHT_MIB[:1 << 20]
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send_in_background(request("GET", "/1") + request("GET", "/2") + request("POST", "/3", body=body))
        connection, _ = origin.answer()
        gateway.wait_until_full()
        connection.send(OK)
        connection.read_request()
        gateway.wait_until_full()
        connection.send(response(b"ok", headers=[("Connection", "close")]))  # /3 has to wait for a connection
        assert origin.answer(OK)[1].body == body
        assert [client.read_response().status for _ in range(3)] == [200] * 3


def test_pipelined_requests_after_connection_close_are_not_answered(echoing):
    gateway, origin = echoing
    with gateway.client() as client:
        client.send(request("GET", "/last", [("Connection", "close")]) + request("GET", "/never"))
        assert client.read_response().get("x-target") == "/last"
        client.wait_closed()
    gateway.get("/sentinel")
    assert "/never" not in origin.targets


def test_one_empty_line_before_a_request_is_tolerated(echoing):
    gateway, _ = echoing
    with gateway.client() as client:
        client.send(request("POST", "/1", body=b"x") + b"\r\n" + request("GET", "/2"))
        assert [client.read_response().get("x-target") for _ in range(2)] == ["/1", "/2"]


# --- 1xx, Expect, trailers ---
def test_early_hints_are_passed_on_before_the_answer():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream, _ = origin.answer(hints)
        assert b"103" in client.read_through(b"\r\n\r\n")
        upstream.send(OK)
        assert client.read_response().body == b"ok"


def test_http_10_clients_get_no_1xx():
    with proxying(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK)) as (gateway, _):
        assert gateway.ask("GET", "/", version="1.0").interim == []


def test_expect_100_continue_is_between_client_and_origin():
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "4"), ("Expect", "100-continue")]))
        upstream = origin.accept()
        assert upstream.read_request_head().get("expect").lower() == "100-continue"
        assert client.is_silent()
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert b"100 Continue" in client.read_through(b"\r\n\r\n")
        client.send(b"body")
        assert upstream.read_exactly(4) == b"body"
        upstream.send(OK)
        assert client.read_response().body == b"ok"


def test_an_origin_that_refuses_the_expectation_gets_no_body():
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "4"), ("Expect", "100-continue")]))
        upstream = origin.accept()
        upstream.read_request_head()
        upstream.send(response(b"no", status=401, phrase="Unauthorized"))
        assert client.read_response().status == 401
        client.close()
        assert upstream.read_to_end()[0] == b""


def test_other_expectations_are_417(echoing):
    gateway, _ = echoing
    assert_problem(gateway.get("/", [("Expect", "the unexpected")]), 417, "expectation_failed")


def test_an_answer_before_the_request_ended_reaches_the_client():
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "100")]), b"first")
        upstream = origin.accept()
        upstream.read_request_head()
        upstream.send(response(b"enough", status=403, phrase="Forbidden"))
        answer = client.read_response()
        assert (answer.status, answer.body) == (403, b"enough")
        gateway.wait_gauges_zero()


def test_trailers_pass_both_ways():
    sum_field = [("X-Sum", "abc")]
    answer = response(headers=[*CHUNKED, ("Trailer", "X-Sum")], framed=False) + chunked(b"data", trailers=sum_field)
    with proxying(answering(answer)) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [*CHUNKED, ("Trailer", "X-Sum"), ("TE", "trailers"), ("Connection", "TE")]))
        client.send(chunked(b"data", trailers=sum_field))
        got = client.read_response()
        assert (got.body, got.trailers) == (b"data", sum_field)
        sent = origin.requests[-1]
        assert (sent.body, sent.trailers) == (b"data", sum_field)


def test_trailers_that_frame_route_or_authenticate_are_dropped():
    dangerous = [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Host", "evil"), ("Authorization", "x"),
                 ("Connection", "close"), ("X-Fine", "1")]
    answer = response(headers=CHUNKED, framed=False) + chunked(b"data", trailers=dangerous)
    with proxying(answering(answer)) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [*CHUNKED, ("TE", "trailers"), ("Connection", "TE")]))
        client.send(chunked(b"data", trailers=dangerous))
        assert client.read_response().trailers == [("X-Fine", "1")]
        assert origin.requests[-1].trailers == [("X-Fine", "1")]


# --- header fields ---
def test_the_origin_learns_who_asked_for_what(echoing):
    gateway, origin = echoing
    gateway.get("/", host="shop.example:8080")
    sent = origin.requests[-1]
    assert sent.get("x-forwarded-for") == "127.0.0.1"
    assert sent.get("x-forwarded-proto") == "http"
    assert sent.get("x-forwarded-host") == "shop.example:8080"
    assert sent.get("host") == "shop.example:8080"


FORGED = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")]


def test_x_forwarded_from_a_stranger_is_replaced(echoing):
    gateway, origin = echoing
    gateway.get("/", [*FORGED, ("X-Forwarded-For", "7.7.7.7")])
    sent = origin.requests[-1]
    assert sent.get("x-forwarded-for") == "127.0.0.1"
    assert (sent.get("x-forwarded-proto"), sent.get("x-forwarded-host")) == ("http", "test.local")


def test_what_reads_like_the_gateways_own_fields_is_dropped():
    """CGI and its heirs read X_Forwarded_For as X-Forwarded-For."""
    forged = {"X_Forwarded_For": "10.0.0.1", "x-forwarded_proto": "https", "X_Forwarded-Host": "h", "X_REQUEST_ID": "i", "X_Other": "1"}
    with proxying(answering(echo)) as (gateway, origin):
        assert gateway.get("/", forged).status == 200
        names = {name.lower() for name, _ in origin.requests[0].headers}
        assert {name for name in names if "_" in name} == {"x_other"}
        assert origin.requests[0].get("x-forwarded-for") == "127.0.0.1"


def test_x_forwarded_from_a_trusted_proxy_is_kept_and_appended_to():
    with proxying(answering(echo), trusted_proxies=["127.0.0.0/8"]) as (gateway, origin):
        gateway.get("/", FORGED)
        sent = origin.requests[-1]
        assert ", ".join(sent.all("x-forwarded-for")).split(", ") == ["6.6.6.6", "127.0.0.1"]
        assert (sent.get("x-forwarded-proto"), sent.get("x-forwarded-host")) == ("https", "evil.example")


@pytest.mark.parametrize("trusted, seen", [(["127.0.0.0/8"], "for=6.6.6.6;proto=https"), ([], None)],
                         ids=["trusted", "stranger"])
def test_forwarded_goes_on_from_a_trusted_proxy_only(trusted, seen):
    with proxying(answering(echo), trusted_proxies=trusted) as (gateway, origin):
        gateway.get("/", [("Forwarded", "for=6.6.6.6;proto=https")])
        assert origin.requests[-1].get("forwarded") == seen


def test_a_request_id_and_a_trace_are_made_for_each_request(echoing):
    gateway, origin = echoing
    for _ in range(2):
        gateway.get("/")
    first, second = origin.requests[-2:]
    assert len(first.get("x-request-id")) >= 16
    assert first.get("x-request-id") != second.get("x-request-id")
    assert TRACEPARENT.fullmatch(first.get("traceparent"))
    assert first.get("traceparent")[3:35] != second.get("traceparent")[3:35]


def test_a_request_id_and_a_trace_of_the_client_are_passed_on(echoing):
    gateway, origin = echoing
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    gateway.get("/", [("X-Request-Id", "abc-123"), ("traceparent", trace), ("tracestate", "v=1")])
    sent = origin.requests[-1]
    assert sent.get("x-request-id") == "abc-123"
    assert sent.get("traceparent")[:35] == trace[:35]  # a proxy may name itself as the parent, the trace stays
    assert TRACEPARENT.fullmatch(sent.get("traceparent"))
    assert sent.get("tracestate") == "v=1"


HOP_BY_HOP = [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "gzip"), ("Upgrade", "foo"),
              ("HTTP2-Settings", "AAMAAABkAAQAAP__"), ("Proxy-Authorization", "Basic eA=="),
              ("X-Mine", "1"), ("X-Also", "2"), ("Connection", "keep-alive, X-Mine"), ("Connection", "x-also")]


def test_hop_by_hop_fields_of_a_request_stay_behind(echoing):
    gateway, origin = echoing
    gateway.get("/", [*HOP_BY_HOP, ("X-End", "stays")])
    sent = origin.requests[-1]
    left = sent.names & {name.lower() for name, _ in HOP_BY_HOP}
    assert left <= {"connection"} and (sent.get("connection") or "keep-alive").lower() == "keep-alive"
    assert sent.get("x-end") == "stays"


def test_hop_by_hop_fields_of_a_response_stay_behind():
    fields = [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("Proxy-Authenticate", "Basic"),
              ("Upgrade", "h2c"), ("X-Mine", "1"), ("Connection", "X-Mine, keep-alive"), ("X-End", "stays")]
    with proxying(answering(response(b"ok", headers=fields))) as (gateway, _):
        answer = gateway.get("/")
        assert answer.names & {name.lower() for name, _ in fields} == {"x-end"}


def test_other_fields_pass_in_their_order_with_their_case_and_bytes(echoing):
    fields = [("X-B", "1"), ("x-a", "two  spaces"), ("X-B", "again"), ("Cookie", "a=b; c=\xe9"), ("X_under-Score", "\xff\x80"),
              ("X-Empty", ""), ("!#$%&'*+-.^_`|~9", "token"), ("X-Tab", "a\tb")]
    gateway, origin = echoing
    gateway.get("/", fields)
    names = {name for name, _ in fields}
    assert [field for field in origin.requests[-1].headers if field[0] in names] == fields
    with proxying(answering(response(b"", headers=fields))) as (other, _):
        answer = other.get("/")
        assert [field for field in answer.headers if field[0] in names] == fields


def test_the_hosts_name_can_be_rewritten_and_the_client_s_stays_known():
    with proxying(answering(echo), route={"rewrite": {"host": "inner.local"}}) as (gateway, origin):
        gateway.get("/", host="outer.example")
        sent = origin.requests[-1]
        assert (sent.get("host"), sent.get("x-forwarded-host")) == ("inner.local", "outer.example")


def test_an_absolute_target_names_the_host(echoing):
    gateway, origin = echoing
    with gateway.client() as client:
        client.send("GET http://right.example/p?q=1 HTTP/1.1\r\nHost: wrong.example\r\n\r\n")
        assert client.read_response().status == 200
    sent = origin.requests[-1]
    assert (sent.target, sent.get("host")) == ("/p?q=1", "right.example")


# --- problems ---
def test_a_problem_carries_reason_status_and_the_request_id_of_the_log():
    with proxying(listener={"limits": {"body": "10B"}}) as (gateway, _):
        answer = gateway.ask("POST", "/", body=b"x" * 11)
        problem = assert_problem(answer, 413, "body_too_large")
        logged = gateway.access_log()[0]
        assert logged["request_id"] == problem["request_id"] and len(problem["request_id"]) >= 16
        assert (logged["status"], logged["reason"]) == (413, "body_too_large")


def test_a_problem_keeps_the_client_s_request_id():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("POST", "/", [("X-Request-Id", "mine-7")], b"x"))
        upstream, _ = origin.answer()
        upstream.reset()
        assert assert_problem(client.read_response(), 502, "upstream_reset")["request_id"] == "mine-7"


def test_a_problem_for_a_head_request_has_no_body():
    with proxying() as (gateway, origin):
        client = gateway.client()
        for _ in range(2):
            client.send(request("HEAD", "/", [("Expect", "what")]))
            answer = client.read_response(to="HEAD")
            assert (answer.status, answer.get("content-type")) == (417, "application/problem+json")
            if (answer.get("connection") or "").lower() == "close":
                client.wait_closed()
                break


# --- ends ---
def test_a_client_that_half_closes_after_its_request_is_still_answered():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("POST", "/", body=b"all"))
        client.half_close()
        upstream, sent = origin.answer()
        assert sent.body == b"all"
        upstream.send(OK)
        assert client.read_response().body == b"ok"
        assert client.wait_closed() is End.eof
        assert gateway.access_log()[0]["status"] == 200


def test_a_client_that_resets_while_it_waits_ends_its_upstream_request():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream = origin.accept()
        upstream.read_request()
        client.reset()
        upstream.drain()
        logged = gateway.access_log()[0]
        assert (logged["status"], logged["reason"]) == (499, "client_closed")
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_the_response_body_ends_its_upstream_request(how):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream, _ = origin.answer(response(headers=[("Content-Length", str(64 << 20))], framed=False), b"first")
        client.read_through(b"first")
        getattr(client, how)()
        upstream.send_in_background(bytes(64 << 20))  # a plain close shows only when bytes meet it
        upstream.drain()
        assert gateway.access_log()[0]["reason"] == "client_closed"
        gateway.wait_gauges_zero()


def test_a_client_that_leaves_in_its_body_ends_the_upstream_request():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("POST", "/", [("Content-Length", "100")]), b"part")
        upstream = origin.accept()
        upstream.read_request_head()
        assert upstream.read_exactly(4) == b"part"
        client.close()
        assert upstream.read_to_end()[0] == b""
        logged = gateway.access_log()[0]
        assert (logged["status"], logged["reason"]) == (499, "client_closed")


TRUNCATED = {
    "length": (response(headers=[("Content-Length", "100")], framed=False), b"x" * 40),
    "chunked, inside a chunk": (response(headers=CHUNKED, framed=False), b"64\r\n" + b"x" * 40),
    "chunked, between chunks": (response(headers=CHUNKED, framed=False), b"28\r\n" + b"x" * 40 + b"\r\n"),
    "chunked, before the last line end": (response(headers=CHUNKED, framed=False), b"28\r\n" + b"x" * 40 + b"\r\n0\r\n"),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("kind", TRUNCATED)
def test_a_truncated_response_never_ends_cleanly_for_the_client(kind, version, how):
    with proxying() as (gateway, origin):
        client = gateway.client().send(request(version=version))
        upstream, _ = origin.answer(*TRUNCATED[kind])
        client.read_through(b"x" * 40)
        getattr(upstream, how)()
        rest, end = client.read_to_end()
        assert b"0\r\n\r\n" not in rest
        framed_by_close = version == "1.0" and "chunked" in kind
        assert end is End.reset or not framed_by_close, "a clean end would make this a complete body"
        logged = gateway.access_log()[0]
        assert (logged["status"], logged["reason"]) == (200, "upstream_truncated")
        gateway.wait_gauges_zero()


def test_a_reset_of_a_close_delimited_response_is_not_its_end():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request())
        upstream, _ = origin.answer(response(b"part", framed=False))
        client.read_through(b"part\r\n")
        upstream.reset()
        rest, _ = client.read_to_end()
        assert b"0\r\n\r\n" not in rest


# --- many at once ---
@pytest.mark.workers
def test_many_clients_on_two_workers_each_get_their_own_answers():
    with proxying(answering(echo), process={"workers": 2}) as (gateway, _):
        clients = [gateway.client() for _ in range(64)]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send(request("POST", f"/{number}", body=b"%d " % number * (turn * 1000 + 1)))
            for number, client in enumerate(clients):
                answer = client.read_response()
                assert answer.get("x-target") == f"/{number}"
                assert answer.body == b"%d " % number * (turn * 1000 + 1)
        assert len(gateway.access_log(320)) == 320
        assert gateway.metrics().total("sluice_requests_total", route="all") == 320
        gateway.wait_gauges_zero()
