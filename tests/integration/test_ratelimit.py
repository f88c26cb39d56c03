"""The plugin ratelimit over both stores: bursts and rates, what clients are told, one limit for several gateways, and a store
that is away."""

import itertools
import time

import pytest

from harness import OK, Redis, Sluice, answering, assert_problem, in_background, proxy_config, proxying, RawOrigin, redis_store, wait_until


def limited(stores=None, route=None, **config):
    return {"plugins": {"limit": {"module": "ratelimit", "config": config}},
            "stores": stores or {"default": {"type": "memory"}}, "route": {"plugins": ["limit"], **(route or {})}}


def test_a_burst_passes_and_the_next_request_is_refused_with_the_time_to_come_back(stores):
    with proxying(answering(OK), **limited(stores, requests=1, per="1h", burst=3)) as (gateway, origin):
        client = gateway.client()
        told = [client.get("/") for _ in range(3)]
        assert [answer.status for answer in told] == [200, 200, 200]
        assert [answer.get("ratelimit-remaining") for answer in told] == ["2", "1", "0"]
        assert told[0].get("ratelimit-limit") == "1"
        refused = client.get("/")
        assert_problem(refused, 429, "rate_limited")
        assert 3500 <= int(refused.get("retry-after")) <= 3600
        assert refused.get("ratelimit-remaining") == "0"
        assert len(origin.requests) == 3
        assert gateway.logged(status=429)["reason"] == "rate_limited"
        metrics = gateway.metrics()
        assert metrics.total("sluice_plugin_events_total", plugin="limit", event="allowed") == 3
        assert metrics.total("sluice_plugin_events_total", plugin="limit", event="refused") == 1
        assert metrics.total("sluice_store_operations_total", store="default", operation="take") == 4


def test_a_unit_comes_back_after_its_time(stores):
    with proxying(answering(OK), **limited(stores, requests=20, per="1s", burst=1)) as (gateway, _):
        client = gateway.client()
        assert client.get("/").status == 200
        wait_until(lambda: client.get("/").status == 200, "the next unit")


def test_each_value_of_a_header_has_a_rate_of_its_own(stores):
    with proxying(answering(OK), **limited(stores, requests=1, per="1h", key="header:X-Key")) as (gateway, _):
        statuses = [gateway.get("/", {"X-Key": key}).status for key in ("a", "b", "a", "b")]
        assert statuses == [200, 200, 429, 429]


def test_a_reload_forgets_no_count():
    with proxying(answering(OK), **limited(requests=1, per="1h")) as (gateway, _):
        assert gateway.get("/").status == 200
        gateway.reload(stores={"default": {"max_bytes": "8MiB"}}, trusted_proxies=["10.0.0.0/8"])
        assert gateway.get("/").status == 429


@pytest.mark.workers
def test_workers_that_share_a_store_in_memory_let_pass_exactly_what_is_allowed():
    keys, burst = ["a", "b", "c"], 50
    with proxying(answering(OK), **limited(requests=1, per="1h", burst=burst, key="header:X-Key"), process={"workers": 3}) as (gateway, _):
        statuses = {key: [] for key in keys}

        def ask(_):
            kept = gateway.client()
            for _ in range(2 * burst // 8):
                with gateway.client() as fresh:
                    for client in (kept, fresh):
                        for key in keys:
                            statuses[key].append(client.get("/", {"X-Key": key}).status)

        with in_background(8, ask):
            pass
        for key in keys:
            assert sorted(statuses[key]) == [200] * burst + [429] * (len(statuses[key]) - burst)


def test_two_gateways_share_one_limit_in_redis():
    with Redis() as redis, RawOrigin(answering(OK)) as origin:
        settings = limited(redis_store(redis), requests=1, per="1h", burst=20, key="all")
        with Sluice(proxy_config(origin, **settings)) as one, Sluice(proxy_config(origin, **settings)) as other:
            statuses = []

            gateways = itertools.cycle([one, other])

            def ask(_):
                client = next(gateways).client()
                statuses.extend([client.get("/").status for _ in range(10)])

            with in_background(4, ask):
                pass
            assert sorted(statuses) == [200] * 20 + [429] * 20


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_store_that_is_away_opens_or_closes_the_way_and_is_used_again_once_it_is_back(policy):
    with Redis() as redis, proxying(answering(OK), **limited(redis_store(redis, timeout="50ms"), requests=1000000, on_store_error=policy)) as (gateway, _):
        client = gateway.client()
        wait_until(lambda: client.get("/").get("ratelimit-limit"), "the store is used")
        redis.kill()
        wait_until(lambda: client.get("/").get("ratelimit-limit") is None, "the store is away")
        if policy == "open":
            assert client.get("/").status == 200
        else:
            answer = client.get("/")
            assert_problem(answer, 503, "store_unavailable")
            assert answer.get("retry-after") == "1"
        redis.start()
        began = time.monotonic()
        wait_until(lambda: client.get("/").get("ratelimit-limit"), "the store is used again")
        assert time.monotonic() - began < 1


def test_no_request_waits_longer_than_the_stores_timeout():
    with Redis() as redis, proxying(answering(OK), **limited(redis_store(redis, timeout="50ms"), requests=1000000)) as (gateway, _):
        client = gateway.client()
        wait_until(lambda: client.get("/").get("ratelimit-limit"), "the store is used")
        redis.pause()
        try:
            began = time.monotonic()
            assert client.get("/").status == 200
            assert time.monotonic() - began < 2
            metrics = gateway.metrics()
            assert metrics.total("sluice_store_failures_total", store="default", reason="store_timeout") >= 1
        finally:
            redis.go_on()
