#include "control/compile.h"

#include <catch2/catch.hpp>

#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice;
using namespace sluice::control;

TEST_CASE("many mistakes are reported at once, in order, with line, caret and advice") {
  const auto result = compile_text(R"(version: 1
proces: {workers: 1}
listeners:
  public:
    adress: 0.0.0.0:80
    limits: {body: many}
upstreams:
  users: {endpoints: [127.0.0.1:9001], balance: ring_hash}
routes:
  - match: {path: "/users/{id:in"}
    upstream: usres
    slo: {p99_latency: 300ms}
)",
                                   "sluice.yaml");
  CHECK(result.snapshot == nullptr);
  CHECK(text_of(result.errors, Severity::error) ==
        "sluice.yaml:2:1: error: unknown key \"proces\"; did you mean \"process\"?\n"
        "    proces: {workers: 1}\n"
        "    ^\n"
        "sluice.yaml:5:5: error: unknown key \"adress\"; did you mean \"address\"?\n"
        "        adress: 0.0.0.0:80\n"
        "        ^\n"
        "sluice.yaml:6:20: error: body: \"many\" is not a size; write 512B, 64KiB or 10MiB\n"
        "        limits: {body: many}\n"
        "                       ^\n"
        "sluice.yaml:8:49: error: balance: \"ring_hash\" is not supported yet by this version of sluice\n"
        "      users: {endpoints: [127.0.0.1:9001], balance: ring_hash}\n"
        "                                                    ^\n"
        "sluice.yaml:10:27: error: path: this '{' is never closed\n"
        "      - match: {path: \"/users/{id:in\"}\n"
        "                              ^\n"
        "sluice.yaml:11:15: error: there is no upstream \"usres\"; did you mean \"users\"?\n"
        "        upstream: usres\n"
        "                  ^\n"
        "sluice.yaml:12:5: error: \"slo\" is not supported yet by this version of sluice\n"
        "        slo: {p99_latency: 300ms}\n"
        "        ^\n");
}

TEST_CASE("what every configuration needs") {
  check_all({
      {"", "1:1 \"version\" is missing here; write version: 1\n1:1 \"listeners\" is missing here\n"},
      {"version: 2\nlisteners: {a: {address: \":80\"}}\n",
       "1:10 version: \"2\" is not known to this version of sluice; it must be 1\n"},
      {"version: 1\nlisteners: {}\n", "2:1 at least one listener is needed\n"},
      {"version: 1\nlisteners:\n", "2:1 at least one listener is needed\n"},
      {"version: 1\nlisteners: {a: }\n",
       "2:13 \"address\" is missing here; write 0.0.0.0:8080, [::]:8080 or unix:/run/sluice.sock\n"},
      {"- 1", "1:1 a map with keys is expected here, not a list\n"},
      {"hello", "1:1 a map with keys is expected here, not a single value\n"},
  });
}

TEST_CASE("a value of the wrong kind is told what would be right") {
  check_all({
      {with("process: 5"), "4:10 a map with keys is expected here, not a single value\n"},
      {with("process: [workers]"), "4:10 a map with keys is expected here, not a list\n"},
      {with("process: {pin_cpus: yes}"), "4:21 pin_cpus: \"yes\" is not a boolean; write true or false\n"},
      {with("process: {pin_cpus: }"), "4:11 pin_cpus: a boolean is expected, not nothing\n"},
      {with("process: {pin_cpus: [true]}"), "4:21 pin_cpus: a boolean is expected, not a list\n"},
      {with("process: {workers: 0}"), "4:20 workers: \"0\" is out of range; it must be 1 to 1024\n"},
      {with("process: {workers: many}"),
       "4:20 workers: \"many\" is not a number of workers; write auto or a whole number\n"},
      {with("process: {max_connections: -1}"), "4:28 max_connections: \"-1\" is not a number; write a whole number\n"},
      {with("process: {shutdown_grace: 5}"),
       "4:27 shutdown_grace: \"5\" is not a duration; write 250ms, 5s or 1m30s\n"},
      {with("process: {shutdown_grace: 0}"), "4:27 shutdown_grace: \"0\" is out of range; it must be 1ms to 24h\n"},
      {with("process: {pid_file: sluice.pid}"),
       "4:21 pid_file: \"sluice.pid\" is not an absolute path; write a path that begins with /\n"},
      {with("process: {group: www}"), "4:18 process.group is used with process.user only\n"},
      {with("process: {shutdown_grace: 25h}"), "4:27 shutdown_grace: \"25h\" is out of range; it must be 1ms to 24h\n"},
      {with("trusted_proxies: 10.0.0.0/8"), "4:18 trusted_proxies: a list is expected; write [10.0.0.0/8]\n"},
      {with("trusted_proxies: {a: b}"),
       "4:18 trusted_proxies: a list is expected, not a map; begin each element with \"- \"\n"},
      {with("trusted_proxies: [10.0.0.1/8]"),
       "4:19 trusted_proxies: \"10.0.0.1/8\" is not a network; write 10.0.0.0/8, ::1/128 or one address\n"},
      {with("routes: {a: {}}"), "4:9 routes: a list is expected, not a map; begin each element with \"- \"\n"},
      {with("routes: [5]"), "4:10 a map with keys is expected here, not a single value\n"},
      {with("include: {a: b}"),
       "4:1 \"include\" is possible only in a file\n4:10 include: a file pattern is expected, not a map\n"},
  });
}

TEST_CASE("keys of later versions and unknown keys are refused by name") {
  check_all({
      {with("proxess: {}"), "4:1 unknown key \"proxess\"; did you mean \"process\"?\n"},
      {with("process: {worker_count: 1}"),
       "4:11 unknown key \"worker_count\"; known here: workers, pin_cpus, max_connections, shutdown_grace, user, "
       "group, "
       "pid_file, plugin_dir, watch, dns\n"},
      {with("? <<\n: {}"), "4:3 merge keys (\"<<\") are not supported; an alias can stand for a whole value\n"},
      {"version: 1\nlisteners: {a: {address: \":80\", body: 1MiB}}\n",
       "2:33 unknown key \"body\"; it belongs in \"limits\"\n"},
      {"version: 1\nlisteners: {a: {address: \":80\", proxy_protocol: true}}\n",
       "2:49 proxy_protocol: name the load balancers that send it, such as [10.0.0.0/8]\n"},
      {"version: 1\nlisteners: {a: {address: \":80\"}}\nupstreams: {u: {endpoints: [\"127.0.0.1:1\"], "
       "health: {}, breaker: {}}}\n",
       "3:45 \"health\" is not supported yet by this version of sluice\n"
       "3:57 \"breaker\" is not supported yet by this version of sluice\n"},
      {"version: 1\nlisteners: {a: {address: \":80\"}}\nupstreams: {u: {endpoints: [\"127.0.0.1:1\"], protocol: "
       "auto}}\n",
       "3:55 \"auto\" asks the endpoint by ALPN, which is a part of TLS: add `tls: {}`, or say http1 or http2\n"},
      {"version: 1\nlisteners: {a: {address: \":80\"}}\nupstreams: {u: {endpoints: [\"127.0.0.1:1\"], protocol: http2, "
       "proxy_protocol: v2}}\n",
       "3:55 connections of HTTP/2 carry the requests of many clients, and a PROXY protocol header tells of one: with "
       "`proxy_protocol` the protocol must be http1\n"},
      {with_route("{match: {path: /, claims: {}}, upstream: app, slo: {}}"),
       "5:51 \"slo\" is not supported yet by this version of sluice\n"},
  });
}

TEST_CASE("listeners have names, addresses that differ, and limits that fit together") {
  const std::string head = "version: 1\nlisteners:\n  ";
  check_all({
      {head + "a b: {address: \":80\"}\n", "3:3 \"a b\" is not a name: use at most 64 letters, digits, and . _ -\n"},
      {head + "a: {address: \"example.com:80\"}\n",
       "3:16 \"example.com:80\" is not an address to listen on; write 0.0.0.0:8080, [::]:8080 or "
       "unix:/run/sluice.sock (a "
       "listener has an address, not a name)\n"},
      {head + "a: {address: \":80\", tls: {certificates: }}\n",
       "3:29 a listener with TLS needs at least one certificate\n"},
      {head + "a: {address: 8080}\n",
       "3:16 \"8080\" is not an address to listen on; write 0.0.0.0:8080, [::]:8080 or "
       "unix:/run/sluice.sock\n"},
      {head + "a: {address: \":80\"}\n  b: {address: \"0.0.0.0:80\"}\n",
       "4:16 0.0.0.0:80 is already listened on, at x.yaml:3\n"},
      {head + "a: {address: \"unix:/x\"}\n  b: {address: \"unix:/x\"}\n",
       "4:16 unix:/x is already listened on, at x.yaml:3\n"},
      {head + "a: {address: \"127.0.0.1:0\"}\n  b: {address: \"127.0.0.1:0\"}\n", ""},
      {head + "a: {address: \"127.0.0.1:80\"}\nadmin: {listen: \"localhost:80\"}\n",
       "4:17 127.0.0.1:80 is already listened on, at x.yaml:3\n"},
      {head + "a: {address: \":80\", limits: {request_line: 64KiB, header_bytes: 16KiB}}\n",
       "3:3 limits of \"a\": request_line (64KiB) is larger than header_bytes (16KiB), of which it is a "
       "part\n"},
      {head + "a: {address: \":80\", limits: {header_bytes: 65KiB, headers: 1001, body: 0}}\n",
       "3:46 header_bytes: \"65KiB\" is out of range; it must be 256B to 64KiB\n"
       "3:62 headers: \"1001\" is out of range; it must be 1 to 1000\n"
       "3:74 body: \"0\" is out of range; it must be 1B to 1048576GiB\n"},
      {head + "a: {address: \":80\", timeouts: {idle: 0s, tls_handshake: 0s}}\n",
       "3:40 idle: \"0s\" is out of range; it must be 1ms to 24h\n"
       "3:59 tls_handshake: \"0s\" is out of range; it must be 1ms to 24h\n"},
  });
}

TEST_CASE("the admin listener needs a token where others can reach it") {
  check_all({
      {with("admin: {listen: \"0.0.0.0:9901\"}"),
       "4:17 other machines can reach this address, so admin.token_file is needed\n"},
      {with("admin: {listen: \"unix:/run/admin.sock\"}"), ""},
      {with("admin: {listen: \"[::1]:9901\"}"), ""},
      {with("admin: {listen: off}"), ""},
      {with("admin: {token_file: /nonexistent}"),
       "4:21 token_file: cannot read /nonexistent: No such file or directory\n"},
  });
  const TemporaryFolder folder;
  folder.write("token", "correct-horse-battery\n");
  folder.write("short", "secret");
  folder.write("spaced", "correct horse battery staple");
  const auto compiled = [&](const std::string& file) {
    return compile_file(folder.write("x.yaml", with("admin: {listen: \"0.0.0.0:9901\", token_file: " + file + "}")));
  };
  const auto good = compiled("token");
  REQUIRE(good.snapshot != nullptr);
  CHECK(good.snapshot->admin.token == "correct-horse-battery");
  CHECK(good.snapshot->admin.enabled);
  CHECK(messages_of(compiled("short").errors) ==
        "4:45 token_file: " + (folder / "short") + " must hold a token of at least 16 characters, without spaces\n");
  CHECK(messages_of(compiled("spaced").errors) ==
        "4:45 token_file: " + (folder / "spaced") + " must hold a token of at least 16 characters, without spaces\n");
}

TEST_CASE("the access log goes to standard output or an absolute path, in a known format") {
  check_all({
      {with("access_log: off"), ""},
      {with("access_log: jsno"),
       "4:13 format: \"jsno\" is not known; it must be json, combined or off; did you mean \"json\"?\n"},
      {with("access_log: {path: log/access.log}"),
       "4:20 path: \"log/access.log\" is not a place for a log; write stdout or an absolute path\n"},
      {with("access_log: {sample: 2}"), "4:22 sample: \"2\" is not a share; write 20% or 0.2\n"},
      {with("access_log: {format: \"{a}\\nb\"}"), "4:22 format: \"{a}?b\" must be one line of printable text\n"},
  });
  using Format = snapshot::AccessLogSpec::Format;
  CHECK(compile_text(with("access_log: off"), "x").snapshot->access_log.format == Format::off);
  CHECK(compile_text(with("access_log: {format: combined, sample: 10%}"), "x").snapshot->access_log.sample ==
        Approx(0.1));
  const auto custom = compile_text(with("access_log: {format: \"{method} {path}\", path: /var/log/a}"), "x");
  REQUIRE(custom.snapshot != nullptr);
  CHECK(custom.snapshot->access_log.format == Format::custom);
  CHECK(custom.snapshot->access_log.custom_text == "{method} {path}");
  CHECK(custom.snapshot->access_log.path == "/var/log/a");
}

TEST_CASE("DNS servers are addresses, and the bounds of a TTL are in order") {
  const std::string head = "version: 1\nlisteners: {a: {address: \":80\"}}\nprocess: {dns: {";
  const std::string write = "; write 10.0.0.2, 127.0.0.1:5353 or [2001:db8::1]:53\n";
  check_all({
      {head + "servers: [10.0.0.2, \"2001:db8::1\", \"127.0.0.1:5353\"]}}\n", ""},
      {head + "servers: [dns.internal, \"unix:/x\", \":53\", \"10.0.0.2:0\"]}}\n",
       "3:27 servers: \"dns.internal\" is not a DNS server" + write + "3:41 servers: \"unix:/x\" is not a DNS server" +
           write + "3:52 servers: \":53\" is not a DNS server" + write +
           "3:59 servers: \"10.0.0.2:0\" is not a DNS server" + write},
      {head + "min_ttl: 10m}}\n", "3:16 dns: min_ttl (10m) is longer than max_ttl (5m)\n"},
      {head + "min_ttl: 10ms}}\n", "3:26 min_ttl: \"10ms\" is out of range; it must be 100ms to 24h\n"},
  });
}

TEST_CASE("upstreams have endpoints that can be connected to, each once") {
  const std::string write_address = "write 127.0.0.1:9001, [::1]:9001, app.internal:9001 or unix:/run/app.sock\n";
  const std::string head = "version: 1\nlisteners: {a: {address: \":80\"}}\nupstreams:\n  u: ";
  check_all({
      {head + "{}\n", "4:6 \"endpoints\" is missing here\n"},
      {head + "{endpoints: []}\n", "4:18 upstream \"u\" needs at least one endpoint\n"},
      {head + "{endpoints: }\n", "4:7 upstream \"u\" needs at least one endpoint\n"},
      {head + "{endpoints: [\"users.internal\", \"a_b:0\", \"300.1.1.1:80\", \"-x:1\", {dns: \"127.0.0.1:1\"}, {dns: "
              "x}]}\n",
       "4:19 \"users.internal\" is not an address; " + write_address + "4:37 \"a_b:0\" is not an address; " +
           write_address + "4:46 \"300.1.1.1:80\" is not an address; " + write_address +
           "4:62 \"-x:1\" is not an address; " + write_address +
           "4:76 \"127.0.0.1:1\" is not a host name with a port; write app.internal:9001 (an address stands under "
           "\"address\")\n"
           "4:98 \"x\" is not a host name with a port; write app.internal:9001\n"},
      {head + "{endpoints: [\":80\", \"127.0.0.1:0\"]}\n", "4:19 \":80\" cannot be connected to; " + write_address +
                                                               "4:26 \"127.0.0.1:0\" cannot be connected to; " +
                                                               write_address},
      {head + "{endpoints: [\"127.0.0.1:1\", \"localhost:1\"]}\n",
       "4:34 127.0.0.1:1 is already an endpoint of \"u\", at x.yaml:4; give it a weight instead\n"},
      {head + "{endpoints: [{address: \"127.0.0.1:1\", weight: 1001, zone: b}, {weight: 2}]}\n",
       "4:52 weight: \"1001\" is out of range; it must be 1 to 1000\n"
       "4:58 \"zone\" is not supported yet by this version of sluice\n"
       "4:68 \"address\" is missing here; " +
           write_address},
      {head + "{endpoints: [{address: \"a:1\", dns: \"b:1\"}, {adress: \"c:1\"}, ]}\n",
       "4:41 an endpoint has either \"address\" or \"dns\", not both\n"
       "4:50 unknown key \"adress\"; did you mean \"address\"?\n"},
      {head + "{endpoints: [\"A.b:80\", {dns: \"a.B:80\"}, \"a.b:81\"]}\n",
       "4:35 a.b:80 is already an endpoint of \"u\", at x.yaml:4; give it a weight instead\n"},
      {head + "{endpoints: [\"127.0.0.1:1\"], balance: p2x}\n",
       "4:44 balance: \"p2x\" is not known; it must be p2c, round_robin, random or least_request; did you "
       "mean \"p2c\"?\n"},
      {head + "{endpoints: [\"127.0.0.1:1\"], retry: {on: [conect, 200, 5xx], attempts: 11, budget: 20}}\n",
       "4:48 on: \"conect\" is not a reason to retry; write connect, reset, timeout, a status from 400 to "
       "599, grpc_unavailable or another of gRPC; did you mean "
       "\"connect\"?\n"
       "4:56 on: \"200\" is not a reason to retry; write connect, reset, timeout, a status from 400 to "
       "599, grpc_unavailable or another of gRPC\n"
       "4:61 on: \"5xx\" is not a reason to retry; write connect, reset, timeout, a status from 400 to "
       "599, grpc_unavailable or another of gRPC\n"
       "4:77 attempts: \"11\" is out of range; it must be 0 to 10\n"
       "4:89 budget: \"20\" is not a share; write 20% or 0.2\n"},
  });
}

TEST_CASE("everything that a configuration says arrives in the snapshot") {
  const auto result = compile_text(R"(version: 1
process: {workers: 3, pin_cpus: true, max_connections: 1000, shutdown_grace: 1m30s,
  dns: {servers: [127.0.0.1, "[::1]:5353"], timeout: 500ms, min_ttl: 2s, max_ttl: 1m}}
admin: {listen: off}
trusted_proxies: [10.0.0.0/8]
listeners:
  one:
    address: 127.0.0.1:8080
    allow_encoded_slash: true
    limits: {request_line: 1KiB, header_bytes: 2KiB, headers: 50, body: 1MiB, requests_per_connection: 7}
    timeouts: {request_header: 1s, request_body: 2s, write: 3s, idle: 4s, tunnel: 5s}
    proxy_protocol: [10.0.0.0/8, "::1"]
upstreams:
  a:
    proxy_protocol: v2
    endpoints: ["127.0.0.1:1", {address: "unix:/b", weight: 2}]
    balance: round_robin
    pool: {max_open: 1, max_idle: 2, idle_timeout: 3s, max_lifetime: 0, max_requests: 5, max_pending: 6, pending_timeout: 7s}
    timeouts: {connect: 1s, response_header: 2s, idle: 3s, ping: 0}
    retry: {attempts: 2, on: [reset, timeout, 502, 503], budget: 50%, per_try: 1s}
  b: {endpoints: [{address: "127.0.0.1:2"}, "Users.Internal:80", {dns: "localhost:81", weight: 3}]}
routes:
  - name: r
    match:
      hosts: [API.example.com, "*.Example.org"]
      path: "/users/{id:int}/{rest...}"
      methods: [GET, PUT]
      headers: {X-Canary: 1, x-any: true, x-true: "true"}
      query: {v: 2, Debug: true}
      claims: {tier: gold}
    split: [{upstream: a, weight: 95}, {upstream: b, weight: 5}]
    rewrite: {path: "/u/{id}", host: "users.internal"}
    headers:
      request: {set: {X-Id: "{id}"}, add: {x-b: c}, remove: [X-Debug]}
      response: {set: {cache-control: no-store}}
    timeout: 5s
    limits: {body: 2MiB}
  - {match: {path: /r}, respond: {status: 201, body: "hi", headers: {Content-Type: text/html, x-a: b}}}
  - {match: {path: /d}, redirect: {to: "https://{host}{path}", status: 301}}
  - {match: {path: "/s/{rest...}"}, static: {root: /, index: home.html}, strip_prefix: /s}
)",
                                   "x.yaml");
  CHECK(text_of(result.errors, Severity::error).empty());
  REQUIRE(result.snapshot != nullptr);
  const snapshot::Snapshot& s = *result.snapshot;
  CHECK(s.process.workers == 3);
  CHECK(s.process.pin_cpus);
  CHECK(s.process.max_connections == 1000);
  CHECK(s.process.shutdown_grace == Millis(90'000));
  REQUIRE(s.process.dns.servers.size() == 2);
  CHECK(s.process.dns.servers[0].to_string() == "127.0.0.1:53");
  CHECK(s.process.dns.servers[1].to_string() == "[::1]:5353");
  CHECK(s.process.dns.timeout == Millis(500));
  CHECK(s.process.dns.min_ttl == Millis(2000));
  CHECK(s.process.dns.max_ttl == Millis(60'000));
  CHECK_FALSE(s.admin.enabled);
  REQUIRE(s.trusted_proxies.size() == 1);
  CHECK(s.trusted_proxies[0].to_string() == "10.0.0.0/8");

  REQUIRE(s.listeners.size() == 1);
  const snapshot::ListenerSpec& listener = s.listeners[0];
  CHECK(listener.name == "one");
  CHECK(listener.address.to_string() == "127.0.0.1:8080");
  CHECK(listener.allow_encoded_slash);
  CHECK(listener.head.first_line_bytes == 1024);
  CHECK(listener.head.head_bytes == 2048);
  CHECK(listener.head.fields == 50);
  CHECK(listener.body_limit == 1u << 20);
  CHECK(listener.requests_per_connection == 7);
  REQUIRE(listener.proxy_protocol.size() == 2);
  CHECK(listener.proxy_protocol[0].to_string() == "10.0.0.0/8");
  CHECK(listener.timeouts.request_header == Millis(1000));
  CHECK(listener.timeouts.request_body == Millis(2000));
  CHECK(listener.timeouts.write == Millis(3000));
  CHECK(listener.timeouts.idle == Millis(4000));
  CHECK(listener.timeouts.tunnel == Millis(5000));

  REQUIRE(s.clusters.size() == 2);
  const snapshot::ClusterSpec& a = s.clusters[0];
  CHECK(a.name == "a");
  REQUIRE(a.endpoints.size() == 2);
  CHECK(a.endpoints[0].name == "127.0.0.1:1");
  CHECK(a.endpoints[0].weight == 1);
  CHECK(a.endpoints[1].address.to_string() == "unix:/b");
  CHECK(a.endpoints[1].weight == 2);
  CHECK(a.endpoints[1].host.empty());
  const snapshot::ClusterSpec& b = s.clusters[1];
  REQUIRE(b.endpoints.size() == 3);
  CHECK(b.endpoints[1].name == "Users.Internal:80");
  CHECK(b.endpoints[1].host == "users.internal");
  CHECK(b.endpoints[1].port == 80);
  CHECK(b.endpoints[2].host == "localhost");
  CHECK(b.endpoints[2].port == 81);
  CHECK(b.endpoints[2].weight == 3);
  CHECK(a.balance == snapshot::Balance::round_robin);
  CHECK(s.clusters[1].balance == snapshot::Balance::p2c);
  CHECK(a.pool.max_open == 1);
  CHECK(a.pool.max_idle == 2);
  CHECK(a.pool.idle_timeout == Millis(3000));
  CHECK(a.pool.max_lifetime == Millis(0));
  CHECK(a.pool.max_requests == 5);
  CHECK(a.pool.max_pending == 6);
  CHECK(a.pool.pending_timeout == Millis(7000));
  CHECK(a.timeouts.connect == Millis(1000));
  CHECK(a.timeouts.response_header == Millis(2000));
  CHECK(a.timeouts.idle == Millis(3000));
  CHECK(a.timeouts.ping == Millis(0));
  CHECK(a.retry.attempts == 2);
  CHECK_FALSE(a.retry.on_connect);
  CHECK(a.retry.on_reset);
  CHECK(a.retry.on_timeout);
  CHECK(a.retry.on_statuses == std::vector<uint16_t>{502, 503});
  CHECK(a.retry.budget == Approx(0.5));
  CHECK(a.retry.per_try == Millis(1000));
  CHECK(s.clusters[1].retry.on_connect);

  REQUIRE(s.routes.size() == 4);
  const snapshot::RouteSpec& r = s.routes[0];
  CHECK(r.name == "r");
  CHECK(r.source == "x.yaml:23");
  CHECK(r.match.hosts == std::vector<std::string>{"api.example.com", "*.example.org"});
  CHECK(r.match.path == "/users/{id:int}/{rest...}");
  CHECK(r.captures == std::vector<std::string>{"id", "rest"});
  using http::Method;
  CHECK(r.match.methods == (method_bit(Method::GET) | method_bit(Method::HEAD) | method_bit(Method::PUT)));
  REQUIRE(r.match.conditions.size() == 6);
  CHECK(r.match.conditions[0].name == "x-canary");
  CHECK(r.match.conditions[0].value == "1");
  CHECK_FALSE(r.match.conditions[0].any);
  CHECK(r.match.conditions[1].any);
  CHECK_FALSE(r.match.conditions[2].any);
  CHECK(r.match.conditions[2].value == "true");
  CHECK(r.match.conditions[4].name == "Debug");
  CHECK(r.match.conditions[4].any);
  CHECK(r.match.conditions[5].kind == snapshot::Condition::Kind::claim);
  CHECK(r.match.conditions[5].name == "tier");
  CHECK(r.action == snapshot::Action::proxy);
  REQUIRE(r.split.size() == 2);
  CHECK(r.split[1].cluster == 1);
  CHECK(r.split[1].weight == 5);
  CHECK(r.split_total == 100);
  CHECK(r.rewrite->path.source() == "/u/{id}");
  CHECK(r.rewrite->host->source() == "users.internal");
  REQUIRE(r.request_headers->set.size() == 1);
  CHECK(r.request_headers->set[0].first == "X-Id");
  CHECK(r.request_headers->add[0].second.source() == "c");
  CHECK(r.request_headers->remove == std::vector<std::string>{"X-Debug"});
  CHECK(r.response_headers->set[0].first == "cache-control");
  CHECK(r.timeout == Millis(5000));
  CHECK(r.body_limit == 2u << 20);

  CHECK(s.routes[1].match.methods == http::kAllMethods);
  CHECK(s.routes[1].action == snapshot::Action::respond);
  CHECK(s.routes[1].respond->status == 201);
  CHECK(s.routes[1].respond->body == "hi");
  CHECK(s.routes[1].respond->content_type == "text/html");
  REQUIRE(s.routes[1].response_headers->set.size() == 1);
  CHECK(s.routes[1].response_headers->set[0].first == "x-a");
  CHECK(s.routes[2].action == snapshot::Action::redirect);
  CHECK(s.routes[2].redirect->status == 301);
  CHECK(s.routes[2].redirect->to.source() == "https://{host}{path}");
  CHECK(s.routes[3].action == snapshot::Action::static_files);
  CHECK(s.routes[3].files->root == "/");
  CHECK(s.routes[3].files->index == "home.html");
  REQUIRE(s.routes[3].files->root_fd != nullptr);
  CHECK(*s.routes[3].files->root_fd >= 0);
  CHECK(s.routes[3].rewrite->strip_prefix == "/s");

  snapshot::RouteMatch match;
  const http::HeaderMap none;
  s.route_table.find({.host = "x", .path = "/r", .method = Method::POST, .headers = &none}, match);
  CHECK(match.outcome == snapshot::RouteMatch::Outcome::matched);
  CHECK(match.route == 1);
}

TEST_CASE("what is useless but not wrong is a warning") {
  const auto warnings = [](const std::string& yaml) { return messages_of(compile_text(yaml, "x.yaml").warnings); };
  CHECK(warnings("version: 1\nlisteners: {a: {address: \":80\"}}\n") ==
        "1:1 there are no routes: every request will be answered 404\n");
  CHECK(warnings(with("routes: [{match: {path: /}, respond: {}}]")) ==
        "3:13 no route and no plugin uses the upstream \"app\"\n");
  CHECK(warnings(with_route("{match: {path: /}, upstream: app, limits: {body: 1KiB}}")).empty());
  CHECK(warnings("version: 1\nlisteners: {a: {address: \":80\"}}\n"
                 "upstreams: {app: {endpoints: [\"127.0.0.1:1\"], retry: {on: [timeout]}}}\n"
                 "routes: [{match: {path: /a}, upstream: app}, {match: {path: /a/b}, respond: {}, rewrite: "
                 "{host: x}, strip_prefix: /a}]\n") ==
        "3:13 upstream \"app\": retry.on has \"timeout\", which never happens without retry.per_try\n"
        "4:81 \"rewrite\" has no effect without an upstream\n"
        "4:101 \"strip_prefix\" has no effect without an upstream\n");
}

TEST_CASE("an alias that is wrong is reported once, however often it is used") {
  const auto result = compile_text(
      "version: 1\nlisteners:\n  a: {address: \":80\", timeouts: &t {idle: soon}}\n  b: {address: \":81\", "
      "timeouts: *t}\n",
      "x.yaml");
  CHECK(messages_of(result.errors) == "3:43 idle: \"soon\" is not a duration; write 250ms, 5s or 1m30s\n");
}

TEST_CASE("ten thousand wrong references cost no ten thousand searches for a suggestion") {
  std::string yaml = "version: 1\nlisteners: {a: {address: \":80\"}}\nupstreams:\n";
  for (int i = 0; i < 10'000; ++i)
    yaml += "  upstream-number-" + std::to_string(i) + ": {endpoints: [\"127.0.0.1:1\"]}\n";
  yaml += "routes:\n";
  for (int i = 0; i < 10'000; ++i)
    yaml += "  - {match: {path: /}, upstream: upstream-mumber-" + std::to_string(i) + "}\n";
  const auto result = compile_text(yaml, "x.yaml");
  CHECK(result.errors.size() == 101);
  CHECK(result.errors.back().message == "9900 more errors are not shown");
}

TEST_CASE("a route knows its first upstream without its list of shares") {
  const auto result = compile_text(
      "version: 1\nlisteners: {public: {address: '127.0.0.1:8080'}}\n"
      "upstreams: {a: {endpoints: ['127.0.0.1:1']}, b: {endpoints: ['127.0.0.1:2']}}\n"
      "routes: [{match: {path: /}, upstream: b}, {match: {path: /s}, split: [{upstream: b}, {upstream: a}]}]\n",
      "x.yaml");
  REQUIRE(result.snapshot != nullptr);
  CHECK(result.snapshot->routes[0].first_cluster == 1);
  CHECK(result.snapshot->routes[1].first_cluster == 1);
}
