"""What the gateway says: access log, figures, admin pages, the command line and the errors of a configuration."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import (BINARY, DEADLINE, OK, End, RawClient, RawOrigin, Sluice, answering, assert_problem, free_port,
                     proxy_config, proxying, request, response, sluice, wait_until)

SOURCE = Path(os.environ.get("SLUICE_SOURCE_DIR", Path(__file__).parents[2]))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LOG_FIELDS = {
    "time": str, "request_id": str, "client": str, "method": str, "host": str, "path": str, "protocol": str, "status": int,
    "reason": str, "route": str, "endpoint": str, "attempts": int, "upstream_reused": bool, "connection_reused": bool,
    "detail": str, "bytes_in": int, "bytes_out": int, "read_head_us": int, "wait_connection_us": int, "upstream_first_byte_us": int,
    "response_us": int, "total_us": int, "tls": str, "plugins": str, "user_agent": str, "referer": str}


# --- the access log ---
def test_a_line_tells_all_of_an_exchange_in_the_types_of_the_manual():
    with proxying(answering(OK)) as (gateway, origin):
        client = gateway.client()
        asked = request("POST", "/a/b?c=d", [("User-Agent", "test/1"), ("Referer", "http://r/")], b"body", host="h.test:80")
        client.send(asked)
        client.read_through(b"\r\n\r\nok")
        line = gateway.access_log()[0]
        assert {name: type(value) for name, value in line.items()} == LOG_FIELDS
        assert TIME.fullmatch(line["time"])
        expected = {"client": client.address, "method": "POST", "host": "h.test:80", "path": "/a/b?c=d", "protocol": "HTTP/1.1",
                    "status": 200, "reason": "none", "route": "all", "endpoint": origin.endpoint, "attempts": 1,
                    "upstream_reused": False, "connection_reused": False, "bytes_in": len(asked), "user_agent": "test/1", "tls": "", "plugins": "",
                    "referer": "http://r/", "request_id": origin.requests[0].get("x-request-id")}
        assert expected.items() <= line.items()
        slices = line["read_head_us"] + line["wait_connection_us"] + line["upstream_first_byte_us"] + line["response_us"]
        assert slices <= line["total_us"] + 4  # each is rounded down


def test_bytes_are_those_on_the_wire():
    with proxying(answering(response(b"x" * 12345))) as (gateway, _):
        client = gateway.client().send(asked := request("PUT", "/", body=b"y" * 54321))
        answered = client.read_through(b"\r\n\r\n") + client.read_exactly(12345)
        line = gateway.access_log()[0]
        assert (line["bytes_in"], line["bytes_out"]) == (len(asked), len(answered))


def test_reuse_of_both_connections_is_logged():
    with proxying(answering(OK)) as (gateway, _):
        client = gateway.client()
        for _ in range(2):
            client.get("/")
        first, second = gateway.access_log(2)
        assert (first["connection_reused"], first["upstream_reused"]) == (False, False)
        assert (second["connection_reused"], second["upstream_reused"]) == (True, True)


def test_a_refused_head_is_logged_with_its_reason():
    with proxying() as (gateway, _):
        with gateway.client() as client:
            client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").read_response()
        line = gateway.access_log()[0]
        assert (line["status"], line["reason"], line["attempts"]) == (400, "bad_host", 0)


HOSTILE = ['"', "\\", "\\\"", "\t", "\x80", "\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "\xf4\x90\x80\x80", "</script>",
           "\xe2\x80\xa8", "{}", "%s%n", "\x85", "\\u0000", "a" * 8000]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:20])
def test_hostile_bytes_of_a_client_leave_the_log_valid_json_and_one_line(text):
    with proxying(answering(OK)) as (gateway, _):
        gateway.get("/", [("User-Agent", "<" + text + ">"), ("Referer", "r" + text + "."), ("X-Request-Id", "id" + text)])
        gateway.get("/sentinel")
        first, second = gateway.access_log(2)
        assert first["user_agent"].startswith("<") and second["path"] == "/sentinel"


def test_hostile_heads_that_are_refused_leave_the_log_valid_json():
    with proxying(answering(OK)) as (gateway, _):
        for data in (b'GET /"\\\xff HTTP/1.1\r\nHost: a\r\n\r\n', b'G"\xff\x00T / HTTP/1.1\r\n\r\n', b"\x16\x03\x01\x02\r\n\r\n",
                     b"\xff" * 100000):
            with gateway.client() as client:
                client.send_if_open(data)
                client.read_to_end()
        assert all(line["status"] >= 400 for line in gateway.access_log(4))


def test_combined_is_what_apache_writes():
    pattern = (r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a\?b HTTP/1\.1" 200 \d+ '
               r'"http://r/" "agent \\x22x\\x22"\n')
    with proxying(answering(OK), access_log={"format": "combined"}) as (gateway, _):
        gateway.get("/a?b", [("User-Agent", 'agent "x"'), ("Referer", "http://r/")])
        wait_until(lambda: gateway.log_path.read_text().endswith("\n"), "the line is written")
        assert re.fullmatch(pattern, gateway.log_path.read_text())


def test_a_template_writes_what_it_names():
    with proxying(answering(OK), access_log={"format": "{method} {status} {reason} {{{route}}} {client_ip}"}) as (gateway, _):
        gateway.get("/")
        wait_until(lambda: gateway.log_path.read_text() == "GET 200 none {all} 127.0.0.1\n", "the line is written")


def test_the_log_can_go_to_standard_output():
    with proxying(answering(OK), access_log={"path": "stdout"}) as (gateway, _):
        gateway.get("/there")
        wait_until(lambda: '"path":"/there"' in (gateway.directory / "stdout").read_text(), "the line is on standard output")


@pytest.mark.parametrize("off", ["off", {"format": "off"}])
def test_the_log_can_be_off(off):
    with RawOrigin(answering(OK)) as origin:
        config = proxy_config(origin)
        config["access_log"] = off
        with Sluice(config) as gateway:
            gateway.get("/")
            gateway.stop()
            assert not gateway.log_path.exists() and '"/"' not in gateway.output()


def test_a_sample_of_nothing_still_logs_what_failed():
    with proxying(access_log={"sample": "0%"}) as (gateway, origin):
        client = gateway.client()
        for answer in (OK, None):
            client.send(request("POST", "/", body=b"x"))
            connection, _ = origin.answer(*([answer] if answer else []))
            connection.close()
            client.read_response()
        assert [line["status"] for line in gateway.access_log()] == [502]


def test_every_line_is_in_the_file_when_the_process_has_ended():
    with proxying(answering(OK)) as (gateway, _):
        client = gateway.client()
        client.send(request() * 1000)
        for _ in range(1000):
            client.read_response()
        gateway.stop()
        assert len(gateway.log_path.read_bytes().splitlines()) == 1000


@pytest.mark.workers
def test_lines_of_two_workers_do_not_mix():
    with proxying(answering(OK), process={"workers": 2}) as (gateway, _):
        clients = [gateway.client() for _ in range(16)]
        for number in range(100):
            for client in clients:
                client.send(request("GET", f"/{number}"))
            for client in clients:
                client.read_response()
        assert sorted(int(line["path"][1:]) for line in gateway.access_log(1600)) == sorted(list(range(100)) * 16)


# --- the admin listener ---
@pytest.fixture(scope="module")
def busy():
    """A gateway that has answered some of everything."""
    routes = [{"name": "all", "match": {"path": "/{rest...}"}, "upstream": "origin",
               "headers": {"request": {"set": {"Authorization": "Bearer top-secret"}}}},
              {"name": "gone", "match": {"path": "/gone", "methods": ["GET"]}, "respond": {"status": 410}}]
    with proxying(answering(OK), routes=routes) as pair:
        gateway, _ = pair
        with gateway.client() as client:
            for _ in range(10):
                client.get("/")
            client.get("/gone")
        gateway.get("/", host="bad host")
        gateway.access_log(12)
        yield gateway


def test_the_figures_count_what_happened(busy):
    figures = busy.metrics()
    assert figures.total("sluice_requests_total", route="all") == 10
    assert figures.total("sluice_requests_total", route="gone", **{"class": "4xx"}) == 1
    assert figures.total("sluice_request_failures_total", reason="bad_host") == 1
    assert figures.total("sluice_upstream_connections_opened_total") == 1
    assert figures.total("sluice_upstream_connections_reused_total") == 9
    assert figures.total("sluice_request_duration_seconds_count", route="all") == 10
    assert figures.total("sluice_build_info") == 1


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_accepts_the_figures(busy):
    checked = subprocess.run(["promtool", "check", "metrics"], input=busy.admin("/metrics")[1], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_stats_tells_the_same_as_json(busy):
    stats = busy.stats()
    series = stats["sluice_requests_total"]["series"]
    assert sum(one["value"] for one in series if one["labels"]["route"] == "all") == 10


def test_health_and_readiness_answer_200(busy):
    assert busy.admin("/healthz")[0] == 200
    assert busy.admin("/readyz")[0] == 200


def test_the_configuration_is_shown_without_its_secrets(busy):
    status, text, _ = busy.admin("/config")
    assert status == 200 and "listeners" in text and "/{rest...}" in text
    assert "top-secret" not in text


def test_an_admin_listener_off_loopback_needs_a_token(tmp_path):
    (tmp_path / "open.yaml").write_text(GOOD + 'admin: {listen: "0.0.0.0:9901"}\n')
    done = sluice("check", "--config", tmp_path / "open.yaml")
    assert done.returncode == EXIT_CONFIGURATION and "token_file" in done.stderr


def test_an_admin_token_is_asked_for_and_never_shown():
    with Sluice({"admin": {"token_file": "token"}, "routes": []}, files={"token": "s3cret-of-the-test"}) as gateway:
        assert gateway.admin("/config")[0] == 401
        assert gateway.admin("/config", headers={"Authorization": "Bearer wrong"})[0] == 401
        status, text, _ = gateway.admin("/config", headers={"Authorization": "Bearer s3cret-of-the-test"})
        assert status == 200 and "s3cret" not in text


def test_the_routes_are_listed(busy):
    status, text, _ = busy.admin("/routes")
    assert status == 200 and "all" in text and "/gone" in text


def test_unknown_admin_pages_are_404_and_other_methods_405(busy):
    assert busy.admin("/nothing")[0] == 404
    status, _, answer = busy.admin("/metrics", method="POST")
    assert status == 405 and "GET" in answer.get("allow")


def test_the_admin_listener_can_be_off():
    with proxying(answering(OK), admin={"listen": "off"}) as (gateway, _):
        assert gateway.get("/").status == 200


def test_hostile_admin_requests_are_refused(busy):
    for data in (b"GET /metrics HTTP/1.1\nHost: a\n\n", b"\x16\x03\x01\r\n\r\n",
                 b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"A" * 100000):
        with RawClient(busy.config["admin"]["listen"]) as client:
            client.send_if_open(data)
            client.half_close()
            received, _ = client.read_to_end()
            assert not received.startswith(b"HTTP/1.1 200")
    assert busy.admin("/healthz")[0] == 200


# --- the command line ---
EXIT_FAILED, EXIT_USAGE, EXIT_CONFIGURATION, EXIT_NO_ROUTE = 1, 2, 3, 4

GOOD = """\
version: 1
access_log: off
listeners:
  public: {address: "127.0.0.1:8080"}
upstreams:
  users: {endpoints: ["127.0.0.1:9001"]}
routes:
  - {name: user, match: {path: "/users/{id:int}", methods: [GET]}, upstream: users}
  - {name: rest, match: {path: "/users/{rest...}"}, upstream: users}
  - {name: never, match: {path: "/users/{id:int}", methods: [GET]}, respond: {status: 200}}
"""
BAD = """\
version: 1
listeners:
  public: {adress: "127.0.0.1:8080", limits: {body: many}}
routes:
  - {match: {path: "/a"}, upstream: user}
upstreams:
  users: {endpoints: ["127.0.0.1:9001"]}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "broken.yaml").write_text("listeners: [")
    return tmp_path


def test_check_accepts_a_good_configuration_and_names_the_shadowed_route(files):
    done = sluice("check", "--config", files / "good.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "never" in said and "user" in said


def test_check_tells_every_error_at_once_with_line_column_caret_and_a_suggestion(files):
    done = sluice("check", "--config", files / "bad.yaml")
    assert done.returncode == EXIT_CONFIGURATION
    said = done.stdout + done.stderr
    for place in ("bad.yaml:3:12: error:", "bad.yaml:3:", "bad.yaml:5:"):
        assert place in said
    assert 'did you mean "address"?' in said and 'did you mean "users"?' in said and "many" in said
    assert re.search(r'^    .*adress: .*\n    +\^$', said, re.MULTILINE), said


@pytest.mark.parametrize("name", ["bad.yaml", "broken.yaml", "missing.yaml"])
def test_run_refuses_a_configuration_that_check_refuses_with_the_same_exit_code(files, name):
    checked, run = (sluice(command, "--config", files / name) for command in ("check", "run"))
    assert checked.returncode == run.returncode == EXIT_CONFIGURATION
    assert name in checked.stderr + checked.stdout and name in run.stderr + run.stdout


def test_run_says_which_address_is_taken(files):
    with RawOrigin() as origin:
        (files / "taken.yaml").write_text(GOOD.replace("127.0.0.1:8080", origin.endpoint) + 'admin: {listen: "off"}\n')
        done = sluice("run", "--config", files / "taken.yaml")
        assert done.returncode == EXIT_FAILED and origin.endpoint in done.stderr + done.stdout


def test_explain_names_the_winner_and_why_the_others_lost(files):
    done = sluice("explain", "GET", "http://h/users/7", "--config", files / "good.yaml")
    assert done.returncode == 0, done.stderr
    assert "user" in done.stdout and "never" in done.stdout
    lost = sluice("explain", "POST", "http://h/nothing", "--config", files / "good.yaml")
    assert lost.returncode == EXIT_NO_ROUTE and ("no_route" in lost.stdout or "404" in lost.stdout)


def test_routes_lists_every_route(files):
    done = sluice("routes", "--config", files / "good.yaml")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("user", "rest", "never", "/users/{id:int}"))


def test_version_says_its_name_and_number():
    done = sluice("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_help_fits_a_screen_and_shows_an_example():
    done = sluice("--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 40
    for command in ("run", "check", "explain", "routes", "origin", "version"):
        assert command in done.stdout
        one = sluice(command, "--help")
        assert one.returncode == 0 and f"sluice {command}" in one.stdout and len(one.stdout.splitlines()) <= 40


@pytest.mark.parametrize("arguments",
                         [[], ["nonsense"], ["run", "--nonsense"], ["explain"], ["check", "--config"], ["run", "surplus"]])
def test_a_wrong_command_line_has_an_exit_code_of_its_own(arguments):
    done = sluice(*arguments)
    assert done.returncode == EXIT_USAGE
    assert done.stderr and not done.stdout


def test_the_origin_serves_what_the_gateway_can_be_tried_with():
    address = f"127.0.0.1:{free_port()}"
    origin = subprocess.Popen([BINARY, "origin", "--listen", address], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: serves(address), "the origin answers")
        with Sluice(proxy_config(address)) as gateway:
            assert gateway.get("/hello").status == 200
            assert gateway.ask("POST", "/echo", body=b"x" * 100000).status == 200
    finally:
        origin.terminate()
        assert origin.wait(DEADLINE) == 0


def serves(address):
    try:
        with RawClient(address) as client:
            return client.get("/").status == 200
    except OSError:
        return False


def test_environment_variables_are_read_and_their_absence_is_an_error(files):
    (files / "env.yaml").write_text(GOOD.replace("127.0.0.1:9001", "${USERS_ADDRESS}"))
    assert sluice("check", "--config", files / "env.yaml", env={"USERS_ADDRESS": "127.0.0.1:9002"}).returncode == 0
    done = sluice("check", "--config", files / "env.yaml")
    assert done.returncode == EXIT_CONFIGURATION and "USERS_ADDRESS" in done.stderr + done.stdout


def test_included_files_add_their_routes(files):
    (files / "routes.d").mkdir()
    (files / "routes.d" / "a.yaml").write_text('routes: [{name: included, match: {path: "/i"}, respond: {status: 200}}]')
    (files / "main.yaml").write_text("include: routes.d/*.yaml\n" + GOOD)
    done = sluice("routes", "--config", files / "main.yaml")
    assert "included" in done.stdout and "rest" in done.stdout


CONFIGURATIONS = [*SOURCE.glob("config/*.yaml"), *SOURCE.glob("config/examples/*.yaml")]
EXAMPLES = sorted(os.path.relpath(path, SOURCE) for path in CONFIGURATIONS)


@pytest.mark.parametrize("path", EXAMPLES)
def test_every_example_passes_check(path):
    done = sluice("check", "--config", SOURCE / path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("answer, reason, detail", [
    (None, "connect_failed", "Connection refused"),
    (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "upstream_bad_response", "unasked 101"),
    (b"", "upstream_reset", "the endpoint closed"),
])
def test_what_an_endpoint_did_is_for_the_log_and_not_for_strangers(answer, reason, detail):
    with RawOrigin(lambda connection: connection.answer(answer)) as origin, Sluice(proxy_config(origin)) as gateway:
        if answer is None:
            origin.refuse()
        problem = assert_problem(gateway.get("/"), 502, reason)
        assert "(" not in problem["detail"] and detail not in problem["detail"]
        line = gateway.logged(status=502)
        assert (line["reason"], line["detail"], line["endpoint"]) == (reason, detail, origin.endpoint)


def test_the_log_tells_in_detail_why_an_answer_broke_off():
    bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX"
    with RawOrigin(lambda connection: connection.answer(bad)) as origin, Sluice(proxy_config(origin)) as gateway:
        assert gateway.client().send(request()).read_response().end is not End.complete
        assert gateway.logged(reason="upstream_bad_body")["detail"] == "chunk longer than its size"


def test_the_log_tells_in_detail_what_was_wrong_with_a_request():
    with Sluice({}) as gateway:
        client = gateway.client().send("GET / HTTP/1.1\r\nHost: a\r\nName : value\r\n\r\n")
        assert_problem(client.read_response(), 400, "bad_header")
        assert gateway.logged(status=400)["detail"] == "a field line is not NAME: VALUE"


def test_a_request_that_went_well_has_no_detail():
    with proxying(answering(OK)) as (gateway, _):
        assert gateway.get("/").status == 200
        assert gateway.access_log()[0]["detail"] == ""
