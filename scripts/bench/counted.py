"""Figures that are counted, not timed, and so are the same on a noisy machine: user instructions and system calls."""

import re
import signal
import subprocess
import time
from contextlib import ExitStack

from load import Client
from peers import BenchError, processes_of
from progress import progress, result
from rounds import SCENARIOS, TLS

CONNECTIONS = 16


def instructions(bench, only, requests):
    """Mode `instructions`: user instructions per keep-alive request under callgrind: a run with 2N requests minus one
    with N, so that start, connections and first-time work cancel out."""
    chosen = [s for s in [*SCENARIOS, TLS] if not s.close and (s.name in only if only else s.name in ("get", "post"))]
    rows = ["| user instructions per request | Sluice | nginx | HAProxy |", "|---|---|---|---|"]
    for scenario in chosen:
        cells = []
        for make in (bench.sluice, bench.nginx, bench.haproxy):
            few = _instructions_of_run(bench, make, scenario, requests)
            many = _instructions_of_run(bench, make, scenario, 2 * requests)
            cells.append(f"{(many - few) / requests:,.0f}")
        rows.append(f"| {scenario.title.split(',')[0]} | {' | '.join(cells)} |")
    result(*rows)
    return True


def _instructions_of_run(bench, make, scenario, requests):
    out = bench.folder / "callgrind.out"
    wrapper = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
    with ExitStack() as running:
        running.enter_context(bench.origin())
        peer = running.enter_context(make(wrapper=wrapper))
        progress(f"{scenario.name}: {peer.name}, {requests} requests under callgrind")
        with Client(peer.port_for(scenario), scenario, CONNECTIONS) as client:
            client.run(requests)
        peer.stop()
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(errors="replace"), re.MULTILINE)
    if not found:
        raise BenchError(f"callgrind counted nothing for {peer.name}:\n{peer.tail()}")
    return int(found.group(1))


def syscalls(bench, only, requests):
    """Mode `syscalls`: system calls per request, by name, while requests come in waves over keep-alive connections."""
    scenario = next(s for s in [*SCENARIOS, TLS] if s.name == (only[0] if only else "get"))
    with ExitStack() as running:
        running.enter_context(bench.origin())
        for peer in [running.enter_context(peer) for peer in bench.proxies()]:
            with Client(peer.port_for(scenario), scenario, scenario.connections) as client:
                client.run(10 * scenario.connections)
                counts = _trace(bench, peer, lambda: client.run(requests))
            total = sum(counts.values()) / requests
            most = sorted(counts.items(), key=lambda item: -item[1])
            parts = ", ".join(f"{name} {count / requests:.2f}" for name, count in most if count / requests >= 0.01)
            result(f"{peer.name}: {total:.2f} system calls per request ({parts})")
    return True


def _trace(bench, peer, load):
    """{system call: count} of all of the peer's threads while `load` runs."""
    out = bench.folder / "strace.out"
    pids = [word for pid in processes_of(peer.process.pid) for word in ("-p", str(pid))]
    strace = subprocess.Popen(["strace", "-f", "-c", "-o", str(out), *pids], stderr=subprocess.PIPE, text=True)
    for _ in range(len(pids) // 2):
        if "attached" not in strace.stderr.readline():
            raise BenchError("strace may not attach here (ptrace is needed)")
    time.sleep(0.5)  # strace says that it attached to a process before it has all of its threads
    load()
    strace.send_signal(signal.SIGINT)
    strace.communicate()
    counts = {}
    for line in out.read_text().splitlines():
        columns = line.split()
        if len(columns) >= 5 and columns[3].isdigit() and columns[-1] != "total":
            counts[columns[-1]] = int(columns[3])
    return counts
