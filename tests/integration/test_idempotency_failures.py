"""The plugin idempotency while everything around it dies: gateways, Redis, upstreams and clients, at each step of its protocol. Never
two executions; what nobody can know is told as such."""

import contextlib
import queue
import socket
import threading

import pytest

from harness import (CHUNKED, DEADLINE, OK, RawOrigin, Redis, Sluice, answering, assert_problem, proxy_config, proxying, redis_store, request,
                     response, wait_until)
from test_idempotency import KEY, events, once, post

CLAIM = b"\r\nNX\r\n"  # of PUT_IF_ABSENT
RESULT = b"the result"
ANSWER = response(RESULT, 201, phrase="Created")
ASK = request("POST", "/orders", KEY, b"one")


class Tap:
    """A relay before Redis that stops at a command: what comes behind it waits too, until go_on(), or is lost by cut()."""

    def __init__(self, redis):
        self.redis = redis
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.marker = None
        self.answers = False
        self.reached = threading.Event()
        self.passing = threading.Event()
        self.passing.set()
        self.sockets = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def stop_at(self, marker, answers=False):
        """The next command with `marker` in it does not reach Redis; or it does, and its answer comes not back."""
        self.reached.clear()
        self.passing.clear()
        self.answers = answers
        self.marker = marker

    def wait(self):
        assert self.reached.wait(DEADLINE), f"no command with {self.marker!r} came"

    def go_on(self):
        self.marker = None
        self.passing.set()

    def cut(self):
        """All connections end, and what waits is lost."""
        self.marker = None
        doomed, self.sockets = self.sockets, []
        for each in doomed:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.passing.set()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.redis.port), DEADLINE)
            except OSError:
                client.close()
                continue
            self.sockets += [client, server]
            stops = threading.Event()  # this connection stopped at the command
            for source, sink, ends in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, ends, stops), daemon=True).start()

    def _pump(self, source, sink, answers, stops):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if not answers and self.marker is not None and self.marker in data:
                    stops.set()
                    if not self.answers:
                        self._stop(source)
                if answers and stops.is_set() and self.answers:
                    self._stop(source)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _stop(self, source):
        self.reached.set()
        self.passing.wait()
        if source.fileno() < 0 or source not in self.sockets:
            raise OSError("cut")


def settings(tap_or_redis, **config):
    return once(redis_store(tap_or_redis, timeout="500ms"), **{"lease": "1s", "clock_skew": "0s", **config})


def wait_for_stores(*gateways):
    for gateway in gateways:
        gateway.wait_for_metric("sluice_store_available", 1, store="default")


def kill(gateway):
    gateway.process.kill()
    gateway.process.wait(DEADLINE)
    gateway.process.returncode = 0  # that was what the test wanted


def final_answer(gateway, **asked):
    """What a client that comes back as often as it is told to gets in the end."""

    def answer():
        got = post(gateway, **asked)
        passing = got.status == 503 or (got.status == 409 and b"idempotency_in_flight" in got.body)
        return None if passing else got

    return wait_until(answer, "an answer that is final")


def assert_replayed(answer):
    assert (answer.status, answer.body, answer.get("idempotent-replayed")) == (201, RESULT, "true")


# --- a gateway is killed; its client asks another one ---

def killed_while_the_claim_is_on_its_way(case):
    case.tap.stop_at(CLAIM)
    case.client.send(ASK)
    case.tap.wait()
    kill(case.one)
    case.tap.cut()


def killed_when_the_claim_is_on_its_way_and_it_arrives_later(case):
    case.tap.stop_at(CLAIM)
    case.client.send(ASK)
    case.tap.wait()
    kill(case.one)
    case.tap.go_on()
    wait_until(lambda: case.redis.command("DBSIZE") == b":1\r\n", "the claim arrives")


def killed_when_the_claim_is_stored_and_nobody_has_heard(case):
    case.tap.stop_at(CLAIM, answers=True)
    case.client.send(ASK)
    case.tap.wait()
    kill(case.one)
    case.tap.cut()


def killed_while_the_upstream_works(case):
    case.client.send(ASK)
    case.origin.accept().read_request()
    kill(case.one)


def killed_when_the_head_of_the_answer_came(case):
    case.client.send(ASK)
    connection = case.origin.accept()
    connection.read_request()
    connection.send(ANSWER[:-3])
    case.client.read_through(b"\r\n\r\n")
    kill(case.one)


def killed_while_the_result_is_on_its_way(case):
    case.tap.stop_at(RESULT)
    case.client.send(ASK)
    case.origin.answer(ANSWER)
    case.tap.wait()
    kill(case.one)
    case.tap.cut()


def killed_while_the_result_is_on_its_way_and_it_arrives_later(case):
    case.tap.stop_at(RESULT)
    case.client.send(ASK)
    case.origin.answer(ANSWER)
    case.tap.wait()
    kill(case.one)
    case.tap.go_on()


def killed_when_the_result_is_stored_and_nobody_has_heard(case):
    case.tap.stop_at(RESULT, answers=True)
    case.client.send(ASK)
    case.origin.answer(ANSWER)
    case.tap.wait()
    kill(case.one)
    case.tap.cut()


class Case:
    """Two gateways before one origin; the first one talks to Redis through a tap."""


@pytest.fixture
def case():
    case = Case()
    with Redis() as redis, Tap(redis) as tap, RawOrigin() as origin:
        with Sluice(proxy_config(origin, **settings(tap))) as one, Sluice(proxy_config(origin, **settings(redis))) as other:
            case.redis, case.tap, case.origin, case.one, case.other = redis, tap, origin, one, other
            case.client = one.client()
            wait_for_stores(one, other)
            yield case


@pytest.mark.parametrize("step, executed, outcome", [
    (killed_while_the_claim_is_on_its_way, 0, "carried out"),
    (killed_when_the_claim_is_on_its_way_and_it_arrives_later, 0, "unknown"),
    (killed_when_the_claim_is_stored_and_nobody_has_heard, 0, "unknown"),
    (killed_while_the_upstream_works, 1, "unknown"),
    (killed_when_the_head_of_the_answer_came, 1, "unknown"),
    (killed_while_the_result_is_on_its_way, 1, "unknown"),
    (killed_while_the_result_is_on_its_way_and_it_arrives_later, 1, "replayed"),
    (killed_when_the_result_is_stored_and_nobody_has_heard, 1, "replayed"),
], ids=lambda value: value.__name__ if callable(value) else None)
def test_a_gateway_is_killed(case, step, executed, outcome):
    step(case)
    assert len(case.origin.requests) == executed
    if outcome == "carried out":
        with case.other.client() as client:
            client.send(ASK)
            case.origin.answer(ANSWER)
            assert client.read_response().get("idempotent-replayed") is None
        assert_replayed(post(case.other))
        assert len(case.origin.requests) == 1
        return
    for _ in range(2):
        answer = final_answer(case.other)
        if outcome == "unknown":
            assert_problem(answer, 409, "idempotency_outcome_unknown")
        else:
            assert_replayed(answer)
    assert len(case.origin.requests) == executed


def test_a_live_gateway_keeps_its_claim_for_longer_than_a_lease(case):
    case.client.send(ASK)
    connection = case.origin.accept()
    connection.read_request()
    wait_until(lambda: events(case.one, "renewed") >= 4, "more than a lease has passed")
    assert_problem(post(case.other), 409, "idempotency_in_flight")
    connection.send(ANSWER)
    assert case.client.read_response().status == 201
    assert_replayed(post(case.other))


def let_it_retry(gateway):
    gateway.reload(plugins={"once": {"config": {"on_unknown": "retry"}}})


def test_of_many_that_retry_an_unknown_outcome_one_is_carried_out(case):
    case.client.send(ASK)
    case.origin.accept().read_request()
    kill(case.one)
    with Sluice(proxy_config(case.origin, **settings(case.redis, on_unknown="retry"))) as third:
        assert_problem(final_answer(case.other), 409, "idempotency_outcome_unknown")  # the lease is over
        let_it_retry(case.other)
        clients = [gateway.client() for gateway in (case.other, third) for _ in range(10)]
        for client in clients:
            client.send(ASK)
        connection = case.origin.accept()
        connection.read_request()
        wait_until(lambda: sum(client.is_silent() for client in clients) == 1, "19 are told to come back")
        connection.send(ANSWER)
        answers = [client.read_response() for client in clients]
        assert sorted(answer.status for answer in answers) == [201] + [409] * 19
        assert len(case.origin.requests) == 2 and case.origin.accepted.empty()
        assert events(case.other, "taken_over") + events(third, "taken_over") == 1
        assert_replayed(post(third))


def test_an_owner_that_was_only_slow_cannot_complete_what_was_taken_over(case):
    case.client.send(ASK)
    first = case.origin.accept()
    first.read_request()
    with case.one.stopped():
        assert_problem(final_answer(case.other), 409, "idempotency_outcome_unknown")
        let_it_retry(case.other)
        with case.other.client() as taker:
            taker.send(ASK)
            case.origin.answer(ANSWER)
            assert taker.read_response().status == 201
    first.send(response(b"too late", 200))
    assert case.client.read_response().body == b"too late"  # it happened
    assert events(case.one, "completions_lost") == 1
    assert_replayed(post(case.one))
    assert_replayed(post(case.other))


def test_an_owner_that_was_only_slow_completes_what_nobody_took_over(case):
    case.client.send(ASK)
    connection = case.origin.accept()
    connection.read_request()
    with case.one.stopped():
        assert_problem(final_answer(case.other), 409, "idempotency_outcome_unknown")
    connection.send(ANSWER)
    assert case.client.read_response().status == 201
    assert_replayed(post(case.other))


# --- Redis is killed, with what it confirmed on its disk; then it comes back ---

@pytest.fixture
def disk():
    """One gateway before one origin, and a Redis that keeps what it confirmed."""
    case = Case()
    with Redis(durable=True) as redis, Tap(redis) as tap, RawOrigin() as origin:
        with Sluice(proxy_config(origin, **settings(tap, lease="30s"))) as one:
            case.redis, case.tap, case.origin, case.one = redis, tap, origin, one
            case.client = one.client()
            wait_for_stores(one)
            yield case


def kill_redis(case):
    case.redis.kill()
    case.tap.cut()


def answer_once(case):
    """What a client gets in the end, while an origin answers."""
    done = threading.Event()

    def serve():
        while not done.is_set():
            with contextlib.suppress(queue.Empty):
                case.origin.accepted.get(timeout=0.05).answer(ANSWER)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return final_answer(case.one)
    finally:
        done.set()
        thread.join()


def test_redis_is_away_before_the_claim(disk):
    kill_redis(disk)
    refused = post(disk.one)
    assert refused.status == 503 and refused.get("retry-after") == "1"
    assert disk.origin.accepted.empty()
    disk.redis.start()
    assert answer_once(disk).status == 201
    assert_replayed(post(disk.one))
    assert len(disk.origin.requests) == 1


@pytest.mark.parametrize("stored", [False, True])
def test_redis_is_killed_in_the_claim(disk, stored):
    disk.tap.stop_at(CLAIM, answers=stored)
    disk.client.send(ASK)
    disk.tap.wait()
    kill_redis(disk)
    assert_problem(disk.client.read_response(), 503, "store_lost")
    assert disk.origin.accepted.empty()
    disk.redis.start()
    # Whether the claim was stored nobody knows; it is taken back, so that it is not in the way.
    assert answer_once(disk).get("idempotent-replayed") is None
    assert_replayed(post(disk.one))
    assert len(disk.origin.requests) == 1


@pytest.mark.parametrize("durable", [True, False])
def test_redis_is_killed_while_the_upstream_works(disk, durable):
    disk.client.send(ASK)
    connection = disk.origin.accept()
    connection.read_request()
    kill_redis(disk)
    connection.send(ANSWER)
    assert disk.client.read_response().body == RESULT  # it happened
    if not durable:
        disk.redis.persistence = ["--appendonly", "no"]  # all is gone, the claim too
    assert post(disk.one).status == 503
    disk.redis.start()
    if not durable:
        wait_until(lambda: disk.redis.command("DBSIZE") == b":1\r\n", "the gateway writes the result again")
    assert_replayed(final_answer(disk.one))
    assert len(disk.origin.requests) == 1


@pytest.mark.parametrize("stored", [False, True])
def test_redis_is_killed_in_the_completion(disk, stored):
    disk.tap.stop_at(RESULT, answers=stored)
    disk.client.send(ASK)
    disk.origin.answer(ANSWER)
    disk.tap.wait()
    kill_redis(disk)
    assert disk.client.read_response().body == RESULT
    disk.redis.start()
    assert_replayed(final_answer(disk.one))
    assert len(disk.origin.requests) == 1


def arrived(client):
    """What came so far and was not read."""
    client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.receive()
    client.socket.settimeout(DEADLINE)
    return bytes(client.buffer)


@pytest.mark.parametrize("pieces, end", [
    ([response(headers=CHUNKED, framed=False), b"a\r\nthe result\r\n", b"0\r\n\r\n"], b"0\r\n\r\n"),
    ([response(headers=CHUNKED, framed=False) + b"a\r\nthe result\r\n0\r\n\r\n"], b"0\r\n\r\n"),
    ([response(headers=[("Connection", "close")], framed=False), RESULT], b"0\r\n\r\n"),
    ([ANSWER[:-3], ANSWER[-3:]], RESULT[-3:]),
], ids=["chunked", "chunked, at once", "until close", "length"])
def test_the_end_waits_however_the_answer_is_framed(disk, pieces, end):
    disk.tap.stop_at(RESULT)
    disk.client.send(ASK)
    connection = disk.origin.accept()
    connection.read_request()
    connection.send(*pieces)
    connection.half_close()
    disk.tap.wait()
    disk.client.read_through(b"\r\n\r\n")
    assert disk.one.ask("OPTIONS", "*").status == 204  # the worker has done what it could
    assert end not in arrived(disk.client)
    disk.tap.go_on()
    disk.client.read_through(end)
    answer = post(disk.one)
    assert (answer.body, answer.get("idempotent-replayed")) == (RESULT, "true")


@pytest.mark.parametrize("answer", [response(b"", 201, [("Location", RESULT.decode())]),
                                    response(b"", 204, [("Location", RESULT.decode())], framed=False)], ids=["empty", "none"])
def test_the_head_of_an_answer_without_a_body_waits(disk, answer):
    disk.tap.stop_at(RESULT)
    disk.client.send(ASK)
    disk.origin.answer(answer)
    disk.tap.wait()
    assert disk.one.ask("OPTIONS", "*").status == 204
    assert arrived(disk.client) == b""
    disk.tap.go_on()
    disk.client.read_response()
    assert post(disk.one).get("location") == RESULT.decode()


def test_a_store_that_does_not_answer_costs_its_timeout_and_nothing_is_carried_out(disk):
    disk.redis.pause()
    try:
        assert_problem(post(disk.one), 503, "store_timeout")
        assert disk.origin.accepted.empty()
    finally:
        disk.redis.go_on()
    assert answer_once(disk).status == 201
    assert len(disk.origin.requests) == 1


# --- upstreams ---

@pytest.mark.parametrize("sent", [b"", ANSWER[:20], ANSWER[:-3], response(headers=CHUNKED, framed=False) + b"3\r\nthe\r\n"],
                         ids=["nothing", "half a head", "half a body", "half a chunked body"])
@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_an_upstream_that_dies_leaves_an_unknown_outcome_at_once(kind, sent):
    with contextlib.ExitStack() as stack:
        stores = redis_store(stack.enter_context(Redis())) if kind == "redis" else None
        origin = stack.enter_context(RawOrigin())
        gateway = stack.enter_context(Sluice(proxy_config(origin, **once(stores))))
        client = gateway.client()
        client.send(ASK)
        connection = origin.accept()
        connection.read_request()
        connection.send(sent)
        connection.close()
        client.read_to_end() if len(sent) > 20 else assert_problem(client.read_response(), 502, "upstream_reset")
        assert_problem(final_answer(gateway), 409, "idempotency_outcome_unknown")
        assert_problem(post(gateway, body=b"two", path="/carts"), 422, "idempotency_key_reused")
        assert len(origin.requests) == 1
        assert events(gateway, "outcome_lost") == 1


def test_an_upstream_that_is_too_slow_leaves_an_unknown_outcome():
    with proxying(upstream_settings={"timeouts": {"response_header": "100ms"}}, **once()) as (gateway, origin):
        assert_problem(post(gateway), 504, "upstream_timeout")
        assert_problem(post(gateway), 409, "idempotency_outcome_unknown")
        assert len(origin.connections) == 1


def test_an_unknown_outcome_may_be_retried_where_that_is_allowed():
    with proxying(**once(on_unknown="retry")) as (gateway, origin):
        client = gateway.client()
        client.send(ASK)
        connection = origin.accept()
        connection.read_request()
        connection.close()
        assert client.read_response().status == 502
        with gateway.client() as again:
            again.send(ASK)
            origin.answer(ANSWER)
            assert again.read_response().status == 201
        assert_replayed(post(gateway))
        assert len(origin.requests) == 2


@pytest.mark.workers
def test_of_many_workers_that_retry_one_is_carried_out():
    with proxying(process={"workers": 4}, **once(on_unknown="retry")) as (gateway, origin):
        with gateway.client() as client:
            client.send(ASK)
            connection = origin.accept()
            connection.read_request()
            connection.close()
            assert client.read_response().status == 502
        clients = [gateway.client() for _ in range(100)]
        for client in clients:
            client.send(ASK)
        connection = origin.accept()
        connection.read_request()
        wait_until(lambda: sum(client.is_silent() for client in clients) == 1, "99 are told to come back")
        connection.send(ANSWER)
        answers = [client.read_response() for client in clients]
        assert sorted(answer.status for answer in answers) == [201] + [409] * 99
        assert len(origin.requests) == 2


def test_a_result_that_came_before_the_end_of_the_request_is_replayed():
    with proxying(**once()) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/orders", [*KEY.items(), ("Content-Length", "100")]), b"some of it")
        connection = origin.accept()
        connection.read_request_head()
        connection.send(response(b"no", 413))
        assert client.read_response().status == 413
        answer = post(gateway, body=b"x" * 100)
        assert (answer.status, answer.body, answer.get("idempotent-replayed")) == (413, b"no", "true")


# --- clients ---

@pytest.mark.parametrize("kind", ["memory", "redis"])
@pytest.mark.parametrize("ends", ["close", "reset"])
def test_a_client_that_goes_away_finds_its_answer_when_it_comes_back(kind, ends):
    with contextlib.ExitStack() as stack:
        stores = redis_store(stack.enter_context(Redis())) if kind == "redis" else None
        origin = stack.enter_context(RawOrigin())
        gateway = stack.enter_context(Sluice(proxy_config(origin, **once(stores))))
        client = gateway.client()
        client.send(ASK)
        connection = origin.accept()
        connection.read_request()
        getattr(client, ends)()
        assert_problem(post(gateway), 409, "idempotency_in_flight")
        connection.send(ANSWER)
        assert_replayed(final_answer(gateway))
        assert len(origin.requests) == 1


def test_a_client_that_goes_away_while_the_claim_is_on_its_way_is_carried_out_all_the_same(disk):
    disk.tap.stop_at(CLAIM)
    disk.client.send(request("POST", "/orders", KEY))
    disk.tap.wait()
    disk.client.reset()
    disk.one.wait_for_metric("sluice_downstream_connections", 1, state="lost")
    disk.tap.go_on()
    disk.origin.answer(ANSWER)
    assert_replayed(final_answer(disk.one, body=None))


def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_what_the_upstream_saw():
    with proxying(**once()) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/orders", [*KEY.items(), ("Content-Length", "100")]), b"some of it")
        origin.accept().read_request_head()
        client.close()
        assert_problem(final_answer(gateway), 409, "idempotency_outcome_unknown")


def test_a_client_that_goes_away_before_its_claim_is_stored_leaves_nothing(disk):
    disk.tap.stop_at(CLAIM)
    disk.client.send(request("POST", "/orders", [*KEY.items(), ("Content-Length", "3")]), b"o")  # so there is more to come
    disk.tap.wait()
    disk.client.reset()
    disk.one.wait_for_metric("sluice_requests_in_flight", 0)
    disk.tap.go_on()
    assert answer_once(disk).get("idempotent-replayed") is None
    assert len(disk.origin.requests) == 1


# --- on_store_error: open, and its filter ---

def test_open_lets_everything_pass_while_the_store_is_away():
    with Redis() as redis, proxying(answering(ANSWER), **settings(redis, on_store_error="open")) as (gateway, origin):
        post(gateway)
        redis.kill()
        assert [post(gateway).status for _ in range(2)] == [201, 201]
        assert len(origin.requests) == 3
        assert events(gateway, "unprotected") == 2


def test_a_filter_lets_only_new_keys_pass_while_the_store_is_away():
    with Redis() as redis:
        config = settings(redis, on_store_error="open", ttl="2s", lease="1s", sole_gateway=True, bloom={"capacity": 1000})
        with proxying(answering(ANSWER), **config) as (gateway, origin):
            keys = iter(range(1_000_000))

            def new_key():
                return {"Idempotency-Key": f"key-{next(keys)}"}

            seen = new_key()
            assert post(gateway, seen).status == 201
            redis.kill()
            assert post(gateway, new_key()).status == 503  # it has not seen all that could come again
            wait_until(lambda: post(gateway, new_key()).status == 201, "a whole ttl has passed")
            before = len(origin.requests)
            fresh = new_key()
            assert [post(gateway, fresh).status for _ in range(3)] == [201, 503, 503]
            assert len(origin.requests) == before + 1
            gateway.reload(trusted_proxies=["10.0.0.0/8"])
            assert [post(gateway, key).status for key in (fresh, new_key())] == [503, 201]


@pytest.mark.workers
def test_of_100_new_ones_at_once_the_filter_lets_one_pass():
    with Redis() as redis:
        config = settings(redis, on_store_error="open", ttl="2s", lease="1s", sole_gateway=True, bloom={})
        config["process"] = {"workers": 4}
        with proxying(answering(ANSWER), **config) as (gateway, origin):
            redis.kill()
            keys = iter(range(1_000_000))
            wait_until(lambda: post(gateway, {"Idempotency-Key": f"key-{next(keys)}"}).status == 201, "a whole ttl has passed")
            before = len(origin.requests)
            clients = [gateway.client() for _ in range(100)]
            for client in clients:
                client.send(ASK)
            assert sorted(client.read_response().status for client in clients) == [201] + [503] * 99
            assert len(origin.requests) == before + 1


# --- configurations that are refused ---

@pytest.mark.parametrize("config, message", [
    ({"bloom": {}, "on_store_error": "open"}, 'needs "sole_gateway: true"'),
    ({"bloom": {}, "sole_gateway": True}, 'needs "on_store_error: open"'),
    ({"bloom": {"size": 1}, "sole_gateway": True, "on_store_error": "open"}, "size"),
    ({"wait": "1s"}, 'needs "in_flight: wait"'),
    ({"scope": ["user"]}, "no part of a scope"),
    ({"scope": ["header:"]}, "no part of a scope"),
    ({"headers": ["Content-Length"]}, "header of the connection"),
    ({"header": "a b"}, "no name of a header"),
    ({"methods": ["PO ST"]}, "is not one of POST, PATCH, PUT, DELETE"),
    ({"max_body": "121KiB"}, "max_body"),
    ({"ttl": "10s"}, "shorter than"),
    ({"on_unknown": "ignore"}, "reject, retry"),
], ids=lambda value: None if isinstance(value, str) else ",".join(value))
def test_a_configuration_that_makes_no_sense_is_refused(config, message):
    with proxying(answering(OK)) as (gateway, _):
        report = gateway.reload(**{key: value for key, value in once(**config).items() if key != "route"})
        assert not report["accepted"]
        assert any(message in str(error) for error in report["errors"]), report
