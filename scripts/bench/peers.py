"""The programs that take part in a benchmark: how each is configured, started on a free loopback port, pinned, measured
and stopped. A Peer owns its process and its folder; leaving its `with` block ends the process by its id."""

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SLUICE = os.environ.get("SLUICE", str(ROOT / "build" / "release" / "sluice"))
START_SECONDS = 60  # valgrind is slow to start
STOP_SECONDS = 30


class BenchError(Exception):
    """Something that makes a figure impossible; the text is for the user."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of(pid):
    """`pid` and all its descendants."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += processes_of(int(child))
    return found


def cpu_seconds(pid):
    """User and system time of all threads of a process and of its descendants, in seconds. Asks each process's CPU clock
    (see clock_getcpuclockid(3)), which counts nanoseconds where /proc/PID/stat counts hundredths of a second."""
    return sum(time.clock_gettime((~process << 3) | 2) for process in processes_of(pid))


def memory_kib(pid, field):
    """A line of smaps_rollup, such as "Rss" or "Private_Dirty", summed over a process and its descendants, in KiB."""
    total = 0
    for process in processes_of(pid):
        for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return total


class Peer:
    """One running program. `name` is what tables call it; `wrapper` is put before its command, e.g. valgrind."""

    def __init__(self, name, command, port, folder, core, wrapper=(), tls_port=0):
        self.name = name
        self.port = port
        self.tls_port = tls_port
        self.folder = folder
        self.command = [*wrapper, *command]
        self.core = core
        self.process = None

    def __enter__(self):
        # Append mode, so that truncating a log between rounds really shortens it.
        with open(self.folder / "stdout", "ab") as out, open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                self.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, preexec_fn=self._pin, cwd=self.folder
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchError(f"{self.name} did not start:\n  {' '.join(self.command)}\n{self.tail()}")
            time.sleep(0.02)
        return self

    def __exit__(self, kind, error, trace):
        died = self.process and self.process.poll()
        self.stop()
        if died is not None:
            raise BenchError(f"{self.name} ended by itself with status {died}:\n{self.tail()}") from error

    def _pin(self):
        os.sched_setaffinity(0, {self.core})

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS).close()
            return True
        except ConnectionError:
            return False

    def stop(self):
        """Asks it to end, waits, and insists after a while."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def tail(self):
        """The end of what it printed, for error messages."""
        return "".join((self.folder / name).read_text(errors="replace")[-2000:] for name in ("stdout", "stderr"))

    def forget_logs(self):
        for name in ("access.log", "stdout"):
            if (self.folder / name).exists():
                os.truncate(self.folder / name, 0)

    def log_lines(self):
        return sum(
            (self.folder / name).read_bytes().count(b"\n") for name in ("access.log", "stdout") if (self.folder / name).exists()
        )

    def port_for(self, scenario):
        return self.tls_port if scenario.tls else self.port

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def memory_kib(self, field):
        return memory_kib(self.process.pid, field)


def descriptors():
    """How many connections a peer may be told to hold: the hard limit of this shell, within reason."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)


def configure(folder, template, out, **values):
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name.upper()}@", str(value))
    (folder / out).write_text(text)
    return str(folder / out)


def make_certificate(folder):
    """cert.pem, key.pem and both.pem: what all peers show to clients of their second port."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    done = subprocess.run(command + names + files, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"no certificate could be made: {done.stderr}")
    (folder / "both.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())


class Bench:
    """What all modes share: a folder for everything that the peers write, the cores, and the origin behind them."""

    def __init__(self, folder, proxy_core, load_core):
        self.folder = pathlib.Path(folder)
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.origin_port = free_port()
        self.slow_port = free_port()
        self.http2_port = free_port()
        self.plugin_dir = f"{SLUICE.rsplit('/', 1)[0]}/plugins"
        self.certificate = self._folder("certificate")
        make_certificate(self.certificate)

    def origin(self):
        folder = self._folder("origin")
        command = [SLUICE, "origin", "--listen", f"127.0.0.1:{self.origin_port}"]
        return Peer("origin", command, self.origin_port, folder, self.load_core)

    def http2_origin(self):
        """Answers /http2 with 128 bytes, over HTTP/2 in the clear."""
        folder = self._folder("http2-origin")
        config = configure(folder, "http2_origin.yaml.in", "sluice.yaml", port=self.http2_port, admin=free_port(), body="x" * 128)
        return Peer("http2-origin", [SLUICE, "run", "--config", config], self.http2_port, folder, self.load_core)

    def sluice(self, name="sluice", routes=None, wrapper=(), more=""):
        """`routes`: lines of YAML that replace the one route to the origin; `more`: whole sections."""
        folder, port, tls_port = self._folder(name), free_port(), free_port()
        routes = routes or '  - {name: bytes, match: {path: "/bytes/{n:int}"}, upstream: origin}'
        config = configure(
            folder, "sluice.yaml.in", "sluice.yaml",
            dir=folder, port=port, admin=free_port(), origin=self.origin_port, slow=self.slow_port, http2=self.http2_port, routes=routes, more=more,
            plugin_dir=self.plugin_dir, tls_port=tls_port, certificate=self.certificate,
        )  # fmt: skip
        return Peer(name, [SLUICE, "run", "--config", config], port, folder, self.proxy_core, wrapper, tls_port)

    def nginx(self, wrapper=()):
        """Under a wrapper nginx runs as one process, so that the wrapper sees the one that works."""
        folder, port, tls_port = self._folder("nginx"), free_port(), free_port()
        config = configure(
            folder, "nginx.conf.in", "nginx.conf",
            dir=folder, port=port, origin=self.origin_port, slow=self.slow_port, http2=self.http2_port,
            descriptors=descriptors(), master="off" if wrapper else "on", tls_port=tls_port, certificate=self.certificate,
        )  # fmt: skip
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        command = [program, "-p", str(folder), "-c", config, "-e", str(folder / "nginx-error.log")]
        return Peer("nginx", command, port, folder, self.proxy_core, wrapper, tls_port)

    def haproxy(self, wrapper=()):
        folder, port, tls_port = self._folder("haproxy"), free_port(), free_port()
        config = configure(
            folder, "haproxy.cfg.in", "haproxy.cfg", port=port, origin=self.origin_port, slow=self.slow_port, http2=self.http2_port,
            tls_port=tls_port, certificate=self.certificate,
        )  # fmt: skip
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        return Peer("haproxy", [program, "-f", config], port, folder, self.proxy_core, wrapper, tls_port)

    def proxies(self, wrapper=()):
        """The three that are compared."""
        return [self.sluice(wrapper=wrapper), self.nginx(wrapper=wrapper), self.haproxy(wrapper=wrapper)]

    def _folder(self, name):
        path = self.folder / name
        path.mkdir(mode=0o755, exist_ok=True)
        return path
