"""Where the gateway listens, what it connects to and where its administrator asks: unix sockets and IPv6."""

import os
import socket
from pathlib import Path

import pytest

from harness import (OK, RawOrigin, Sluice, answering, assert_problem, echo, free_port, proxy_config, proxying,
                     request, wait_until)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


KINDS = ["unix", pytest.param("ipv6", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1"))]


@pytest.fixture(params=KINDS)
def address(request, tmp_path):
    return f"unix:{tmp_path}/a.sock" if request.param == "unix" else f"[::1]:{free_port()}"


def test_clients_are_served_at_any_address(address):
    with proxying(answering(echo), listener={"address": address}) as (gateway, origin):
        with gateway.client() as client:
            for _ in range(2):
                assert client.ask("POST", "/a", body=b"data").body == b"data"
            sender = "unix" if address.startswith("unix:") else client.address
        assert origin.requests[-1].get("x-forwarded-for") == ("unix" if sender == "unix" else "::1")
        assert gateway.access_log()[0]["client"] == sender
        assert address in gateway.output()
        gateway.wait_gauges_zero()


def test_endpoints_are_reached_at_any_address(address):
    body = bytes(300_000)  # past what is spliced
    with RawOrigin(answering(echo), address=address) as origin:
        assert origin.endpoint == address
        with Sluice(proxy_config(origin)) as gateway:
            with gateway.client() as client:
                assert client.ask("POST", "/", body=body).body == body
                assert client.get("/again").status == 200
            assert len(origin.connections) == 1
            assert gateway.access_log(2)[0]["endpoint"] == address
            assert gateway.metrics().total("sluice_upstream_requests_total", endpoint=address) == 2


def test_an_endpoint_at_which_nobody_listens_is_a_502(address):
    with Sluice(proxy_config(address)) as gateway:
        assert_problem(gateway.get("/"), 502, "connect_failed")
        gateway.wait_gauges_zero()


def test_the_administrator_is_served_at_any_address(address):
    with proxying(answering(OK), admin={"listen": address}) as (gateway, _):
        assert gateway.get("/").status == 200
        gateway.wait_for_metric("sluice_requests_total", 1)


@pytest.mark.workers
def test_a_unix_socket_is_served_whatever_the_number_of_workers(tmp_path):
    with proxying(answering(OK), listener={"address": f"unix:{tmp_path}/a.sock"}, process={"workers": 2}) as (gateway, _):
        clients = [gateway.client().send(request()) for _ in range(16)]
        assert [client.read_response().status for client in clients] == [200] * 16


def test_a_socket_file_of_a_gateway_that_died_is_replaced_and_one_that_ends_takes_its_own_away(tmp_path):
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with proxying(answering(OK), listener={"address": f"unix:{path}"}) as (gateway, _):
        assert gateway.get("/").status == 200
        gateway.stop()
        assert not path.exists()


@pytest.mark.parametrize("named, client", [("2001:db8::7", "[2001:db8::7]"), ("192.0.2.7", "192.0.2.7")])
def test_a_client_that_a_trusted_proxy_names_is_logged_without_a_port(named, client):
    with proxying(answering(OK), trusted_proxies=["127.0.0.0/8"]) as (gateway, _):
        gateway.get("/", [("X-Forwarded-For", named)])
        assert gateway.access_log()[0]["client"] == client


# --- CPUs ---
def cpus_of_workers(gateway):
    tasks = Path(f"/proc/{gateway.process.pid}/task").iterdir()
    names = {int(task.name): (task / "comm").read_text().strip() for task in tasks}
    return [os.sched_getaffinity(task) for task, name in sorted(names.items()) if name.startswith("worker-")]


@pytest.mark.workers
def test_pinned_workers_have_a_cpu_each_and_share_them_when_there_are_too_few():
    usable = sorted(os.sched_getaffinity(0))
    workers = len(usable) + 1
    with proxying(answering(OK), process={"workers": workers, "pin_cpus": True}) as (gateway, _):
        expected = sorted(usable + usable[:1])
        wait_until(lambda: sorted(cpu for cpus in cpus_of_workers(gateway) for cpu in cpus) == expected,
                   lambda: f"a CPU for each worker: {cpus_of_workers(gateway)}")
        assert all(len(cpus) == 1 for cpus in cpus_of_workers(gateway))
        assert os.sched_getaffinity(gateway.process.pid) == set(usable)  # the control thread goes where it likes


def test_workers_are_not_pinned_unless_that_is_asked_for():
    with proxying(answering(OK), process={"workers": 2}) as (gateway, _):
        assert gateway.get("/").status == 200
        assert all(cpus == os.sched_getaffinity(0) for cpus in cpus_of_workers(gateway))
