"""Sluice: the real binary under test, started with a configuration, watched, and stopped by its process id.

The configuration is a dict (JSON is YAML). What a test does not say is filled in: loopback addresses on free ports, an
admin listener, a JSON access log, one worker. Leaving the `with` block sends SIGTERM, and the test fails if the
process does not end with 0 or if a sanitizer wrote anything.
"""

import collections
import copy
import ctypes
import fcntl
import functools
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .deadline import DEADLINE, wait_until
from .http2 import Http2Client
from .origin import RawOrigin
from .wire import PeerEnded, RawClient

LIBC = ctypes.CDLL(None)
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
BINARY = os.environ.get("SLUICE_BINARY", "sluice")
SANITIZER = os.environ.get("SLUICE_SANITIZER", "")  # "address,undefined", "thread", or empty
SANITIZER_REPORT = re.compile(r"(Sanitizer|runtime error:|SL_ASSERT)")
METRIC_LINE = re.compile(r'(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)')
# Every gauge counts things that live now, and goes back to 0 with the last of them, but for these, which tell a state:
LASTING_GAUGES = {
    "sluice_build_info",              # always 1
    "sluice_config_generation",       # grows with each reload
    "sluice_workers",                 # as many as configured
    "sluice_dns_addresses",           # what DNS says of the configuration's names
    "sluice_store_available",         # whether each store is there
    "process_start_time_seconds",
    "process_open_fds",               # the listeners' and the loops' own too
    "process_max_fds",
    "process_resident_memory_bytes",
}
POOLED = "sluice_upstream_connections_idle"  # of no exchange: they stay for the next one
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


PORTS_OF_A_PROCESS = 2000
given_ports = collections.deque(maxlen=PORTS_OF_A_PROCESS // 2)
port_locks = []


@functools.cache
def own_ports():
    """The first of PORTS_OF_A_PROCESS ports that no other test process uses while this one lives: a lock on a file says so."""
    folder = Path(tempfile.gettempdir()) / "sluice-test-ports"
    folder.mkdir(exist_ok=True)
    firsts = list(range(10000, 32000, PORTS_OF_A_PROCESS))
    random.shuffle(firsts)
    for first in firsts:
        lock = open(folder / str(first), "w")  # noqa: SIM115 it is held to the end of the process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        port_locks.append(lock)
        return first
    raise AssertionError(f"{len(firsts)} test processes run already")


def free_port():
    """A loopback port below the ephemeral range, so that no outgoing connection can take it before the gateway does. Not one that was
    given out lately, here or in a test process beside this one, since nobody may listen there yet."""
    while True:
        port = own_ports() + random.randrange(PORTS_OF_A_PROCESS)
        if port in given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                given_ports.append(port)
                return port
            except OSError:
                continue


def sluice(*arguments, stdin=None, env=None, cwd=None):
    """Runs the command line to its end; returns the CompletedProcess with text output."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, input=stdin, cwd=cwd,
                          timeout=DEADLINE, env={**os.environ, **(env or {})})


def merged(base, changes):
    """`changes` laid over `base`, dict by dict; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
            continue
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def upstream(*origins, **settings):
    """The configuration of an upstream that consists of these origins (or "host:port" texts)."""
    endpoints = [origin if isinstance(origin, (str, dict)) else origin.endpoint for origin in origins]
    return {"endpoints": endpoints, **settings}


def proxy_config(*origins, upstream_settings=None, route=None, listener=None, **rest):
    """Everything goes to one upstream made of `origins`; `rest` is laid over the whole."""
    return merged({
        "listeners": {"public": listener or {}},
        "upstreams": {"origin": upstream(*origins, **(upstream_settings or {}))},
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "upstream": "origin", **(route or {})}],
    }, rest)


class Metrics(dict):
    """A reading of /metrics: {(name, labels as a frozenset of pairs): value}, and the TYPE of each family."""

    def __init__(self, text):
        super().__init__()
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ", 3)
                self.types[name] = kind
            elif line and not line.startswith("#"):
                match = METRIC_LINE.fullmatch(line)
                assert match, f"not a line of /metrics: {line!r}"
                self[match["name"], frozenset(LABEL.findall(match["labels"] or ""))] = float(match["value"])

    def total(self, name, /, **labels):
        """Sum of the series of that name which carry these labels."""
        wanted = set(labels.items())
        return sum(value for (series, has), value in self.items() if series == name and wanted <= has)


class Successor:
    """The process that a gateway started to take its place: a grandchild, which becomes ours when its parent ends."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def poll(self):
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout=None):
        wait_until(lambda: self.poll() is not None, f"the end of process {self.pid}")
        return self.returncode


class Sluice:
    def __init__(self, config, files=(), descriptors=None, env=None, arguments=(), stdout=None, stderr=None):
        """`stdout` and `stderr`: descriptors in the place of the files that output() reads."""
        self.directory = Path(tempfile.mkdtemp(prefix="sluice-test-"))
        for name, content in dict(files).items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.log_path = self.directory / "access.log"
        self.config = self._completed(config)
        self.descriptors = descriptors
        self.env = {**os.environ, **(env or {})}
        self.arguments = arguments
        self.outputs = {"stdout": stdout, "stderr": stderr}
        self.clients = []
        self.process = None

    def _completed(self, config):
        config = merged({"version": 1, "process": {"workers": 1, "shutdown_grace": "200ms"}, "admin": {}, "listeners": {"public": {}},
                         "access_log": {"path": str(self.log_path), "format": "json"}}, config)
        for section, key in [*((listener, "address") for listener in config["listeners"].values()), (config["admin"], "listen")]:
            if key not in section:
                section[key] = f"127.0.0.1:{free_port()}"
        return config

    # --- life ---
    def __enter__(self):
        path = self.write_config()
        with open(self.directory / "stdout", "wb") as out, open(self.directory / "stderr", "wb") as err:
            self.process = subprocess.Popen([BINARY, "run", "--config", path, *self.arguments], stdin=subprocess.DEVNULL,
                                            stdout=self.outputs["stdout"] or out, stderr=self.outputs["stderr"] or err,
                                            env=self.env, cwd=self.directory, preexec_fn=self._in_child)
        try:
            wait_until(self._ready, "the gateway is ready")
        except BaseException:
            self._kill()
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def write_config(self, **changes):
        """Lays `changes` over the configuration, and puts it in the place of the file at once, as editors do."""
        self.config = self._completed(merged(self.config, changes))
        path = self.directory / "sluice.yaml"
        new = self.directory / "sluice.yaml.new"
        new.write_text(json.dumps(self.config, indent=1))
        return new.replace(path)

    def reload(self, **changes):
        """Writes the changed configuration and has it adopted; returns what the gateway says of it."""
        self.write_config(**changes)
        status, report, _ = self.admin("/reload", "POST")
        report = json.loads(report)
        assert (status == 200) == report["accepted"], (status, report)
        return report

    def begin_upgrade(self):
        """SIGUSR2; returns the new process once it serves, while the old one may still drain."""
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
        serving = re.compile(r"process (\d+) serves")
        before = len(serving.findall(self.output()))
        self.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: len(serving.findall(self.output())) > before, "the new process serves")
        return Successor(int(serving.findall(self.output())[-1]))

    def upgrade(self):
        """Has a new process take over, and waits until the old one has ended."""
        successor = self.begin_upgrade()
        assert self.process.wait(DEADLINE) == 0, self.output()
        self.process = successor

    def _in_child(self):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test run that is killed leaves no gateway behind
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def _ready(self):
        assert self.process.poll() is None, f"sluice ended with {self.process.returncode}:\n{self.output()}"
        try:
            if self.config["admin"]["listen"] != "off":
                return self.admin("/readyz")[0] == 200
            RawClient(self.address()).close()
            return True
        except (OSError, PeerEnded):  # it may end while it starts
            return False

    def __exit__(self, kind, *_):
        for client in self.clients:
            client.close()
        try:
            if self.process.returncode is None:
                self.stop()
            assert not SANITIZER_REPORT.search(self.output()), self.output()
        except BaseException:
            if kind is None:
                raise
        finally:
            self._kill()
            if kind is not None:
                print(f"--- what sluice wrote ---\n{self.output()[-4000:]}")
                if self.log_path.exists():
                    print(f"--- its access log ---\n{self.log_path.read_text()[-2000:]}")
            shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self, number=signal.SIGTERM):
        """Ends the gateway by a signal and checks that it ends well."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        assert code == 0, f"exit code {code}:\n{self.output()}"

    @contextmanager
    def stopped(self):
        """What peers do inside, the gateway sees all at once behind it."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # a signal only asks: a worker may run on for a while
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def output(self):
        return "".join((self.directory / name).read_text(errors="replace") for name in ("stdout", "stderr"))

    # --- talking to it ---
    def address(self, listener="public"):
        return self.config["listeners"][listener]["address"]

    def client(self, listener="public", **options):
        """A new connection, closed at the latest with the gateway."""
        self.clients.append(RawClient(self.address(listener), **options))
        return self.clients[-1]

    def http2(self, listener="public", **options):
        """The same for HTTP/2, by prior knowledge or, with `tls`, by ALPN."""
        self.clients.append(Http2Client(self.address(listener), **options))
        return self.clients[-1]

    def ask(self, method, path, headers=(), body=None, **options):
        """One request on a connection of its own."""
        with RawClient(self.address()) as client:
            return client.ask(method, path, headers, body, **options)

    def get(self, path, headers=(), **options):
        return self.ask("GET", path, headers, **options)

    # --- what it says about itself ---
    def admin(self, path, method="GET", headers=None, at=None):
        """(status, body as text, the answer itself) of a request to the admin listener."""
        with RawClient(at or self.config["admin"]["listen"]) as client:
            answer = client.ask(method, path, headers or {}, host="localhost")
            return answer.status, answer.body.decode(), answer

    def metrics(self):
        return Metrics(self.admin("/metrics")[1])

    def stats(self):
        return json.loads(self.admin("/stats")[1])

    def access_log(self, count=1):
        """The lines of the access log as objects, once there are at least `count`."""

        def lines():
            text = self.log_path.read_bytes() if self.log_path.exists() else b""
            found = text.split(b"\n")[:-1]  # what follows the last line end is still being written
            return found if len(found) >= count else None

        return [json.loads(line) for line in wait_until(lines, f"{count} lines in the access log")]

    def logged(self, **values):
        """The first line of the access log with these values, once it is there."""

        def line():
            return next((entry for entry in self.access_log(0) if values.items() <= entry.items()), None)

        return wait_until(line, f"a line with {values} in the access log")

    def wait_for_metric(self, name, value, /, **labels):
        wait_until(lambda: self.metrics().total(name, **labels) == value, f"{name}{labels} is {value}")

    def wait_until_full(self):
        """Waits until the gateway reads no more of what its clients send."""
        seen = [-1]

        def same():
            seen.append(self.metrics().total("sluice_downstream_received_bytes_total"))
            return seen[-1] == seen[-2]

        wait_until(same, "the gateway has read what it wants")

    def wait_gauges_zero(self, pooled=False):
        """Nothing is in flight any more: every connection, request and tunnel that was counted in was counted out. With
        `pooled` no connection to an upstream is left either."""
        for client in self.clients:
            client.close()

        def busy():
            return self.busy_gauges(pooled)

        wait_until(lambda: not busy(), lambda: f"gauges of work in flight at 0: {busy()}")

    def busy_gauges(self, pooled=False):
        """Gauges of things that live now and are not at 0, by the types that /metrics tells: a new gauge is among them."""
        metrics = self.metrics()
        return {(name, *sorted(labels)): value for (name, labels), value in metrics.items()
                if metrics.types.get(name) == "gauge" and value != 0 and name not in LASTING_GAUGES
                and (pooled or name != POOLED)}

    def rss_bytes(self):
        return self._memory("VmRSS")

    def peak_rss_bytes(self):
        return self._memory("VmHWM")

    def _memory(self, which):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def assert_problem(answer, status, reason):
    """The answer is the gateway's own, for this reason; returns the problem+json document."""
    assert answer.status == status, (answer.first_line, answer.body)
    assert answer.get("content-type") == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["status"], problem["reason"]) == (status, reason)
    return problem


@contextmanager
def proxying(script=None, **config):
    """A gateway before one origin: yields (gateway, origin). `config` as proxy_config takes it."""
    with RawOrigin(script) as origin, Sluice(proxy_config(origin, **config)) as gateway:
        yield gateway, origin
