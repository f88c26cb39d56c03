"""The chain of plugins, seen through a plugin of the tests (tests/plugins/probe.c) in the real binary: order, pauses and answers
in every phase, bodies, and what is left when a client goes away in the middle."""

import contextlib
import json
import os
import re
import threading
from pathlib import Path

import pytest

from harness import (CHUNKED, SANITIZER, End, Http2Client, Http2Origin, RawOrigin, Sluice, answering, assert_problem, chunked, echo, free_port, in_background,
                     proxy_config, proxying, request, response, sluice, upstream, wait_until)
from harness.http2 import Setting, window_update

SOURCE = Path(os.environ.get("SLUICE_SOURCE_DIR", Path(__file__).parents[2]))
PLUGINS = os.environ.get("SLUICE_TEST_PLUGINS", "")
PHASES = ["request_start", "request", "request_body", "response", "response_body"]
BODY = b"abc" * 30000  # more than one read


def probe(tag, module="probe", **config):
    return {"module": module, "config": {"tag": tag, **config}}


def probed(script=None, listener=(), route=(), upstreams=None, workers=1, **probes):
    """A gateway with the probes of those names, and who uses them."""
    return proxying(script or answering(echo), process={"plugin_dir": PLUGINS, "workers": workers}, upstreams=upstreams or {},
                    plugins={name: probe(name, **config) for name, config in probes.items()},
                    listener={"plugins": list(listener)}, route={"plugins": list(route)})


def traces(message):
    return [value for name, value in message.headers if name.lower() == "x-trace"]


def test_requests_pass_the_listeners_plugins_then_the_routes_and_answers_come_back_in_reverse():
    with probed(listener=["a"], route=["b", "c"], a={}, b={}, c={}) as (gateway, origin):
        answer = gateway.get("/")
        assert traces(origin.requests[-1]) == ["a.request_start", "a.request", "b.request", "c.request"]
        # The origin echoes no header of the request: these are the response's.
        assert traces(answer) == ["c.response", "b.response", "a.response"]
        assert answer.get("x-last") == "c"  # what the last one left in the bag


@pytest.mark.parametrize("delay", ["0", "5ms"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_phase_that_pauses_and_is_resumed_loses_nothing(phase, delay, framing):
    with probed(listener=["a"], route=["b"], a={"pause": [phase], "delay": delay}, b={"pause": [phase], "delay": delay}) as (gateway, origin):
        client = gateway.client()
        for _ in range(2):
            if framing == "length":
                client.send(request("POST", "/", body=BODY))
            else:
                client.send(request("POST", "/", CHUNKED), chunked(BODY[:1], BODY[1:40000], BODY[40000:]))
            answer = client.read_response()
            assert (answer.status, answer.body) == (200, BODY)
            assert origin.requests[-1].body == BODY
        client.close()
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("delay", ["0", "5ms"])
def test_who_paused_may_change_the_head_until_it_resumes_and_nobody_else(delay):
    late = {"late": True, "delay": delay}
    with probed(listener=["a"], route=["b", "c", "d"], a={"pause": ["request_start"], **late}, b={"pause": ["request"], **late},
                c={"pause": ["response"], **late}, d={"pause": ["request_body"], **late}) as (gateway, origin):
        answer = gateway.ask("POST", "/", body=b"body")
        assert traces(origin.requests[-1]) == ["a.request_start", "a.late", "a.request", "b.request", "b.late", "c.request", "d.request"]
        assert traces(answer) == ["d.response", "c.response", "c.late", "b.response", "a.response"]


def test_a_paused_response_body_of_chunks_keeps_its_order_and_its_trailers():
    def script(connection):
        connection.read_request()
        connection.send(response(headers=[("Transfer-Encoding", "chunked")], framed=False))
        for i in range(20):
            connection.send(b"5\r\n%05d\r\n" % i)
        connection.send(b"0\r\nx-sum: 7\r\n\r\n")
        connection.drain()

    with probed(script, route=["a", "b"], a={"pause": ["response_body"]}, b={"pause": ["response", "response_body"]}) as (gateway, _):
        answer = gateway.get("/")
        assert answer.body == b"".join(b"%05d" % i for i in range(20))


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("phase", ["request", "request_body", "response"])
def test_a_plugin_answers_in_any_phase_and_those_before_it_see_the_answer(phase, pause):
    paused = {"pause": [phase]} if pause else {}
    with probed(listener=["a"], route=["b", "c"], a={}, b={"respond": phase, "status": 418, **paused}, c={}) as (gateway, _):
        client = gateway.client()
        client.send(request("POST", "/", body=b"hello"))
        answer = client.read_response()
        problem = assert_problem(answer, 418, "probe_said_so")
        assert problem["detail"] == "The probe was told to."
        assert answer.get("x-by") == "b"
        assert traces(answer)[-1] == "a.response"
        assert ("c.response" in traces(answer)) == (phase == "request_body")  # c let the head pass already
        assert gateway.logged(status=418)["reason"] == "probe_said_so"
        again = client.get("/")  # the connection lives on
        assert again.status == (200 if phase == "request_body" else 418)


def test_an_answer_before_routing_needs_no_route():
    with probed(listener=["a"], a={"respond": "request_start", "status": 403, "body": "go away"}) as (gateway, origin):
        answer = gateway.get("/")
        assert (answer.status, answer.body, traces(answer)) == (403, b"go away", ["a.response"])
        assert origin.requests == []


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_a_plugin_reads_the_body_of_a_request_that_waits(framing):
    with probed(route=["a", "b"], a={"read_body": True}, b={}) as (gateway, origin):
        client = gateway.client()
        for _ in range(2):
            if framing == "length":
                client.send(request("POST", "/", body=BODY))
            elif framing == "chunked":
                client.send(request("POST", "/", CHUNKED), chunked(BODY[:1], BODY[1:]))
            else:
                client.send(request("GET", "/"))
            assert client.read_response().body == b"read %d bytes" % (0 if framing == "none" else len(BODY))
        assert origin.requests == []


@pytest.mark.parametrize("pause", [[], ["response"], ["response_body"]])
def test_a_plugin_replaces_the_body_of_a_response(pause):
    with probed(route=["a"], a={"shout": True, "pause": pause}) as (gateway, _):
        client = gateway.client()
        for _ in range(2):
            client.send(request("POST", "/", body=BODY))
            answer = client.read_response()
            assert answer.body == BODY.upper()
            assert answer.get("content-length") is None
        head = client.ask("HEAD", "/")
        assert head.body == b"" and head.get("content-length") is None


@pytest.mark.parametrize("pause", [[], ["response"], ["response_body"]])
def test_answers_of_the_gateway_pass_the_plugins_too(pause):
    with probed(listener=["a"], a={"shout": True, "pause": pause}) as (gateway, _):
        gateway.reload(routes=[{"name": "fixed", "match": {"path": "/fixed"}, "respond": {"body": "quiet", "status": 200}},
                               {"name": "away", "match": {"path": "/away"}, "redirect": {"to": "/fixed"}}], upstreams=None)
        client = gateway.client()
        fixed = client.get("/fixed")
        assert (fixed.status, fixed.body, traces(fixed)) == (200, b"QUIET", ["a.response"])
        away = client.get("/away")
        assert (away.status, away.get("location"), traces(away)) == (308, "/fixed", ["a.response"])
        nowhere = client.get("/nowhere")
        assert (nowhere.status, traces(nowhere)) == (404, ["a.response"])
        assert json.loads(nowhere.body.lower())["reason"] == "no_route"


FILE = bytes(range(97, 123)) * 40_000  # a megabyte: more than a socket takes at once


def serving_a_file(tmp_path, listener=(), route=(), **probes):
    (tmp_path / "big.txt").write_bytes(FILE)
    (tmp_path / "empty.txt").write_bytes(b"")
    return Sluice({"process": {"plugin_dir": PLUGINS}, "listeners": {"public": {"plugins": list(listener)}},
                   "plugins": {name: probe(name, **config) for name, config in probes.items()},
                   "routes": [{"name": "files", "match": {"path": "/{rest...}"}, "static": {"root": str(tmp_path)},
                               "plugins": list(route)}]})


@pytest.mark.parametrize("delay", ["0", "1ms"])
@pytest.mark.parametrize("pause", [[], ["response"], ["response_body"]])
def test_a_plugin_replaces_the_body_of_a_file(tmp_path, pause, delay):
    with serving_a_file(tmp_path, listener=["a"], a={"shout": True, "pause": pause, "delay": delay}) as gateway:
        client = gateway.client(receive_buffer=16384)
        for _ in range(2):
            whole = client.get("/big.txt")
            assert (whole.status, whole.body) == (200, FILE.upper())
            assert whole.chunked and whole.get("content-length") is None
            assert client.get("/big.txt", {"Range": "bytes=100-200000"}).body == FILE[100:200001].upper()
            assert client.get("/empty.txt").body == b""
            head = client.ask("HEAD", "/big.txt")
            assert (head.status, head.get("content-length")) == (200, None)
        assert gateway.logged(path="/big.txt")["bytes_out"] > len(FILE)
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("pause, shout", [(["request"], False), (["response"], False), (["request"], True), (["response_body"], True)])
def test_a_file_behind_a_plugin_that_pauses_comes_whole_over_http2(tmp_path, pause, shout):
    with serving_a_file(tmp_path, listener=["a"], a={"shout": shout, "pause": pause, "delay": "1ms"}) as gateway:
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 2**30})
        client.send(window_update(0, 2**30))
        for _ in range(2):
            answer = client.get("/big.txt")
            assert (answer.status, bytes(answer.body)) == (200, FILE.upper() if shout else FILE)
        gateway.wait_gauges_zero()


def test_a_file_that_shrinks_on_its_way_through_a_plugin_breaks_off(tmp_path):
    with serving_a_file(tmp_path, listener=["a"], a={"shout": True, "pause": ["response_body"], "never": True}) as gateway:
        client = gateway.client()
        client.send(request("GET", "/big.txt"))
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        client.reset()
        gateway.wait_gauges_zero()
    with serving_a_file(tmp_path, listener=["a"], a={"shout": True, "pause": ["response"], "delay": "50ms"}) as gateway:
        client = gateway.client()
        client.send(request("GET", "/big.txt"))
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        (tmp_path / "big.txt").write_bytes(FILE[:100_000])
        answer = client.read_response()
        assert answer.end is not End.complete
        assert gateway.logged(path="/big.txt")["reason"] == "internal_error"


def test_a_plugin_answers_instead_of_a_file(tmp_path):
    with serving_a_file(tmp_path, listener=["a"], route=["b"], a={"respond": "response", "body": "mine"},
                        b={"shout": True}) as gateway:
        client = gateway.client()
        for _ in range(2):
            answer = client.get("/big.txt")
            assert (answer.status, answer.body, answer.get("x-by")) == (200, b"mine", "a")


def test_a_plugin_that_skips_a_body_does_not_see_it_and_the_others_do():
    with probed(route=["a", "b"], a={}, b={"skip": True}) as (gateway, _):
        assert gateway.ask("POST", "/", body=BODY).body == BODY
        gateway.wait_for_metric("sluice_plugin_calls_total", 2, phase="complete")
        metrics = gateway.metrics()
        calls = [metrics.total("sluice_plugin_calls_total", plugin=name, phase="response_body") for name in "ab"]
        assert calls[0] > 0 and calls[1] == 0


@pytest.mark.parametrize("delay", ["0", "1ms"])
@pytest.mark.parametrize("pause", [[], ["response_body"]])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_one_plugin_made_of_a_body_is_what_the_next_one_sees(framing, pause, delay):
    body = b"a" * 100 + b"b" * 256 + b"c" * 70000
    head = response(headers=CHUNKED, framed=False) + chunked(body[:100], body[100:356], body[356:]) if framing == "chunked" else response(body)
    with probed(answering(head), route=["a", "b", "c"], a={"shout": True, "times": 2, "pause": pause, "delay": delay}, b={"pause": pause, "delay": delay},
                c={"shout": True, "times": 3, "pause": pause, "delay": delay}) as (gateway, _):
        for _ in range(2):
            answer = gateway.get("/")
            assert answer.end is End.complete and answer.chunked
            assert {letter: answer.body.count(letter) for letter in b"ABCabc"} == {65: 600, 66: 6 * 256, 67: 420000, 97: 0, 98: 0, 99: 0}
        gateway.wait_gauges_zero()


def test_a_plugin_that_writes_far_more_than_it_got_ends_the_exchange_and_nothing_else():
    with probed(answering(response(BODY * 20)), route=["a"], a={"shout": True, "times": 1000}) as (gateway, _):
        client = gateway.client(receive_buffer=16384)
        client.send(request("GET", "/"))
        assert gateway.logged(path="/")["reason"] == "plugin_failed"
        answer = client.read_response()
        assert answer.end is End.reset and answer.body.startswith(BODY[:200].upper())
        gateway.wait_gauges_zero()


@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_while_a_plugin_pauses_leaves_nothing_behind(phase):
    with probed(listener=["a"], a={"pause": [phase], "never": True}) as (gateway, _):
        client = gateway.client()
        client.send(request("POST", "/", body=b"hello"))
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        client.reset()
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_plugin_events_total", plugin="a", event="completed") == 1


@contextlib.contextmanager
def holding_back(body, outlive=True, pieces=1):
    """A gateway whose plugin says whether an exchange outlives its client; the origin waits in the middle of its answer's body (or
    before its head, pieces=0) until it is let go on."""
    let_go = threading.Event()

    def script(connection):
        connection.read_request()
        head = response(headers=[("Content-Length", str(len(body)))], framed=False)
        if pieces:
            connection.send(head + body[:-1])
        assert let_go.wait(10)
        connection.send_if_open(body[-1:] if pieces else head + body)
        connection.drain()

    with probed(script, route=["a"], a={"outlive": outlive}) as (gateway, origin):
        yield gateway, origin, let_go


@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize("size", [5, 3_000_000])
def test_an_exchange_that_outlives_its_client_is_carried_out_to_its_end(size, pieces):
    with holding_back(b"x" * size, pieces=pieces) as (gateway, origin, let_go):
        client = gateway.client(receive_buffer=16384)
        client.send(request("POST", "/", body=b"pay"))
        wait_until(lambda: origin.requests, "the origin got the request")
        if pieces:
            client.read_exactly(1)
        client.reset()
        gateway.wait_for_metric("sluice_downstream_connections", 1, state="lost")
        let_go.set()
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="whole")
        line = gateway.logged(path="/")
        assert (line["status"], line["reason"]) == (200, "client_closed")
        gateway.wait_gauges_zero()


def test_an_exchange_that_does_not_say_so_ends_with_its_client():
    with holding_back(b"hello", outlive=False, pieces=0) as (gateway, origin, let_go):
        client = gateway.client()
        client.send(request("POST", "/", body=b"pay"))
        wait_until(lambda: origin.requests, "the origin got the request")
        client.reset()
        assert gateway.logged(path="/")["status"] == 499
        let_go.set()
        gateway.wait_gauges_zero()
        assert gateway.metrics().total("sluice_plugin_events_total", event="whole") == 0


def test_a_request_of_which_a_part_is_missing_is_not_carried_out():
    with probed(route=["a"], a={"outlive": True}) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "10")], b"half"))
        wait_until(lambda: origin.requests or origin.connections, "the gateway reached the origin")
        client.reset()
        assert gateway.logged(path="/")["status"] == 499
        gateway.wait_gauges_zero()


def test_a_plugin_asks_an_upstream_before_the_request_goes_on():
    with RawOrigin(answering(response(b"the keys"))) as keys:
        with probed(route=["a"], a={"ask": "keys", "target": "/jwks?v=1"}, upstreams={"keys": upstream(keys)}) as (gateway, _):
            for _ in range(3):
                assert gateway.get("/").get("x-asked") == "200 the keys"
            asked = keys.requests[-1]
            assert (asked.target, asked.get("host"), asked.get("x-by"), asked.get("content-length")) == ("/jwks?v=1", "keys.test", "a", None)
            assert len(keys.connections) == 1  # it is the upstream's pool that is asked
            gateway.wait_gauges_zero()


def test_a_plugin_hears_why_an_upstream_did_not_answer():
    def silent(connection):
        connection.read_request()
        connection.drain()

    def breaks_off(connection):
        connection.read_request()
        connection.send(response(headers=[("Content-Length", "9")], framed=False) + b"short")

    for script, config, reason in [(silent, {"patience": "50ms"}, "upstream_timeout"),
                                   (answering(response(b"x" * 2000)), {}, "upstream_body_too_large"),
                                   (answering(b"HTTP/1.1 nonsense\r\n\r\n"), {}, "upstream_bad_response"),
                                   (breaks_off, {}, "upstream_truncated"),
                                   (answering(response(b"ok")), {"target": "no path"}, "plugin_failed")]:
        with RawOrigin(script) as keys:
            with probed(route=["a"], a={"ask": "keys", "target": "/", **config}, upstreams={"keys": upstream(keys)}) as (gateway, _):
                assert gateway.get("/").get("x-asked") == reason
    with probed(route=["a"], a={"ask": "keys", "target": "/"}, upstreams={"keys": {"endpoints": [f"127.0.0.1:{free_port()}"]}}) as (gateway, _):
        assert gateway.get("/").get("x-asked") == "connect_failed"


def test_a_kept_connection_that_proves_stale_is_replaced():
    def once(connection):
        connection.read_request()
        connection.send(response(b"hello"))

    with RawOrigin(once) as keys:
        with probed(route=["a"], a={"ask": "keys", "target": "/"}, upstreams={"keys": upstream(keys)}) as (gateway, _):
            for _ in range(20):
                assert gateway.get("/").get("x-asked") == "200 hello"


@pytest.mark.parametrize("keys_settings", [{}, {"protocol": "http2"}], ids=["http1", "http2"])
def test_an_upstream_may_be_asked_while_an_answer_over_http2_waits(keys_settings):
    """All of the answer is here before the upstream that was asked says a word; the endpoint's other streams go on."""
    asked_late = {"ask": "keys", "asks_late": True, "target": "/late"}
    with Http2Origin() as origin, (Http2Origin() if keys_settings else RawOrigin()) as keys:
        plugins = {"a": probe("a", **asked_late)}
        config = proxy_config(origin, upstream_settings={"protocol": "http2"}, process={"plugin_dir": PLUGINS}, plugins=plugins,
                              upstreams={"keys": upstream(keys, **keys_settings)})
        config["routes"] = [{"match": {"path": "/asks"}, "upstream": "origin", "plugins": ["a"]},
                            {"match": {"path": "/other"}, "upstream": "origin"}]
        with Sluice(config) as gateway:
            for client in (gateway.client(), gateway.http2()):
                over_http2 = isinstance(client, Http2Client)
                stream = client.begin("GET", "/asks") if over_http2 else client.send(request("GET", "/asks"))
                origin.request().head(200, [("x-first", "1")]).data(BODY[:50_000], end=True)
                late = keys.request() if keys_settings else keys.accept()
                other = gateway.http2()
                waiting = other.begin("GET", "/other")
                origin.request().respond(b"meanwhile")
                assert other.wait(waiting).body == b"meanwhile"
                if keys_settings:
                    assert (late.target, late.get("x-by")) == ("/late", "a")
                    late.respond(b"hello")
                else:
                    assert late.answer(response(b"hello")).target == "/late"
                    late.close()
                answer = client.wait(stream) if over_http2 else client.read_response()
                assert (answer.status, answer.get("x-first"), answer.get("x-asked")) == (200, "1", "200 hello")
                assert bytes(answer.body) == BODY[:50_000]
            assert len(origin.connections) == 1
            gateway.wait_gauges_zero()


def test_who_leaves_while_a_plugin_asks_an_upstream_leaves_nothing_behind():
    def silent(connection):
        connection.read_request()
        connection.drain()

    with RawOrigin(silent) as keys:
        with probed(route=["a"], a={"ask": "keys", "target": "/"}, upstreams={"keys": upstream(keys)}) as (gateway, _):
            client = gateway.client()
            client.send(request("GET", "/"))
            wait_until(lambda: keys.requests, "the plugin asked")
            client.reset()
            gateway.wait_gauges_zero()


def test_a_body_can_be_asked_for_after_a_pause():
    with probed(route=["a", "b"], a={"read_body": True, "pause": ["request"]}, b={}) as (gateway, origin):
        client = gateway.client()
        for body in (BODY, b"", b"abc"):
            client.send(request("POST", "/", body=body))
            assert client.read_response().body == b"read %d bytes" % len(body)
        client.send(request("POST", "/", CHUNKED), chunked(BODY[:10], BODY[10:]))
        assert client.read_response().body == b"read %d bytes" % len(BODY)
        assert origin.requests == []
        gateway.wait_gauges_zero()


def test_a_timer_of_the_route_ends_a_pause():
    with probed(route=["a"], a={"pause": ["request"], "never": True}) as (gateway, _):
        gateway.reload(routes=[{**gateway.config["routes"][0], "timeout": "50ms"}])
        assert_problem(gateway.get("/"), 504, "route_timeout")


@pytest.mark.skipif(bool(SANITIZER), reason="its runtime wants to be loaded before our clock")
@pytest.mark.parametrize("phase", PHASES)
def test_a_plugin_that_does_not_resume_within_a_minute_is_answered_for(tmp_path, phase):
    seconds = tmp_path / "seconds"
    seconds.write_bytes(bytes(8))
    clock = {"LD_PRELOAD": f"{PLUGINS}/clock_ahead.so", "CLOCK_AHEAD": str(seconds)}
    patient = {"response_header": "1h", "idle": "1h"}
    with RawOrigin(answering(echo)) as origin:
        config = proxy_config(origin, process={"plugin_dir": PLUGINS}, upstream_settings={"timeouts": patient},
                              plugins={"a": probe("a", pause=[phase], delay="70s", haunts=True)},
                              listener={"plugins": ["a"], "timeouts": {"request_body": "1h", "write": "1h"}})
        config["listeners"]["other"] = {}  # for requests that show the worker what time it is
        with Sluice(config, env=clock) as gateway:

            def move_on_to(time):
                with open(seconds, "r+b") as file:
                    file.write(time.to_bytes(8, "little"))
                with gateway.client("other") as other:
                    assert other.ask("POST", "/", body=b"tick").status == 200

            client = gateway.client()
            client.send(request("POST", "/", body=b"hello"))
            gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
            move_on_to(58)
            assert client.is_silent() or phase == "response_body"  # whose head has gone
            move_on_to(61)
            line = gateway.logged(reason="plugin_timeout")
            if phase == "response_body":
                assert client.read_response().end is not End.complete
            else:
                assert_problem(client.read_response(), 504, "plugin_timeout")
                assert line["status"] == 504
            assert gateway.metrics().total("sluice_request_failures_total", reason="plugin_timeout") == 1
            move_on_to(71)
            gateway.wait_for_metric("sluice_plugin_events_total", 1, event="haunted")  # it resumes, and nothing comes of it
            move_on_to(72)
            assert len(gateway.access_log(5)) == 5
            gateway.wait_gauges_zero()


@pytest.mark.parametrize("phase", ["request", "request_body"])
def test_who_resumes_a_request_that_was_answered_meanwhile_does_not_set_it_going_again(phase):
    paused = {"pause": [phase], "delay": "300ms"}
    with probed(route=["a", "b"], a=paused, b={}) as (gateway, origin):
        gateway.reload(routes=[{**gateway.config["routes"][0], "timeout": "50ms"}])
        client = gateway.client()
        client.send(request("POST", "/", [("Content-Length", "10")], b"five!"))
        assert_problem(client.read_response(), 504, "route_timeout")
        gateway.wait_for_metric("sluice_plugin_events_total", 1, plugin="a", event="resumed")
        gateway.reload(routes=[{**gateway.config["routes"][0], "timeout": "5s"}])
        client.send(b"five!", request("GET", "/next"))
        answer = client.read_response()
        assert answer.status == 200 and traces(answer)[-1] == "a.response"
        assert [message.target for message in origin.requests if message.method == "GET"] == ["/next"]
        assert not [message for message in origin.requests if message.method == "POST" and phase == "request"]
        gateway.wait_gauges_zero()


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
MESSAGE = b"\0\0\0\0\5hello"


@pytest.mark.parametrize("cut", [0, 1])
def test_a_call_that_was_cut_is_not_complete_though_its_end_is_well_formed(cut):
    with Http2Origin() as origin:
        config = proxy_config(origin, process={"plugin_dir": PLUGINS}, plugins={"a": probe("a")}, route={"plugins": ["a"]},
                              upstream_settings={"protocol": "http2"})
        with Sluice(config) as gateway, gateway.http2() as client:
            stream = client.begin("POST", "/test/Echo", GRPC)
            asked = origin.request()
            asked.head(200, GRPC[:1]).data(MESSAGE)
            asked.connection.close() if cut else asked.trail([("grpc-status", "0")])
            answer = client.wait(stream)
            assert answer.complete and bytes(answer.body) == MESSAGE
            assert answer.trailers[0] == ("grpc-status", "14" if cut else "0")
            gateway.wait_for_metric("sluice_plugin_events_total", 1, event="completed")
            assert gateway.metrics().total("sluice_plugin_events_total", event="cut") == cut


def test_what_a_plugin_held_of_a_call_that_was_cut_meanwhile_is_dropped():
    whole = response(headers=[*CHUNKED, *GRPC[:1]], framed=False) + chunked(MESSAGE, trailers=[("grpc-status", "0")])
    with probed(answering(whole), route=["a"], a={"shout": True, "pause": ["response_body"], "delay": "2s"}) as (gateway, _):
        client = gateway.http2(initial={Setting.INITIAL_WINDOW_SIZE: 0}, gives_windows=False)
        stream = client.begin("POST", "/test/Echo", [*GRPC, ("grpc-timeout", "1S")])
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="resumed")  # after the call's timeout
        client.send(window_update(stream, 1000))
        answer = client.wait(stream)
        assert answer.complete and bytes(answer.body) == MESSAGE.upper()
        assert answer.trailers[0] == ("grpc-status", "4")
        assert gateway.logged(path="/test/Echo")["reason"] == "route_timeout"
        client.close()


def test_an_answer_that_overtakes_a_paused_one_passes_those_only_that_have_not_let_it_by():
    script = answering(response(b"hello", headers=[("Content-Type", "text/plain")]))
    with probed(script, route=["a", "b"], a={"pause": ["response"], "never": True}, b={"shout": True}) as (gateway, _):
        gateway.reload(routes=[{**gateway.config["routes"][0], "timeout": "50ms"}])
        answer = gateway.get("/")
        assert_problem(answer, 504, "route_timeout")
        assert traces(answer) == ["a.response"]


def test_an_instance_keeps_what_it_asks_for_as_long_as_it_lives():
    waits = {"pause": ["request_start"], "delay": "500ms", "ask": "keys", "target": "/"}
    with RawOrigin(answering(response(b"the keys"))) as keys:
        with probed(listener=["a"], a=waits, upstreams={"keys": upstream(keys)}) as (gateway, _):
            client = gateway.client()
            client.send(request("GET", "/"))
            gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
            gateway.reload(upstreams={"keys": {"pool": {"max_idle": 1}}})  # the instance is the same, its upstream is not
            gateway.reload(plugins={"a": probe("z", **waits)})             # now it lives for that request alone
            gateway.reload(upstreams={"keys": {"pool": {"max_idle": 2}}})  # and its upstream is nobody else's
            answer = client.read_response()
            assert (answer.status, answer.get("x-asked")) == (200, "200 the keys")


def test_what_plugins_cannot_see_does_not_pass_them_as_a_trailer():
    with probed(route=["a"], a={}) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", CHUNKED), chunked(b"body", trailers=[("X-User", "admin")]))
        assert client.read_response().status == 200
        sent = origin.requests[-1]
        assert sent.body == b"body" and not sent.trailers


def test_an_answer_without_a_body_stays_without_one():
    for head in (response(status=304, headers=[("Content-Length", "5")], framed=False), response(status=204, framed=False)):
        with probed(answering(head), route=["a"], a={"shout": True}) as (gateway, _):
            client = gateway.client()
            for _ in range(2):
                answer = client.get("/")
                assert (answer.body, answer.chunked) == (b"", False)


def test_fields_that_a_client_names_in_connection_cannot_take_away_what_a_plugin_sets():
    with probed(route=["a"], a={}) as (gateway, origin):
        gateway.get("/", {"Connection": "x-trace, x-mine", "X-Mine": "1"})
        sent = origin.requests[-1]
        assert traces(sent) == ["a.request"] and "x-mine" not in sent.names


def test_an_unchanged_instance_outlives_a_reload_and_a_changed_one_is_new():
    with probed(listener=["a"], a={}) as (gateway, _):
        gateway.get("/")
        gateway.reload(trusted_proxies=["10.0.0.0/8"])
        assert traces(gateway.get("/"))[0] == "a.response"
        gateway.reload(plugins={"a": probe("z")})
        assert traces(gateway.get("/"))[0] == "z.response"


class Ledger:
    """What the instances of probes noted in a file of their own."""

    def __init__(self, folder):
        self.path = folder / "ledger"
        self.path.touch()

    def count(self, line):
        return self.path.read_text().splitlines().count(line)


def test_an_unchanged_instance_is_the_same_one_after_a_reload(tmp_path):
    ledger = Ledger(tmp_path)
    with probed(listener=["a"], a={"ledger": str(ledger.path)}) as (gateway, _):
        for i in range(5):
            gateway.reload(trusted_proxies=[f"10.0.0.{i}/32"])
            gateway.get("/")
        # Each reload compiles it anew only to find that nothing changed, so it is not configured again.
        assert [ledger.count(f"a {what}") for what in ("configured", "started", "stopped", "discarded")] == [1, 1, 0, 0]
    assert [ledger.count(f"a {what}") for what in ("stopped", "discarded")] == [1, 1]


def test_a_changed_instance_ends_with_the_last_exchange_that_uses_it(tmp_path):
    ledger = Ledger(tmp_path)
    with probed(listener=["a"], a={"ledger": str(ledger.path), "pause": ["request"], "never": True}) as (gateway, _):
        client = gateway.client()
        client.send(request("GET", "/"))
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="paused")
        gateway.reload(plugins={"a": probe("new", ledger=str(ledger.path), pause=[])})
        assert gateway.get("/").status == 200
        wait_until(lambda: ledger.count("new started"), "the new instance runs")
        assert [ledger.count(f"a {what}") for what in ("stopped", "discarded")] == [0, 0]
        client.reset()
        wait_until(lambda: ledger.count("a discarded"), "the old instance is discarded")
        assert ledger.count("a stopped") == 1


@pytest.mark.workers
def test_requests_that_pause_on_several_workers_pass_the_plugins_of_one_configuration_whatever_reloads(tmp_path):
    reloads, workers = 15, 3
    ledger = Ledger(tmp_path)

    def generation(number):
        """Both instances are others in each; some resume from a timer, some before they return."""
        config = {"pause": PHASES, "delay": ["1ms", "0"][number % 2], "ledger": str(ledger.path)}
        return {name: probe(f"{name}{number}", **config) for name in "ab"}

    with probed(listener=["a"], route=["b"], workers=workers, a={}, b={}) as (gateway, _):
        assert gateway.reload(plugins=generation(0))["accepted"]
        seen = []

        def keep_asking(over):
            kept = gateway.client()
            while not over.is_set():
                with gateway.client() as fresh:
                    for client in (kept, fresh):
                        answer = client.ask("POST", "/", body=BODY)
                        assert (answer.status, answer.body) == (200, BODY)
                        seen.append(traces(answer))

        with in_background(6, keep_asking):
            for number in range(1, reloads + 1):
                before = len(seen)
                assert gateway.reload(plugins=generation(number))["accepted"]
                wait_until(lambda: len(seen) > before + 12, "requests go on")
        generations = {tuple(trace) for trace in seen}
        assert generations <= {(f"b{number}.response", f"a{number}.response") for number in range(reloads + 1)}
        assert len(generations) > reloads / 2
        gateway.wait_gauges_zero()
        gone = [f"{name}{number}" for name in "ab" for number in range(reloads)]
        wait_until(lambda: all(ledger.count(f"{name} discarded") == 1 for name in gone), "all but the last are discarded")
        assert all(ledger.count(f"{name} {what}") == workers for name in gone for what in ("started", "stopped"))


def test_who_resumes_an_exchange_that_is_over_does_no_harm():
    with probed(listener=["a"], a={"pause": ["request"], "delay": "50ms", "haunts": True}) as (gateway, _):
        for _ in range(20):
            client = gateway.client()
            client.send(request("GET", "/"))
            client.reset()
        gateway.wait_for_metric("sluice_plugin_events_total", 20, event="haunted")
        assert gateway.get("/").status == 200
        gateway.wait_gauges_zero()


def test_mistakes_in_a_plugins_configuration_are_told_with_their_places(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text(f"""version: 1
process: {{plugin_dir: {PLUGINS}}}
listeners: {{public: {{address: "127.0.0.1:8080", plugins: [a, nobody]}}}}
plugins:
  a:
    module: probe
    config:
      tga: x
      status: 99
      pause: [request, never]
      delay: soon
  b: {{module: prob}}
  c: {{module: probe, config: {{tag: c}}}}
  d: {{module: probe, config: {{tag: d, ask: kyes}}}}
upstreams: {{keys: {{endpoints: ["127.0.0.1:1"]}}}}
routes: [{{match: {{path: /}}, respond: {{body: hi}}, plugins: [c, c]}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ['3:62: error: there is no plugin "nobody"',
                   '5:3: error: plugin "a": "tag" is missing',
                   '8:7: error: unknown key "tga"; did you mean "tag"?',
                   '9:15: error: status: "99" is not between 200 and 599',
                   '10:24: error: no such phase',
                   '11:14: error: delay: "soon" is not a duration; write 250ms, 5s or 1m30s',
                   '12:15: error: module: there is no', 'did you mean "probe"?',
                   '14:44: error: ask: there is no upstream "kyes"; did you mean "keys"?',
                   '16:63: error: plugin "c" stands in this list already']:
        assert wanted in told, told


@pytest.mark.parametrize("phase", PHASES)
def test_a_plugin_built_with_the_first_interface_works_beside_one_of_today(phase):
    old = {"module": "frozen", "pause": [phase], "tier": "gold", "outlive": True}
    with probed(listener=["a", "b"], route=["c"], a=old, b={"pause": [phase]}, c={**old, "shout": True}) as (gateway, origin):
        for _ in range(2):
            answer = gateway.ask("POST", "/", body=BODY)
            assert (answer.status, answer.body) == (200, BODY.upper())
            assert traces(answer) == ["c.response", "b.response", "a.response"]
        gateway.wait_gauges_zero()
    with RawOrigin(answering(response(b"the keys"))) as keys:
        with probed(route=["a"], a={"module": "frozen", "ask": "keys", "target": "/"}, upstreams={"keys": upstream(keys)}) as (gateway, _):
            assert gateway.get("/").get("x-asked") == "200 the keys"
    with probed(route=["a"], a={"module": "frozen", "respond": "request", "status": 418}) as (gateway, _):
        assert_problem(gateway.get("/"), 418, "probe_said_so")


def test_the_plugin_of_the_manual_works_as_printed_there():
    manual = (SOURCE / "plugins/README.md").read_text()
    assert (SOURCE / "tests/plugins/hello.c").read_text().split("*/\n", 1)[1] in manual
    with proxying(answering(echo), process={"plugin_dir": PLUGINS}, plugins={"greeter": {"module": "hello", "config": {"name": "world"}}},
                  listener={"plugins": ["greeter"]}) as (gateway, _):
        assert gateway.get("/").get("x-hello") == "world"


@pytest.mark.parametrize("pause", [[], ["request_start"]])
def test_a_route_matches_by_a_claim_that_a_plugin_of_the_listener_verified(pause):
    routes = [{"name": name, "match": {"path": "/", "claims": {"tier": tier}}, "respond": {"body": name}} for name, tier in
              (("golden", "gold"), ("silvery", "silver"), ("known", True))]
    routes.append({"name": "open", "match": {"path": "/"}, "respond": {"body": "open"}})
    for tier, won in (("gold", b"golden"), ("silver", b"silvery"), ("tin", b"known"), ("", b"open")):
        with probed(listener=["a"], a={"tier": tier, "pause": pause}) as (gateway, _):
            gateway.reload(routes=routes)
            assert gateway.get("/?tier=gold", {"tier": "gold"}).body == won


def test_explain_takes_claims(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080"}}
routes: [{name: golden, match: {path: /, claims: {tier: gold}}, respond: {body: hi}}]
""")
    told = sluice("explain", "--config", config, "--claim", "tier=gold", "GET", "http://h/").stdout
    assert "golden" in told and 'claim tier is "gold"' in told
    assert "claim tier is missing" in sluice("explain", "--config", config, "GET", "http://h/").stdout
    assert "name=value" in sluice("explain", "--claim", "gold", "GET", "http://h/").stderr


def test_explain_tells_which_plugins_run(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text(f"""version: 1
process: {{plugin_dir: {PLUGINS}}}
listeners: {{public: {{address: "127.0.0.1:8080", plugins: [a]}}}}
plugins: {{a: {{module: probe, config: {{tag: a}}}}, b: {{module: nothing}}}}
routes: [{{match: {{path: /}}, respond: {{body: hi}}, plugins: [b]}}]
""")
    told = sluice("explain", "--config", config, "GET", "http://h/").stdout
    assert "plugins: a (probe), b (nothing)\n" in told


def test_explain_tells_what_the_plugins_of_a_running_gateway_take():
    with probed(listener=["a"], route=["b"], a={}, b={}) as (gateway, _):
        for _ in range(3):
            gateway.get("/")
        gateway.wait_for_metric("sluice_plugin_calls_total", 3, plugin="b", phase="complete")
        config = gateway.directory / "sluice.yaml"
        told = sluice("explain", "--config", config, "--admin", gateway.config["admin"]["listen"], "GET", "http://h/").stdout
        for name in "ab":
            assert re.search(rf"^  {name}: (request_start [\d.]+ µs, )?request [\d.]+ µs, response [\d.]+ µs, ", told, re.MULTILINE), told


def test_the_log_and_the_metrics_say_what_each_plugin_cost():
    with probed(listener=["a"], route=["b"], a={}, b={}) as (gateway, _):
        gateway.get("/")
        line = gateway.logged(status=200)
        assert [part.split(":")[0] for part in line["plugins"].split(" ")] == ["a", "b"]
        metrics = gateway.metrics()
        assert metrics.total("sluice_plugin_calls_total", plugin="a", phase="request") == 1
        assert metrics.total("sluice_plugin_cpu_seconds_total", plugin="a", phase="request") > 0


def test_a_template_can_ask_for_what_each_phase_cost():
    pausing = probe("b", pause=["response"], delay="20ms")
    with proxying(answering(echo), process={"plugin_dir": PLUGINS}, plugins={"a": probe("a"), "b": pausing, "c": {"module": "nothing"}},
                  listener={"plugins": ["a"]}, route={"plugins": ["b", "c"]}, access_log={"format": "{plugins}|{plugin_phases}"}) as (gateway, _):
        gateway.ask("POST", "/", body=b"body")
        whole, phases = wait_until(lambda: gateway.log_path.read_text(), "a line").rstrip("\n").split("|")
        whole = {name: int(cost) for name, cost in (part.split(":") for part in whole.split())}
        phases = {name: {phase: float(cost) for phase, cost in (pair.split("=") for pair in costs.split(","))}
                  for name, costs in (part.split(":") for part in phases.split(" "))}
        of_a_route = ["request", "request_body", "response", "response_body", "complete"]
        assert list(phases) == ["a", "b", "c"]
        assert list(phases["a"]) == ["request_start", *of_a_route] and list(phases["b"]) == of_a_route
        assert list(phases["c"]) == ["request", "response"]
        for name, costs in phases.items():
            assert abs(sum(costs.values()) - whole.get(name, 0)) <= 0.5 + 0.1 * len(costs)
        assert phases["b"]["response"] < 20000  # what it waits for is not counted
