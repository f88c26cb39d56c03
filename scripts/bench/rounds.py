"""CPU time per request, in interleaved rounds: every round runs each proxy once, in turn, so that whatever the machine does
meanwhile hits all of them; what is reported is the median of the ratios within a round."""

import statistics
import time
from contextlib import ExitStack

from load import Scenario, wrk
from peers import BenchError
from progress import progress, result

SCENARIOS = [
    Scenario("get", "128-byte GET, 64 connections", "/bytes/128", 64, 128, 0.80),
    Scenario("get512", "128-byte GET, 512 connections", "/bytes/128", 512, 128, 0.80),
    Scenario("post", "4 KiB POST, 64 connections", "/bytes/128", 64, 128, 0.80, method="POST", body_bytes=4096),
    Scenario("16k", "16 KiB response, 64 connections", "/bytes/16384", 64, 16384, 0.85),
    Scenario("1m", "1 MiB response, 16 connections", "/bytes/1048576", 16, 1048576, 1.0),
    Scenario("close", "one connection per request, 64 at once", "/bytes/128", 64, 128, 1.0, close=True),
]
TLS = Scenario("tls", "TLS 1.3, 128-byte GET, 64 connections", "/bytes/128", 64, 128, 0.85, tls=True)
ROUTES = Scenario("routes", "1,000 routes, 64 connections", "/bytes/128", 64, 128, 0.0, paths=1000)
ALLOWED_LOG_LOSS = 0.01  # requests whose line is missing: those in flight when wrk ends, no more


class Figure:
    """What one proxy needed in one round."""

    def __init__(self, seconds_of_cpu, requests, seconds):
        self.micros = seconds_of_cpu / requests * 1e6
        self.rate = requests / seconds


def measure(peer, scenario, seconds, core):
    before = peer.cpu_seconds()
    summary = wrk(peer.port_for(scenario), scenario, seconds, core)
    used = peer.cpu_seconds() - before
    return Figure(used, summary["requests"], summary["microseconds"] / 1e6), summary["requests"]


def check_log(peer, requests):
    """Every proxy must have written its line per request, or it did less work than the others."""
    deadline = time.monotonic() + 5
    while (lines := peer.log_lines()) < requests * (1 - ALLOWED_LOG_LOSS):
        if time.monotonic() > deadline:
            raise BenchError(f"{peer.name} logged {lines} lines for {requests} requests")
        time.sleep(0.1)


def run_scenario(peers, scenario, rounds, seconds, core, headers=None):
    """{peer name: [Figure per round]}. `headers`: fields of the requests, by peer name."""
    figures = {peer.name: [] for peer in peers}
    asked = {peer.name: scenario._replace(headers=(headers or {}).get(peer.name, ())) for peer in peers}
    for peer in peers:
        progress(f"{scenario.name}: warming up {peer.name}")
        wrk(peer.port_for(scenario), asked[peer.name], 1, core)
    for number in range(rounds):
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            peer.forget_logs()
            figure, requests = measure(peer, asked[peer.name], seconds, core)
            check_log(peer, requests)
            figures[peer.name].append(figure)
        line = "  ".join(f"{name} {of[-1].micros:.2f} µs" for name, of in figures.items())
        progress(f"{scenario.name}: round {number + 1}/{rounds}  {line}")
    result()
    return figures


def ratio(figures, name, other):
    return statistics.median(a.micros / b.micros for a, b in zip(figures[name], figures[other], strict=True))


def row(scenario, figures):
    """A line of the table; the better peer is the one against which the ratio is worse for Sluice."""
    nginx, haproxy = ratio(figures, "sluice", "nginx"), ratio(figures, "sluice", "haproxy")
    names = ("sluice", "nginx", "haproxy")
    micros = " / ".join(f"{statistics.median(f.micros for f in figures[name]):.1f}" for name in names)
    rates = " / ".join(f"{statistics.median(f.rate for f in figures[name]):,.0f}" for name in names)
    return (
        f"| {scenario.title} | **{max(nginx, haproxy):.2f}** | {scenario.target:.2f} "
        f"| {nginx:.2f} | {haproxy:.2f} | {micros} | {rates} |"
    )


HEADER = """\
| | CPU per request against the better peer | aim | against nginx | against HAProxy | µs of CPU: Sluice / nginx / HAProxy \
| requests/s: Sluice / nginx / HAProxy |
|---|---|---|---|---|---|---|"""


def cpu(bench, only, rounds, seconds):
    """Mode `cpu`: the table against the peers, and the price of 1,000 routes. True if every figure is valid."""
    rows, valid = [], True
    with ExitStack() as running:
        running.enter_context(bench.origin())
        peers = [running.enter_context(peer) for peer in bench.proxies()]
        for scenario in SCENARIOS:
            if only and scenario.name not in only:
                continue
            try:
                rows.append(row(scenario, run_scenario(peers, scenario, rounds, seconds, bench.load_core)))
            except BenchError as error:
                valid = False
                rows.append(f"| {scenario.title} | void: {' '.join(str(error).split())} | | | | | |")
                result(rows[-1])
        if rows:
            result(f"\nMedians of {rounds} interleaved rounds of {seconds} s each; one core for the proxy.\n", HEADER, *rows)
    if not only or ROUTES.name in only:
        valid = routes(bench, rounds, seconds) and valid
    return valid


def routes(bench, rounds, seconds):
    """What 1,000 routes cost over one: the same thousand URLs, matched by one pattern or by one route each."""
    rewrite = 'upstream: origin, rewrite: {path: "/bytes/{n}"}'
    one = '  - {name: all, match: {path: "/{service}/bytes/{n:int}"}, ' + rewrite + "}"
    many = "\n".join(
        f'  - {{name: svc-{i}, match: {{path: "/svc-{i}/bytes/{{n:int}}"}}, {rewrite}}}' for i in range(ROUTES.paths)
    )
    try:
        with ExitStack() as running:
            running.enter_context(bench.origin())
            peers = [
                running.enter_context(bench.sluice("one-route", one)),
                running.enter_context(bench.sluice("1000-routes", many)),
            ]
            figures = run_scenario(peers, ROUTES, rounds, seconds, bench.load_core)
    except BenchError as error:
        result(f"1,000 routes against one: void: {error}")
        return False
    pairs = zip(figures["1000-routes"], figures["one-route"], strict=True)
    more = statistics.median(many.micros - one.micros for many, one in pairs)
    result(f"1,000 routes cost {more:+.2f} µs of CPU per request over one (aim: at most 0.50).")
    return True
