"""The gateway as a service: what it tells the service manager, signals of the operator, users, files, limits."""

import contextlib
import ctypes
import grp
import os
import pwd
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import BINARY, DEADLINE, OK, SANITIZER, RawOrigin, Sluice, answering, proxy_config, proxying, wait_until
from harness.gateway import LIBC

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = pwd.getpwnam("nobody")
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17  # <sys/ptrace.h>
WALL = 0x40000000  # __WALL: threads too
PR_SET_MDWE, PR_GET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 66, 1  # <linux/prctl.h>


class ServiceManager:
    """What systemd is to a service: a datagram socket that NOTIFY_SOCKET names."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sluice-notify-")
        self.path = os.path.join(self.directory.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.directory.cleanup()

    def next(self):
        """The next message, as a dict."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def next_with(self, key):
        deadline = time.monotonic() + DEADLINE
        while key not in (message := self.next()):
            assert time.monotonic() < deadline, f"no {key} was told"
        return message

    def waiting(self):
        """All messages that are there already."""
        messages = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096))
        self.socket.settimeout(DEADLINE)
        return messages


@contextlib.contextmanager
def told(script=None, env=None, **config):
    """A gateway before one origin, and the manager that it tells: yields (manager, gateway, origin)."""
    with ServiceManager() as manager, RawOrigin(script) as origin, \
            Sluice(proxy_config(origin, **config), env={"NOTIFY_SOCKET": manager.path, **(env or {})}) as gateway:
        yield manager, gateway, origin


# --- sd_notify ---
def test_ready_is_told_when_the_listeners_are_open_and_stopping_when_the_end_begins():
    with told(answering(OK)) as (manager, gateway, _):
        first = manager.next()
        assert first["READY"] == "1" and first["STATUS"].startswith("serving 0 connections")
        assert gateway.get("/").status == 200
        gateway.stop()
        assert manager.next_with("STOPPING")["STOPPING"] == "1"
        assert not manager.waiting()


def test_the_status_line_counts_what_is_open_now():
    with told(env={"WATCHDOG_USEC": "40000"}) as (manager, gateway, origin):  # the status comes with every tenth beat
        gateway.client().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        origin.accept()
        wait_until(lambda: manager.next_with("STATUS")["STATUS"] ==
                   "serving 1 connections, 1 requests under way; 1 routes, 1 upstreams, configuration 1", "the connection is in the status")


def test_a_reload_is_told_from_its_beginning_to_its_end():
    with told(answering(OK)) as (manager, gateway, _):
        manager.next_with("READY")
        before = time.monotonic_ns() // 1000
        gateway.process.send_signal(signal.SIGHUP)
        assert before <= int(manager.next_with("RELOADING")["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert manager.next_with("READY")["STATUS"].endswith("configuration 2")


def test_a_reload_that_is_refused_ends_too_and_stays_in_the_status():
    with told(answering(OK)) as (manager, gateway, _):
        (gateway.directory / "sluice.yaml").write_text("nonsense: true")
        gateway.process.send_signal(signal.SIGHUP)
        manager.next_with("RELOADING")
        assert manager.next_with("READY")["STATUS"].endswith("configuration 1; the last reload was refused, see the log")


@contextlib.contextmanager
def thread_stopped(pid, name):
    """Stops one thread of a process for good, as a debugger does."""
    tasks = Path(f"/proc/{pid}/task")
    thread = next(int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name)
    ptrace = LIBC.ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if ptrace(PTRACE_SEIZE, thread, None, None) != 0:
        pytest.skip("this machine does not let a test stop a thread (ptrace)")
    assert ptrace(PTRACE_INTERRUPT, thread, None, None) == 0
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, thread, None, None)


@pytest.mark.workers
@pytest.mark.skipif(SANITIZER == "thread", reason="TSan's own thread stops with the one that is traced")
def test_the_watchdog_is_fed_only_while_every_worker_turns():
    with told(process={"workers": 2}, env={"WATCHDOG_USEC": "200000"}) as (manager, gateway, _):
        for _ in range(3):
            manager.next_with("WATCHDOG")
        with thread_stopped(gateway.process.pid, "worker-1"):
            manager.waiting()
            wait_until(lambda: "worker-1: no stack" in gateway.output(), "the stuck worker is told")
            assert "error worker-1 is stuck: its loop has not turned for 5000 ms" in gateway.output()
            assert manager.waiting().count(b"WATCHDOG=1") <= 1  # the one whose letter was answered before the stop
            gateway.wait_for_metric("sluice_worker_stalls_total", 1)
            assert not manager.waiting()
        manager.next_with("WATCHDOG")
        wait_until(lambda: "worker-1 turns again" in gateway.output(), "that it turns again is told")


def test_the_watchdog_is_left_alone_if_it_waits_for_another_process():
    with told(answering(OK), env={"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}) as (manager, gateway, _):
        assert gateway.get("/").status == 200
        gateway.stop()
        assert b"WATCHDOG=1" not in manager.waiting()


# --- logs ---
def test_sigusr1_reopens_the_access_log_after_a_rotation():
    with proxying(answering(OK)) as (gateway, _):
        gateway.get("/before")
        gateway.access_log()
        old = gateway.log_path.rename(gateway.directory / "access.log.1")
        gateway.process.send_signal(signal.SIGUSR1)
        wait_until(gateway.log_path.exists, "the log is opened anew")
        gateway.get("/after")
        assert [line["path"] for line in gateway.access_log()] == ["/after"]
        assert '"/before"' in old.read_text() and '"/after"' not in old.read_text()


def test_sigusr1_without_an_access_log_does_nothing():
    with proxying(answering(OK), access_log={"format": "off"}) as (gateway, _):
        gateway.process.send_signal(signal.SIGUSR1)
        assert gateway.get("/").status == 200


# --- start ---
def test_the_start_is_reported_in_one_line():
    with proxying(process={"workers": 2}) as (gateway, _):
        line, = re.findall(r"info (sluice .*)", gateway.output())
        assert re.fullmatch(r"sluice \S+ listens on 127\.0\.0\.1:\d+; admin on 127\.0\.0\.1:\d+; 2 workers, 1 routes, "
                            r"1 upstreams; [1-9]\d* MiB of memory; [1-9]\d+ descriptors", line), line


def test_a_limit_of_descriptors_too_low_for_the_configuration_is_told():
    with Sluice({"process": {"max_connections": 300}, "routes": []}, descriptors=512) as gateway:
        assert "warning process.max_connections is 300" in gateway.output() and "the limit is 512" in gateway.output()
    with Sluice({"process": {"max_connections": 200}, "routes": []}, descriptors=512) as gateway:
        assert "process.max_connections" not in gateway.output()


def test_the_pid_file_names_the_process_and_goes_with_it(tmp_path):
    path = tmp_path / "sluice.pid"
    path.write_text("1\n")  # of a process that was killed
    with proxying(process={"pid_file": str(path)}) as (gateway, _):
        assert path.read_text() == f"{gateway.process.pid}\n"
        gateway.stop()
        assert list(tmp_path.iterdir()) == []


def test_a_pid_file_that_another_process_has_written_since_stays(tmp_path):
    path = tmp_path / "sluice.pid"
    with proxying(process={"pid_file": str(path)}) as (gateway, _):
        path.write_text("1\n")
        gateway.stop()
        assert path.read_text() == "1\n"


def refused_start(config):
    """Starts a gateway that cannot start; returns what it said."""
    gateway = Sluice({"access_log": {"format": "off"}, **config})
    with pytest.raises(AssertionError, match="sluice ended with 1") as failure:
        gateway.__enter__()
    return str(failure.value)


def test_a_pid_file_that_cannot_be_written_stops_the_start(tmp_path):
    assert "process.pid_file: /nowhere/x.pid: No such file" in refused_start({"process": {"pid_file": "/nowhere/x.pid"}})


# --- users ---
def identity(pid):
    """{"Uid": ..., "Gid": ..., "Groups": ..., "CapEff": ...} of every thread of a process."""
    wanted = ("Uid", "Gid", "Groups", "CapEff", "CapPrm")
    threads = [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
               for task in Path(f"/proc/{pid}/task").iterdir()]
    return [{key: thread[key].split() for key in wanted} for thread in threads]


@ROOT_ONLY
def test_as_root_every_thread_becomes_the_user_for_good():
    with proxying(answering(OK), process={"user": "nobody", "workers": 2}) as (gateway, _):
        threads = identity(gateway.process.pid)
        assert len(threads) >= 4  # control, two workers, the log's writer
        for thread in threads:
            assert thread["Uid"] == [str(NOBODY.pw_uid)] * 4 and thread["Gid"] == [str(NOBODY.pw_gid)] * 4
            assert thread["Groups"] == [str(NOBODY.pw_gid)]
            assert {int(bits, 16) for bits in thread["CapEff"] + thread["CapPrm"]} == {0}
        assert gateway.get("/").status == 200
        assert gateway.metrics().total("process_open_fds") > 5  # /proc/self can still be read


@ROOT_ONLY
def test_the_group_can_be_another_than_the_users_own():
    with proxying(answering(OK), process={"user": "nobody", "group": "daemon"}) as (gateway, _):
        assert {thread["Gid"][0] for thread in identity(gateway.process.pid)} == {str(grp.getgrnam("daemon").gr_gid)}


@ROOT_ONLY
def test_the_user_can_listen_on_a_port_of_root_and_reopen_the_log():
    with proxying(answering(OK), process={"user": "nobody"}) as (gateway, _):
        os.chmod(gateway.directory, 0o777)
        assert gateway.log_path.stat().st_uid == NOBODY.pw_uid
        gateway.log_path.rename(gateway.directory / "access.log.1")
        gateway.process.send_signal(signal.SIGUSR1)
        wait_until(gateway.log_path.exists, "the log is opened anew")
        gateway.get("/after")
        assert gateway.access_log()[0]["path"] == "/after"


@ROOT_ONLY
@pytest.mark.parametrize("process, error", [
    ({"user": "no-such-user"}, 'process.user: there is no user "no-such-user"'),
    ({"user": "nobody", "group": "no-such-group"}, 'process.group: there is no group "no-such-group"')])
def test_who_does_not_exist_cannot_be_become(process, error):
    assert error in refused_start({"process": process})


@ROOT_ONLY
def test_who_is_not_root_cannot_become_somebody_else():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        os.chmod(config.name, 0o644)
        config.write('version: 1\nprocess: {user: daemon}\nadmin: {listen: off}\naccess_log: off\n'
                     'listeners: {public: {address: "127.0.0.1:0"}}\nroutes: []\n')
        config.flush()
        ended = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", BINARY, "run", "--config",
                                config.name], capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 1 and 'process.user: only root can become "daemon"' in ended.stderr


# --- the unit's sandbox ---
class Hardened(Sluice):
    """Without memory that is writable and executable, as under MemoryDenyWriteExecute=."""

    def _in_child(self):
        super()._in_child()
        LIBC.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


@pytest.mark.skipif(LIBC.prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0, reason="PR_SET_MDWE needs Linux 6.3")
@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers map memory as they like")
def test_expressions_match_without_executable_memory():
    route = {"match": {"path": "/{name:[a-z]+[0-9]{2,3}}"}, "respond": {"status": 200}}
    with Hardened({"routes": [route]}) as gateway:
        assert "rwx" not in Path(f"/proc/{gateway.process.pid}/maps").read_text()
        assert (gateway.get("/abc12").status, gateway.get("/abc1").status) == (200, 404)
    with Sluice({"routes": [route]}) as gateway:  # otherwise this test would show nothing
        assert "rwx" in Path(f"/proc/{gateway.process.pid}/maps").read_text()
