"""Routes end to end: which one takes a request, what it does to it, and the answers that the gateway makes itself."""

import os

import pytest

from harness import OK, RawOrigin, Sluice, answering, assert_problem, echo, proxying, request, upstream


def route(name, path, body=None, **rest):
    """A route that answers its own name, unless told otherwise."""
    match = {"path": path, **rest.pop("match", {})}
    action = {} if {"upstream", "redirect", "static", "respond", "split"} & rest.keys() else {"respond": {"body": body or name}}
    return {"name": name, "match": match, **action, **rest}


# --- which route ---
MATCHING = [
    route("literal", "/users/me"),
    route("typed", "/users/{id:int}"),
    route("uuid", "/users/{id:uuid}"),
    route("regex", "/users/{id:[a-z]+-[0-9]+}"),
    route("plain", "/users/{id}"),
    route("rest", "/users/{rest...}"),
    route("deep-literal", "/a/b/c"),
    route("deep-parameter", "/a/{x}/d"),
    route("get-only", "/methods", match={"methods": ["GET"]}),
    route("post-only", "/methods", match={"methods": ["POST"]}),
    route("put-only", "/put", match={"methods": ["PUT", "DELETE"]}),
    route("exact-host", "/", match={"hosts": ["api.example.com"]}),
    route("long-wildcard", "/", match={"hosts": ["*.eu.example.com"]}),
    route("short-wildcard", "/", match={"hosts": ["*.example.com"]}),
    route("any-host", "/"),
    route("canary", "/versions", match={"headers": {"x-canary": "1"}}),
    route("canary-v2", "/versions", match={"headers": {"x-canary": "1"}, "query": {"v": "2"}}),
    route("query", "/versions", match={"query": {"v": "2"}}),
    route("flag", "/versions", match={"query": {"debug": True}}),
    route("no-condition", "/versions"),
    route("only-with-header", "/conditional", match={"headers": {"x-key": True}}),
]

WINNERS = [  # method, host, target, fields, the route that answers or the status
    ("GET", "h", "/users/me", (), "literal"),
    ("GET", "h", "/users/42", (), "typed"),
    ("GET", "h", "/users/01234567-89ab-cdef-0123-456789abcdef", (), "uuid"),
    ("GET", "h", "/users/ab-12", (), "regex"),
    ("GET", "h", "/users/mex", (), "plain"),
    ("GET", "h", "/users/42/books/7", (), "rest"),
    ("GET", "h", "/users/me?x=/users/42", (), "literal"),
    ("GET", "h", "/users/%6de", (), "literal"),
    ("GET", "h", "/users/x/../me", (), "literal"),
    ("GET", "h", "/a/b/c", (), "deep-literal"),
    ("GET", "h", "/a/b/d", (), "deep-parameter"),  # the literal b leads to a dead end
    ("GET", "h", "/a/b/e", (), 404),
    ("GET", "h", "/users", (), 404),
    ("GET", "h", "/USERS/me", (), 404),
    ("GET", "h", "/methods", (), "get-only"),
    ("POST", "h", "/methods", (), "post-only"),
    ("GET", "api.example.com", "/", (), "exact-host"),
    ("GET", "API.Example.COM:8080", "/", (), "exact-host"),
    ("GET", "x.example.com", "/", (), "short-wildcard"),
    ("GET", "x.y.example.com", "/", (), "short-wildcard"),
    ("GET", "x.eu.example.com", "/", (), "long-wildcard"),
    ("GET", "example.com", "/", (), "any-host"),
    ("GET", "notexample.com", "/", (), "any-host"),
    ("GET", "h", "/versions", (), "no-condition"),
    ("GET", "h", "/versions", [("X-Canary", "1")], "canary"),
    ("GET", "h", "/versions", [("X-Canary", "0")], "no-condition"),
    ("GET", "h", "/versions?v=2", [("X-Canary", "1")], "canary-v2"),
    ("GET", "h", "/versions?v=2", (), "query"),
    ("GET", "h", "/versions?v=3", (), "no-condition"),
    ("GET", "h", "/versions?debug", (), "flag"),
    ("GET", "h", "/versions?a=1&debug=no", (), "flag"),
    ("GET", "h", "/conditional", (), 404),
    ("GET", "h", "/conditional", [("X-Key", "anything")], "only-with-header"),
]


@pytest.fixture(scope="module")
def routed():
    with Sluice({"routes": MATCHING}) as gateway:
        yield gateway


@pytest.mark.parametrize("method, host, target, fields, expected", WINNERS, ids=lambda value: str(value) if value else "-")
def test_the_most_specific_route_answers(routed, method, host, target, fields, expected):
    answer = routed.ask(method, target, fields, host=host)
    if isinstance(expected, int):
        assert_problem(answer, expected, "no_route")
    else:
        assert (answer.status, answer.body.decode()) == (200, expected)


@pytest.mark.parametrize("method, target, allowed", [
    ("DELETE", "/methods", {"GET", "HEAD", "POST"}), ("GET", "/put", {"PUT", "DELETE"}), ("OPTIONS", "/put", {"PUT", "DELETE"}),
    ("TRACE", "/put", {"PUT", "DELETE"})])
def test_a_method_that_no_route_of_the_path_takes_is_a_405_with_allow(routed, method, target, allowed):
    answer = routed.ask(method, target)
    if method == "TRACE" and answer.status == 501:
        return  # refused by name before it was routed
    assert_problem(answer, 405, "method_not_allowed")
    assert {name.strip() for name in answer.get("allow").split(",")} - {"OPTIONS"} == allowed


def test_a_head_request_is_served_by_the_get_route(routed):
    with routed.client() as client:
        answer = client.ask("HEAD", "/methods")
        assert (answer.status, answer.get("content-length"), answer.body) == (200, str(len("get-only")), b"")
        assert client.get("/methods").body == b"get-only"


def test_options_asterisk_is_answered(routed):
    with routed.client() as client:
        client.send(request("OPTIONS", "*"))
        answer = client.read_response()
        assert answer.status in (200, 204)
        assert client.get("/methods").status == 200


# --- what a route does to a request ---
def edited(**settings):
    """What the origin saw and the client got for /api/v1/users/7/books/a%20b?q=1 with a route's settings."""
    path = settings.pop("path", "/api/v1/users/{id}/{rest...}")
    with RawOrigin(answering(echo)) as origin:
        config = {"upstreams": {"origin": upstream(origin)}, "routes": [route("edited", path, upstream="origin", **settings)]}
        with Sluice(config) as gateway:
            answer = gateway.get("/api/v1/users/7/books/a%20b?q=1", [("X-Old", "1"), ("X-Old", "2")], host="api.example.com")
            return origin.requests[-1] if origin.requests else None, answer


@pytest.mark.parametrize("settings, target", [
    ({}, "/api/v1/users/7/books/a%20b?q=1"),
    ({"strip_prefix": "/api/v1"}, "/users/7/books/a%20b?q=1"),
    ({"path": "/api/v1/users/7/books/{title}", "strip_prefix": "/api/v1/users/7/books"}, "/a%20b?q=1"),
    ({"rewrite": {"path": "/people/{id}/{rest}"}}, "/people/7/books/a%20b?q=1"),
    ({"rewrite": {"path": "/fixed"}}, "/fixed?q=1"),
    ({"rewrite": {"path": "/old{path}"}}, "/old/api/v1/users/7/books/a%20b?q=1"),
])
def test_the_path_is_rewritten_and_the_query_kept(settings, target):
    sent, answer = edited(**settings)
    assert (sent.target, answer.status) == (target, 200)


def test_the_host_is_rewritten_by_template():
    sent, _ = edited(rewrite={"host": "{id}.users.internal"})
    assert (sent.get("host"), sent.get("x-forwarded-host")) == ("7.users.internal", "api.example.com")


def test_request_fields_are_removed_set_and_added_with_captures():
    sent, _ = edited(headers={"request": {"remove": ["x-old"], "set": {"X-User": "{id}", "X-From": "{client_ip} {method} {host}"},
                                          "add": {"X-Route": "{route}"}}})
    assert sent.all("x-old") == []
    assert (sent.get("x-user"), sent.get("x-from"), sent.get("x-route")) == ("7", "127.0.0.1 GET api.example.com", "edited")


def test_set_replaces_every_field_of_that_name_and_add_leaves_them():
    sent, _ = edited(headers={"request": {"set": {"x-old": "new"}}})
    assert sent.all("x-old") == ["new"]
    sent, _ = edited(headers={"request": {"add": {"x-old": "3"}}})
    assert sent.all("x-old") == ["1", "2", "3"]


def test_response_fields_are_removed_set_and_added():
    _, answer = edited(headers={"response": {"remove": ["x-method"], "set": {"X-Target": "{id}"},
                                             "add": {"X-More": "{request_id}"}}})
    assert answer.all("x-method") == []
    assert answer.get("x-target") == "7" and answer.get("x-more")


def test_a_capture_cannot_split_a_head():
    sent, answer = edited(headers={"request": {"set": {"X-Rest": "{rest}"}}, "response": {"set": {"X-Rest": "{rest}"}}})
    assert answer.get("x-rest") == sent.get("x-rest") == "books/a%20b"
    with proxying(answering(echo), route={"headers": {"request": {"set": {"X-Rest": "{rest}"}}}}) as (gateway, origin):
        gateway.get("/a%0d%0aX-Evil:%201")
        assert origin.requests[-1].get("x-rest") == "a%0D%0AX-Evil:%201" and origin.requests[-1].get("x-evil") is None


# --- answers of the gateway's own ---
def test_respond_answers_with_status_body_and_fields():
    settings = {"respond": {"status": 418, "body": '{"tea": true}', "headers": {"content-type": "application/json", "X-A": "b"}}}
    with Sluice({"routes": [route("tea", "/tea", **settings)]}) as gateway:
        with gateway.client() as client:
            for _ in range(2):
                answer = client.ask("POST", "/tea", body=b"ignored")
                assert (answer.status, answer.body) == (418, b'{"tea": true}')
                assert (answer.get("content-type"), answer.get("x-a")) == ("application/json", "b")


@pytest.mark.parametrize("to, status, location", [
    ("https://{host}{path}", 308, "https://old.example/a/b"), ("/new/{rest}", 302, "/new/b"),
    ("https://new.example/", 301, "https://new.example/"),
    ("https://{host}{path}?{query}", 307, "https://old.example/a/b?q=1&r")])
def test_redirect_expands_its_template(to, status, location):
    with Sluice({"routes": [route("moved", "/a/{rest...}", redirect={"to": to, "status": status})]}) as gateway:
        answer = gateway.get("/a/b?q=1&r", host="old.example")
        assert (answer.status, answer.get("location")) == (status, location)


def test_a_template_that_yields_no_valid_host_is_a_500_of_the_configuration():
    with proxying(answering(OK), route={"rewrite": {"host": "{rest}"}}) as (gateway, origin):
        assert_problem(gateway.get("/a%20b"), 500, "bad_template")
        assert origin.requests == []


# --- static files ---
FILES = {
    "www/index.html": "<h1>home</h1>", "www/app.css": "body {}", "www/data.json": "{}", "www/digits": "0123456789",
    "www/empty": "", "www/sub/index.html": "sub", "www/with space.txt": "spaced", "www/.hidden": "CONFIDENTIAL",
    "www/.git/config": "CONFIDENTIAL", "secret": "CONFIDENTIAL",
}


@pytest.fixture(scope="module")
def serving():
    config = {"routes": [route("site", "/{rest...}", static={"root": "www"}),
                         route("prefixed", "/files/{rest...}", static={"root": "www"}, strip_prefix="/files")]}
    gateway = Sluice(config, files=FILES)
    www = gateway.directory / "www"
    os.symlink("../secret", www / "link-out")
    os.symlink("/etc/passwd", www / "link-absolute")
    os.symlink("app.css", www / "link-in")
    os.mkfifo(www / "fifo")
    (www / "unreadable").write_text("x")
    (www / "unreadable").chmod(0)
    with gateway:
        yield gateway


@pytest.mark.parametrize("path, body, content_type", [
    ("/", "<h1>home</h1>", "text/html"), ("/index.html", "<h1>home</h1>", "text/html"), ("/app.css", "body {}", "text/css"),
    ("/data.json", "{}", "application/json"), ("/sub/", "sub", "text/html"), ("/with%20space.txt", "spaced", "text/plain"),
    ("/empty", "", ""), ("/link-in", "body {}", ""), ("/files/app.css", "body {}", "text/css"),
    ("/files/", "<h1>home</h1>", "text/html")])
def test_a_file_is_served_with_its_type_and_validators(serving, path, body, content_type):
    answer = serving.get(path)
    assert (answer.status, answer.body.decode()) == (200, body)
    assert answer.get("content-type").startswith(content_type)
    assert answer.get("etag") and answer.get("last-modified") and answer.get("accept-ranges") == "bytes"


TRAVERSALS = [
    "/../secret", "/..%2fsecret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/sub/../../secret", "/sub/%2e%2e/%2e%2e/secret",
    "/..\\secret", "/..%5csecret", "/%252e%252e/secret", "//secret", "//etc/passwd", "/./../secret", "/....//secret",
    "/..;/secret", "/link-out", "/link-absolute", "/.hidden", "/.git/config", "/%2egit/config", "/app.css/", "/app.css/x",
    "/nothing", "/app.css%00.html", "/fifo", "/files/../../secret", "/files/%2e%2e/%2e%2e/secret", "/files..%2f..%2fsecret",
    "/sub/index.html/../../../secret", "/" + "../" * 30 + "etc/passwd", "/" + "a/" * 1000 + "x", "/" + "a" * 4000]


@pytest.mark.parametrize("path", TRAVERSALS, ids=lambda path: path[:60])
def test_nothing_outside_the_root_is_ever_served(serving, path):
    with serving.client() as client:
        client.send(request("GET", path))
        answer = client.read_response()
        assert answer.status in (400, 403, 404, 414)
        assert b"CONFIDENTIAL" not in answer.body and b"root:" not in answer.body


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_forbidden(serving):
    assert_problem(serving.get("/unreadable"), 403, "file_forbidden")


def test_a_folder_without_its_slash_is_redirected_to_it(serving):
    answer = serving.get("/sub?q=1")
    assert answer.status == 308 and answer.get("location").endswith("sub/?q=1")
    assert not answer.get("location").startswith("//")


RANGES = [  # Range, status, body, Content-Range
    ("bytes=0-3", 206, b"0123", "bytes 0-3/10"), ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=-2", 206, b"89", "bytes 8-9/10"), ("bytes=9-99", 206, b"9", "bytes 9-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"), ("bytes=10-", 416, None, "bytes */10"),
    ("bytes=-0", 416, None, "bytes */10"), ("bytes=5-3", 200, b"0123456789", None), ("bytes=x-y", 200, b"0123456789", None),
    ("lines=1-2", 200, b"0123456789", None), ("bytes=18446744073709551616-", (200, 416), None, ...)]


@pytest.mark.parametrize("value, status, body, content_range", RANGES)
def test_ranges_are_served_as_asked(serving, value, status, body, content_range):
    with serving.client() as client:
        answer = client.get("/digits", [("Range", value)])
        assert answer.status in (status if isinstance(status, tuple) else (status,))
        if content_range is not ...:
            assert answer.get("content-range") == content_range
        if body is not None:
            assert answer.body == body
        if answer.status == 416:
            assert_problem(answer, 416, "range_not_satisfiable")
        assert client.get("/digits").body == b"0123456789"


def test_conditional_requests_are_answered_304_or_412(serving):
    first = serving.get("/digits")
    etag, modified = first.get("etag"), first.get("last-modified")
    with serving.client() as client:
        for fields, status in [
                ([("If-None-Match", etag)], 304), ([("If-None-Match", f'"x", {etag}')], 304), ([("If-None-Match", "*")], 304),
                ([("If-None-Match", '"x"')], 200), ([("If-Modified-Since", modified)], 304),
                ([("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 200),
                ([("If-None-Match", '"x"'), ("If-Modified-Since", modified)], 200), ([("If-Match", '"x"')], 412),
                ([("If-Match", etag)], 200), ([("If-Range", etag), ("Range", "bytes=0-1")], 206),
                ([("If-Range", '"x"'), ("Range", "bytes=0-1")], 200)]:
            answer = client.get("/digits", fields)
            assert answer.status == status, fields
            if status == 304:
                assert answer.body == b"" and answer.get("etag") == etag


def test_a_head_request_for_a_file_has_the_length_and_no_body(serving):
    with serving.client() as client:
        answer = client.ask("HEAD", "/digits")
        assert (answer.status, answer.get("content-length"), answer.body) == (200, "10", b"")
        assert client.get("/digits").body == b"0123456789"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_can_only_be_read(serving, method):
    answer = serving.ask(method, "/digits")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.get("allow") == "GET, HEAD"


def test_a_large_file_arrives_whole(tmp_path):
    content = os.urandom(20 << 20)
    (tmp_path / "large").write_bytes(content)
    with Sluice({"routes": [route("site", "/{rest...}", static={"root": str(tmp_path)})]}) as gateway:
        with gateway.client() as client:
            assert client.get("/large").body == content
            assert client.get("/large", [("Range", f"bytes={10 << 20}-")]).body == content[10 << 20:]
        gateway.wait_gauges_zero()


def test_a_file_that_changes_has_another_etag(serving):
    path = serving.directory / "www" / "changing"
    path.write_text("one")
    before = serving.get("/changing").get("etag")
    path.write_text("three")
    after = serving.get("/changing")
    assert after.get("etag") != before and after.body == b"three"
