"""What clients of the whole gateway, with session, ratelimit and idempotency on one store, see of it while that fails over, is resharded
or talks nonsense: requests go on or are told so in time, and no payment is made twice."""

import collections
import contextlib
import json
import socket
import threading
import time
import uuid

import pytest

from harness import (DEADLINE, OK, Redis, RedisCluster, SentinelTrio, SLOW, answering, assert_problem, in_background, proxying,
                     redis_store, response, wait_until)

ROUTE_SECONDS = 2 * SLOW
WORKERS = {"process": {"workers": 2}}
PASSING = {"store_unavailable", "store_timeout", "store_lost", "store_refused", "idempotency_in_flight"}  # come again, they say


def plugins_on_a_store(**policy):
    """Those that ask one; `policy` is what all of them are told."""
    return {"session": {"module": "session", "config": policy},
            "limit": {"module": "ratelimit", "config": {"requests": 1000000, **policy}},
            "once": {"module": "idempotency", "config": policy}}


def everything(stores):
    """What proxy_config takes for a route with all of them."""
    return {"stores": stores, "plugins": plugins_on_a_store(),
            "route": {"plugins": ["session", "limit", "once"], "timeout": f"{ROUTE_SECONDS:.0f}s"}}


class Shop:
    """An origin that logs in who asks for it, and counts the payments that it makes by their keys."""

    def __init__(self):
        self.made = collections.Counter()
        self.lock = threading.Lock()

    def answer(self, message):
        if message.method == "GET":
            return response(b"", headers=[("X-Session-Create", "alice")])
        assert message.get("x-session-subject") == "alice"
        with self.lock:
            self.made[message.get("idempotency-key")] += 1
        return response(message.body, 201)


Attempt = collections.namedtuple("Attempt", "key began took status reason replayed")


class Customers:
    """Each logs in, and then pays again and again, each payment with a key of its own and until it is told that it was made."""

    def __init__(self, gateway, count):
        self.clients = [gateway.client() for _ in range(count)]
        self.cookies = [log_in(client) for client in self.clients]
        self.waiting = list(range(count))
        self.attempts = []

    def pay(self, over):
        number = self.waiting.pop()
        while not over.is_set():
            key = str(uuid.uuid4())
            while self.attempt(number, key).status != 201:
                pass

    def attempt(self, number, key):
        began = time.monotonic()
        answer = self.clients[number].ask("POST", "/pay", {"Cookie": self.cookies[number], "Idempotency-Key": key}, key.encode())
        reason = json.loads(answer.body)["reason"] if answer.status != 201 else None
        if reason is None:
            assert answer.body == key.encode()
        else:
            assert (answer.status, reason) == (503 if reason.startswith("store") else 409, reason) and reason in PASSING, answer.body
            assert int(answer.get("retry-after")) >= 1
        made = Attempt(key, began, time.monotonic() - began, answer.status, reason, answer.get("idempotent-replayed"))
        self.attempts.append(made)
        return made

    def repeat_all(self, promoted=0):
        """Every payment that was made is asked for once more; what the store did not hear at once, it hears soon. But a master that
        dies takes along what it had confirmed and not replicated yet: of a payment before `promoted` the claim may be all that is left."""
        for key in {attempt.key for attempt in self.attempts if attempt.status == 201}:
            may_be_lost = all(a.began < promoted for a in self.attempts if a.key == key and a.status == 201)
            wait_until(lambda: (again := self.attempt(0, key)).replayed == "true" or (may_be_lost and again.status == 409), "its result is there")

    @property
    def paid(self):
        return sum(attempt.status == 201 for attempt in self.attempts)


def log_in(client):
    answer = client.get("/login")
    assert answer.status == 200, answer.body
    return answer.get("set-cookie").split(";")[0]


# --- fail-over ---


@pytest.mark.workers
@pytest.mark.parametrize("way", ["killed", "paused"])
def test_a_fail_over_under_load_costs_a_second_of_refusals_and_no_payment_is_made_twice(way):
    shop = Shop()
    with SentinelTrio() as trio, proxying(answering(shop.answer), **everything(trio.store(timeout="200ms")), **WORKERS) as (gateway, _):
        gateway.wait_for_metric("sluice_store_available", 1, store="default")
        customers = Customers(gateway, 8)
        trio.wait_replicated()  # the log-ins too
        with in_background(8, customers.pay):
            wait_until(lambda: customers.paid > 100, "payments are made")
            trio.master.kill() if way == "killed" else trio.master.pause()
            wait_until(trio.has_failed_over, "the replica is the master")
            promoted = time.monotonic()
            wait_until(lambda: any(a.status == 201 and a.began > promoted for a in customers.attempts), "payments are made again")
            if way == "paused":
                connections = 2 * WORKERS["process"]["workers"]
                wait_until(lambda: trio.replica.command("CLIENT", "LIST").count(b"name=sluice") == connections, "all workers are there")
                trio.master.go_on()  # it takes itself for the master still, and whoever asked it now would, too
            paid = customers.paid
            wait_until(lambda: time.monotonic() > promoted + 1 + SLOW and customers.paid > paid + 100, "payments go on")
        refused = [a for a in customers.attempts if a.status != 201]
        assert refused and max(a.began for a in refused) < promoted + SLOW, refused[-1]
        assert max(a.took for a in customers.attempts) < ROUTE_SECONDS
        customers.repeat_all(promoted)
        assert set(shop.made.values()) == {1} and len(shop.made) >= customers.paid / 2


# --- resharding ---


@pytest.mark.workers
def test_slots_that_move_to_another_node_under_load_are_no_clients_business():
    shop = Shop()
    with RedisCluster() as cluster, proxying(answering(shop.answer), **everything(cluster.store()), **WORKERS) as (gateway, _):
        gateway.wait_for_metric("sluice_store_available", 1, store="default")
        customers = Customers(gateway, 8)
        with in_background(8, customers.pay):
            wait_until(lambda: customers.paid > 100, "payments are made")
            session = next(key.decode() for node in cluster.nodes for key in node.command("KEYS", "session:*").split(b"\r\n")
                           if key.startswith(b"session:"))
            owner = cluster.owner_of(session)
            cluster.move(session)  # for which its customer asks with each payment
            resharding = cluster.reshard(600)
            wait_until(lambda: resharding.poll() is not None, "the slots have moved", 3 * DEADLINE)
            assert resharding.returncode == 0
            paid = customers.paid
            wait_until(lambda: customers.paid > paid + 100, "payments go on")
        assert [a for a in customers.attempts if a.status != 201] == []
        assert int(cluster.nodes[-1].command("DBSIZE")[1:]) > 0
        assert b"MOVED" in owner.command("INFO", "errorstats")
        customers.repeat_all()
        assert set(shop.made.values()) == {1}


# --- somebody else where Redis was ---


GREETING = {b"HELLO": b"*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n", b"SCRIPT": b"$40\r\n%b\r\n" % (40 * b"a")}
READS = {**GREETING, b"GET": b"$-1\r\n", b"GETEX": b"$-1\r\n"}
ODD = {
    "another protocol": {None: b"HTTP/1.1 400 Bad Request\r\n\r\n"},
    "garbage": {**GREETING, None: b"?\r\n"},
    "replies of another type": {**GREETING, None: b"*2\r\n+a\r\n+b\r\n"},
    "half a greeting, and the end": {None: b"*2\r\n$4\r\nro", "closes": True},
    "half a reply, and the end": {**GREETING, None: b"$100\r\nhalf", "closes": True},
    "nothing": {None: b""},
    "nothing after the greeting": {**GREETING, None: b""},
    "garbage for writes": {**READS, None: b"?\r\n"},
    "replies of another type for writes": {**READS, None: b"*2\r\n+a\r\n+b\r\n"},
    "half a reply for writes, and the end": {**READS, None: b"$100\r\nhalf", "closes": True},
    "nothing for writes": {**READS, None: b""},
}


class OddRedis:
    """A server on a port where a Redis was. `replies`: to each command, by its first word; None: to all others."""

    def __init__(self, port, replies):
        self.replies = replies
        self.listener = socket.create_server(("127.0.0.1", port))
        self.connections = []
        self.asked = threading.Event()  # what it is odd about

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while count := stream.readline()[1:]:
                words = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(count))]
                connection.sendall(self.replies.get(words[0], self.replies[None]))
                if words[0] not in self.replies:
                    self.asked.set()
                    if "closes" in self.replies:
                        return


def ready(gateway):
    return gateway.admin("/readyz")[1]


@pytest.mark.parametrize("policy", ["open", "closed"])
@pytest.mark.parametrize("replies", ODD.values(), ids=ODD)
def test_a_server_that_is_no_redis_is_one_that_is_away(replies, policy):
    plugins = plugins_on_a_store(on_store_error=policy)
    routes = [{"name": name, "match": {"path": f"/{name}"}, "plugins": [name], "upstream": "origin"} for name in plugins]
    script = answering(lambda message: OK if message.method == "POST" else response(b"", headers=[("X-Session-Create", "alice")]))
    with Redis() as redis, proxying(script, stores=redis_store(redis, timeout="200ms"), plugins=plugins, routes=routes) as (gateway, _):
        gateway.wait_for_metric("sluice_store_available", 1, store="default")
        client = gateway.client()
        cookie = client.get("/session").get("set-cookie").split(";")[0]

        def ask_all():
            """The answers by the plugin of their route; none is waited for in vain."""
            answers = {}
            for name in plugins:
                began = time.monotonic()
                answers[name] = client.ask("POST", f"/{name}", {"Cookie": cookie, "Idempotency-Key": str(uuid.uuid4())}, b"")
                assert time.monotonic() - began < SLOW
            return answers

        redis.kill()
        with OddRedis(redis.port, replies) as odd:
            wait_until(lambda: ask_all() and odd.asked.is_set(), "the gateway talks to the other server")
            reads = b"GET" in replies  # which is all that a session needs, unless it waits behind a write
            for name, answer in ask_all().items():
                if policy == "open" or (name == "session" and reads and answer.status == 200):
                    assert answer.status == 200
                else:
                    reason = json.loads(answer.body)["reason"]
                    assert reason in ("store_unavailable", "store_timeout", "store_lost", "store_refused")
                    assert_problem(answer, 503, reason)
                    assert int(answer.get("retry-after")) >= 1
            if not reads:
                wait_until(lambda: ready(gateway) == "degraded\nstore default: unavailable\n", "readyz tells of it")
        redis.start()
        began = time.monotonic()
        wait_until(lambda: ready(gateway) == "ready\nstore default: available\n", "readyz tells of the return")
        assert [answer.status for answer in ask_all().values()] == [200, 200, 200]
        assert time.monotonic() - began < SLOW
        assert redis.command("DBSIZE") != b":0\r\n"  # it is used
