"""The end: running requests may finish, connections are told to go, and what lasts too long is broken off and counted."""

import signal
import threading

import pytest

from harness import (DEADLINE, OK, End, RawClient, RawOrigin, Sluice, answering, assert_problem, in_background, proxy_config,
                     proxying, request, wait_until)
from harness.http2 import Code, head, headers

LONG = f"{int(10 * DEADLINE)}s"  # and a thirtieth of it for the connections that are told to go
GRACE = {"process": {"shutdown_grace": LONG}}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "echo")]


def terminate(gateway, number=signal.SIGTERM):
    gateway.process.send_signal(number)
    wait_until(lambda: gateway.admin("/readyz")[0] == 503, "the gateway drains")


def refuses(gateway):
    try:
        RawClient(gateway.address()).close()
    except ConnectionRefusedError:
        return True
    return False


def ends_well(gateway):
    assert gateway.process.wait(DEADLINE) == 0, gateway.output()


@pytest.mark.workers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_a_running_request_ends_well_and_the_gateway_after_it(number):
    with proxying(process={"workers": 2, "shutdown_grace": LONG}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/slow"))
        waiting = origin.accept()
        waiting.read_request()
        terminate(gateway, number)
        wait_until(lambda: refuses(gateway), "new connections are refused")
        waiting.send(OK)
        answer = client.read_response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert client.wait_closed() is End.eof
        ends_well(gateway)
        assert gateway.access_log()[0]["status"] == 200


def test_a_request_that_comes_while_the_gateway_drains_is_the_last_of_its_connection():
    with proxying(answering(OK), **GRACE) as (gateway, _):
        client = gateway.client()
        assert client.ask("GET", "/first").get("connection") is None
        terminate(gateway)
        answer = client.ask("GET", "/last")
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert client.wait_closed() is End.eof
        ends_well(gateway)


def test_a_connection_that_says_nothing_is_closed_soon():
    with proxying(answering(OK), **GRACE) as (gateway, _):
        spoke, silent = gateway.client(), gateway.client()
        spoke.ask("GET", "/")
        wait_until(lambda: gateway.metrics().total("sluice_downstream_connections") == 2, "both are connected")
        terminate(gateway)
        assert spoke.wait_closed() is End.eof
        assert silent.wait_closed() is End.eof
        ends_well(gateway)


def test_a_body_on_its_way_up_and_one_on_its_way_down_arrive_whole():
    with proxying(**GRACE) as (gateway, origin):
        up = gateway.client().send(b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n0123456789")
        taking = origin.accept()
        taking.read_request_head()
        down = gateway.client().send(request("GET", "/down"))
        giving = origin.accept()
        giving.read_request()
        giving.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789")
        terminate(gateway)
        up.send(b"9876543210")
        assert taking.read_exactly(20) == b"01234567899876543210"
        taking.send(OK)
        assert up.read_response().status == 200
        giving.send(b"9876543210")
        assert down.read_response().body == b"01234567899876543210"
        ends_well(gateway)


@pytest.mark.parametrize("what", ["head", "body", "tunnel"])
def test_what_outlasts_the_grace_is_broken_off_and_said_so(what):
    with proxying(process={"shutdown_grace": "150ms"}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/", UPGRADE if what == "tunnel" else ()))
        waiting = origin.accept()
        waiting.read_request()
        if what == "body":
            waiting.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789")
            client.read_through(b"0123456789")
        elif what == "tunnel":
            waiting.send(SWITCH)
            assert client.read_response().status == 101
        gateway.process.send_signal(signal.SIGTERM)
        ends_well(gateway)
        assert "shutdown_grace is over: 1 requests are broken off" in gateway.output()
        assert gateway.access_log()[0]["reason"] == "shutting_down"


def test_a_body_that_only_the_connections_end_would_end_is_broken_off_by_a_reset():
    with proxying(process={"shutdown_grace": "150ms"}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/", version="1.0"))
        origin.answer(b"HTTP/1.1 200 OK\r\n\r\npart")
        client.read_through(b"part")
        gateway.process.send_signal(signal.SIGTERM)
        assert client.read_to_end() == (b"", End.reset), "a part must not look like the whole"
        ends_well(gateway)
        assert gateway.access_log()[0]["reason"] == "shutting_down"


def test_a_second_signal_ends_at_once():
    with proxying(**GRACE) as (gateway, origin):
        gateway.client().send(request("GET", "/slow"))
        origin.accept().read_request()
        terminate(gateway)
        gateway.process.send_signal(signal.SIGTERM)
        ends_well(gateway)
        assert "ending at once" in gateway.output()


LOST = {"head": "upstream_reset", "body": "upstream_truncated", "tunnel": "upstream_reset"}


def lose_endpoint(gateway, origin, what, taken):
    """Has the endpoint go away in the middle of `what` while the gateway drains. `taken` returns once the client has what came before."""
    waiting = origin.accept()
    waiting.read_request()
    terminate(gateway)
    if what == "body":
        waiting.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789")
    elif what == "tunnel":
        waiting.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n0123456789")
    if what != "head":
        taken()
    waiting.reset()


def ends_before_the_grace(gateway, client, reason):
    client.close()
    ends_well(gateway)
    assert "shutdown_grace is over" not in gateway.output()
    assert gateway.access_log()[0]["reason"] == reason


@pytest.mark.parametrize("what", LOST)
def test_an_endpoint_that_is_lost_while_the_gateway_drains_holds_nothing_up(what):
    with proxying(process={"shutdown_grace": "9s"}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "websocket")] if what == "tunnel" else ()))
        lose_endpoint(gateway, origin, what, lambda: client.read_through(b"0123456789"))
        if what == "head":
            answer = client.read_response()
            assert_problem(answer, 502, "upstream_reset")
            assert answer.get("connection") == "close"
        assert client.read_to_end() == (b"", End.reset if what == "tunnel" else End.eof)
        ends_before_the_grace(gateway, client, LOST[what])


@pytest.mark.parametrize("what", LOST)
def test_an_endpoint_that_is_lost_while_the_gateway_drains_holds_no_http2_connection_up(what):
    with proxying(process={"shutdown_grace": "9s"}) as (gateway, origin):
        client = gateway.http2()
        stream = client.open()
        connect = [(":protocol", "websocket"), *head("CONNECT")]
        client.send(headers(stream, connect if what == "tunnel" else head(), end_stream=what != "tunnel"))
        lose_endpoint(gateway, origin, what, lambda: client.wait_for(lambda: client.answer(stream).body == b"0123456789"))
        answer = client.wait(stream)
        if what == "head":
            assert_problem(answer, 502, "upstream_reset")
        else:
            assert answer.reset == Code.INTERNAL_ERROR and not answer.complete
        assert client.read_goaway() == Code.NO_ERROR
        ends_before_the_grace(gateway, client, LOST[what])


def test_a_request_that_waits_for_a_connection_gets_one_while_the_gateway_drains():
    with proxying(upstream_settings={"pool": {"max_open": 1, "pending_timeout": "10s"}}, **GRACE) as (gateway, origin):
        first = gateway.client().send(request("GET", "/first"))
        busy = origin.accept()
        busy.read_request()
        second = gateway.client().send(request("GET", "/second"))
        gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
        terminate(gateway)
        busy.send(OK)
        busy.answer(OK)
        assert [client.read_response().status for client in (first, second)] == [200, 200]
        ends_well(gateway)


def test_a_reload_is_refused_while_the_gateway_ends():
    with proxying(**GRACE) as (gateway, origin):
        client = gateway.client().send(request("GET", "/slow"))
        waiting = origin.accept()
        waiting.read_request()
        terminate(gateway)
        assert gateway.admin("/reload", "POST")[0] == 503
        waiting.send(OK)
        assert client.read_response().status == 200
        ends_well(gateway)


# --- asked to drain, and to go on ---
def test_a_drained_gateway_is_not_ready_but_still_serves_until_it_is_told_to_go_on():
    with proxying(answering(OK)) as (gateway, _):
        kept = gateway.client()
        kept.ask("GET", "/")
        assert gateway.admin("/drain", "POST")[1] == "draining\n"
        assert gateway.admin("/readyz")[0] == 503
        for client in (kept, gateway.client()):
            answer = client.ask("GET", "/")
            assert (answer.status, answer.get("connection")) == (200, "close")
            assert client.wait_closed() is End.eof
        assert gateway.admin("/drain", "DELETE")[1] == "ready\n"
        assert gateway.admin("/readyz")[0] == 200
        client = gateway.client()
        for _ in range(2):
            assert client.ask("GET", "/").get("connection") is None


@pytest.mark.workers
def test_no_request_is_lost_when_a_gateway_ends_under_load():
    """Clients that ask again and again get an answer to each request that they sent, until they are told to go."""
    with RawOrigin(answering(OK)) as origin:
        with Sluice(proxy_config(origin, process={"workers": 2, "shutdown_grace": LONG})) as gateway:
            told_to_go = []
            started = threading.Barrier(7)

            def ask_until_told_to_go(_):
                with RawClient(gateway.address()) as client:
                    client.ask("GET", "/")
                    started.wait(DEADLINE)
                    while (answer := client.ask("GET", "/")).get("connection") != "close":
                        assert answer.status == 200
                    told_to_go.append(answer.status)

            with in_background(6, ask_until_told_to_go):
                started.wait(DEADLINE)
                gateway.process.send_signal(signal.SIGTERM)
            assert told_to_go == [200] * 6
            ends_well(gateway)
