"""The plugin fault in the real binary."""

import time

import pytest

from harness import answering, assert_problem, echo, milliseconds, proxying, request, sluice

ALWAYS, NEVER = "100%", "0%"


def fault(route=None, **config):
    return proxying(answering(echo), plugins={"chaos": {"module": "fault", "config": config}},
                    route={"plugins": ["chaos"], **(route or {})})


def events(gateway, event):
    return gateway.metrics().total("sluice_plugin_events_total", plugin="chaos", event=event)


def test_all_requests_fail_or_none():
    with fault(abort={"percentage": ALWAYS, "status": 429}) as (gateway, origin):
        client = gateway.client()
        for _ in range(3):
            assert_problem(client.ask("POST", "/", body=b"hello"), 429, "fault_injected")
        assert gateway.logged(status=429)["reason"] == "fault_injected"
        assert origin.requests == []
        assert (events(gateway, "aborted"), events(gateway, "delayed")) == (3, 0)
        gateway.reload(plugins={"chaos": {"config": {"abort": {"percentage": NEVER}, "delay": {"percentage": NEVER, "time": "20s"}}}})
        for _ in range(20):
            assert client.ask("POST", "/", body=b"hello").body == b"hello"


def test_a_delay_and_its_jitter_hold_a_request_back():
    with fault(delay={"time": "40ms", "jitter": "20ms", "percentage": ALWAYS}) as (gateway, _):
        client = gateway.client()
        for count in range(1, 6):
            began = time.monotonic()
            assert client.ask("POST", "/", body=b"hello").body == b"hello"
            assert time.monotonic() - began >= 0.040
            assert events(gateway, "delayed") == count


def test_a_request_that_is_hit_by_both_fails_after_its_delay():
    with fault(delay={"time": "40ms", "percentage": 1}, abort={"percentage": 1}) as (gateway, origin):
        began = time.monotonic()
        assert_problem(gateway.get("/"), 503, "fault_injected")
        assert time.monotonic() - began >= 0.040
        assert origin.requests == []


def test_requests_without_the_header_are_spared():
    with fault(abort={"percentage": ALWAYS}, only_with_header="X-Chaos") as (gateway, _):
        assert gateway.get("/").status == 200
        assert gateway.get("/", {"x-chaos": ""}).status == 503


@pytest.mark.parametrize("body", [b"hello", b"hell"])
def test_a_client_that_leaves_during_the_delay_leaves_nothing(body):
    with fault(delay={"time": "25s", "percentage": ALWAYS}, abort={"percentage": ALWAYS}) as (gateway, origin):
        client = gateway.client()
        client.send(request("POST", "/", {"Content-Length": "5"}, body))
        gateway.wait_for_metric("sluice_plugin_events_total", 1, event="delayed")
        client.reset()
        gateway.wait_gauges_zero()
        assert events(gateway, "aborted") == 0 and origin.requests == []


def test_the_routes_timeout_ends_a_delay():
    with fault(delay={"time": "25s", "percentage": ALWAYS}, route={"timeout": milliseconds(50)}) as (gateway, _):
        assert_problem(gateway.get("/"), 504, "route_timeout")


def test_mistakes_are_told_with_their_places(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080", plugins: [a, b, c, d]}}
plugins:
  a:
    module: fault
    config:
      delay: {time: 40s, percentage: 120%}
      abort: {status: 200}
      only_with_header: "x y"
  b: {module: fault}
  c: {module: fault, config: {delay: {jitter: 1s}}}
  d: {module: fault, config: {abort: 503}}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ["7:21: error: time:", "7:38: error: percentage:", "8:23: error: status:", '8:14: error: abort: "percentage" is missing',
                   "9:25: error: only_with_header: the name of a header is expected", '10:3: error: plugin "b": neither "delay" nor "abort"',
                   '11:38: error: delay: "time" is missing', '11:38: error: delay: "percentage" is missing', "12:38: error: abort: a map with keys is expected"]:
        assert wanted in told, told
