"""Which upstream connection a request takes, when a connection ends, and when a request is tried again and when never."""

import threading
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from harness import (CHUNKED, DEADLINE, OK, RawOrigin, Sluice, answering, assert_problem, chunked, greeting, merged, milliseconds,
                     proxy_config, proxying, request, response, upstream, wait_until)

SHORT = milliseconds(200)
UNAVAILABLE = response(b"busy", status=503, phrase="Service Unavailable")


@contextmanager
def proxying_several(scripts, **config):
    """As proxying(), before several origins of one upstream: yields (gateway, [origin, ...])."""
    with ExitStack() as stack:
        origins = [stack.enter_context(RawOrigin(script)) for script in scripts]
        yield stack.enter_context(Sluice(proxy_config(*origins, **config))), origins


def open_connections(gateway, origin, count):
    """Makes the pool hold `count` idle connections, in the order in which they became idle."""
    clients = [gateway.client().send(request("GET", f"/{number}")) for number in range(count)]
    connections = [origin.accept() for _ in clients]
    for connection in connections:
        connection.read_request()
    for number, connection in enumerate(connections):
        connection.send(OK)
        gateway.wait_for_metric("sluice_upstream_connections_active", count - number - 1)
    for client in clients:
        assert client.read_response().body == b"ok"
        client.close()
    return connections


# --- the pool ---
def test_the_connection_used_last_is_used_next():
    with proxying() as (gateway, origin):
        *_, last = open_connections(gateway, origin, 3)
        for number in range(5):
            client = gateway.client().send(request("GET", f"/again/{number}"))
            assert last.answer(OK).target == f"/again/{number}"
            assert client.read_response().body == b"ok"


def test_no_more_than_max_idle_connections_are_kept():
    with proxying(upstream_settings={"pool": {"max_idle": 2}}) as (gateway, origin):
        connections = open_connections(gateway, origin, 4)
        gateway.wait_for_metric("sluice_upstream_connections_idle", 2)
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 2, reason="pool_surplus")
        closed = [connection for connection in connections if not connection.is_silent()]
        assert len(closed) == 2


def test_no_more_than_max_open_connections_are_opened():
    with proxying(upstream_settings={"pool": {"max_open": 3, "pending_timeout": "60s"}}) as (gateway, origin):
        clients = [gateway.client().send(request()) for _ in range(10)]
        connections = [origin.accept() for _ in range(3)]
        gateway.wait_for_metric("sluice_upstream_pending_requests", 7)
        for turn in range(10):
            connections[turn % 3].answer(OK)
        assert [client.read_response().status for client in clients] == [200] * 10
        assert len(origin.connections) == 3


def test_a_pooled_connection_is_closed_after_its_idle_timeout():
    with proxying(upstream_settings={"pool": {"idle_timeout": SHORT}}) as (gateway, origin):
        connection, = open_connections(gateway, origin, 1)
        assert connection.drain()
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 1, reason="pool_idle")
        gateway.wait_for_metric("sluice_upstream_connections_idle", 0)


def test_a_pooled_connection_ends_after_max_requests():
    with proxying(answering(OK), upstream_settings={"pool": {"max_requests": 3}}) as (gateway, origin):
        for _ in range(9):
            assert gateway.get("/").status == 200
        assert [connection.received.count(b"GET /") for connection in origin.connections] == [3, 3, 3]
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 3, reason="pool_lifetime")


def test_a_pooled_connection_ends_after_its_lifetime():
    with proxying(answering(OK), upstream_settings={"pool": {"max_lifetime": SHORT}}) as (gateway, origin):
        wait_until(lambda: gateway.get("/").status == 200 and len(origin.connections) > 1, "a second connection is opened")
        assert gateway.metrics().total("sluice_upstream_connections_closed_total", reason="pool_lifetime") >= 1


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_pooled_connection_that_the_endpoint_ends_is_noticed_while_it_is_idle(how):
    with proxying() as (gateway, origin):
        connection, = open_connections(gateway, origin, 1)
        getattr(connection, how)()
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 1, reason="upstream_closed_idle")
        gateway.wait_for_metric("sluice_upstream_connections_idle", 0)
        client = gateway.client().send(request("POST", "/", body=b"once"))
        assert origin.answer(OK)[1].body == b"once"
        assert client.read_response().status == 200


def ends_as_another_waits(gateway, origin, sent, body):
    """Two requests share one connection; the first is sent and the second waits. Returns (first, second, connection)."""
    first, second = gateway.client(), gateway.client()
    first.send(request(sent, "/first", body=body))
    connection, _ = origin.answer()
    second.send(request(sent, "/second", body=body))
    gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
    return first, second, connection


ONE_CONNECTION = {"pool": {"max_open": 1, "pending_timeout": "60s"}}


def test_who_waits_for_a_connection_never_gets_the_response_before_its_own():
    with proxying(upstream_settings=ONE_CONNECTION) as (gateway, origin):
        first, second, connection = ends_as_another_waits(gateway, origin, "GET", None)
        hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        connection.send(hint + b"HTTP/1.1 200 OK\r\nContent-")  # a head in two pieces
        first.read_through(hint[-4:])
        connection.send(b"Length: 5\r\n\r\nfirst")
        assert connection.answer(response(b"second")).target == "/second"
        assert first.read_response().body == b"first"
        assert second.read_response().body == b"second"


def test_who_waits_for_a_connection_is_served_behind_a_large_response():
    body = bytes(300_000)
    with proxying(upstream_settings=ONE_CONNECTION) as (gateway, origin):
        first, second, connection = ends_as_another_waits(gateway, origin, "POST", b"once")
        connection.send(response(body)[:150_000])
        first.read_through(b"\r\n\r\n")
        first.read_exactly(140_000)  # the rest comes in one piece
        connection.send(response(body)[150_000:])
        assert connection.answer(OK).target == "/second"
        assert second.read_response().status == 200
        assert len(origin.requests) == 2


# --- a stale pooled connection ---
def ends_on_second_request(how):
    """A script whose first connection dies as its second request arrives; all others answer."""

    def script(connection):
        if connection.number > 0:
            return answering(OK)(connection)
        connection.answer(OK)
        connection.read_request()
        getattr(connection, how)()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_on_a_stale_connection_is_sent_once_more_on_a_fresh_one(method, how):
    with proxying(ends_on_second_request(how), upstream_settings={"retry": {"attempts": 0}}) as (gateway, origin):
        assert gateway.get("/first").status == 200
        assert gateway.ask(method, "/second").status == 200
        assert Counter(origin.targets) == {"/first": 1, "/second": 2}
        assert len(origin.connections) == 2
        assert gateway.metrics().total("sluice_upstream_retries_total", kind="stale") == 1
        assert gateway.logged(path="/second")["status"] == 200


def test_a_body_that_meets_a_dead_connection_arrives_whole_on_the_next():
    body = bytes(range(250)) * 800
    with proxying() as (gateway, origin):
        client = gateway.client()
        client.send_in_background(request("POST", "/first", body=bytes(8 << 20)))  # now the kernel takes more than one read for us
        stale, _ = origin.answer(OK)
        assert client.read_response().status == 200
        gateway.wait_for_metric("sluice_upstream_connections_idle", 1)
        with gateway.stopped():
            client.send(request("POST", "/second", body=body))
            stale.reset()
        _, sent = origin.answer(OK)  # nothing of it had been sent before
        assert sent.body == body
        assert client.read_response().status == 200


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_on_a_stale_connection_is_never_sent_twice(method, how):
    with proxying(ends_on_second_request(how),
                  upstream_settings={"retry": {"attempts": 3, "on": ["connect", "reset", 503]}}) as pair:
        gateway, origin = pair
        assert gateway.get("/first").status == 200
        assert_problem(gateway.ask(method, "/second", body=b"once"), 502, "upstream_reset")
        gateway.get("/sentinel")
        assert Counter(origin.targets) == {"/first": 1, "/second": 1, "/sentinel": 1}


def test_a_request_whose_body_was_already_passed_on_is_not_replayed_in_part():
    """A PUT is idempotent, but its streamed body is gone: the origin must see it whole or the client an error."""
    with proxying(ends_on_second_request("reset")) as (gateway, origin):
        assert gateway.get("/first").status == 200
        body = bytes(range(256)) * 4096
        answer = gateway.ask("PUT", "/second", body=body)
        assert answer.status in (200, 502)
        assert all(sent.body == body for sent in origin.requests if sent.target == "/second")


def test_a_fresh_connection_that_dies_is_not_retried_without_a_policy():
    def dies(connection):
        connection.read_request()

    with proxying(dies, upstream_settings={"retry": {"attempts": 0}}) as (gateway, origin):
        assert_problem(gateway.get("/"), 502, "upstream_reset")
        assert len(origin.connections) == 1


# --- an endpoint that says more than it was asked ---
POISON = response(b"poison")


def with_one_idle_connection(gateway, origin):
    client = gateway.client().send(request("GET", "/first"))
    connection, _ = origin.answer(OK)
    assert client.read_response().body == b"ok"
    gateway.wait_for_metric("sluice_upstream_connections_idle", 1)
    return client, connection


@pytest.mark.parametrize("order", ["request first", "surplus first"])
def test_what_came_before_a_request_is_never_its_response(order):
    """The loop hears of both in one batch: of the next request, and of bytes on the connection that it will lease."""
    with proxying(upstream_settings={"retry": {"attempts": 0}}) as (gateway, origin):
        client, stale = with_one_idle_connection(gateway, origin)
        steps = [lambda: client.send(request("GET", "/second")), lambda: stale.send(POISON)]
        with gateway.stopped():
            for step in steps if order == "request first" else reversed(steps):
                step()
        assert origin.answer(response(b"second"))[1].target == "/second"
        assert client.read_response().body == b"second"
        why = {"request first": "upstream_reset", "surplus first": "upstream_bad_response"}[order]
        gateway.wait_for_metric("sluice_upstream_connections_closed_total", 1, reason=why)


def test_a_post_beside_bytes_out_of_turn_is_answered_by_an_error_and_never_by_them():
    with proxying(upstream_settings={"retry": {"attempts": 0}}) as (gateway, origin):
        client, stale = with_one_idle_connection(gateway, origin)
        with gateway.stopped():
            client.send(request("POST", "/second", body=b"once"))
            stale.send(POISON)
        assert_problem(client.read_response(), 502, "upstream_reset")
        assert stale.read_request().target == "/second"  # it was sent, so it may have been run
        assert len(origin.connections) == 1


def test_who_waits_for_a_connection_never_gets_what_stands_behind_a_large_response():
    """A spliced body is taken to the byte, so that what the endpoint sent behind it is still in the socket."""
    body = bytes(300_000)
    with proxying(upstream_settings=ONE_CONNECTION) as (gateway, origin):
        first, second, connection = ends_as_another_waits(gateway, origin, "GET", None)
        connection.send(response(body)[:-100])
        first.read_through(b"\r\n\r\n")
        first.read_exactly(len(body) - 100)
        connection.send(response(body)[-100:] + POISON)  # one segment
        assert first.read_exactly(100) == body[-100:]
        assert origin.answer(response(b"second"))[1].target == "/second"
        assert second.read_response().body == b"second"


# --- the retry policy ---
def first_answers(*answers):
    """A script of one origin: its n-th request over all connections gets answers[n]; None closes, "reset" resets."""
    left = list(answers)

    def script(connection):
        while True:
            connection.read_request()
            answer = left.pop(0) if left else OK
            if answer is None:
                return
            if answer == "reset":
                return connection.reset()
            connection.send(answer)

    return script


RETRY = {"attempts": 2, "on": ["connect", "reset", 503], "budget": "100%"}


@pytest.mark.parametrize("failure", [UNAVAILABLE, None, "reset"], ids=["503", "close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_failure_named_by_the_policy_is_tried_again(method, failure):
    with proxying(first_answers(failure, failure), upstream_settings={"retry": RETRY}) as (gateway, origin):
        answer = gateway.ask(method, "/")
        assert (answer.status, answer.body) == (200, b"ok")
        assert len(origin.requests) == 3
        assert gateway.access_log()[0]["attempts"] == 3
        assert gateway.metrics().total("sluice_upstream_retries_total", kind="policy") == 2


def test_attempts_bound_the_tries_and_the_last_answer_reaches_the_client():
    with proxying(answering(UNAVAILABLE), upstream_settings={"retry": RETRY}) as (gateway, origin):
        answer = gateway.get("/")
        assert (answer.status, answer.body) == (503, b"busy")
        assert len(origin.requests) == 3


@pytest.mark.parametrize("status", [500, 404, 502])
def test_a_status_not_named_by_the_policy_is_passed_on(status):
    with proxying(answering(response(b"no", status=status)), upstream_settings={"retry": RETRY}) as (gateway, origin):
        assert gateway.get("/").status == status
        assert len(origin.requests) == 1


@pytest.mark.parametrize("failure", [UNAVAILABLE, None, "reset"], ids=["503", "close", "reset"])
@pytest.mark.parametrize("body", ["length", "chunked", "none"])
def test_a_post_that_reached_an_endpoint_is_never_sent_twice(failure, body):
    with proxying(first_answers(failure), upstream_settings={"retry": RETRY}) as (gateway, origin):
        with gateway.client() as client:
            if body == "chunked":
                client.send(request("POST", "/once", CHUNKED) + chunked(b"data"))
            else:
                client.send(request("POST", "/once", body=b"data" if body == "length" else b""))
            assert client.read_response().status == (503 if failure is UNAVAILABLE else 502)
        gateway.get("/sentinel")
        assert origin.targets == ["/once", "/sentinel"]


def test_a_post_that_never_reached_an_endpoint_goes_to_another_one():
    with RawOrigin() as gone:
        pass  # refuses from now on
    with RawOrigin(answering(OK)) as origin:
        config = proxy_config(gone, origin, upstream_settings={"balance": "round_robin", "retry": RETRY})
        with Sluice(config) as gateway:
            for _ in range(4):
                assert gateway.ask("POST", "/", body=b"data").status == 200
            assert [sent.body for sent in origin.requests] == [b"data"] * 4


def test_a_request_that_stalls_past_per_try_is_tried_again():
    def stalls_once(connection):
        if connection.number == 0:
            connection.read_request()
            return connection.drain()
        answering(OK)(connection)

    retry = {**RETRY, "on": ["timeout"], "per_try": SHORT}
    with proxying(stalls_once, upstream_settings={"retry": retry}) as (gateway, origin):
        assert gateway.get("/").body == b"ok"
        assert len(origin.requests) == 2


def test_per_try_without_tries_left_is_a_504():
    with proxying(upstream_settings={"retry": {"attempts": 0, "per_try": SHORT}}) as (gateway, origin):
        client = gateway.client().send(request())
        connection, _ = origin.answer()
        assert_problem(client.read_response(), 504, "upstream_try_timeout")
        connection.drain()
        gateway.wait_gauges_zero()


def test_an_answer_that_has_begun_is_never_tried_again():
    with proxying(upstream_settings={"retry": RETRY}) as (gateway, origin):
        client = gateway.client().send(request())
        connection, _ = origin.answer(response(headers=[("Content-Length", "10")], framed=False), b"part")
        client.read_through(b"part")
        connection.reset()
        client.read_to_end()
        gateway.wait_gauges_zero()
        assert len(origin.connections) == 1


def test_the_budget_bounds_the_share_of_retries():
    retry = {"attempts": 1, "on": [503], "budget": "10%"}
    with proxying(answering(UNAVAILABLE), upstream_settings={"retry": retry}) as (gateway, origin):
        client = gateway.client()
        for _ in range(100):
            assert client.get("/").status == 503
        retries = len(origin.requests) - 100
        assert 3 <= retries <= 25  # 10 % of 100, the minimum of 3 in each window, some slack for windows
        assert gateway.metrics().total("sluice_upstream_retries_total", kind="denied_by_budget") == 100 - retries


def test_a_retry_takes_another_endpoint():
    with proxying_several([answering(UNAVAILABLE), greeting("fine")],
                          upstream_settings={"balance": "round_robin", "retry": RETRY}) as pair:
        gateway, _ = pair
        assert [gateway.get("/").body for _ in range(6)] == [b"fine"] * 6


# --- balancing ---
def spread(gateway, count):
    """How many of `count` requests, one after the other, each endpoint answered with its name."""
    names = Counter()
    with gateway.client() as client:
        for _ in range(count):
            answer = client.get("/")
            assert answer.status == 200, answer.body
            names[answer.body.decode()] += 1
    return names


NAMES = ["a", "b", "c"]


def test_round_robin_visits_each_endpoint_in_turn():
    with proxying_several(map(greeting, NAMES), upstream_settings={"balance": "round_robin"}) as (gateway, _):
        assert spread(gateway, 30) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize("balance", ["random", "p2c", "least_request"])
def test_every_endpoint_gets_its_share_of_requests_that_come_together(balance):
    together = threading.Barrier(30)  # all are at their endpoints before one is answered: no endpoint is quicker than another

    def script(name):
        def answer(_):
            together.wait(DEADLINE)
            return response(name.encode())

        return answering(answer)

    with proxying_several(map(script, NAMES), upstream_settings={"balance": balance}) as (gateway, _):
        clients = [gateway.client() for _ in range(together.parties)]
        counts = Counter()
        for _ in range(10):
            for client in clients:
                client.send(request())
            counts.update(client.read_response().body.decode() for client in clients)
        assert set(counts) == set(NAMES) and min(counts.values()) >= 50


@pytest.mark.parametrize("balance", ["round_robin", "random"])
def test_weights_divide_the_requests(balance):
    with RawOrigin(greeting("heavy")) as heavy, RawOrigin(greeting("light")) as light:
        endpoints = [{"address": heavy.endpoint, "weight": 4}, {"address": light.endpoint, "weight": 1}]
        with Sluice(proxy_config(*endpoints, upstream_settings={"balance": balance})) as gateway:
            counts = spread(gateway, 500)
            slack = 0 if balance == "round_robin" else 60
            assert abs(counts["heavy"] - 400) <= slack


def slow_greeting(connection):
    while True:
        connection.read_request()
        connection.origin.stopping.wait(0.02)
        connection.send(response(b"slow"))


@pytest.mark.parametrize("balance", ["least_request", "p2c"])
def test_an_endpoint_that_has_not_answered_yet_is_avoided_though_the_other_is_slow(balance):
    settings = {"balance": balance, "timeouts": {"response_header": milliseconds(2000)}}
    with proxying_several([None, slow_greeting], upstream_settings=settings) as (gateway, (silent, _)):
        for _ in range(100):
            if silent.connections:
                break
            client = gateway.client().send(request())
            wait_until(lambda: silent.connections or not client.is_silent(), "the request is held or answered")
        assert len(silent.connections) == 1
        assert spread(gateway, 20) == {"slow": 20}


def test_split_divides_by_weight():
    with RawOrigin(greeting("stable")) as stable, RawOrigin(greeting("canary")) as canary:
        config = merged(proxy_config(stable), {"upstreams": {"canary": upstream(canary)}})
        del config["routes"][0]["upstream"]
        config["routes"][0]["split"] = [{"upstream": "origin", "weight": 90}, {"upstream": "canary", "weight": 10}]
        with Sluice(config) as gateway:
            counts = spread(gateway, 1000)
            assert 50 <= counts["canary"] <= 160 and sum(counts.values()) == 1000


@pytest.mark.workers
def test_two_workers_keep_pools_of_their_own_and_lose_nothing():
    settings = {"upstream_settings": {"balance": "round_robin"}, "process": {"workers": 2}}
    with proxying_several(map(greeting, NAMES), **settings) as (gateway, _):
        clients = [gateway.client() for _ in range(32)]
        counts = Counter()
        for _ in range(30):
            for client in clients:
                client.send(request())
            counts.update(client.read_response().body.decode() for client in clients)
        assert sum(counts.values()) == 960 and min(counts.values()) >= 250
        assert gateway.metrics().total("sluice_upstream_requests_total") == 960
        gateway.wait_gauges_zero()
