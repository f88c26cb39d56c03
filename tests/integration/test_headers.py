"""The plugin headers in the real binary."""

import pytest

from harness import answering, assert_problem, proxying, response, sluice

DEFAULTS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
            "Referrer-Policy": "strict-origin-when-cross-origin"}


def edited(at="listener", reply=response(b"hello"), **config):
    return proxying(answering(reply), plugins={"edit": {"module": "headers", "config": config}}, **{at: {"plugins": ["edit"]}})


@pytest.mark.parametrize("at", ["listener", "route"])
def test_requests_and_responses_are_edited_in_order_and_once(at):
    edits = {"remove": ["X-Gone"], "set": {"X-Set": "new"}, "add": {"X-Add": "2"}, "default": {"X-Default": "d", "X-Set": "no", "X-Gone": "again"}}
    came = [("X-Gone", "1"), ("x-set", "old"), ("X-Set", "older"), ("X-Add", "1"), ("X-Kept", "k")]
    expected = {"x-gone": ["again"], "x-set": ["new"], "x-add": ["1", "2"], "x-default": ["d"], "x-kept": ["k"]}
    with edited(at, reply=response(b"hello", headers=came), request=edits, response=edits) as (gateway, origin):
        answer = gateway.get("/", came)
        for message in [answer, origin.requests[-1]]:
            assert {name: message.all(name) for name in expected} == expected
        metrics = gateway.metrics()
        counted = {f"{side}_{edit}": metrics.total("sluice_plugin_events_total", plugin="edit", event=f"{side}_{edit}")
                   for side in ("request", "response") for edit in ("removed", "set", "added")}
        assert counted == {"request_removed": 1, "request_set": 1, "request_added": 3, "response_removed": 1, "response_set": 1, "response_added": 3}


def test_a_listeners_edits_come_before_routing():
    with edited(request={"set": {"x-canary": "1"}}) as (gateway, origin):
        gateway.reload(routes=[{"name": "canary", "match": {"path": "/", "headers": {"x-canary": "1"}}, "upstream": "origin"}])
        assert gateway.get("/").status == 200


def test_answers_of_the_gateway_carry_the_security_fields():
    with edited(security={}) as (gateway, origin):
        for answer in [gateway.get("/"), gateway.ask("HEAD", "/")]:
            assert {name: answer.get(name) for name in DEFAULTS} == DEFAULTS
            assert answer.get("strict-transport-security") is None
        origin.refuse()
        assert_problem(gateway.get("/"), 502, "connect_failed")
        assert gateway.get("/").get("x-frame-options") == "DENY"
        gateway.reload(routes=[])
        nowhere = gateway.get("/nowhere")
        assert_problem(nowhere, 404, "no_route")
        assert {name: nowhere.get(name) for name in DEFAULTS} == DEFAULTS


def test_an_upstreams_own_security_fields_stand():
    with edited(reply=response(b"hello", headers=[("X-Frame-Options", "SAMEORIGIN")]), security={"nosniff": False, "referrer_policy": "off",
                "hsts": {"max_age": "8760h", "include_subdomains": True, "preload": True}}) as (gateway, _):
        answer = gateway.get("/")
        assert answer.all("x-frame-options") == ["SAMEORIGIN"]
        assert answer.get("strict-transport-security") == "max-age=31536000; includeSubDomains; preload"
        assert answer.get("x-content-type-options") is None and answer.get("referrer-policy") is None


def test_mistakes_are_told_with_their_places(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080", plugins: [a, b, c, d]}}
plugins:
  a:
    module: headers
    config:
      request: {set: {Host: x, "a b": "1", X-A: "1\\n2"}, remove: [content-length]}
      response: {add: [x], sett: {X-B: "1"}}
      security: {frame_options: allow, hsts: {preload: true}, nosnif: true}
  b: {module: headers}
  c: {module: headers, config: {security: true}}
  d: {module: headers, config: {request: {set: {X-Request-Id: "7"}, default: {x-forwarded-proto: https}, remove: [X-Forwarded-For]}}}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ["7:29: error: Host: Host is the gateway's own",
                   '7:39: error: a b: "a b" is not the name of a header',
                   "7:49: error: X-A: the value has control characters",
                   "7:67: error: content-length is the gateway's own",
                   "8:23: error: add: a map from names to values is expected",
                   '8:28: error: unknown key "sett"; did you mean "set"?',
                   '9:33: error: frame_options: "allow" is not one of deny, sameorigin, off',
                   '9:46: error: hsts: "max_age" is missing',
                   "9:56: error: preload: browsers' lists take only sites",
                   '9:63: error: unknown key "nosnif"; did you mean "nosniff"?',
                   '10:3: error: plugin "b": one of',
                   "11:43: error: security: a map with keys is expected",
                   "12:63: error: X-Request-Id: it would not arrive, since the gateway makes it anew for upstreams; set it by `headers` of a route",
                   "12:98: error: x-forwarded-proto: it would not arrive"]:
        assert wanted in told, told
    assert told.count("12:") == 2, told  # a client's may be removed


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Request-Id", "traceparent",
                                  "Proxy-Authorization", "Proxy-Authenticate"])
def test_what_the_plugin_cannot_set_the_route_can(name):
    with proxying(answering(response(b"hello")), route={"headers": {"request": {"set": {name: "mine"}}}}) as (gateway, origin):
        gateway.get("/")
        assert origin.requests[-1].all(name) == ["mine"]
