"""Sluice against nginx and HAProxy. Started by scripts/bench.sh, which says what can be asked; see rounds.py, counted.py and
memory.py for how each figure is made and peers.py for how the proxies are set up."""

import argparse
import os
import resource
import signal
import sys
import tempfile

import counted
import http2
import memory
import plugins
import rounds
import tls
from peers import Bench, BenchError

MODES = ["cpu", "instructions", "syscalls", "idle", "memory", "plugins", "tls", "h2", "all"]


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh",
        description="Measures Sluice against nginx and HAProxy: one core for the proxy, the other for load and origin.",
        epilog="scenarios: " + ", ".join([s.name for s in rounds.SCENARIOS] + [rounds.TLS.name, rounds.ROUTES.name])
        + ".  Example: scripts/bench.sh cpu --only get --rounds 3",
    )  # fmt: skip
    parser.add_argument("mode", nargs="?", default="cpu", choices=MODES, help="what to measure (default: cpu)")
    parser.add_argument("--only", action="append", help="one scenario; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="cpu, plugins, tls, h2: interleaved rounds (default: 5)")
    parser.add_argument("--seconds", type=int, default=3, help="cpu, plugins, tls, h2: length of each run (default: 3)")
    parser.add_argument("--requests", type=int, default=6400, help="instructions, syscalls: requests counted (default: 6400)")
    parser.add_argument("--connections", type=int, default=10000, help="idle: connections held (default: 10000)")
    parser.add_argument("--proxy-core", type=int, default=1, help="CPU for the proxy under test (default: 1)")
    parser.add_argument("--load-core", type=int, default=0, help="CPU for wrk and the origin (default: 0)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep configurations and logs in this existing, empty folder")
    asked = parser.parse_args()
    known = {s.name for s in rounds.SCENARIOS} | {rounds.TLS.name, rounds.ROUTES.name}
    for name in asked.only or []:
        if name not in known:
            parser.error(f"there is no scenario '{name}'")
    return asked


def run(asked, folder):
    bench = Bench(folder, asked.proxy_core, asked.load_core)
    modes = {
        "cpu": lambda: rounds.cpu(bench, asked.only, asked.rounds, asked.seconds),
        "instructions": lambda: counted.instructions(bench, asked.only, asked.requests),
        "syscalls": lambda: counted.syscalls(bench, asked.only, asked.requests),
        "idle": lambda: memory.idle(bench, asked.connections),
        "memory": lambda: memory.large(bench),
        "plugins": lambda: plugins.plugins(bench, asked.rounds, asked.seconds),
        "tls": lambda: tls.tls(bench, asked.rounds, asked.seconds),
        "h2": lambda: http2.http2(bench, asked.rounds, asked.seconds),
    }
    valid = True
    for name in modes if asked.mode == "all" else [asked.mode]:
        print(f"\n== {name}", flush=True)
        valid = modes[name]() and valid
    return valid


def main():
    asked = arguments()
    if not {asked.proxy_core, asked.load_core} <= os.sched_getaffinity(0) or asked.proxy_core == asked.load_core:
        sys.exit("bench: two CPUs are needed, one for the proxy and one for the load (--proxy-core, --load-core)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `with` ends what it started
    os.sched_setaffinity(0, {asked.load_core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by all that is started
    try:
        if asked.keep:
            return 0 if run(asked, asked.keep) else 1
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            os.chmod(folder, 0o755)  # nginx's worker may run as another user
            return 0 if run(asked, folder) else 1
    except BenchError as error:
        sys.exit(f"\nbench: {error}")


if __name__ == "__main__":
    sys.exit(main())
