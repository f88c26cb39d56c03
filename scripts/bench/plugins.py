"""What plugins cost: CPU time per request with each against none, in interleaved rounds; a token that is remembered against one that
is verified; and how exactly two gateways keep one limit that they share in Redis."""

import base64
import hashlib
import hmac
import http.server
import json
import statistics
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

from load import Client, Scenario, wrk
from peers import SLUICE, BenchError, Peer, free_port
from progress import progress, result
from rounds import run_scenario

BUILD = SLUICE.rsplit("/", 1)[0]
SECRET = b"a secret of 32 bytes for a bench"
GET = Scenario("get", "128-byte GET, 64 connections", "/bytes/128", 64, 128, 0.0)
RATE, SECONDS = 2000, 10  # of the shared limit


class Variant:
    """A gateway with these plugins (lines of YAML), and what it is expected to cost over one without."""

    def __init__(self, name, aim, names, plugins):
        self.name, self.aim, self.names, self.plugins = name, aim, names, plugins


JWT = '  jwt: {module: jwt, config: {keys: [{secret_file: "@DIR@/secret", algorithms: [HS256]}], claims_to_headers: {sub: X-User}}}'
SESSION = "  session: {module: session, config: {on_missing: reject, cookie: {name: sid, secure: false}}}"
LIMIT = "  limit: {module: ratelimit, config: {requests: 1000000000, key: client}}"
LOGIN = "  login: {module: session, config: {on_missing: anonymous, cookie: {name: sid, secure: false}}}"
VARIANTS = [
    Variant("five that do nothing", "ratio 1.02", [f"n{i}" for i in range(5)], [f"  n{i}: {{module: nothing}}" for i in range(5)]),
    Variant("jwt, remembered", "+3 µs", ["jwt"], [JWT]),
    Variant("session, memory", "", ["session"], [SESSION]),
    Variant("ratelimit, memory", "", ["limit"], [LIMIT]),
    Variant("jwt, session, ratelimit", "ratio 1.10", ["jwt", "session", "limit"], [JWT, SESSION, LIMIT]),
]


def token():
    """A token that lives for an hour, signed with SECRET."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"sub": "bench", "exp": int(time.time()) + 3600}
    text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.digest(SECRET, text, hashlib.sha256))).decode()


class Login(http.server.BaseHTTPRequestHandler):
    """The application that begins a session."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("X-Session-Create", "bench")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def login_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cookie_of(peer):
    """The cookie of a session that the login server had begun."""
    with Client(peer.port, GET, 1) as client:
        client.sockets[0].sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = client.sockets[0].recv(65536).decode()
    for line in head.split("\r\n"):
        if line.lower().startswith("set-cookie: sid="):
            return line.split(" ", 1)[1].split(";")[0]
    raise BenchError(f"no session was begun:\n{head}")


def gateway(bench, variant, login_port):
    """A gateway with the variant's plugins on the measured route (none: variant is None)."""
    name = variant.name if variant else "none"
    folder = bench.folder / name
    folder.mkdir(mode=0o755, exist_ok=True)
    (folder / "secret").write_bytes(SECRET)
    names = ", ".join(variant.names) if variant else ""
    routes = f'  - {{name: bytes, match: {{path: "/bytes/{{n:int}}"}}, upstream: origin, plugins: [{names}]}}'
    more = ""
    if variant:
        asks = "session" in variant.names
        routes += '\n  - {name: login, match: {path: "/login"}, upstream: slow, plugins: [login]}' if asks else ""
        plugins = variant.plugins + ([LOGIN] if asks else [])
        more = "stores: {default: {type: memory}}\nplugins:\n" + "\n".join(plugins).replace("@DIR@", str(folder))
    bench.slow_port = login_port
    bench.plugin_dir = f"{BUILD}/tests/plugins"
    return bench.sluice(name, routes, more=more)


def cost(bench, rounds, seconds):
    """The table. True if every figure is valid."""
    rows = ["| plugins | CPU per request against none | more, µs | aim |", "|---|---|---|---|"]
    with ExitStack() as running:
        running.enter_context(bench.origin())
        login_port = running.enter_context(login_server())
        peers = [running.enter_context(gateway(bench, variant, login_port)) for variant in [None, *VARIANTS]]
        headers = [("Authorization", f"Bearer {token()}")]
        fields = {peer.name: tuple(headers) for peer in peers}
        for peer, variant in zip(peers[1:], VARIANTS, strict=True):
            if "session" in variant.names:
                fields[peer.name] = (*headers, ("Cookie", cookie_of(peer)))
        figures = run_scenario(peers, GET, rounds, seconds, bench.load_core, fields)
    none = figures["none"]
    for variant in VARIANTS:
        pairs = list(zip(figures[variant.name], none, strict=True))
        ratio = statistics.median(with_it.micros / without.micros for with_it, without in pairs)
        more = statistics.median(with_it.micros - without.micros for with_it, without in pairs)
        rows.append(f"| {variant.name} | **{ratio:.2f}** | {more:+.2f} | {variant.aim} |")
    base = statistics.median(figure.micros for figure in none)
    result(f"\nMedians of {rounds} interleaved rounds of {seconds} s each; without plugins {base:.1f} µs per request.\n", *rows)
    return True


def tokens(_bench):
    """What a token costs that is verified, and one that is remembered."""
    progress("jwt: tokens verified and remembered")
    done = subprocess.run([f"{BUILD}/tests/bench/bench_jwt"], capture_output=True, text=True, check=False)
    result("\n" + done.stdout.strip())
    return done.returncode == 0


def shared_limit(bench):
    """Two gateways, one limit in Redis: how much passes in SECONDS of far too many requests."""
    port = free_port()
    folder = bench.folder / "redis"
    folder.mkdir(exist_ok=True)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    limit = f"  limit: {{module: ratelimit, config: {{requests: {RATE}, burst: {RATE // 20}, key: all, on_store_error: closed}}}}"
    more = f'stores: {{default: {{type: redis, address: ["127.0.0.1:{port}"]}}}}\nplugins:\n{limit}'
    routes = "  - {name: limited, match: {path: /limited}, respond: {body: passed}, plugins: [limit]}"
    scenario = GET._replace(path="/limited", connections=16)
    with ExitStack() as running:
        running.enter_context(Peer("redis", command, port, folder, bench.load_core))
        bench.plugin_dir = f"{BUILD}/plugins"
        peers = [running.enter_context(bench.sluice(f"limited-{i}", routes, more=more)) for i in range(2)]
        progress(f"ratelimit: {RATE} requests/s from two gateways over Redis, for {SECONDS} s")
        began = time.monotonic()
        outs = [None, None]

        def load(number):
            outs[number] = wrk(peers[number].port, scenario, SECONDS, bench.load_core, refused=True)

        threads = [threading.Thread(target=load, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent = time.monotonic() - began
    if None in outs:
        raise BenchError("a load did not end well")
    passed = sum(out["requests"] - out["status"] for out in outs)
    seconds = max(out["microseconds"] for out in outs) / 1e6
    off = passed / (RATE * seconds) - 1
    result(f"ratelimit over Redis from two gateways: {passed:,} passed in {seconds:.2f} s (of {spent:.1f}), {off:+.1%} of {RATE}/s (aim: within 2 %)")
    return True


def plugins(bench, rounds, seconds):
    """Mode `plugins`."""
    return all([cost(bench, rounds, seconds), tokens(bench), shared_limit(bench)])
