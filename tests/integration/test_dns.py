"""Endpoints that are names: resolved without blocking the start, followed without a reload, kept while DNS fails."""

import json
import re
import socket
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from harness import (DnsServer, RawOrigin, Sluice, assert_problem, free_port, greeting, merged, proxy_config, request,
                     response, upstream, wait_until)

NAME = "app.test"
QUICK = {"timeout": "200ms"}


@contextmanager
def named(*scripts, upstream_settings=None, resolved=True, **config):
    """A gateway whose upstream is NAME, before an origin on 127.0.0.2, 127.0.0.3 and so on for each script, all on one port.
    Yields (gateway, dns, origins); NAME is the first origin alone, unless resolved is False."""
    with ExitStack() as stack:
        dns = stack.enter_context(DnsServer())
        port = common_port(len(scripts))
        origins = [stack.enter_context(RawOrigin(script, address=f"127.0.0.{2 + number}:{port}"))
                   for number, script in enumerate(scripts)]
        if resolved:
            dns.set(NAME, ip(origins[0]))
        settings = proxy_config({"dns": f"{NAME}:{port}"}, upstream_settings=upstream_settings, **config)
        settings = merged(settings, {"process": {"dns": {"servers": [dns.endpoint], **QUICK}}})
        yield stack.enter_context(Sluice(settings)), dns, origins


def common_port(count):
    """A port that is free on all of 127.0.0.2, 127.0.0.3, ..."""
    while True:
        port = free_port()
        try:
            for number in range(count):
                with socket.socket() as probe:
                    probe.bind((f"127.0.0.{2 + number}", port))
            return port
        except OSError:
            continue


def ip(origin):
    return origin.endpoint.split(":")[0]


def port_of(origin):
    return origin.endpoint.split(":")[1]


def name_row(gateway, upstream_name="origin"):
    """What /upstreams says of the upstream's only name."""
    page = json.loads(gateway.admin("/upstreams")[1])
    row, = next(each for each in page["upstreams"] if each["name"] == upstream_name)["names"]
    return row


def endpoint_row(gateway, address):
    page = json.loads(gateway.admin("/upstreams")[1])
    return next(each for each in page["upstreams"][0]["endpoints"] if each["address"] == address)


def wait_until_asked(dns, count, name=NAME):
    wait_until(lambda: len(dns.asked(name)) >= count, f"{name} was asked for {count} times")


# --- start ---
def test_an_unresolvable_name_stops_neither_the_start_nor_others_and_works_once_it_resolves():
    config = {"upstreams": {"steady": upstream("127.0.0.9:9")},
              "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "upstream": "origin"},
                         {"name": "here", "match": {"path": "/here"}, "respond": {"body": "here"}}]}
    with named(greeting("named"), resolved=False, **config) as (gateway, dns, origins):
        assert_problem(gateway.get("/"), 503, "upstream_unresolved")
        assert gateway.get("/here").body == b"here"
        line = gateway.logged(reason="upstream_unresolved")
        assert line["status"] == 503
        row = name_row(gateway)
        assert row["addresses"] == [] and "NXDOMAIN" in row["error"]
        assert "app.test cannot be resolved: DNS knows no such name (NXDOMAIN)" in gateway.output()

        dns.set(NAME, ip(origins[0]))
        wait_until(lambda: gateway.get("/").status == 200, "the name is resolved")
        row = name_row(gateway)
        assert row["addresses"] == [origins[0].endpoint] and row["error"] is None
        assert row["last_lookup_seconds"] <= 0 < row["next_lookup_seconds"] + 2


def test_a_silent_dns_server_does_not_hold_the_start_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = "127.0.0.1:%d" % silent.getsockname()[1]
        config = proxy_config({"dns": "app.test:80"}, process={"dns": {"servers": [server], "timeout": "60s"}})
        with Sluice(config) as gateway:
            assert_problem(gateway.get("/"), 503, "upstream_unresolved")
            assert json.loads(gateway.admin("/upstreams")[1])["dns_servers"] == server


def test_a_name_that_resolves_serves_the_very_first_request():
    with named(greeting("named")) as (gateway, _, origins):
        assert gateway.get("/").body == b"named"
        address = origins[0].endpoint
        assert gateway.logged(status=200)["endpoint"] == address
        assert gateway.metrics().total("sluice_upstream_requests_total", endpoint=address) == 1
        assert endpoint_row(gateway, address)["dns"] == NAME


def test_a_plain_address_may_be_a_name_from_the_hosts_file():
    with RawOrigin(greeting("boxed")) as origin, DnsServer() as dns:
        config = proxy_config(f"Boxed.test:{port_of(origin)}", process={"dns": {"servers": [dns.endpoint]}})
        gateway = Sluice(config, files={"hosts": "127.0.0.1 boxed.test\n"})
        gateway.env["CARES_HOSTS"] = str(gateway.directory / "hosts")
        with gateway:
            assert gateway.get("/").body == b"boxed"
            assert dns.questions == []


# --- changes ---
def test_a_change_is_followed_without_a_reload_and_the_old_pool_drains():
    with named(greeting("old"), greeting("new")) as (gateway, dns, (old, new)):
        assert gateway.get("/").body == b"old"
        gateway.wait_for_metric("sluice_upstream_connections_idle", 1, endpoint=old.endpoint)
        dns.set(NAME, ip(new))
        wait_until(lambda: gateway.get("/").body == b"new", "the new address is used")
        assert [gateway.get("/").body for _ in range(20)] == [b"new"] * 20
        metrics = gateway.metrics()
        assert metrics.total("sluice_upstream_connections_idle", endpoint=old.endpoint) == 0
        assert metrics.total("sluice_upstream_connections_closed_total", endpoint=old.endpoint,
                             reason="pool_surplus") == len(old.connections)
        assert metrics.total("sluice_dns_changes_total", name=NAME) == 2
        assert metrics.total("sluice_dns_addresses", name=NAME) == 1
        assert metrics.total("sluice_config_generation") == 1
        gateway.wait_gauges_zero()


def test_a_download_from_an_address_that_is_gone_runs_to_its_end():
    body = b"x" * 300_000
    with named(None, greeting("new")) as (gateway, dns, (old, new)):
        client = gateway.client().send(request())
        connection = old.accept()
        connection.read_request()
        connection.send(response(body)[:100_000])
        dns.set(NAME, ip(new))
        gateway.wait_for_metric("sluice_dns_changes_total", 2)
        wait_until(lambda: name_row(gateway)["addresses"] == [new.endpoint], "the change is known")
        assert gateway.get("/").body == b"new"
        connection.send(response(body)[100_000:])
        assert client.read_response().body == body
        assert connection.drain()  # nobody else gets it
        gateway.wait_for_metric("sluice_upstream_connections_active", 0)
        gateway.wait_for_metric("sluice_upstream_connections_idle", 0, endpoint=old.endpoint)
        gateway.wait_gauges_zero()


def test_requests_are_spread_over_all_addresses_of_a_name():
    with named(greeting("a"), greeting("b"), upstream_settings={"balance": "round_robin"}) as (gateway, dns, (a, b)):
        dns.set(NAME, ip(a), ip(b))
        wait_until(lambda: gateway.metrics().total("sluice_dns_addresses", name=NAME) == 2, "both addresses are known")
        assert name_row(gateway)["addresses"] == [a.endpoint, b.endpoint]
        wait_until(lambda: gateway.get("/").body == b"b", "both addresses are used")
        assert Counter(gateway.get("/").body for _ in range(20)) == {b"a": 10, b"b": 10}


def test_the_last_addresses_stay_while_dns_fails():
    with named(greeting("kept")) as (gateway, dns, _):
        assert gateway.get("/").body == b"kept"
        dns.names.clear()
        wait_until(lambda: gateway.metrics().total("sluice_dns_failures_total", name=NAME) >= 1, "a lookup failed")
        assert gateway.get("/").body == b"kept"
        dns.stop()
        wait_until(lambda: "no DNS server could be reached" in (name_row(gateway)["error"] or ""), "DNS is gone")
        assert gateway.get("/").body == b"kept"
        assert name_row(gateway)["addresses"]
        assert gateway.output().count("its addresses of before stay in use") == 2  # one for each cause


def test_a_ttl_is_honoured():
    with named(greeting("x")) as (gateway, dns, origins):
        dns.set(NAME, ip(origins[0]), ttl=2)
        wait_until_asked(dns, 4)
        asked = dns.asked(NAME)
        pauses = [after - before for before, after in zip(asked, asked[1:])]
        # The first answer still had a TTL of one second.
        assert pauses[0] >= 0.99 and all(pause >= 1.99 for pause in pauses[1:]), pauses
        assert gateway.metrics().total("sluice_dns_lookups_total", name=NAME) == len(dns.asked(NAME))


# --- reload ---
def test_a_reload_resolves_new_names_before_it_takes_effect_and_follows_them_afterwards():
    with named(greeting("old"), greeting("new")) as (gateway, dns, (old, new)):
        dns.set("other.test", ip(old))
        gateway.reload(upstreams={"origin": {"endpoints": [{"dns": f"other.test:{port_of(old)}"}]}})
        assert gateway.get("/").body == b"old"
        dns.set("other.test", ip(new))
        wait_until(lambda: gateway.get("/").body == b"new", "the new address is used")
        count = len(dns.asked(NAME))
        wait_until_asked(dns, len(dns.asked("other.test")) + 2, "other.test")
        assert len(dns.asked(NAME)) == count  # nobody needs it any more


def test_a_reload_keeps_the_pool_of_an_unchanged_name():
    with named(greeting("same")) as (gateway, _, (origin,)):
        assert gateway.get("/").body == b"same"
        gateway.reload(routes=[{"name": "other", "match": {"path": "/{rest...}"}, "upstream": "origin"}])
        assert gateway.get("/").body == b"same"
        assert len(origin.connections) == 1


def test_a_reload_may_name_other_servers():
    with DnsServer() as other, named(greeting("old"), greeting("new")) as (gateway, _, (_, new)):
        other.set(NAME, ip(new))
        assert gateway.get("/").body == b"old"
        gateway.reload(process={"dns": {"servers": [other.endpoint]}})
        wait_until(lambda: gateway.get("/").body == b"new", "the other server is asked")
        assert json.loads(gateway.admin("/upstreams")[1])["dns_servers"] == other.endpoint


# --- load ---
@pytest.mark.workers
def test_no_request_is_lost_while_addresses_change():
    with named(greeting("a"), greeting("b"), greeting("c"), process={"workers": 2}) as (gateway, dns, origins):
        clients = [gateway.client() for _ in range(8)]
        seen = Counter()
        for origin in origins[1:]:
            dns.set(NAME, ip(origin))

            def all_moved():
                bodies = []
                for client in clients:
                    answer = client.get("/")
                    assert answer.status == 200, answer.body
                    bodies.append(answer.body)
                seen.update(bodies)
                return set(bodies) == {b"b" if origin is origins[1] else b"c"}

            wait_until(all_moved, "every client reaches the new address")
        assert set(seen) == {b"a", b"b", b"c"}
        gateway.wait_gauges_zero()
        # Series of addresses that are gone stay, at rest.
        page = gateway.admin("/metrics")[1]
        idle = dict(re.findall(r'sluice_upstream_connections_idle\{.*endpoint="([^"]+)"\} (\d+)', page))
        assert idle[origins[0].endpoint] == idle[origins[1].endpoint] == "0"
