"""SIGUSR2: a new process takes over the listening sockets, and no request is lost; if it cannot, the old one goes on."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import (BINARY, DEADLINE, OK, RawClient, RawOrigin, Sluice, answering, in_background, proxy_config,
                     proxying, request, wait_until)

LONG = f"{int(10 * DEADLINE)}s"  # and a thirtieth of it for the connections that are told to go
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "echo")]
ROUTES = [{"name": "a", "match": {"path": "/a"}, "respond": {"body": "first"}}]


def process_start(gateway):
    return gateway.metrics().total("process_start_time_seconds")


def test_a_new_process_takes_over_with_the_configuration_of_the_file():
    with Sluice({"routes": ROUTES}) as gateway:
        before = process_start(gateway)
        gateway.write_config(routes=[{**ROUTES[0], "respond": {"body": "second"}}])
        gateway.upgrade()
        assert gateway.get("/a").body == b"second"
        assert process_start(gateway) > before
        gateway.upgrade()  # and so may its successor
        assert gateway.get("/a").body == b"second"


@pytest.mark.workers
def test_no_request_is_lost_in_upgrades_under_load():
    upgrades, clients = 3, 4
    with RawOrigin(answering(OK)) as origin:
        config = proxy_config(origin, process={"workers": 2, "shutdown_grace": LONG})
        with Sluice(config) as gateway:
            answers = []

            def keep_asking(over):
                kept = None
                while not over.is_set():
                    kept = kept or RawClient(gateway.config["listeners"]["public"]["address"])
                    answer = kept.ask("GET", "/kept")
                    if answer.get("connection") == "close":  # the process that it was connected to ends
                        kept.close()
                        kept = None
                    answers.append(answer.status)
                    answers.append(gateway.get("/new").status)
                if kept:
                    kept.close()

            with in_background(clients, keep_asking):
                for _ in range(upgrades):
                    gateway.upgrade()
            assert set(answers) == {200}
            gateway.wait_gauges_zero()


def test_what_runs_ends_well_in_the_old_process_while_the_new_one_serves():
    with proxying(process={"shutdown_grace": LONG}) as (gateway, origin):
        slow = gateway.client().send(request("GET", "/slow"))
        waiting = origin.accept()
        waiting.read_request()
        tunnel = gateway.client().send(request("GET", "/ws", UPGRADE))
        far, _ = origin.answer(SWITCH)
        assert tunnel.read_response().status == 101
        successor = gateway.begin_upgrade()
        fresh = gateway.client().send(request("GET", "/fresh"))
        origin.accept().answer(OK)
        assert fresh.read_response().status == 200
        waiting.send(OK)
        answer = slow.read_response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        for sender, receiver in [(tunnel, far), (far, tunnel)]:
            sender.send(b"still here")
            assert receiver.read_exactly(10) == b"still here"
        assert gateway.process.poll() is None
        for end in (tunnel, far, slow):
            end.close()
        assert gateway.process.wait(DEADLINE) == 0
        gateway.process = successor


@pytest.mark.parametrize("kind", ["public", "admin"])
def test_the_file_of_a_unix_socket_stays_when_its_first_owner_ends(kind, tmp_path):
    address = f"unix:{tmp_path}/socket"
    config = {"public": {"listeners": {"public": {"address": address}}}, "admin": {"admin": {"listen": address}}}[kind]
    with Sluice({"routes": ROUTES, **config}) as gateway:
        gateway.upgrade()
        assert gateway.get("/a").body == b"first"
        assert gateway.admin("/readyz")[0] == 200
    assert not (tmp_path / "socket").exists()


def test_the_new_process_opens_and_closes_the_listeners_that_changed():
    with Sluice({"routes": ROUTES, "listeners": {"old": {}}}) as gateway:
        old = gateway.config["listeners"]["old"]["address"]
        gateway.write_config(listeners={"old": None, "new": {}})
        gateway.upgrade()
        for name in ("public", "new"):
            with RawClient(gateway.config["listeners"][name]["address"]) as client:
                assert client.ask("GET", "/a").body == b"first"
        with pytest.raises(ConnectionRefusedError):
            RawClient(old)
        assert 'the socket "old" that was passed on' in gateway.output()


@pytest.mark.workers
def test_more_or_fewer_workers_share_the_sockets():
    with Sluice({"routes": ROUTES, "process": {"workers": 2}}) as gateway:
        for workers in (1, 4):
            gateway.write_config(process={"workers": workers})
            gateway.upgrade()
            assert gateway.metrics().total("sluice_workers") == workers
            for _ in range(20):  # the kernel spreads them over every socket, and each has a worker
                assert gateway.get("/a").body == b"first"


# --- when it fails ---
def fails(gateway, why):
    gateway.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "this process goes on" in gateway.output(), "the upgrade has failed")
    assert re.search(rf"upgrade: process \d+ does not serve: {why}; this process goes on", gateway.output())
    assert gateway.get("/a").body == b"first"
    assert gateway.admin("/readyz")[0] == 200


def test_a_new_process_that_refuses_the_configuration_leaves_the_old_one_serving():
    with Sluice({"routes": ROUTES}) as gateway:
        gateway.write_config(surprise=1)
        fails(gateway, "it ended with exit code 3")
        assert 'unknown key "surprise"' in gateway.output()
        gateway.write_config(surprise=None)
        gateway.upgrade()
        assert gateway.get("/a").body == b"first"


def test_a_program_that_vanished_leaves_the_old_process_serving(tmp_path, monkeypatch):
    copy = tmp_path / "sluice"
    shutil.copy(BINARY, copy)
    monkeypatch.setattr("harness.gateway.BINARY", str(copy))
    with Sluice({"routes": ROUTES}) as gateway:
        copy.unlink()
        fails(gateway, "the program could not be executed")


def test_a_second_upgrade_waits_for_the_first():
    with proxying(process={"shutdown_grace": LONG}) as (gateway, origin):
        gateway.client().send(request("GET", "/slow"))
        origin.accept().read_request()
        successor = gateway.begin_upgrade()
        gateway.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "got SIGUSR2: not now" in gateway.output(), "the second one is refused")
        gateway.stop()
        gateway.process = successor


# --- sockets from the service manager ---
def test_a_socket_of_the_service_manager_is_used():
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        pytest.skip("systemd-socket-activate is not here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    gateway = Sluice({"routes": ROUTES, "listeners": {"public": {"address": address}}, "process": {"workers": 2}})
    config = gateway.write_config()
    process = subprocess.Popen([activate, "--listen", address, "--fdname", "public", BINARY, "run", "--config", config],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "Listening on" in line, line
        assert gateway.get("/a").body == b"first"  # this connection is what starts the gateway
        inode = os.stat(f"/proc/{process.pid}/fd/3").st_ino
        listening = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
        port = int(address.rsplit(":", 1)[1])
        mine = [row for row in listening if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]
        assert [int(row[9]) for row in mine] == [inode]  # nobody else listens there
    finally:
        process.terminate()
        process.wait(DEADLINE)
        process.stderr.close()
        shutil.rmtree(gateway.directory)
    assert process.returncode == 0
