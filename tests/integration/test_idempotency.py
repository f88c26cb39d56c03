"""The plugin idempotency: what a key may look like, that a request is carried out once however often it comes, and what its
repetitions get."""

import threading
from contextlib import ExitStack

import pytest

from harness import (CHUNKED, OK, RawClient, RawOrigin, Redis, Sluice, answering, assert_problem, chunked, in_background, merged,
                     proxy_config, proxying, redis_store, request, response, wait_until)

KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
CREATED = response(b'{"id": 7}', 201, [("Content-Type", "application/json"), ("Location", "/orders/7"), ("Set-Cookie", "a=b"),
                                       ("X-Secret", "s")], phrase="Created")


def once(stores=None, route=None, **config):
    """What proxy_config takes for a route with the plugin."""
    return {"plugins": {"once": {"module": "idempotency", "config": config}},
            "stores": stores or {"default": {"type": "memory"}}, "route": {"plugins": ["once"], **(route or {})}}


def events(gateway, event):
    return gateway.metrics().total("sluice_plugin_events_total", plugin="once", event=event)


def post(gateway, headers=KEY, body=b"one", path="/orders", method="POST"):
    return gateway.ask(method, path, headers, body)


def brief(value):
    return repr(value)[:30]


# --- the key ---

@pytest.mark.parametrize("key", ['"abc"', "abc", r'"a\"b\\c"', '" "', "a" * 255, f'"{"a" * 255}"', "8e03978e-40d5-43dd-bc93-6894a57f9324"], ids=brief)
def test_a_key_is_a_string_of_structured_fields_or_bare(key):
    with proxying(answering(OK), **once()) as (gateway, origin):
        assert post(gateway, {"Idempotency-Key": key}).get("idempotent-replayed") is None
        assert post(gateway, {"Idempotency-Key": key}).get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


@pytest.mark.parametrize("key", ["", '""', '"abc', 'abc"', '"a"b"', "a,b", '"a", "b"', '"a";q=1', "a;q=1", "a b", r'"a\b"', "\u00e9", "a" * 256,
                                 f'"{"a" * 256}"'], ids=brief)
def test_any_other_key_is_refused(key):
    with proxying(answering(OK), **once()) as (gateway, origin):
        assert_problem(post(gateway, {"Idempotency-Key": key}), 400, "idempotency_key_invalid")
        assert origin.requests == []
        assert events(gateway, "invalid") == 1


def test_two_keys_are_refused():
    with proxying(answering(OK), **once()) as (gateway, origin):
        assert_problem(post(gateway, [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]), 400, "idempotency_key_invalid")
        assert origin.requests == []


def test_a_key_that_is_missing_is_refused_where_it_is_required_and_only_for_its_methods():
    with proxying(answering(OK), **once(required=True)) as (gateway, origin):
        assert_problem(post(gateway, {}), 400, "idempotency_key_missing")
        assert gateway.get("/orders").status == 200
        assert post(gateway, {}, method="PUT").status == 200
        assert len(origin.requests) == 2
        assert events(gateway, "missing") == 1


def test_without_a_key_requests_pass_as_they_are():
    with proxying(answering(OK), **once()) as (gateway, origin):
        assert [post(gateway, {}).status for _ in range(2)] == [200, 200]
        assert len(origin.requests) == 2


def test_the_header_and_the_methods_are_configured():
    with proxying(answering(OK), **once(header="X-Request-Key", methods=["PUT"])) as (gateway, origin):
        for _ in range(2):
            assert post(gateway, {"X-Request-Key": "a"}, method="PUT").status == 200
            assert post(gateway).status == 200
        assert [message.method for message in origin.requests] == ["PUT", "POST", "POST"]


# --- replays ---

def test_a_repetition_gets_the_first_answer_and_reaches_nobody(stores):
    with proxying(answering(CREATED), **once(stores)) as (gateway, origin):
        first = post(gateway)
        assert (first.status, first.body, first.get("set-cookie")) == (201, b'{"id": 7}', "a=b")
        again = post(gateway)
        assert (again.status, again.body, again.get("idempotent-replayed")) == (201, b'{"id": 7}', "true")
        assert (again.get("content-type"), again.get("location")) == ("application/json", "/orders/7")
        assert again.get("set-cookie") is None and again.get("x-secret") is None
        assert len(origin.requests) == 1
        assert (events(gateway, "first"), events(gateway, "replayed")) == (1, 1)


def test_the_headers_that_are_kept_are_configured():
    with proxying(answering(CREATED), **once(headers=["set-cookie", "X-Secret"])) as (gateway, _):
        post(gateway)
        again = post(gateway)
        assert (again.get("set-cookie"), again.get("x-secret"), again.get("location")) == ("a=b", "s", None)


@pytest.mark.parametrize("answer, body", [
    (response(b"", 204, framed=False), b""),
    (response(b""), b""),
    (response(b"no", 422), b"no"),
    (response(b"broken", 500), b"broken"),
    (response(headers=CHUNKED, framed=False) + chunked(b"one", b"two"), b"onetwo"),
    (response(headers=[("Connection", "close")], framed=False) + b"to the end", b"to the end"),
], ids=brief)
def test_every_answer_of_the_upstream_is_replayed(stores, answer, body):
    def script(connection):
        connection.answer(answer)

    with proxying(script, **once(stores)) as (gateway, origin):
        first, again = post(gateway), post(gateway)
        assert first.status == again.status and first.body == again.body == body
        assert again.get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


@pytest.mark.parametrize("body", [None, b"", b"x" * 300000], ids=brief)
def test_the_same_body_is_the_same_request(stores, body):
    with proxying(answering(OK), **once(stores)) as (gateway, origin):
        assert post(gateway, body=body).status == 200
        assert post(gateway, body=body).get("idempotent-replayed") == "true"
        pieces = [body] if body else []
        with gateway.client() as client:
            client.send(request("POST", "/orders", [*KEY.items(), *CHUNKED]) + chunked(*pieces))
            assert client.read_response().get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


@pytest.mark.parametrize("change", [
    {"body": b"two"}, {"body": b"one "}, {"body": b""}, {"body": None}, {"path": "/orders?a=1"}, {"path": "/carts"},
    {"headers": {**KEY, "Host": "other.local"}, "host": None}, {"headers": {**KEY, "X-Api": "2"}},
    {"headers": {**KEY, "Authorization": "Bearer other"}},
])
def test_another_request_with_the_same_key_is_refused(stores, change):
    with proxying(answering(OK), **once(stores, fingerprint=["X-Api"])) as (gateway, origin):
        assert post(gateway).status == 200
        asked = {"headers": KEY, "body": b"one", "path": "/orders", "method": "POST", **change}
        answer = gateway.ask(asked.pop("method"), asked.pop("path"), **asked)
        assert_problem(answer, 422, "idempotency_key_reused")
        assert len(origin.requests) == 1
        assert events(gateway, "mismatched") == 1
        assert post(gateway).get("idempotent-replayed") == "true"


def test_another_method_or_another_subject_has_keys_of_its_own():
    keys = {"module": "api-key", "config": {"keys": {name: "sha256:" + digest for name, digest in {
        "alice": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",  # of "alice"
        "bob": "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"}.items()}}}
    settings = once(route={"plugins": ["keys", "once"]})
    settings["plugins"]["keys"] = keys
    with proxying(answering(OK), **settings) as (gateway, origin):
        for method in ("POST", "PATCH"):
            for name in ("alice", "bob"):
                assert post(gateway, {**KEY, "X-API-Key": name}, method=method).get("idempotent-replayed") is None
                assert post(gateway, {**KEY, "X-API-Key": name}, method=method).get("idempotent-replayed") == "true"
        assert len(origin.requests) == 4


def test_the_scope_is_configured():
    with proxying(answering(OK), **once(scope=["header:X-Tenant", "host"])) as (gateway, origin):
        for tenant in ("a", "b"):
            assert post(gateway, {**KEY, "X-Tenant": tenant}).get("idempotent-replayed") is None
            assert post(gateway, {**KEY, "X-Tenant": tenant}).get("idempotent-replayed") == "true"
        assert len(origin.requests) == 2


@pytest.mark.parametrize("scope, same", [
    (["client"], False), (["host"], False), (["header:X-Tenant", "client"], True), (["subject", "header:X-Tenant"], False),
    (["header:X-Nobody"], False)], ids=str)
def test_other_credentials_get_no_answer_unless_the_scope_says_who_the_client_is(scope, same):
    with proxying(answering(OK), **once(scope=scope)) as (gateway, origin):
        headers = {**KEY, "X-Tenant": "a"}
        assert post(gateway, {**headers, "Authorization": "Bearer one"}).status == 200
        other = post(gateway, {**headers, "Authorization": "Bearer other"})
        if same:
            assert other.get("idempotent-replayed") == "true"
        else:
            assert_problem(other, 422, "idempotency_key_reused")
        assert len(origin.requests) == 1


def test_no_two_lists_of_parts_are_the_same_scope():
    with proxying(answering(OK), **once(scope=["header:X-A", "header:X-B"])) as (gateway, origin):
        for a, b in (("1hX-B", "2"), ("1", "hX-B2"), ("", "12"), ("12", "")):
            assert post(gateway, {**KEY, "X-A": a, "X-B": b}).get("idempotent-replayed") is None
        assert len(origin.requests) == 4


# --- while the first one is carried out ---

def test_a_repetition_in_flight_is_told_to_come_back(stores):
    with proxying(**once(stores)) as (gateway, origin):
        with gateway.client() as client:
            client.send(request("POST", "/orders", KEY, b"one"))
            connection = origin.accept()
            connection.read_request()
            refused = post(gateway)
            assert_problem(refused, 409, "idempotency_in_flight")
            assert refused.get("retry-after") == "1"
            assert_problem(post(gateway, path="/carts"), 422, "idempotency_key_reused")
            connection.send(OK)
            assert client.read_response().status == 200
        assert post(gateway).get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1
        assert events(gateway, "in_flight") == 1


def test_a_repetition_in_flight_waits_and_gets_the_answer(stores):
    with proxying(**once(stores, in_flight="wait")) as (gateway, origin):
        with gateway.client() as client, gateway.client() as other:
            client.send(request("POST", "/orders", KEY, b"one"))
            connection = origin.accept()
            connection.read_request()
            asked = gateway.metrics().total("sluice_store_operations_total", operation="put_if_absent")
            other.send(request("POST", "/orders", KEY, b"one"))
            wait_until(lambda: gateway.metrics().total("sluice_store_operations_total", operation="put_if_absent") >= asked + 2,
                       "the second one waits")
            connection.send(OK)
            assert client.read_response().get("idempotent-replayed") is None
            assert other.read_response().get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


def test_nobody_waits_longer_than_it_is_configured():
    with proxying(**once(in_flight="wait", wait="100ms")) as (gateway, origin):
        with gateway.client() as client:
            client.send(request("POST", "/orders", KEY, b"one"))
            connection = origin.accept()
            connection.read_request()
            assert_problem(post(gateway), 409, "idempotency_in_flight")
            connection.send(OK)
            assert client.read_response().status == 200


@pytest.mark.workers
@pytest.mark.parametrize("mode", ["reject", "wait"])
@pytest.mark.parametrize("gateways", [1, 2])
@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_of_100_at_once_one_is_carried_out(kind, gateways, mode):
    if kind == "memory" and gateways == 2:
        return  # two processes share no memory
    others_answered = threading.Event()

    def script(connection):
        while True:
            connection.read_request()
            others_answered.wait(10)
            connection.send(CREATED)

    with ExitStack() as stack:
        stores = None if kind == "memory" else redis_store(stack.enter_context(Redis()))
        origin = stack.enter_context(RawOrigin(script))
        config = proxy_config(origin, **once(stores, in_flight=mode, **({"wait": "30s"} if mode == "wait" else {})))
        config["process"] = {"workers": 4}
        running = [stack.enter_context(Sluice(config)) for _ in range(gateways)]
        clients = [RawClient(running[i % gateways].address()) for i in range(100)]
        for client in clients:
            stack.enter_context(client)
        turn = iter(clients)
        answers = []

        def ask(_):
            answers.append(next(turn).ask("POST", "/orders", KEY, b"one"))

        if mode == "wait":
            others_answered.set()
        with in_background(100, ask):
            wait_until(lambda: len(answers) >= (99 if mode == "reject" else 100), lambda: f"{len(answers)} answers")
            others_answered.set()
        statuses = sorted(answer.status for answer in answers)
        assert len(origin.requests) == 1
        replayed = [answer for answer in answers if answer.get("idempotent-replayed")]
        if mode == "reject":
            assert statuses == [201] + [409] * 99
        else:
            assert statuses == [201] * 100 and len(replayed) == 99
            assert {answer.body for answer in answers} == {b'{"id": 7}'}
        assert sum(events(gateway, "first") for gateway in running) == 1


def commands(redis):
    """How often Redis carried out each command for clients."""
    lines = redis.command("INFO", "commandstats").decode().splitlines()
    found = dict(line.removeprefix("cmdstat_").split(":calls=") for line in lines if line.startswith("cmdstat_"))
    return {name: int(rest.split(",")[0]) for name, rest in found.items() if name in ("set", "get", "del", "eval", "evalsha")}


def test_a_first_request_costs_two_commands_and_a_replay_one():
    with Redis() as redis, proxying(answering(OK), **once(redis_store(redis))) as (gateway, _):
        post(gateway)
        redis.command("CONFIG", "RESETSTAT")
        post(gateway, {"Idempotency-Key": "b"})
        assert commands(redis) == {"set": 1 + 1, "evalsha": 1, "get": 1}  # the script's own GET and SET are counted as well
        assert gateway.metrics().total("sluice_store_operations_total", store="default") == 4
        redis.command("CONFIG", "RESETSTAT")
        post(gateway)
        assert commands(redis) == {"set": 1}


# --- results that are not kept ---

@pytest.mark.parametrize("answer", [response(b"x" * 1001), response(headers=CHUNKED, framed=False) + chunked(b"x" * 500, b"x" * 501)], ids=brief)
def test_a_result_that_is_too_large_is_marked_and_never_carried_out_again(stores, answer):
    with proxying(answering(answer), **once(stores, max_body="1000")) as (gateway, origin):
        assert len(post(gateway).body) == 1001
        assert_problem(post(gateway), 409, "idempotency_result_too_large")
        assert_problem(post(gateway, body=b"two"), 422, "idempotency_key_reused")
        assert len(origin.requests) == 1
        assert events(gateway, "too_large") == 1


def test_the_largest_result_is_kept(stores):
    body = b"x" * (120 * 1024)
    with proxying(answering(response(body)), **once(stores, max_body="120KiB")) as (gateway, origin):
        assert post(gateway).body == body
        again = post(gateway)
        assert again.body == body and again.get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


def test_an_answer_that_the_gateway_made_before_the_upstream_was_reached_is_not_stored(stores):
    with RawOrigin(answering(OK)) as origin:
        with Sluice(proxy_config("127.0.0.1:1", **once(stores))) as gateway:
            assert_problem(post(gateway), 502, "connect_failed")
            gateway.reload(upstreams={"origin": {"endpoints": [origin.endpoint]}})
            assert post(gateway).get("idempotent-replayed") is None
            assert len(origin.requests) == 1
            assert events(gateway, "released") == 1


def test_what_another_plugin_refused_is_not_stored(stores):
    settings = once(stores, route={"plugins": ["once", "limit"]})
    settings["plugins"]["limit"] = {"module": "ratelimit", "config": {"requests": 1, "per": "1h", "key": "header:X-Client"}}
    with proxying(answering(OK), **settings) as (gateway, origin):
        assert post(gateway, {"X-Client": "a"}).status == 200
        assert_problem(post(gateway, {**KEY, "X-Client": "a"}), 429, "rate_limited")
        assert post(gateway, {**KEY, "X-Client": "b"}).get("idempotent-replayed") is None
        assert len(origin.requests) == 2


def test_a_repetition_that_waits_to_be_asked_for_its_body_is_asked(stores):
    with proxying(answering(OK), **once(stores)) as (gateway, origin):
        assert post(gateway).status == 200
        with gateway.client() as client:
            client.send(request("POST", "/orders", [*KEY.items(), ("Expect", "100-continue"), ("Content-Length", "3")]))
            assert client.read_through(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"one")
            assert client.read_response().get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


def compressing(order):
    settings = once(route={"plugins": order})
    settings["plugins"]["small"] = {"module": "compress", "config": {"min_length": 1}}
    return settings


TEXT = response(b"a text " * 100, headers=[("Content-Type", "text/plain")])


def test_a_replay_is_compressed_for_those_who_want_it():
    with proxying(answering(TEXT), **compressing(["small", "once"])) as (gateway, _):
        first = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        again = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        plain = post(gateway)
        assert again.get("content-encoding") == "gzip" and again.body == first.body
        assert plain.get("content-encoding") is None and plain.body == b"a text " * 100


def test_an_answer_that_a_plugin_behind_compresses_is_kept_as_it_is():
    with proxying(answering(TEXT), **compressing(["once", "small"])) as (gateway, origin):
        first = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        again = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        assert first.get("content-encoding") == again.get("content-encoding") == "gzip"
        assert again.body == first.body and again.get("idempotent-replayed") == "true"
        assert len(origin.requests) == 1


def test_of_an_answer_that_a_plugin_behind_compresses_the_compressed_size_counts():
    with proxying(answering(TEXT), **merged(compressing(["once", "small"]), {"plugins": {"once": {"config": {"max_body": "200"}}}})) as (gateway, _):
        first = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        assert len(first.body) < 200 < len(TEXT)
        again = post(gateway, {**KEY, "Accept-Encoding": "gzip"})
        assert again.body == first.body and again.get("idempotent-replayed") == "true"


def test_a_store_that_is_full_and_must_not_evict_forgets_no_key():
    stores = {"default": {"type": "memory", "max_bytes": "1MiB", "evict": False}}
    with proxying(answering(response(b"x" * 4000, headers=[("Content-Type", "text/plain")])), **once(stores)) as (gateway, origin):
        client = gateway.client()
        refused, answered = [], []
        for i in range(1000):
            answer = client.ask("POST", "/orders", {"Idempotency-Key": f"key-{i}"}, b"one")
            (answered if answer.status == 200 else refused).append((i, answer))
        assert answered and refused
        for _, answer in refused:
            assert_problem(answer, 503, "store_full")
        assert len(origin.requests) == len(answered)
        kept = 0
        for i, _ in answered:
            again = client.ask("POST", "/orders", {"Idempotency-Key": f"key-{i}"}, b"one")
            if again.status != 200:
                assert_problem(again, 409, "idempotency_result_too_large")  # there was room for the claim only
            else:
                kept += again.get("idempotent-replayed") == "true"
        assert kept > 50
        assert len(origin.requests) == len(answered)
        assert gateway.metrics().total("sluice_store_evictions_total") == 0
        gateway.reload(stores={"default": {"evict": True}})
        assert client.ask("POST", "/orders", {"Idempotency-Key": "new"}, b"one").status == 200


def test_a_store_that_must_not_evict_any_more_forgets_no_key_when_it_gets_smaller():
    stores = {"default": {"type": "memory", "max_bytes": "8MiB"}}
    with proxying(answering(response(b"x" * 4000)), **once(stores)) as (gateway, origin):
        client = gateway.client()
        keys = [{"Idempotency-Key": f"key-{i}"} for i in range(500)]
        for key in keys:
            assert client.ask("POST", "/orders", key, b"one").status == 200
        assert gateway.reload(stores={"default": {"max_bytes": "1MiB", "evict": False}})["accepted"]
        for key in keys:
            assert client.ask("POST", "/orders", key, b"one").get("idempotent-replayed") == "true"
        assert_problem(client.ask("POST", "/orders", {"Idempotency-Key": "new"}, b"one"), 503, "store_full")
        assert len(origin.requests) == len(keys)
        assert gateway.metrics().total("sluice_store_evictions_total") == 0
