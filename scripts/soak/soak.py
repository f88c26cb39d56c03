"""The soak test behind scripts/soak.sh: see there."""

import argparse
import asyncio
import os
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "scripts/bench")]

from clients import KINDS, Client  # noqa: E402
from harness import BINARY, Sluice, free_port, proxy_config  # noqa: E402
from progress import progress, result  # noqa: E402

WARM_UP = 10  # seconds after which memory and descriptors are taken as the measure


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak.sh", description="A mixed load with reloads, upgrades and resets.")
    parser.add_argument("--seconds", type=int, default=600, help="how long (default: 600)")
    parser.add_argument("--clients", type=int, default=64, help="keep-alive clients beside the others (default: 64)")
    parser.add_argument("--reload-every", type=float, default=1.0, help="seconds between two reloads; 0: none (default: 1)")
    parser.add_argument("--upgrade-every", type=float, default=60.0, help="seconds between two upgrades; 0: none (default: 60)")
    parser.add_argument("--routes", type=int, default=1000, help="routes of the configuration (default: 1000)")
    return parser.parse_args()


def configuration(origin, routes, port):
    """What the load uses stays; what it does not use changes with every reload."""
    extra = [{"name": f"extra-{i}", "match": {"path": f"/extra/{i}/{{id:int}}"}, "respond": {"body": "x"}}
             for i in range(routes)]
    return proxy_config(
        origin,
        process={"workers": 2, "shutdown_grace": "20s"},
        listeners={"public": {"address": f"127.0.0.1:{port}"}},
        upstreams={"changing": {"endpoints": [origin]}},
        routes=[{"name": "changing", "match": {"path": "/status/{rest...}"}, "upstream": "changing"}, *extra,
                {"name": "all", "match": {"path": "/{rest...}"}, "upstream": "origin"}],
    )  # fmt: skip


class Soak:
    def __init__(self, asked, gateway):
        self.asked = asked
        self.gateway = gateway
        self.began = time.monotonic()
        self.reloads = self.upgrades = self.refused = 0
        self.warm = None  # (descriptors, resident bytes) once warm
        self.clients = [Client(gateway.config["listeners"]["public"]["address"], kind)
                        for kind, count in self.mix() for _ in range(count)]

    def mix(self):
        others = max(1, self.asked.clients // 16)
        return [(kind, self.asked.clients if kind == "keep" else others) for kind in KINDS]

    @property
    def elapsed(self):
        return time.monotonic() - self.began

    async def run(self):
        working = [asyncio.create_task(client.run()) for client in self.clients]
        keeping = [asyncio.create_task(self.every(self.asked.reload_every, self.reload)),
                   asyncio.create_task(self.every(self.asked.upgrade_every, self.upgrade)),
                   asyncio.create_task(self.every(5, self.report))]
        await asyncio.sleep(self.asked.seconds)
        for task in keeping:
            task.cancel()
        for client in self.clients:
            client.stopping = True
        await asyncio.wait_for(asyncio.gather(*working), 60)

    async def every(self, seconds, action):
        while seconds > 0:
            await asyncio.sleep(seconds)
            await action()

    async def reload(self):
        changes = {"upstreams": {"changing": {"pool": {"max_idle": random.randint(1, 64)}}},
                   "listeners": {"extra": None if self.reloads % 2 else {"address": f"127.0.0.1:{free_port()}"}}}
        report = await asyncio.to_thread(self.gateway.reload, **changes)
        self.reloads += 1
        self.refused += not report["accepted"]

    async def upgrade(self):
        successor = await asyncio.to_thread(self.gateway.begin_upgrade)
        await asyncio.to_thread(self.gateway.process.wait, 60)
        self.gateway.process = successor
        self.upgrades += 1
        self.warm = None  # another process, another measure

    async def report(self):
        if self.warm is None and self.elapsed >= WARM_UP:
            self.warm = (self.gateway.open_descriptors(), self.gateway.rss_bytes())
        progress(f"{self.elapsed:5.0f} s  {self.requests:>9,} requests  {len(self.failures)} failed  "
                 f"{self.reloads} reloads  {self.upgrades} upgrades  {self.gateway.open_descriptors()} descriptors  "
                 f"{self.gateway.rss_bytes() >> 20} MiB")

    @property
    def requests(self):
        return sum(client.answered for client in self.clients)

    @property
    def failures(self):
        return [f"{client.kind}: {failure}" for client in self.clients for failure in client.failures]

    def verdict(self):
        """Rows of (what, figure, whether it is well)."""
        self.gateway.wait_gauges_zero()
        slowest = max(client.slowest for client in self.clients if client.kind == "keep")
        rows = [("requests answered", f"{self.requests:,}", self.requests > 0),
                ("requests lost", len(self.failures), not self.failures),
                ("reloads, refused", f"{self.reloads}, {self.refused}", self.refused == 0),
                ("upgrades", self.upgrades, True),
                ("slowest answer to a keep-alive client", f"{slowest * 1000:.1f} ms", True),
                ("gauges of work under way", "all 0", True)]
        if self.warm:
            descriptors, resident = self.gateway.open_descriptors(), self.gateway.rss_bytes()
            rows.append(("descriptors, warm and at the end", f"{self.warm[0]}, {descriptors}", descriptors <= self.warm[0]))
            rows.append(("resident MiB, warm and at the end", f"{self.warm[1] >> 20}, {resident >> 20}",
                         resident <= self.warm[1] * 1.05 + (4 << 20)))
        return rows


def main():
    asked = arguments()
    port = free_port()
    origin_address = f"127.0.0.1:{free_port()}"
    origin = subprocess.Popen([BINARY, "origin", "--listen", origin_address], stdout=subprocess.PIPE)
    try:
        origin.stdout.readline()
        with Sluice(configuration(origin_address, asked.routes, port)) as gateway:
            soak = Soak(asked, gateway)
            asyncio.run(soak.run())
            rows = soak.verdict()
            result(*(f"{'ok  ' if well else 'BAD '} {what:<40} {figure}" for what, figure, well in rows))
            for failure in soak.failures[:20]:
                print(f"     {failure}")
            return 0 if all(well for _, _, well in rows) else 1
    finally:
        origin.terminate()
        origin.wait()


if __name__ == "__main__":
    os.environ.setdefault("SLUICE_TEST_SLOW", "4")
    sys.exit(main())
