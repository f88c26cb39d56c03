"""The plugin cors in the real binary: preflights, answers of all kinds, and mistakes in its configuration."""

import pytest

from harness import answering, assert_problem, proxying, response, sluice

APP = "https://app.example.com"
EVIL = "https://evil-example.com"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}


def cors(script=None, at="listener", plugins=None, reply=response(b"hello"), **config):
    """A gateway whose listener or route has the plugin, before an origin that gives one answer."""
    plugins = {"cors": {"module": "cors", "config": {"origins": ["https://*.example.com"], **config}}, **(plugins or {})}
    return proxying(script or answering(reply), plugins=plugins, **{at: {"plugins": list(plugins)}})


def cors_fields(answer):
    return {name.lower(): value for name, value in answer.headers if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("at", ["listener", "route"])
def test_a_preflight_is_answered_without_the_upstream(at):
    with cors(at=at, methods=["GET", "PUT"], headers=["X-A", "X-B"], expose_headers=["X-C"], max_age="1h") as (gateway, origin):
        client = gateway.client()
        answer = client.ask("OPTIONS", "/x", PREFLIGHT)
        assert (answer.status, answer.body) == (204, b"")
        assert cors_fields(answer) == {"access-control-allow-origin": APP, "access-control-allow-methods": "GET, PUT",
                                       "access-control-allow-headers": "X-A, X-B", "access-control-max-age": "3600"}
        assert answer.all("vary") == ["Origin"]
        assert origin.requests == []
        assert client.get("/", PREFLIGHT).body == b"hello"  # no preflight, and the connection lives on
        assert gateway.metrics().total("sluice_plugin_events_total", plugin="cors", event="preflight") == 1


def test_a_listeners_preflight_needs_no_route_that_takes_options():
    with cors() as (gateway, origin):
        gateway.reload(routes=[{"name": "get", "match": {"path": "/get", "methods": ["GET"]}, "upstream": "origin"}])
        assert gateway.ask("OPTIONS", "/get", PREFLIGHT).status == 204
        assert gateway.ask("OPTIONS", "*", PREFLIGHT).status == 204
        # Without the plugin's question it is a request like others.
        assert gateway.ask("OPTIONS", "/get", {"Origin": APP}).status == 405
        assert gateway.ask("OPTIONS", "/get", {"Access-Control-Request-Method": "PUT"}).status == 405


def test_a_preflight_comes_before_the_plugins_behind_it():
    plugins = {"busy": {"module": "fault", "config": {"abort": {"status": 401, "percentage": "100%"}}}}
    with cors(plugins=plugins) as (gateway, _):
        assert gateway.ask("OPTIONS", "/", PREFLIGHT).status == 204
        refused = gateway.get("/", {"Origin": APP})
        assert_problem(refused, 401, "fault_injected")
        assert refused.get("access-control-allow-origin") == APP


@pytest.mark.parametrize("foreign", [EVIL, "null", "https://example.com", "https://a.example.com.evil.com"])
def test_an_origin_that_is_not_allowed_gets_no_fields(foreign):
    own = response(b"hello", headers=[("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")])
    with cors(reply=own) as (gateway, _):
        answer = gateway.get("/", {"Origin": foreign})
        assert (answer.status, answer.body, cors_fields(answer), answer.all("vary")) == (200, b"hello", {}, ["Origin"])
        refused = gateway.ask("OPTIONS", "/", {**PREFLIGHT, "Origin": foreign})
        assert_problem(refused, 403, "cors_denied")
        assert cors_fields(refused) == {}
        assert gateway.logged(status=403)["reason"] == "cors_denied"
        assert gateway.metrics().total("sluice_plugin_events_total", plugin="cors", event="denied") == 2


def test_the_upstreams_own_fields_are_replaced():
    own = response(b"hello", headers=[("Access-Control-Allow-Origin", "https://old.example.com"), ("Vary", "Accept"),
                                      ("Vary", "Cookie, origin"), ("Access-Control-Expose-Headers", "x-secret")])
    with cors(reply=own, credentials=True, expose_headers=["X-A"]) as (gateway, _):
        answer = gateway.get("/", {"Origin": APP})
        assert cors_fields(answer) == {"access-control-allow-origin": APP, "access-control-allow-credentials": "true",
                                       "access-control-expose-headers": "X-A"}
        assert answer.all("vary") == ["Accept", "Cookie, origin"]  # it says so already
        assert cors_fields(gateway.get("/")) == {}


def test_errors_of_the_gateway_carry_the_fields_too():
    with cors() as (gateway, origin):
        origin.refuse()
        answer = gateway.get("/", {"Origin": APP})
        assert_problem(answer, 502, "connect_failed")
        assert answer.get("access-control-allow-origin") == APP
        gateway.reload(routes=[{"name": "get", "match": {"path": "/get"}, "upstream": "origin"}])
        nowhere = gateway.get("/nowhere", {"Origin": APP})
        assert_problem(nowhere, 404, "no_route")
        assert nowhere.get("access-control-allow-origin") == APP


def test_without_credentials_a_star_is_the_same_answer_for_all():
    with cors(origins="*", headers=["*"], methods=["*"]) as (gateway, _):
        answer = gateway.get("/", {"Origin": EVIL})
        assert (answer.get("access-control-allow-origin"), answer.all("vary")) == ("*", [])
        preflight = gateway.ask("OPTIONS", "/", PREFLIGHT)
        assert (preflight.get("access-control-allow-methods"), preflight.get("access-control-allow-headers")) == ("*", "*")


def test_mistakes_are_told_with_their_places(tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080", plugins: [a, b, c]}}
plugins:
  a:
    module: cors
    config:
      credentials: true
      origins: ["*", example.com, "https://a.*.com"]
      methods: ["G T"]
      headers: ["*"]
      max_age: 2d
  b: {module: cors, config: {orgins: "*"}}
  c: {module: cors, config: {origins: []}}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ["8:17: error: with credentials, any page could act as the user",
                   "8:22: error: write an origin with its scheme",
                   "8:35: error: the only place for * is",
                   '9:17: error: "G T" is not a method',
                   "10:17: error: with credentials, browsers do not read * as all",
                   "11:16: error: max_age:",
                   '12:3: error: plugin "b": "origins" is missing',
                   "13:39: error: origins: no origin is allowed",
                   '12:30: error: unknown key "orgins"; did you mean "origins"?']:
        assert wanted in told, told
