"""What is installed: the Debian package, the units, the manual, `scripts/install.sh`; run under Debian's own systemd."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import BINARY, OK, SANITIZER, answering, proxying, wait_until
from harness.machine import Machine

SOURCE = Path(os.environ.get("SLUICE_SOURCE_DIR", Path(__file__).parents[2]))
SYSTEMD = SOURCE / "systemd"
BUILD = Path(BINARY).resolve().parent
CONFFILES = ["/etc/sluice/sluice.yaml", "/etc/logrotate.d/sluice"]
MANUALS = sorted(path.parent.name for path in (SOURCE / "plugins").glob("*/README.md"))
# What there is of plugins below the prefix: modules, manuals, and what to build one's own with.
OF_PLUGINS = {*(f"lib/sluice/plugins/sluice_{name}.so" for name in MANUALS), "share/doc/sluice/plugins/README.md",
              *(f"share/doc/sluice/plugins/{name}/README.md" for name in MANUALS), "include/sluice/abi.h", "include/sluice/sdk.hpp"}


def tools(*names):
    """Skips a test on a machine that lacks one of these."""
    absent = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, **options)


def output(*command, **options):
    ended = run(*command, **options)
    assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


# --- files ---
@tools("systemd-analyze")
def test_the_sandbox_is_tight():
    told = output("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", SYSTEMD / "sluice.service")
    exposure = re.search(r"Overall exposure level for sluice.service: ([\d.]+)", told)
    assert float(exposure[1]) <= 2.0


@tools("groff")
def test_the_manual_is_sound_roff():
    ended = run("groff", "-man", "-Tutf8", "-ww", SOURCE / "docs" / "sluice.8")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "SLUICE(8)" in ended.stdout


def make_root(folder):
    """A folder with the accounts that systemd's tools want to find in a root."""
    (folder / "etc").mkdir()
    (folder / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (folder / "etc" / "group").write_text("root:x:0:\nadm:x:4:\n")


@tools("systemd-sysusers", "systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_the_user_and_its_folders_are_made(tmp_path):
    make_root(tmp_path)
    output("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "sluice.sysusers")
    user, = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("sluice:")]
    uid, gid = map(int, user.split(":")[2:4])
    assert user.endswith(":/usr/sbin/nologin")
    (tmp_path / "etc/sluice").mkdir()
    output("systemd-tmpfiles", "--create", f"--root={tmp_path}", SYSTEMD / "sluice.tmpfiles")
    found = {name: (tmp_path / name).stat() for name in ("var/log/sluice", "etc/sluice")}
    assert {name: (s.st_uid, s.st_gid, oct(s.st_mode & 0o777)) for name, s in found.items()} == {
        "var/log/sluice": (uid, 4, "0o750"), "etc/sluice": (0, gid, "0o750")}


@tools("logrotate")
def test_the_gateway_goes_on_in_the_new_file_when_logrotate_has_taken_the_old_one(tmp_path):
    with proxying(answering(OK)) as (gateway, _):
        text = (SYSTEMD / "sluice.logrotate").read_text()
        # The places and the service of this test; the rest as it is shipped.
        for shipped, here in (("/var/log/sluice/*.log", str(gateway.log_path)), ("su sluice adm", "su root root"),
                              ("create 0640 sluice adm", "create 0640 root root"),
                              ("systemctl kill --signal=USR1 --kill-whom=main sluice.service", f"kill -USR1 {gateway.process.pid}"),
                              ("[ -d /run/systemd/system ]", "true")):
            assert shipped in text
            text = text.replace(shipped, here)
        config = tmp_path / "logrotate"
        config.write_text(text)
        config.chmod(0o600)
        gateway.get("/before")
        gateway.access_log()
        old = gateway.log_path.stat().st_ino
        output("logrotate", "--force", "--state", tmp_path / "state", config)
        rotated = gateway.log_path.with_suffix(".log.1")
        assert rotated.stat().st_ino == old and gateway.log_path.stat().st_ino != old

        def moved_on():
            gateway.get("/after")
            return gateway.log_path.stat().st_size > 0

        wait_until(moved_on, "the gateway writes to the new file")
        assert '"/before"' in rotated.read_text() and '"/before"' not in gateway.log_path.read_text()


# --- scripts/install.sh ---
@pytest.fixture(name="installed", scope="module")
def fixture_installed(tmp_path_factory):
    """What scripts/install.sh puts below DESTDIR, with a prefix of its own."""
    root = tmp_path_factory.mktemp("install")
    command = [SOURCE / "scripts/install.sh", "--build", BUILD, "--prefix", "/opt/sluice"]
    output(*command, env={**os.environ, "DESTDIR": str(root)})
    return root, command


def test_install_puts_everything_below_its_prefix_and_the_configuration_into_etc(installed):
    root, _ = installed
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {path for path in files if not path.startswith("opt/sluice/")} == {path[1:] for path in CONFFILES}
    assert {f"opt/sluice/{path}" for path in (
        "sbin/sluice", "lib/systemd/system/sluice.service", "lib/systemd/system/sluice.socket", "lib/sysusers.d/sluice.conf",
        "lib/tmpfiles.d/sluice.conf", "share/man/man8/sluice.8.gz")} <= files
    assert len(MANUALS) >= 12
    assert {path for path in files if "/plugins/" in path or "/include/" in path} == {f"opt/sluice/{path}" for path in OF_PLUGINS}
    unit = (root / "opt/sluice/lib/systemd/system/sluice.service").read_text()
    assert "ExecStart=/opt/sluice/sbin/sluice run" in unit and "/usr/sbin/sluice" not in unit
    assert "sluice.yaml: ok:" in output(root / "opt/sluice/sbin/sluice", "check", "--config", root / "etc/sluice/sluice.yaml")


def check_with_plugins(binary, folder, *names, **process):
    """What `sluice check` says of a configuration that uses plugins of these names."""
    config = folder / "sluice.yaml"
    config.write_text(json.dumps({"version": 1, "process": process, "plugins": {name: {"module": name} for name in names},
                                  "listeners": {"public": {"address": "127.0.0.1:8080", "plugins": names}},
                                  "routes": [{"match": {"path": "/"}, "respond": {"status": 200, "body": "hello"}}]}))
    return output(binary, "check", "--config", config)


def test_what_is_installed_finds_its_plugins_under_any_prefix(installed, tmp_path):
    assert "sluice.yaml: ok:" in check_with_plugins(installed[0] / "opt/sluice/sbin/sluice", tmp_path, "request-id")


HELLO = """
#include <sluice/sdk.hpp>

struct Config { explicit Config(sluice::Setup&) {} };
struct Filter {
  explicit Filter(sluice::Exchange exchange) : exchange(exchange) {}
  sluice::Verdict on_response() {
    exchange.set_header(sluice::Side::response, "x-hello", "world");
    return sluice::Verdict::go_on;
  }
  sluice::Exchange exchange;
};
SLUICE_PLUGIN("hello_sdk", "1.0", Config, sluice::NoWorker, Filter)
"""


@tools("cc", "c++")
def test_a_plugin_of_ones_own_is_built_with_what_is_installed(installed, tmp_path):
    include = installed[0] / "opt/sluice/include"
    (tmp_path / "hello.cc").write_text(HELLO)
    output("cc", "-shared", "-fPIC", "-I", include / "sluice", "-o", tmp_path / "sluice_hello.so", SOURCE / "tests/plugins/hello.c")
    output("c++", "-std=c++20", "-shared", "-fPIC", "-I", include, "-o", tmp_path / "sluice_hello_sdk.so", tmp_path / "hello.cc")
    assert "sluice.yaml: ok:" in check_with_plugins(BINARY, tmp_path, "hello", "hello_sdk", plugin_dir=str(tmp_path))


def test_install_keeps_the_configuration_that_is_there(installed):
    root, command = installed
    for path in CONFFILES:
        (root / path[1:]).write_text("mine\n")
    output(*command, env={**os.environ, "DESTDIR": str(root)})
    assert all((root / path[1:]).read_text() == "mine\n" for path in CONFFILES)


def test_install_says_what_is_wrong_with_its_arguments():
    assert "must be an absolute path" in run(SOURCE / "scripts/install.sh", "--prefix", "here").stderr
    assert "--prefix DIR" in run(SOURCE / "scripts/install.sh", "--frobnicate").stdout


# --- the package ---
@pytest.fixture(name="package", scope="module")
def fixture_package(tmp_path_factory):
    if SANITIZER:
        pytest.skip("nobody packages a sanitizer's build")
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            pytest.skip(f"not installed: {tool}")
    folder = tmp_path_factory.mktemp("package")
    output("cpack", "-G", "DEB", "-B", folder, "--config", BUILD / "CPackConfig.cmake", cwd=folder)
    package, = folder.glob("sluice_*.deb")
    return package


def test_the_package_keeps_what_an_operator_changes(package):
    assert output("dpkg-deb", "-I", package, "conffiles").split() == CONFFILES


def test_the_package_knows_its_libraries_and_its_place(package):
    fields = dict(line.split(": ", 1) for line in output("dpkg-deb", "-f", package).splitlines() if ": " in line)
    assert fields["Package"] == "sluice" and fields["Maintainer"]
    for library in ("libuv1", "libyaml-0-2", "libpcre2-8-0", "libsystemd0", "libc6"):
        assert re.search(rf"(^|, ){re.escape(library)}( |,|$)", fields["Depends"]), library
    listed = output("dpkg-deb", "-c", package)
    of_plugins = (f"/usr/{path}" for path in OF_PLUGINS)
    for path in ("/usr/sbin/sluice", "/usr/lib/systemd/system/sluice.service", "/usr/share/man/man8/sluice.8.gz", *CONFFILES, *of_plugins):
        assert re.search(rf"root/root .* \.{re.escape(path)}$", listed, re.M), path
    assert not re.search(r"^.{5}w|^.{8}w", listed, re.M)  # nobody but root may write


# --- as a service of Debian's systemd ---
@pytest.fixture(name="machine", scope="module")
def fixture_machine(package, tmp_path_factory):
    """A machine on which the package has been installed as the README says."""
    folder = tmp_path_factory.mktemp("machine")
    (root := folder / "root").mkdir()
    if missing := Machine.missing(root):
        pytest.skip(missing)
    with Machine(root) as machine:
        machine.put(package, "/var/tmp/sluice.deb")
        machine.run("apt-get install -y --no-install-recommends /var/tmp/sluice.deb")
        yield machine


def configure(machine, **changes):
    """Writes the configuration: the one of the package with some sections replaced."""
    config = {"version": 1, "access_log": {"path": "/var/log/sluice/access.log"},
              "listeners": {"public": {"address": "0.0.0.0:8080"}},
              "routes": [{"name": "welcome", "match": {"path": "/"}, "respond": {"status": 200, "body": "hello"}}], **changes}
    machine.write("/etc/sluice/sluice.yaml", json.dumps(config))


def property_of(machine, name):
    return machine.run(f"systemctl show --property {name} --value sluice").stdout.strip()


def answer(machine, port=8080):
    return machine.run(f"curl -s --max-time 10 http://127.0.0.1:{port}/").stdout


def test_the_installed_service_runs_at_once_and_at_every_boot(machine):
    assert machine.run("systemctl is-enabled sluice").stdout == "enabled\n"
    assert machine.run("systemctl is-active sluice").stdout == "active\n"
    assert property_of(machine, "StatusText").startswith("serving 0 connections")
    assert "Sluice is installed" in answer(machine)


def test_the_service_may_do_nothing_but_open_low_ports(machine):
    status = machine.run(f"cat /proc/{property_of(machine, 'MainPID')}/status").stdout
    field = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = machine.run("id -u sluice").stdout.strip()
    assert field["Uid"].split() == [uid] * 4
    assert {int(field[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {1 << 10}  # CAP_NET_BIND_SERVICE
    assert (field["NoNewPrivs"], field["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("unit", ["sluice.service", "sluice.socket"])
def test_systemd_has_nothing_to_say_against_the_units(machine, unit):
    ended = machine.run(f"systemd-analyze verify {unit}")
    assert ended.stdout + ended.stderr == ""


def test_ports_below_1024_cpus_and_expressions_work_in_the_sandbox(machine):
    configure(machine, process={"pin_cpus": True, "workers": 1}, listeners={"public": {"address": "0.0.0.0:80"}},
              routes=[{"match": {"path": "/{x:[a-z]*}"}, "respond": {"status": 200, "body": "expression"}},
                      {"match": {"path": "/"}, "respond": {"status": 200, "body": "hello"}}])
    machine.run("systemctl restart sluice")
    assert answer(machine, 80) == "hello"
    assert machine.run("curl -s http://127.0.0.1:80/abc").stdout == "expression"
    assert "cannot pin" not in machine.run("journalctl -u sluice").stdout


def test_logrotate_takes_the_log_and_the_service_goes_on_in_a_new_one(machine):
    if machine.run("command -v logrotate", check=False).returncode != 0:
        pytest.skip("not installed: logrotate")
    configure(machine)
    machine.run("systemctl restart sluice")
    answer(machine)
    wait_until(lambda: machine.run("cat /var/log/sluice/access.log").stdout, "the line is in the log")
    machine.run("logrotate --force /etc/logrotate.d/sluice")

    def moved_on():
        answer(machine)
        return machine.run("cat /var/log/sluice/access.log").stdout

    wait_until(moved_on, "the gateway writes to the new file")
    assert machine.run("stat -c '%U %G %a' /var/log/sluice/access.log /var/log/sluice/access.log.1").stdout == (
        "sluice adm 640\n" + "sluice sluice 640\n")


def test_a_reload_adopts_the_configuration_in_the_same_process(machine):
    configure(machine)
    machine.run("systemctl restart sluice")
    pid = property_of(machine, "MainPID")
    configure(machine, routes=[{"match": {"path": "/"}, "respond": {"status": 200, "body": "reloaded"}}])
    machine.run("systemctl reload sluice")
    wait_until(lambda: answer(machine) == "reloaded", "the new configuration runs")
    assert property_of(machine, "MainPID") == pid
    wait_until(lambda: property_of(machine, "ActiveState") == "active", "the reload is over")
    assert "configuration 2" in property_of(machine, "StatusText")


def test_a_reload_of_a_wrong_configuration_fails_and_the_service_goes_on(machine):
    configure(machine)
    machine.run("systemctl restart sluice")
    pid = property_of(machine, "MainPID")
    configure(machine, nonsense=True)
    assert machine.run("systemctl reload sluice", check=False).returncode != 0
    assert 'unknown key "nonsense"' in machine.run("journalctl -u sluice").stdout
    assert (property_of(machine, "MainPID"), answer(machine)) == (pid, "hello")


def test_a_service_that_hangs_is_restarted_by_the_watchdog(machine):
    configure(machine)
    machine.run("mkdir -p /run/systemd/system/sluice.service.d")
    machine.write("/run/systemd/system/sluice.service.d/test.conf", "[Service]\nWatchdogSec=1s\n")
    machine.run("systemctl daemon-reload; systemctl restart sluice")
    pid = property_of(machine, "MainPID")
    machine.run(f"kill -STOP {int(pid)}")
    wait_until(lambda: property_of(machine, "NRestarts") == "1" and property_of(machine, "ActiveState") == "active",
               "it is restarted", 60)
    assert property_of(machine, "MainPID") != pid and answer(machine) == "hello"
    machine.run("rm -r /run/systemd/system/sluice.service.d; systemctl daemon-reload; systemctl restart sluice")


def test_an_upgrade_keeps_the_configuration_and_a_purge_leaves_nothing_running(machine):
    configure(machine)
    changed = machine.run("cat /etc/sluice/sluice.yaml").stdout
    pid = property_of(machine, "MainPID")
    machine.run("apt-get install -y --reinstall --no-install-recommends /var/tmp/sluice.deb")
    assert machine.run("cat /etc/sluice/sluice.yaml").stdout == changed
    assert property_of(machine, "MainPID") not in (pid, "0") and answer(machine) == "hello"
    machine.run("apt-get remove -y sluice")
    assert property_of(machine, "MainPID") == "0" and machine.run("test -e /etc/sluice/sluice.yaml").returncode == 0
    machine.run("dpkg --purge sluice")
    assert machine.run("ls /etc/sluice /var/log/sluice /etc/systemd/system/multi-user.target.wants/sluice.service",
                       check=False).stdout == ""
