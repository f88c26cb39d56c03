"""The plugin ip-filter in the real binary. Clients are 127.0.0.1, or whom a trusted proxy names in X-Forwarded-For."""

import pytest

from harness import answering, assert_problem, echo, proxying, sluice


def filtering(at="listener", trusted=("127.0.0.1",), **config):
    return proxying(answering(echo), plugins={"filter": {"module": "ip-filter", "config": config}}, trusted_proxies=list(trusted),
                    **{at: {"plugins": ["filter"]}})


def forwarded(client):
    return {"X-Forwarded-For": client}


@pytest.mark.parametrize("at", ["listener", "route"])
def test_an_allow_list_refuses_all_others_and_a_deny_list_wins(at):
    with filtering(at, allow=["10.0.0.0/8", "2001:db8::/32"], deny=["10.66.0.0/16"]) as (gateway, origin):
        client = gateway.client()
        for allowed in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"]:
            assert client.get("/", forwarded(allowed)).status == 200, allowed
        for denied in ["11.0.0.1", "10.66.0.1", "::ffff:10.66.0.1", "2001:db9::1"]:
            assert_problem(client.get("/", forwarded(denied)), 403, "ip_denied")
        assert_problem(client.get("/"), 403, "ip_denied")
        assert len(origin.requests) == 3
        assert gateway.logged(status=403)["reason"] == "ip_denied"
        metrics = gateway.metrics()
        assert metrics.total("sluice_plugin_events_total", plugin="filter", event="allowed") == 3
        assert metrics.total("sluice_plugin_events_total", plugin="filter", event="denied") == 5


def test_a_deny_list_refuses_nobody_else():
    with filtering(deny="10.66.0.0/16") as (gateway, _):
        assert gateway.get("/", forwarded("10.66.1.2")).status == 403
        assert gateway.get("/", forwarded("10.67.1.2")).status == 200
        assert gateway.get("/").status == 200


def test_nobody_talks_himself_in():
    with filtering(trusted=[], allow=["10.0.0.0/8"]) as (gateway, _):
        assert gateway.get("/", forwarded("10.0.0.1")).status == 403


def test_the_peer_can_be_meant_instead_of_the_client():
    with filtering(allow=["127.0.0.0/8"]) as (gateway, _):
        assert gateway.get("/", forwarded("11.0.0.1")).status == 403
        gateway.reload(plugins={"filter": {"config": {"address": "peer"}}})
        assert gateway.get("/", forwarded("11.0.0.1")).status == 200


def test_a_listener_refuses_before_routing_and_a_route_after():
    with filtering("listener", allow=["10.0.0.0/8"]) as (gateway, _):
        gateway.reload(routes=[{"name": "one", "match": {"path": "/one"}, "upstream": "origin"}])
        assert gateway.get("/other").status == 403
    with filtering("route", allow=["10.0.0.0/8"]) as (gateway, _):
        gateway.reload(routes=[{**gateway.config["routes"][0], "match": {"path": "/one"}}])
        assert (gateway.get("/other").status, gateway.get("/one").status) == (404, 403)


def test_a_file_of_ten_thousand_networks_is_read_again_by_a_reload(tmp_path):
    listed = tmp_path / "blocked.txt"
    lines = [f"10.{i // 200}.{i % 200}.0/24" for i in range(10000)]
    listed.write_text("# blocked\n\n" + "\n".join(lines) + "   # the last\r\n")
    with filtering(deny_file=str(listed)) as (gateway, _):
        for denied in ["10.0.0.0", "10.49.199.255", "10.20.100.7"]:
            assert gateway.get("/", forwarded(denied)).status == 403, denied
        for allowed in ["10.0.200.0", "10.50.0.0", "9.255.255.255"]:
            assert gateway.get("/", forwarded(allowed)).status == 200, allowed
        listed.write_text("192.0.2.1\n")
        gateway.reload()
        assert gateway.get("/", forwarded("10.0.0.0")).status == 200
        assert gateway.get("/", forwarded("192.0.2.1")).status == 403


def test_an_empty_allow_file_opens_no_door(tmp_path):
    (tmp_path / "allowed.txt").write_text("# nobody yet\n")
    with filtering(allow_file=str(tmp_path / "allowed.txt")) as (gateway, _):
        assert gateway.get("/").status == 403


def test_mistakes_are_told_with_their_places(tmp_path):
    (tmp_path / "list.txt").write_text("10.0.0.0/8\n\n10.0.0.1/8\nnonsense # here\n")
    config = tmp_path / "sluice.yaml"
    config.write_text("""version: 1
listeners: {public: {address: "127.0.0.1:8080", plugins: [a, b]}}
plugins:
  a:
    module: ip-filter
    config:
      allow: [10.0.0.0/8, 10.0.0.0/40]
      deny: example.com
      deny_file: list.txt
      address: server
  b: {module: ip-filter}
routes: [{match: {path: /}, respond: {body: hi}}]
""")
    told = sluice("check", "--config", config).stderr
    for wanted in ['7:27: error: "10.0.0.0/40": the number behind the slash is 0 to 32',
                   '8:13: error: deny: "example.com" is not a network',
                   '9:18: error: deny_file: line 3: "10.0.0.1/8" is not the first address of its network; write 10.0.0.0/8',
                   '9:18: error: deny_file: line 4: "nonsense" is not a network',
                   '10:16: error: address: "server" is not one of client, peer',
                   '11:3: error: plugin "b": one of']:
        assert wanted in told, told
