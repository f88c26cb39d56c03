"""Redis stores: TLS to them, and what the gateway says while one is away. The plugin ratelimit is their user."""

import re
import shutil
import time

import pytest

from harness import (OK, Authority, Redis, answering, assert_problem, in_background, proxying, request, sluice, wait_until)


def limited_by(store, **config):
    """Everything is limited by this Redis store."""
    return {"plugins": {"limit": {"module": "ratelimit", "config": {"requests": 1000000, **config}}},
            "stores": {"default": {"type": "redis", **store}}, "route": {"plugins": ["limit"]}}


def is_used(client):
    """The limit could be asked for, so the store answered."""
    return client.get("/").get("ratelimit-limit") is not None


def lines_about_the_store(gateway):
    return re.findall(r"store default: (.*)", gateway.output())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_certificate(authority):
    return authority.issue("server", "DNS:redis.test", "IP:127.0.0.1")


@pytest.fixture
def redis(authority, server_certificate):
    """One that shows its certificate, and asks nobody for theirs."""
    with Redis(tls=(authority.certificate, *server_certificate)) as server:
        server.command("CONFIG", "SET", "tls-auth-clients", "no")
        server.options += ["--tls-auth-clients", "no"]
        yield server


def over_tls(redis, authority, **tls):
    return {"address": [redis.tls_address], "timeout": "2s", "tls": {"ca_file": authority.certificate, **tls}}


@pytest.mark.parametrize("name", [None, "redis.test"])
def test_a_store_over_tls_is_used_and_used_again_after_a_restart(redis, authority, name):
    names = {"server_name": name} if name else {}
    with proxying(answering(OK), **limited_by(over_tls(redis, authority, **names))) as (gateway, _):
        client = gateway.client()
        wait_until(lambda: is_used(client), "the store is used")
        assert redis.command("CLIENT", "LIST").count(f"laddr={redis.tls_address}".encode()) > 0
        redis.kill()
        wait_until(lambda: not is_used(client), "the store is away")
        redis.start()
        began = time.monotonic()
        wait_until(lambda: is_used(client), "the store is used again")
        assert time.monotonic() - began < 1


def test_many_clients_at_once_count_exactly_over_tls(redis, authority):
    store = over_tls(redis, authority) | {"timeout": "10s"}
    with proxying(answering(OK), **limited_by(store, requests=1, per="1h", burst=100, key="all")) as (gateway, _):
        statuses = []

        def ask(_):
            client = gateway.client()
            statuses.extend([client.get("/").status for _ in range(50)])

        with in_background(8, ask):
            pass
        assert sorted(statuses) == [200] * 100 + [429] * 300


@pytest.mark.parametrize("tls, why", [
    ({"ca_file": "other"}, "self-signed certificate in certificate chain"),
    ({"ca_file": None}, "self-signed certificate in certificate chain"),
    ({"server_name": "other.test"}, "hostname mismatch"),
    ({"server_name": "127.0.0.2"}, "IP address mismatch"),
])
def test_a_server_that_is_not_who_it_should_be_is_refused_in_plain_words(redis, authority, tmp_path, tls, why):
    store = over_tls(redis, authority)
    if tls.get("ca_file"):
        tls["ca_file"] = Authority(tmp_path).certificate
    store["tls"] = {key: value for key, value in (store["tls"] | tls).items() if value is not None}
    with proxying(answering(OK), **limited_by(store, on_store_error="closed")) as (gateway, _):
        wait_until(lambda: lines_about_the_store(gateway), "the log says it")
        assert_problem(gateway.get("/"), 503, "store_unavailable")
        assert lines_about_the_store(gateway) == [f"{redis.tls_address}: TLS handshake failed: {why}"]
        assert redis.command("CLIENT", "LIST").count(b"name=sluice") == 0


def test_without_verification_any_certificate_will_do_which_is_warned_of(redis):
    store = {"address": [redis.tls_address], "tls": {"verify": False}}
    with proxying(answering(OK), **limited_by(store)) as (gateway, _):
        wait_until(lambda: is_used(gateway.client()), "the store is used")
        assert "anybody may pose as them" in gateway.output()


def test_a_server_that_asks_for_certificates_takes_ours_and_nobody_elses(authority, server_certificate):
    certificate, key = authority.issue("gateway")
    with Redis(tls=(authority.certificate, *server_certificate)) as redis:
        with proxying(answering(OK), **limited_by(over_tls(redis, authority, cert_file=certificate, key_file=key))) as (gateway, _):
            wait_until(lambda: is_used(gateway.client()), "the store is used")
        with proxying(answering(OK), **limited_by(over_tls(redis, authority))) as (gateway, _):
            wait_until(lambda: lines_about_the_store(gateway), "the log says it")
            assert "right after the TLS handshake: it may want another certificate of ours" in lines_about_the_store(gateway)[0]


def test_tls_with_a_server_that_does_not_speak_it(redis, authority):
    store = over_tls(redis, authority) | {"address": [redis.address]}
    with proxying(answering(OK), **limited_by(store)) as (gateway, _):
        wait_until(lambda: lines_about_the_store(gateway), "the log says it")
        assert "TLS handshake failed: " in lines_about_the_store(gateway)[0]
        assert not is_used(gateway.client())


def test_a_changed_file_is_read_at_the_next_reload_and_an_unusable_one_is_refused(redis, authority, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(Authority(tmp_path).certificate, ca)
    with proxying(answering(OK), **limited_by(over_tls(redis, authority, ca_file=str(ca)))) as (gateway, _):
        client = gateway.client()
        wait_until(lambda: lines_about_the_store(gateway), "the store is refused")
        ca.write_text("nothing\n")
        report = gateway.reload()
        assert not report["accepted"]
        assert f"ca_file: {ca} cannot be used: there is no certificate in it" in report["errors"][0]["message"]
        shutil.copy(authority.certificate, ca)
        assert gateway.reload()["changes"] == ['store "default": tls.ca_file: it holds other certificates']
        wait_until(lambda: is_used(client), "the store is used")
        connections = redis.command("INFO", "stats").split(b"total_connections_received:")[1].split()[0]
        assert gateway.reload()["changes"] == []
        assert is_used(client)
        again = redis.command("INFO", "stats").split(b"total_connections_received:")[1].split()[0]
        assert int(again) == int(connections) + 1  # this command's: an unchanged store keeps its connections


def test_a_changed_certificate_is_noticed_by_watch(redis, authority, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(Authority(tmp_path).certificate, ca)
    config = limited_by(over_tls(redis, authority, ca_file=str(ca))) | {"process": {"watch": True}}
    with proxying(answering(OK), **config) as (gateway, _):
        wait_until(lambda: lines_about_the_store(gateway), "the store is refused")
        shutil.copy(authority.certificate, ca)
        wait_until(lambda: is_used(gateway.client()), "the store is used")


def test_check_names_the_file_that_cannot_be_used(authority, tmp_path):
    other = Authority(tmp_path, "other").key
    certificate, _ = authority.issue("gateway")
    config = tmp_path / "sluice.yaml"
    config.write_text(f"""version: 1
listeners: {{public: {{address: "127.0.0.1:8080"}}}}
stores:
  shared:
    type: redis
    address: ["127.0.0.1:6379"]
    tls:
      cert_file: {certificate}
      key_file: {other}
""")
    checked = sluice("check", "--config", config)
    assert checked.returncode == 3
    said = checked.stdout + checked.stderr
    assert f"{config}:9:17: error: key_file: {other} cannot be used: the key does not belong to the certificate" in said


# --- a store that is away ---

WORKERS = {"process": {"workers": 3}}


def ready(gateway):
    status, text, _ = gateway.admin("/readyz")
    return status, text


@pytest.mark.workers
@pytest.mark.parametrize("required", [False, True])
def test_readyz_tells_of_a_store_that_is_away_and_within_a_second_of_its_return(required):
    with Redis() as redis:
        store = {"address": [redis.address], "required": required}
        with proxying(answering(OK), **limited_by(store), **WORKERS) as (gateway, _):
            whole = (200, "ready\nstore default: available\n")
            wait_until(lambda: ready(gateway) == whole, "the store is there")
            assert gateway.metrics().total("sluice_store_available", store="default") == 1
            redis.kill()
            away = (503, "not ready\nstore default: unavailable\n") if required else (
                200, "degraded\nstore default: unavailable\n")
            wait_until(lambda: ready(gateway) == away, "readyz tells that the store is away")
            assert gateway.metrics().total("sluice_store_available", store="default") == 0
            assert gateway.get("/").status == 200  # on_store_error: open, whatever load balancers are told
            redis.start()
            began = time.monotonic()
            wait_until(lambda: ready(gateway) == whole, "the store is there again")
            assert time.monotonic() - began < 1


@pytest.mark.workers
def test_a_loss_is_logged_once_for_all_workers_and_so_is_the_return():
    with Redis() as redis, proxying(answering(OK), **limited_by({"address": [redis.address], "connections": 4}), **WORKERS) as (gateway, _):
        wait_until(lambda: "available" in ready(gateway)[1], "readyz answers")
        wait_until(lambda: "unavailable" not in ready(gateway)[1], "the store is there")
        for losses in (1, 2):
            before = len(lines_about_the_store(gateway))
            redis.kill()
            wait_until(lambda: "unavailable" in ready(gateway)[1], "the store is away")
            wait_until(lambda: f"{redis.address}: Connection refused" in lines_about_the_store(gateway)[before:], "the log says why")
            redis.start()
            wait_until(lambda: lines_about_the_store(gateway)[-1] == "it is there again", "the log says that it is back")
            said = lines_about_the_store(gateway)[before:]
            assert len(said) == len(set(said)) <= 4, said
            assert said.count("it is there again") == 1


def test_what_was_under_way_when_the_connection_broke_is_lost_and_not_too_late():
    with Redis() as redis, proxying(answering(OK), **limited_by({"address": [redis.address], "timeout": "30s"}, on_store_error="closed")) as (gateway, _):
        client = gateway.client()
        wait_until(lambda: is_used(client), "the store is used")
        asked = gateway.metrics().total("sluice_store_operations_total")
        redis.pause()
        client.send(request("GET"))
        gateway.wait_for_metric("sluice_store_operations_total", asked + 1)
        redis.kill()
        assert_problem(client.read_response(), 503, "store_lost")
        assert gateway.metrics().total("sluice_store_failures_total", store="default", reason="store_lost") == 1
