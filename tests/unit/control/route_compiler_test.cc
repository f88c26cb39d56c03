// What a route may say, and what becomes of it.
#include "control/compile.h"

#include <catch2/catch.hpp>

#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice;
using namespace sluice::control;

TEST_CASE("a route does exactly one thing") {
  check_all({
      {with_route("{match: {path: /}}"),
       "5:5 the route does nothing: give it one of upstream, split, respond, redirect or static\n"},
      {with_route("{match: {path: /}, upstream: app, respond: {}}"),
       "5:39 \"respond\" cannot stand beside \"upstream\": a route does one thing\n"},
      {with_route("{upstream: app}"), "5:5 \"match\" is missing here\n"},
      {with_route("{match: {}, upstream: app}"), "5:13 \"path\" is missing here; write /users/{id:int}\n"},
      {with_route("{match: {path: /}, upstream: ap}"), "5:34 there is no upstream \"ap\"; did you mean \"app\"?\n"},
      {with_route("{match: {path: /}, split: []}"), "5:24 split: at least one share is needed\n"},
      {with_route("{match: {path: /}, split: [{upstream: app, weight: 0}]}"),
       "5:24 split: all weights are 0, so no request could go anywhere\n"},
      {with_route("{match: {path: /}, split: [{weight: 1}, {upstream: ape}]}"),
       "5:32 \"upstream\" is missing here; write the name of an entry of \"upstreams\"\n"
       "5:56 there is no upstream \"ape\"; did you mean \"app\"?\n"},
      {with_route("{match: {path: /}, respond: {status: 100}}"),
       "5:42 status: \"100\" is out of range; it must be 200 to 599\n"},
      {with_route("{match: {path: /}, redirect: {status: 301}}"),
       "5:34 \"to\" is missing here; write text with {placeholders}\n"},
      {with_route("{match: {path: /}, redirect: {to: /x, status: 304}}"),
       "5:51 status: a redirection has the status 301, 302, 303, 307 or 308\n"},
      {with_route("{match: {path: /}, redirect: {to: \"ftp://x\"}}"),
       "5:39 to: not a URL; write https://{host}{path} or a path that begins with /\n"},
      {with_route("{match: {path: /}, static: {root: /nonexistent}}"),
       "5:39 root: cannot open the folder /nonexistent: No such file or directory\n"},
      {with_route("{match: {path: /}, static: {root: /etc/passwd}}"),
       "5:39 root: cannot open the folder /etc/passwd: Not a directory\n"},
      {with_route("{match: {path: /}, static: {root: /, index: a/b}}"),
       "5:49 index: \"a/b\" is not a file name; write a name without slashes\n"},
  });
}

TEST_CASE("what a route matches must be possible") {
  check_all({
      {with_route("{match: {path: \"/a/{id:*}\"}, upstream: app}"),
       "5:28 path: the expression is wrong: quantifier does not follow a repeatable item\n"},
      {with_route("{match: {path: /, methods: GET}, upstream: app}"),
       "5:32 methods: a list is expected; write [GET]\n"},
      {with_route("{match: {path: /, methods: []}, upstream: app}"),
       "5:32 methods: the list is empty, so nothing would match; leave it out for all methods\n"},
      {with_route("{match: {path: /, methods: [get, TRACE, CONNECT, FETCH]}, upstream: app}"),
       "5:33 methods: \"get\" is not a method; write GET\n"
       "5:38 methods: \"TRACE\" is never forwarded: it would open a tunnel or echo credentials\n"
       "5:45 methods: \"CONNECT\" is never forwarded: it would open a tunnel or echo credentials\n"
       "5:54 methods: \"FETCH\" is not a method that sluice forwards\n"},
      {with_route("{match: {path: /, hosts: [\"a.example:80\", \"*\", \"*.*.example\", \"a/b\", \"\"]}, "
                  "upstream: app}"),
       "5:31 hosts: \"a.example:80\" is not a host; write api.example.com or *.example.com, without a port\n"
       "5:47 hosts: \"*\" is not a host; write api.example.com or *.example.com, without a port\n"
       "5:52 hosts: \"*.*.example\" is not a host; write api.example.com or *.example.com, without a port\n"
       "5:67 hosts: \"a/b\" is not a host; write api.example.com or *.example.com, without a port\n"
       "5:74 hosts: \"\" is not a host; write api.example.com or *.example.com, without a port\n"},
      {with_route("{match: {path: /, headers: {\"x y\": 1, a: false, b: \"x\\ny\"}}, upstream: app}"),
       "5:33 \"x y\" is not a header name; write letters, digits and -\n"
       "5:46 headers: \"false\" would ask for the text false; write \"false\" in quotes if that is meant\n"
       "5:56 headers: \"x?y\" can never be the value of a header\n"},
  });
}

TEST_CASE("rewrites and header edits are checked against the route's own path") {
  check_all({
      {with_route("{match: {path: \"/a/{id}\"}, upstream: app, rewrite: {path: \"/x/{ids}\"}}"),
       "5:67 {ids} is neither a parameter of the route's path (id) nor one of host, path, query, method, "
       "scheme, client_ip, "
       "request_id, route, tls_version, tls_cipher, tls_server_name, tls_client_subject, tls_client_names, "
       "tls_client_fingerprint\n"},
      {with_route("{match: {path: /a}, upstream: app, rewrite: {path: x}}"),
       "5:56 path: a rewritten path begins with / or {path}\n"},
      {with_route("{match: {path: /a}, upstream: app, rewrite: {path: \"/x?y=1\"}}"),
       "5:59 path: a rewritten path has no query; the client's goes on as it is\n"},
      {with_route("{match: {path: /a}, upstream: app, rewrite: {host: a/b}}"),
       "5:56 host: \"a/b\" is not a host; write users.internal or users.internal:8080\n"},
      {with_route("{match: {path: /a/b}, upstream: app, strip_prefix: /a, rewrite: {path: /x}}"),
       "5:56 strip_prefix cannot stand beside rewrite.path: both set the path\n"},
      {with_route("{match: {path: /a/b}, upstream: app, strip_prefix: /a, rewrite: {host: x.internal}}"), ""},
      {with_route("{match: {path: /ab}, upstream: app, strip_prefix: /a}"),
       "5:55 strip_prefix: no path that matches \"/ab\" begins with \"/a\"\n"},
      {with_route("{match: {path: /a/b}, upstream: app, strip_prefix: /a/}"),
       "5:56 strip_prefix: \"/a/\" is not a path prefix; write it as /api/v1\n"},
      {with_route("{match: {path: /}, upstream: app, headers: {request: {set: {Host: x, content-length: 1, "
                  "\"a b\": c, ok: \"{no}\"}}}}"),
       "5:65 \"Host\" has a key of its own: use rewrite.host\n"
       "5:74 \"content-length\" says where the message ends; the gateway sets it\n"
       "5:93 \"a b\" is not a header name; write letters, digits and -\n"
       "5:108 {no} is neither a parameter of the route's path (it has none) nor one of host, path, query, "
       "method, scheme, "
       "client_ip, request_id, route, tls_version, tls_cipher, tls_server_name, tls_client_subject, tls_client_names, "
       "tls_client_fingerprint\n"},
      {with_route("{match: {path: /}, upstream: app, headers: {response: {remove: [connection, "
                  "Transfer-Encoding, server]}}}"),
       "5:69 \"connection\" belongs to one connection (RFC 9110 section 7.6.1); the gateway sets it\n"
       "5:81 \"Transfer-Encoding\" says where the message ends; the gateway sets it\n"},
      {with_route("{match: {path: /}, upstream: app, headers: {response: {add: {a: \"x\\ry\"}}}}"),
       "5:69 a: not a header value: no control characters, no white space at the ends\n"},
      {with_route("{match: {path: /}, respond: {headers: {upgrade: h2c}}}"),
       "5:44 \"upgrade\" belongs to one connection (RFC 9110 section 7.6.1); the gateway sets it\n"},
  });
}

TEST_CASE("routes without a name are named by their pattern; names differ") {
  const auto result = compile_text(with("routes:\n"
                                        "  - {match: {path: /a, methods: [GET]}, respond: {}}\n"
                                        "  - {match: {path: /a, methods: [PUT]}, respond: {}}\n"
                                        "  - {name: \"/a #3\", match: {path: /b}, respond: {}}\n"
                                        "  - {match: {path: /a, methods: [POST]}, respond: {}}\n"),
                                   "x.yaml");
  REQUIRE(result.snapshot != nullptr);
  const auto& routes = result.snapshot->routes;
  CHECK(routes[0].name == "/a");
  CHECK(routes[1].name == "/a #2");
  CHECK(routes[2].name == "/a #3");
  CHECK(routes[3].name == "/a #4");
  CHECK(routes[3].source == "x.yaml:8");
  check_all(
      {{with("routes:\n  - {name: x, match: {path: /a}, respond: {}}\n  - {name: x, match: {path: /b}, "
             "respond: {}}\n"),
        "6:12 name: \"x\" is already the name of the route at x.yaml:5\n"},
       {with_route("{name: \"\", match: {path: /a}, respond: {}}"), "5:12 name: up to 128 printable characters\n"}});
}

TEST_CASE("a static root is relative to the file that names it, and opened once for all routes") {
  const TemporaryFolder folder;
  folder.write("site/index.html", "x");
  folder.write("routes.d/a.yaml",
               "routes:\n  - {match: {path: /a}, static: {root: ../site}}\n  - {match: {path: /b}, static: "
               "{root: ../site/.}}\n");
  const auto result = compile_file(folder.write("x.yaml", with("include: routes.d/*.yaml")));
  CHECK(text_of(result.errors, Severity::error).empty());
  REQUIRE(result.snapshot != nullptr);
  CHECK(result.snapshot->routes[0].files->root == folder / "site");
  CHECK(*result.snapshot->routes[0].files->root_fd >= 0);
}
