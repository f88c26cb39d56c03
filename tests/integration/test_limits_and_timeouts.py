"""Every limit and every timeout of the configuration ends what it should, with its status, its reason and clean gauges."""

import socket

import pytest

from harness import (CHUNKED, OK, End, PeerEnded, RawOrigin, Sluice, answering, assert_problem, chunked, echo, milliseconds,
                     proxy_config, proxying, request, response, wait_until)

SHORT = milliseconds(200)


# --- what a client may send ---
def long_head(line=0, field=0, fields=0):
    extra = [("X-Long", "a" * field)] if field else []
    return request("GET", "/" + "a" * line, extra + [(f"X-{number}", "1") for number in range(fields)])


LIMITS = {"request_line": "1KiB", "header_bytes": "8KiB", "headers": 20, "body": "1KiB"}
OVERSIZE = {
    "request line": (long_head(line=2000), 414, "request_line_too_long"),
    "request line that never ends": (b"GET /" + b"a" * 100000, 414, "request_line_too_long"),
    "one field": (long_head(field=9000), 431, "header_too_large"),
    "a head that never ends": (b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100000, 431, "header_too_large"),
    "number of fields": (long_head(fields=20), 431, "too_many_headers"),  # Host is the twenty-first
    "number of fields that never ends": (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 500, 431, "too_many_headers"),
    "body of known length": (request("POST", "/", [("Content-Length", "1000000")]), 413, "body_too_large"),
    "body in one chunk": (request("POST", "/", CHUNKED) + chunked(b"a" * 1025), 413, "body_too_large"),
    "body in many chunks": (request("POST", "/", CHUNKED) + chunked(*[b"a" * 100] * 11), 413, "body_too_large"),
}
JUST_RIGHT = {
    "request line": long_head(line=1024 - len("GET / HTTP/1.1") - 2),
    "head": long_head(field=8192 - len(long_head(field=1)) + 1),
    "number of fields": long_head(fields=19),
    "body of known length": request("POST", "/", body=b"a" * 1024),
    "body in chunks": request("POST", "/", CHUNKED) + chunked(*[b"a" * 128] * 8),
}


@pytest.fixture(scope="module")
def limited():
    with proxying(answering(echo), listener={"limits": LIMITS}) as pair:
        yield pair


@pytest.mark.parametrize("name", OVERSIZE)
def test_more_than_the_limit_is_refused_and_closes_the_connection(limited, name):
    gateway, _ = limited
    data, status, reason = OVERSIZE[name]
    with gateway.client() as client:
        client.send_if_open(data)
        assert_problem(client.read_response(), status, reason)
        client.wait_closed()


@pytest.mark.parametrize("name", JUST_RIGHT)
def test_exactly_the_limit_is_served(limited, name):
    gateway, _ = limited
    with gateway.client() as client:
        assert client.send(JUST_RIGHT[name]).read_response().status == 200


def test_white_space_in_a_large_head_costs_it_nothing():
    with proxying(listener={"limits": {"header_bytes": "64KiB"}}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/", [("X-Long", "a" * 36000), ("X-Wide", " " * 20000 + "a")]))
        connection = origin.accept()
        connection.read_through(b"\r\n\r\n")
        connection.send(OK)
        assert client.read_response().status == 200


def test_a_short_body_that_is_refused_is_read_to_its_end_and_the_connection_goes_on(limited):
    gateway, _ = limited
    with gateway.client() as client:
        client.send(request("POST", "/", [("Content-Length", "1025")]))
        assert_problem(client.read_response(), 413, "body_too_large")
        client.send(b"a" * 1025 + request("GET", "/next"))
        assert client.read_response().get("x-target") == "/next"


def test_a_refused_body_of_known_length_never_reaches_the_origin():
    with proxying(answering(OK), listener={"limits": {"body": "1KiB"}}) as (gateway, origin):
        with gateway.client() as client:
            client.send(request("POST", "/", [("Content-Length", "1025")]))
            assert_problem(client.read_response(), 413, "body_too_large")
        gateway.get("/sentinel")
        assert origin.targets == ["/sentinel"]


def test_a_chunked_body_past_the_limit_is_cut_off_at_the_origin_too():
    with proxying(listener={"limits": {"body": "1KiB"}}) as (gateway, origin):
        client = gateway.client().send(request("POST", "/", CHUNKED), b"200\r\n" + b"a" * 512 + b"\r\n")
        connection = origin.accept()
        connection.read_request_head()
        assert connection.read_chunk() == b"a" * 512
        client.send(b"400\r\n" + b"a" * 1024 + b"\r\n")
        assert_problem(client.read_response(), 413, "body_too_large")
        assert not connection.read_to_end()[0].endswith(b"0\r\n\r\n")
        gateway.wait_gauges_zero()


def test_a_client_that_is_still_sending_its_oversized_body_reads_the_413():
    with proxying(answering(OK), listener={"limits": {"body": "1KiB"}}) as (gateway, _):
        client = gateway.client()
        client.send_in_background(request("POST", "/", [("Content-Length", str(4 << 20))]) + bytes(4 << 20))
        assert_problem(client.read_response(), 413, "body_too_large")


def test_a_route_s_body_limit_overrides_the_listener_s():
    with proxying(answering(OK), route={"limits": {"body": "10B"}}) as (gateway, _):
        assert gateway.ask("POST", "/", body=b"a" * 10).status == 200
        assert_problem(gateway.ask("POST", "/", body=b"a" * 11), 413, "body_too_large")


def test_a_route_may_allow_a_larger_body_than_the_listener():
    with proxying(answering(echo), listener={"limits": {"body": "10B"}}, route={"limits": {"body": "1MiB"}}) as (gateway, _):
        assert gateway.ask("POST", "/", body=b"a" * 100000).status == 200


def test_requests_per_connection_ends_the_connection_after_the_last_answer():
    with proxying(answering(OK), listener={"limits": {"requests_per_connection": 3}}) as (gateway, _):
        client = gateway.client()
        answers = [client.get("/") for _ in range(3)]
        assert [answer.get("connection") for answer in answers] == [None, None, "close"]
        assert client.wait_closed() is End.eof
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 1, reason="requests_limit")


def test_connections_past_max_connections_are_refused_with_503_or_closed_at_once():
    with proxying(answering(OK), process={"max_connections": 4}) as (gateway, _):
        clients = [gateway.client() for _ in range(4)]
        assert [client.get("/").status for client in clients] == [200] * 4
        with gateway.client() as surplus:
            try:
                surplus.send_if_open(request())
                assert_problem(surplus.read_response(), 503, "too_many_connections")
            except PeerEnded:
                pass
            surplus.read_to_end()
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 1, reason="too_many_connections")
        assert clients[0].get("/").status == 200
        clients[0].close()
        wait_until(lambda: admitted(gateway), "a place is free again")
        gateway.wait_gauges_zero()


def admitted(gateway):
    try:
        return gateway.get("/").status == 200
    except (PeerEnded, BrokenPipeError, ConnectionResetError):
        return False


# --- a slow client ---
@pytest.mark.parametrize("beginning", [b"G", b"GET / HTTP/1.1\r\n", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_arrive_in_time_is_a_408(beginning):
    with proxying(listener={"timeouts": {"request_header": SHORT}}) as (gateway, _):
        client = gateway.client().send(beginning)
        assert_problem(client.read_response(), 408, "request_header_timeout")
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 1)  # though the client does not close
        client.wait_closed()
        gateway.wait_gauges_zero()
        assert [entry["reason"] for entry in gateway.access_log()] == ["request_header_timeout"]


def test_a_head_that_trickles_is_a_408_however_often_a_byte_comes():
    with proxying(listener={"timeouts": {"request_header": SHORT}}) as (gateway, _):
        client = gateway.client().send(b"GET / HTTP/1.1\r\nX: ")
        wait_until(lambda: not (client.send_if_open(b"a") and client.is_silent()), "the gateway loses patience")
        assert_problem(client.read_response(), 408, "request_header_timeout")


@pytest.mark.parametrize("beginning", [b"", b"\r\n"])
def test_a_connection_that_says_nothing_is_closed(beginning):
    with proxying(listener={"timeouts": {"request_header": SHORT, "idle": SHORT}}) as (gateway, _):
        client = gateway.client().send(beginning)
        client.read_to_end()
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 1)
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("framing, piece", [([("Content-Length", "100")], b"part"), (CHUNKED, b"64\r\npart"), (CHUNKED, b"6")])
def test_a_body_that_stalls_is_a_408_and_the_origin_sees_no_end(framing, piece):
    with proxying(listener={"timeouts": {"request_body": SHORT}}) as (gateway, origin):
        client = gateway.client().send(request("POST", "/", framing), piece)
        connection = origin.accept()
        connection.read_request_head()
        assert_problem(client.read_response(), 408, "request_body_timeout")
        client.wait_closed()
        received, _ = connection.read_to_end()
        assert not received.endswith(b"0\r\n\r\n")
        gateway.wait_gauges_zero()


def test_a_slow_body_that_keeps_moving_is_not_cut_off():
    with proxying(listener={"timeouts": {"request_body": milliseconds(400)}}) as (gateway, origin):
        client = gateway.client().send(request("POST", "/", [("Content-Length", "12")]))
        connection = origin.accept()
        connection.read_request_head()
        for _ in range(12):  # 12 pauses of an eighth of a second: longer than the timeout in all
            assert not origin.stopping.wait(0.125)
            client.send(b"a")
            assert connection.read_exactly(1) == b"a"
        connection.send(OK)
        assert client.read_response().status == 200


def test_a_body_that_takes_longer_than_the_response_may_is_not_cut_off():
    with proxying(upstream_settings={"timeouts": {"response_header": milliseconds(400)}}) as (gateway, origin):
        client = gateway.client().send(request("POST", "/", [("Content-Length", "8")]))
        connection = origin.accept()
        connection.read_request_head()
        for _ in range(8):
            assert not origin.stopping.wait(0.125)
            client.send(b"a")
            assert connection.read_exactly(1) == b"a"
        connection.send(OK)
        assert client.read_response().status == 200


def test_an_origin_that_never_says_100_is_a_504():
    with proxying(upstream_settings={"timeouts": {"response_header": SHORT}}) as (gateway, origin):
        client = gateway.client().send(request("POST", "/", [("Content-Length", "8"), ("Expect", "100-continue")]))
        origin.accept().read_request_head()
        assert_problem(client.read_response(), 504, "upstream_timeout")


def test_an_idle_connection_is_closed_quietly_and_counted():
    with proxying(answering(OK), listener={"timeouts": {"idle": SHORT}}) as (gateway, _):
        client = gateway.client()
        assert client.get("/").status == 200
        assert client.wait_closed() is End.eof
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 1, reason="idle_timeout")
        assert len(gateway.access_log()) == 1


def test_a_client_that_does_not_read_its_answer_is_dropped():
    with proxying(listener={"timeouts": {"write": SHORT}}) as (gateway, origin):
        client = gateway.client(receive_buffer=4096).send(request())
        connection, _ = origin.answer(response(headers=[("Content-Length", str(64 << 20))], framed=False))
        connection.send_in_background(bytes(64 << 20))
        connection.drain()
        assert gateway.access_log()[0]["reason"] == "client_write_timeout"
        assert len(client.read_to_end()[0]) < 64 << 20
        gateway.wait_gauges_zero()


def test_a_client_that_ends_its_body_but_never_reads_its_answer_is_dropped():
    with proxying(listener={"timeouts": {"write": SHORT}}) as (gateway, origin):
        client = gateway.client(receive_buffer=4096).send(request("POST", "/", [("Content-Length", "4")]))
        connection = origin.accept()
        connection.read_request_head()
        connection.send(response(headers=[("Content-Length", str(64 << 20))], framed=False))
        connection.send_in_background(bytes(64 << 20))
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="writing")
        client.send(b"body")
        assert gateway.logged(bytes_in=len(request("POST", "/", [("Content-Length", "4")])) + 4)["reason"] == "client_write_timeout"
        gateway.wait_gauges_zero()


# --- a slow or absent upstream ---
def silent_listener():
    """A listening port whose queue is full: connecting to it neither succeeds nor fails."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fill = []
    while True:
        filler = socket.socket()
        filler.settimeout(0.1)
        fill.append(filler)
        try:
            filler.connect(listener.getsockname())
        except TimeoutError:
            return listener, fill


def test_an_upstream_that_does_not_accept_in_time_is_a_504():
    listener, fill = silent_listener()
    config = proxy_config("127.0.0.1:%d" % listener.getsockname()[1],
                          upstream_settings={"timeouts": {"connect": SHORT}, "retry": {"attempts": 0}})
    with listener, Sluice(config) as gateway:
        assert_problem(gateway.ask("POST", "/", body=b"x"), 504, "connect_timeout")
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_upstream_connect_failures_total") == 1
    for filler in fill:
        filler.close()


def test_an_upstream_that_refuses_is_a_502():
    with RawOrigin() as origin:
        pass  # its port is closed now
    with Sluice(proxy_config(origin)) as gateway:
        client = gateway.client()
        for _ in range(3):
            assert_problem(client.get("/"), 502, "connect_failed")
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_an_upstream_that_sends_no_head_in_time_is_a_504(beginning):
    with proxying(upstream_settings={"timeouts": {"response_header": SHORT}}) as (gateway, origin):
        client = gateway.client().send(request())
        connection, _ = origin.answer(beginning)
        assert_problem(client.read_response(), 504, "upstream_timeout")
        connection.drain()
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("framing, piece", [([("Content-Length", "100")], b"part"), (CHUNKED, b"4\r\npart\r\n"), ((), b"part")])
def test_a_response_body_that_stalls_is_cut_off_and_never_looks_whole(framing, piece):
    with proxying(upstream_settings={"timeouts": {"idle": SHORT}}) as (gateway, origin):
        client = gateway.client().send(request())
        connection, _ = origin.answer(response(headers=framing, framed=False), piece)
        client.read_through(b"part")
        rest, _ = client.read_to_end()
        assert b"0\r\n\r\n" not in rest
        connection.drain()
        assert gateway.access_log()[0]["reason"] == "upstream_idle_timeout"
        gateway.wait_gauges_zero()


def test_a_route_s_timeout_before_the_answer_is_a_504():
    with proxying(route={"timeout": SHORT}) as (gateway, origin):
        client = gateway.client().send(request())
        connection, _ = origin.answer()
        assert_problem(client.read_response(), 504, "route_timeout")
        connection.drain()
        gateway.wait_gauges_zero()


def test_a_route_s_timeout_within_the_answer_cuts_it_off_however_it_moves():
    def trickle(connection):
        connection.answer(response(headers=CHUNKED, framed=False))
        while not connection.origin.stopping.wait(0.02):
            connection.send(b"1\r\na\r\n")

    with proxying(trickle, route={"timeout": SHORT}) as (gateway, _):
        client = gateway.client().send(request())
        received, _ = client.read_to_end()
        assert b"0\r\n\r\n" not in received
        assert gateway.access_log()[0]["reason"] == "route_timeout"
        gateway.wait_gauges_zero()


# --- the pool's queue ---
def test_requests_past_max_pending_are_503_and_those_within_are_served():
    pool = {"max_open": 1, "max_pending": 2, "pending_timeout": "60s"}
    with proxying(upstream_settings={"pool": pool}) as (gateway, origin):
        clients = [gateway.client() for _ in range(4)]
        clients[0].send(request("GET", "/0"))
        connection = origin.accept()
        connection.read_request()
        for number in (1, 2):
            clients[number].send(request("GET", f"/{number}"))
            gateway.wait_for_metric("sluice_upstream_pending_requests", number)
        assert_problem(clients[3].get("/3"), 503, "pool_queue_full")
        connection.send(OK)
        for number in (1, 2):
            assert connection.answer(OK).target == f"/{number}", "first come, first served"
        assert [client.read_response().status for client in clients[:3]] == [200] * 3
        assert len(origin.connections) == 1
        gateway.wait_gauges_zero()


def test_a_request_that_waits_too_long_for_a_connection_is_a_503():
    with proxying(upstream_settings={"pool": {"max_open": 1, "pending_timeout": SHORT}}) as (gateway, origin):
        first, second = gateway.client().send(request()), gateway.client()
        connection = origin.accept()
        connection.read_request()
        assert_problem(second.get("/"), 503, "pool_wait_timeout")
        connection.send(OK)
        assert first.read_response().status == 200
        gateway.wait_gauges_zero()


def test_a_body_that_was_held_back_when_its_answer_came_is_read_to_its_end():
    with proxying(upstream_settings={"pool": {"max_open": 1, "pending_timeout": SHORT}}) as (gateway, origin):
        first, second = gateway.client().send(request()), gateway.client()
        connection = origin.accept()
        connection.read_request()
        second.send(request("POST", "/", [("Content-Length", "120000")]), bytes(100_000))  # more than is held without a connection
        assert_problem(second.read_response(), 503, "pool_wait_timeout")
        connection.send(OK)
        assert first.read_response().status == 200
        second.send(bytes(20_000) + request("GET", "/next"))
        assert connection.answer(OK).target == "/next"
        assert second.read_response().status == 200


def test_a_client_that_leaves_the_queue_is_forgotten():
    with proxying(upstream_settings={"pool": {"max_open": 1, "pending_timeout": "60s"}}) as (gateway, origin):
        first = gateway.client().send(request("GET", "/1"))
        connection = origin.accept()
        connection.read_request()
        second = gateway.client().send(request("GET", "/2"))
        gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
        second.reset()
        gateway.wait_for_metric("sluice_upstream_pending_requests", 0)
        third = gateway.client().send(request("GET", "/3"))
        gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
        connection.send(OK)
        assert connection.answer(OK).target == "/3"
        assert (first.read_response().status, third.read_response().status) == (200, 200)
        assert gateway.logged(status=499)["reason"] == "client_closed"
