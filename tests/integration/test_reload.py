"""A new configuration is adopted without losing a connection or a request; a bad one changes nothing."""

import json
import signal

import pytest

from harness.wire import STATUS_LINE
from harness import (DEADLINE, OK, End, RawClient, RawOrigin, Sluice, answering, free_port, in_background, proxy_config, proxying, request,
                     response, sluice, upstream, wait_until)


def respond(name, path, body):
    return {"name": name, "match": {"path": path}, "respond": {"status": 200, "body": body}}


def responding(*routes, **rest):
    return {"routes": [respond(*route) for route in routes], **rest}


FIRST = responding(("a", "/a", "first"))
SECOND = responding(("a", "/a", "second"))


def generation(gateway):
    return gateway.metrics().total("sluice_config_generation")


def opened(gateway):
    return gateway.metrics().total("sluice_upstream_connections_opened_total")


def test_sighup_adopts_the_new_configuration():
    with Sluice(FIRST) as gateway:
        assert gateway.get("/a").body == b"first"
        gateway.write_config(**SECOND)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: generation(gateway) == 2, "the second configuration runs")
        assert gateway.get("/a").body == b"second"
        assert "reload: route \"a\": respond.body: first -> second" in gateway.output()


def test_a_reload_by_the_admin_answers_when_the_new_configuration_runs():
    with Sluice(FIRST) as gateway:
        report = gateway.reload(**SECOND)
        assert (report["accepted"], report["generation"]) == (True, 2)
        assert report["changes"] == ['route "a": respond.body: first -> second']
        assert gateway.get("/a").body == b"second"
        assert json.loads(gateway.admin("/config/errors")[1])["generation"] == 2
        assert 'body: "second"' in gateway.admin("/config")[1]


def test_a_kept_connection_gets_the_new_configuration_with_its_next_request():
    with Sluice(FIRST) as gateway:
        client = gateway.client()
        assert client.ask("GET", "/a").body == b"first"
        gateway.reload(**SECOND)
        assert client.ask("GET", "/a").body == b"second"
        assert gateway.metrics().total("sluice_downstream_connections_accepted_total") == 1


def test_a_request_that_runs_keeps_the_configuration_it_began_with():
    with proxying(route={"headers": {"response": {"set": {"x-config": "old"}}}}) as (gateway, origin):
        client = gateway.client().send(request("GET", "/slow"))
        waiting = origin.accept()
        waiting.read_request()
        gateway.reload(routes=[respond("all", "/{rest...}", "new")], upstreams={"origin": None}, listeners={
            "public": {"timeouts": {"idle": "7s"}}})
        assert gateway.get("/slow").body == b"new"
        waiting.send(OK)
        answer = client.read_response()
        assert (answer.status, answer.get("x-config")) == (200, "old")
        assert client.ask("GET", "/next").body == b"new"


def test_a_body_that_runs_ends_well_though_its_route_and_upstream_are_gone():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/download"))
        waiting = origin.accept()
        waiting.read_request()
        waiting.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(100000))
        client.read_head(STATUS_LINE)
        gateway.reload(routes=[respond("other", "/other", "new")], upstreams={"origin": None})
        assert gateway.get("/download").status == 404
        waiting.send(bytes(200000))
        assert client.read_exactly(300000) == bytes(300000)
        assert waiting.drain() is End.eof  # of no more use to anybody


def test_a_tunnel_outlives_a_reload_that_removes_its_upstream():
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "echo")]
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/ws", upgrade))
        far, _ = origin.answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert client.read_response().status == 101
        gateway.reload(routes=[respond("other", "/other", "new")], upstreams={"origin": None})
        for sender, receiver in [(client, far), (far, client)]:
            sender.send(b"still here")
            assert receiver.read_exactly(10) == b"still here"


def test_an_unchanged_upstream_keeps_its_connections_and_figures():
    with proxying(answering(OK)) as (gateway, origin):
        gateway.get("/one")
        gateway.wait_for_metric("sluice_upstream_connections_idle", 1)
        for path in ("/two", "/three"):
            gateway.reload(routes=[respond("extra", path, "new"), gateway.config["routes"][-1]])
            assert gateway.get("/proxied").status == 200
        assert opened(gateway) == 1
        assert len(origin.connections) == 1


def test_a_changed_upstream_opens_new_connections_and_ends_the_old_ones():
    with proxying(answering(OK)) as (gateway, origin):
        gateway.get("/one")
        gateway.wait_for_metric("sluice_upstream_connections_idle", 1)
        report = gateway.reload(upstreams={"origin": {"pool": {"max_idle": 3}}})
        assert report["changes"] == ['upstream "origin": pool.max_idle: set to 3']
        gateway.wait_for_metric("sluice_upstream_connections_idle", 0)
        gateway.get("/two")
        assert opened(gateway) == 2


def test_a_connection_of_a_changed_upstream_that_is_in_use_is_not_kept_for_others():
    with proxying() as (gateway, origin):
        client = gateway.client().send(request("GET", "/one"))
        used = origin.accept()
        used.read_request()
        gateway.reload(upstreams={"origin": {"pool": {"max_idle": 3}}})
        used.send(OK)
        assert client.read_response().status == 200
        assert used.drain() is End.eof
        assert gateway.metrics().total("sluice_upstream_connections_idle") == 0


def test_a_request_that_waits_for_a_connection_gets_it_after_a_reload():
    with proxying(upstream_settings={"pool": {"max_open": 1, "pending_timeout": "10s"}}) as (gateway, origin):
        first = gateway.client().send(request("GET", "/first"))
        busy = origin.accept()
        busy.read_request()
        second = gateway.client().send(request("GET", "/second"))
        gateway.wait_for_metric("sluice_upstream_pending_requests", 1)
        gateway.reload(routes=[respond("other", "/other", "new")], upstreams={"origin": None})
        busy.send(OK)
        assert first.read_response().status == 200
        busy.answer(OK)  # the one that waited may still use it
        assert second.read_response().status == 200


# --- listeners ---
def test_a_listener_is_added_without_touching_the_others():
    with Sluice(FIRST) as gateway:
        client = gateway.client()
        client.ask("GET", "/a")
        gateway.reload(listeners={"second": {}})
        with RawClient(gateway.address("second")) as other:
            assert other.ask("GET", "/a").body == b"first"
        assert client.ask("GET", "/a").body == b"first"


def test_a_removed_listener_accepts_no_more_and_its_connections_end_with_their_next_answer():
    slowly = {"process": {"shutdown_grace": f"{int(10 * DEADLINE)}s"}}
    with Sluice({**FIRST, **slowly, "listeners": {"old": {"timeouts": {"idle": "60s"}}}}) as gateway:
        old_address = gateway.address("old")
        speaking, silent, untouched = gateway.client("old"), gateway.client("old"), gateway.client()
        for client in (speaking, silent, untouched):
            assert client.ask("GET", "/a").body == b"first"
        gateway.reload(listeners={"old": None})
        with pytest.raises(ConnectionRefusedError):
            RawClient(old_address)
        answer = speaking.ask("GET", "/a")
        assert (answer.body, answer.get("connection")) == (b"first", "close")
        assert speaking.read_to_end()[1] is End.eof
        assert silent.read_to_end()[1] is End.eof
        answer = untouched.ask("GET", "/a")
        assert (answer.body, answer.get("connection")) == (b"first", None)
        gateway.wait_for_metric("sluice_downstream_connections_closed_total", 2, listener="old", reason="drained")


def test_a_listener_that_moves_listens_at_its_new_address_only():
    with Sluice(FIRST) as gateway:
        old_address = gateway.address()
        client = gateway.client()
        client.ask("GET", "/a")
        gateway.reload(listeners={"public": {"address": f"127.0.0.1:{free_port()}"}})
        assert gateway.get("/a").body == b"first"
        with pytest.raises(ConnectionRefusedError):
            RawClient(old_address)
        assert client.ask("GET", "/a").body == b"first"  # the listener is still there, by its name


def test_listeners_may_swap_their_addresses():
    with Sluice({**FIRST, "listeners": {"other": {"limits": {"body": "1KiB"}}}}) as gateway:
        addresses = {name: listener["address"] for name, listener in gateway.config["listeners"].items()}
        gateway.reload(listeners={"public": {"address": addresses["other"]}, "other": {"address": addresses["public"]}})
        for name, status in [("public", 200), ("other", 413)]:
            with RawClient(gateway.address(name)) as client:
                assert client.ask("POST", "/a", body=bytes(2000)).status == status


def test_new_limits_hold_from_the_next_request_on():
    with Sluice(FIRST) as gateway:
        client = gateway.client()
        assert client.ask("POST", "/a", body=bytes(2000)).status == 200
        gateway.reload(listeners={"public": {"limits": {"body": "1KiB"}}})
        assert client.ask("POST", "/a", body=bytes(2000)).status == 413


def test_trust_in_a_proxy_holds_for_the_connections_that_it_has():
    with proxying(answering(OK)) as (gateway, origin):
        client = gateway.client()
        for trusted, seen in [([], "127.0.0.1"), (["127.0.0.0/8"], "192.0.2.9, 127.0.0.1")]:
            gateway.reload(trusted_proxies=trusted)
            client.ask("GET", "/", [("X-Forwarded-For", "192.0.2.9")])
            assert origin.requests[-1].get("x-forwarded-for") == seen


# --- what is refused ---
def test_of_very_many_changes_the_first_thousand_are_told_and_how_many_more_there_are():
    routes = [{"name": f"r{i}", "match": {"path": f"/r{i}"}, "respond": {"body": "x"}} for i in range(1200)]
    with Sluice({}) as gateway:
        report = gateway.reload(routes=routes)
        assert len(report["changes"]) == 1000 and report["changes_left_out"] == 200
        assert "configuration 2 runs, 1200 changes" in gateway.output()


def refused(gateway, error, **changes):
    before = generation(gateway)
    report = gateway.reload(**changes)
    assert not report["accepted"]
    assert error in json.dumps(report) and error in gateway.output()
    assert json.loads(gateway.admin("/config/errors")[1]) == report
    assert generation(gateway) == before
    return report


def test_a_configuration_with_errors_changes_nothing_and_tells_them_all():
    with Sluice(FIRST) as gateway:
        report = refused(gateway, "unknown key", routes=[{"nmae": "a", "match": {"path": "/a"}, "respond": {}},
                                                         {"match": {"path": "/b"}, "upstream": "nowhere"}])
        assert len(report["errors"]) == 2
        assert gateway.get("/a").body == b"first"
        assert gateway.metrics().total("sluice_config_reloads_total", outcome="refused") == 1
        assert gateway.reload(**SECOND)["accepted"]
        assert json.loads(gateway.admin("/config/errors")[1])["errors"] == []


def test_an_address_that_is_taken_leaves_the_running_listeners_alone():
    with Sluice(FIRST) as gateway, RawOrigin() as taken:
        report = refused(gateway, "Address already in use", listeners={"second": {"address": taken.endpoint}})
        assert "second" in report["failure"]
        assert gateway.get("/a").body == b"first"


def test_a_configuration_file_that_vanished_leaves_the_gateway_running():
    with Sluice(FIRST) as gateway:
        (gateway.directory / "sluice.yaml").unlink()
        status, report, _ = gateway.admin("/reload", "POST")
        assert (status, json.loads(report)["accepted"]) == (422, False)
        assert "No such file" in report
        assert gateway.get("/a").body == b"first"


def test_errors_are_told_as_text_to_those_who_ask_for_it():
    with Sluice(FIRST) as gateway:
        gateway.write_config(surprise=1)
        status, text, _ = gateway.admin("/reload", "POST", {"Accept": "text/plain"})
        assert status == 422
        assert 'error: unknown key "surprise"' in text and "^" in text


# --- from the command line ---
def test_the_command_line_reloads_and_shows_what_changed():
    with Sluice(FIRST) as gateway:
        path = gateway.write_config(**SECOND)
        done = sluice("reload", "--config", path)
        assert (done.returncode, done.stdout) == (0, 'route "a": respond.body: first -> second\nconfiguration 2 runs\n')
        assert gateway.get("/a").body == b"second"


def test_the_command_line_shows_the_errors_of_a_refused_reload_and_fails():
    with Sluice(FIRST) as gateway:
        path = gateway.write_config(surprise=1)
        done = sluice("reload", "--config", path)
        assert done.returncode == 3
        assert 'error: unknown key "surprise"' in done.stderr
        assert "refused: configuration 1 goes on" in done.stderr


def test_the_command_line_finds_a_gateway_with_a_token_and_names_one_that_is_not_there():
    with Sluice({**FIRST, "admin": {"token_file": "token"}}, files={"token": "s3cret-token-of-the-test"}) as gateway:
        assert sluice("reload", "--config", gateway.directory / "sluice.yaml").returncode == 0
        nowhere = f"127.0.0.1:{free_port()}"
        done = sluice("reload", "--config", gateway.directory / "sluice.yaml", "--admin", nowhere)
        assert done.returncode == 1
        assert f"cannot connect to the admin listener at {nowhere}: Connection refused" in done.stderr


def test_what_a_new_configuration_would_change_is_told_before_it_runs():
    with Sluice(FIRST) as gateway:
        new = gateway.directory / "new.yaml"
        new.write_text(json.dumps({**gateway.config, "routes": [respond("b", "/b", "new")]}))
        done = sluice("diff", "--config", new)
        assert (done.returncode, done.stdout) == (0, 'route "b": added\nroute "a": removed\n')
        assert sluice("diff", "--config", gateway.directory / "sluice.yaml").stdout == "nothing changes\n"
        new.write_text("surprise: 1")
        assert sluice("diff", "--config", new).returncode == 3
        assert gateway.get("/a").body == b"first"


# --- the log and the admin listener ---
def test_the_access_log_changes_its_path_and_format_and_may_be_switched_off():
    with Sluice(FIRST) as gateway:
        gateway.get("/a?1")
        gateway.access_log()  # what waits for the writer still would go to the new file
        second = gateway.directory / "second.log"
        gateway.reload(access_log={"path": str(second), "format": "{method} {path}"})
        gateway.get("/a?2")
        wait_until(lambda: second.exists() and second.read_text() == "GET /a?2\n", "a line in the new log")
        gateway.reload(access_log={"format": "off"})
        gateway.get("/a?3")
        gateway.reload(access_log={"format": "{path}"})
        gateway.get("/a?4")
        wait_until(lambda: second.read_text() == "GET /a?2\n/a?4\n", "no line while it was off")
        assert [line["path"] for line in gateway.access_log()] == ["/a?1"]


def test_an_access_log_that_cannot_be_opened_refuses_the_reload():
    with Sluice(FIRST) as gateway:
        refused(gateway, "No such file or directory", access_log={"path": "/nonexistent/folder/access.log"})
        gateway.get("/a")
        assert len(gateway.access_log()) == 1


def test_an_access_log_may_be_switched_on():
    with Sluice({**FIRST, "access_log": {"format": "off"}}) as gateway:
        gateway.get("/a?unseen")
        gateway.reload(access_log={"format": "json"})
        gateway.get("/a?seen")
        assert [line["path"] for line in gateway.access_log()] == ["/a?seen"]


def test_the_admin_listener_moves_and_gets_a_token():
    with Sluice(FIRST, files={"token": "s3cret-token-of-the-test"}) as gateway:
        old = gateway.config["admin"]["listen"]
        gateway.write_config(admin={"listen": f"127.0.0.1:{free_port()}"})
        assert gateway.admin("/reload", "POST", at=old)[0] == 200
        assert gateway.admin("/readyz")[0] == 200
        gateway.reload(admin={"token_file": "token"})
        assert gateway.admin("/routes")[0] == 401
        assert gateway.admin("/routes", headers={"Authorization": "Bearer s3cret-token-of-the-test"})[0] == 200


# --- many reloads ---
@pytest.mark.workers
def test_no_request_is_lost_while_many_configurations_come_and_go():
    """Kept and new connections, two workers; routes, an upstream's settings and a listener change each time."""
    reloads, clients = 15, 6
    with RawOrigin(answering(OK)) as stable, RawOrigin(answering(OK)) as changing:
        config = proxy_config(stable, process={"workers": 2}, upstreams={"changing": upstream(changing)}, routes=[
            {"name": "changing", "match": {"path": "/changing"}, "upstream": "changing"},
            {"name": "all", "match": {"path": "/{rest...}"}, "upstream": "origin"}])
        with Sluice(config) as gateway:
            answers = []

            def keep_asking(over):
                with RawClient(gateway.address()) as kept:
                    while not over.is_set():
                        answers.append(kept.ask("GET", "/changing").status)
                        answers.append(gateway.get("/stable").status)

            with in_background(clients, keep_asking):
                for i in range(reloads):
                    assert gateway.reload(
                        listeners={f"extra{i}": {}, f"extra{i - 1}": None},
                        upstreams={"changing": {"pool": {"max_idle": i + 1}}},
                        routes=[*gateway.config["routes"], respond(f"r{i}", f"/r{i}", "r")])["accepted"]
            assert set(answers) == {200}
            assert len(answers) > reloads
            assert generation(gateway) == reloads + 1
            assert gateway.metrics().total("sluice_upstream_connections_closed_total", endpoint=stable.endpoint) == 0
            gateway.wait_gauges_zero()
