"""process.watch: a file that changes is a reload, however it is changed; one that is wrong is refused, and its correction noticed."""

import json
import os
import signal
import subprocess

import pytest

from harness import BINARY, DEADLINE, OK, RawOrigin, Sluice, proxy_config, wait_until
from harness import gateway as harness_gateway

WATCH = {"process": {"watch": True}}


def routes(body, path="/a"):
    return [{"match": {"path": path}, "respond": {"body": body}}]


def watching(body="first", **rest):
    return Sluice({**WATCH, "routes": routes(body), **rest})


def wait_for(gateway, body, path="/a"):
    wait_until(lambda: gateway.get(path).body == body, f"{path} answers {body}")


def reloads(gateway, outcome):
    return gateway.metrics().total("sluice_config_reloads_total", outcome=outcome)


def text_of(gateway, **changes):
    """The changed configuration, which is not written."""
    gateway.config = harness_gateway.merged(gateway.config, changes)
    return json.dumps(gateway.config)


def rename_over(path, text):
    new = path.with_name(f".{path.name}.swp")
    new.write_text(text)
    new.replace(path)


def write_in_place(path, text):
    path.write_text(text)


def remove_and_create(path, text):
    path.unlink()
    path.write_text(text)


def backup_and_create(path, text):  # as vim does with backupcopy=no
    path.rename(f"{path}~")
    path.write_text(text)


def with_sed(path, text):
    subprocess.run(["sed", "-i", "-e", "1r /dev/stdin", "-e", "d", path], input=text, text=True, check=True)


@pytest.mark.parametrize("change", [rename_over, write_in_place, remove_and_create, backup_and_create, with_sed])
def test_a_changed_file_is_read_anew(change):
    with watching() as gateway:
        for body in ("second", "third"):
            change(gateway.directory / "sluice.yaml", text_of(gateway, routes=routes(body)))
            wait_for(gateway, body.encode())
        path = gateway.directory / "sluice.yaml"
        assert f"{path} changed: reloading {path}" in gateway.output()


def test_without_watch_a_changed_file_waits_for_a_reload_and_the_key_may_be_switched_by_one():
    with Sluice({"routes": routes("first")}) as gateway:
        gateway.write_config(routes=routes("second"))
        gateway.write_config(**WATCH)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(gateway, b"second")
        assert "changed: reloading" not in gateway.output()
        gateway.write_config(routes=routes("third"))
        wait_for(gateway, b"third")
        gateway.write_config(process={"watch": False})
        wait_until(lambda: "process: watch: true -> false" in gateway.output(), "the watch ends")
        wait_until(lambda: reloads(gateway, "accepted") == 3, "the third reload is over")
        assert not inotify_descriptors(gateway)


def inotify_descriptors(gateway):
    folder = f"/proc/{gateway.process.pid}/fd"

    def leads_to(fd):
        try:
            return os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:  # it was closed since it was listed
            return None

    return [fd for fd in os.listdir(folder) if leads_to(fd) == "anon_inode:inotify"]


def test_a_configuration_with_errors_changes_nothing_and_its_correction_is_noticed():
    with watching() as gateway:
        path = gateway.directory / "sluice.yaml"
        path.write_text("{")
        wait_until(lambda: reloads(gateway, "refused") == 1, "the mistake is refused")
        assert "was not accepted; configuration 1 goes on" in gateway.output()
        assert gateway.get("/a").body == b"first"
        path.write_text(text_of(gateway, routes=routes("second")))
        wait_for(gateway, b"second")


def test_a_file_that_vanishes_is_told_once_and_its_return_is_noticed():
    with watching() as gateway:
        path = gateway.directory / "sluice.yaml"
        path.unlink()
        wait_until(lambda: reloads(gateway, "refused") == 1, "the reload is refused")
        assert gateway.get("/a").body == b"first"
        rename_over(path, text_of(gateway, routes=routes("second")))
        wait_for(gateway, b"second")
        assert gateway.output().count("No such file or directory") == 1


def test_included_files_are_watched_and_new_matches_of_a_pattern_noticed():
    with watching(include="routes.d/*.yaml") as gateway:
        folder = gateway.directory / "routes.d"
        folder.mkdir()
        (folder / "b.yaml").write_text(json.dumps({"routes": routes("b", "/b")}))
        wait_for(gateway, b"b", "/b")
        (folder / "b.yaml").write_text(json.dumps({"routes": routes("changed", "/b")}))
        wait_for(gateway, b"changed", "/b")
        (folder / "c.yaml").write_text(json.dumps({"routes": routes("c", "/c")}))
        wait_for(gateway, b"c", "/c")
        (folder / "b.yaml").unlink()
        wait_until(lambda: gateway.get("/b").status == 404, "the removed file's route is gone")
        folder.rename(gateway.directory / "gone")
        wait_until(lambda: gateway.get("/c").status == 404, "the folder's routes are gone")
        (gateway.directory / "gone").rename(folder)
        wait_for(gateway, b"c", "/c")
        assert reloads(gateway, "refused") == 0


def test_an_included_file_that_is_missing_is_noticed_when_it_comes():
    with watching() as gateway:
        gateway.write_config(include=["late.yaml"])
        wait_until(lambda: reloads(gateway, "refused") == 1, "the missing file is told")
        late = gateway.directory / "late.yaml"
        rename_over(late, json.dumps({"routes": routes("late", "/late")}))
        wait_for(gateway, b"late", "/late")
        assert f"{late} changed: reloading" in gateway.output()
        assert reloads(gateway, "refused") == 1


def test_a_config_map_of_kubernetes_is_followed_through_its_links():
    with watching() as gateway:
        volume = gateway.directory / "volume"
        path = gateway.directory / "sluice.yaml"

        def publish(version, body, before=None):
            """What the kubelet's AtomicWriter does."""
            (volume / version).mkdir(parents=True)
            (volume / version / "sluice.yaml").write_text(text_of(gateway, routes=routes(body)))
            (volume / "..data_tmp").symlink_to(version)
            (volume / "..data_tmp").rename(volume / "..data")
            if before:
                (volume / before / "sluice.yaml").unlink()
                (volume / before).rmdir()

        publish("..2026_1", "one")
        (volume / "sluice.yaml").symlink_to("..data/sluice.yaml")
        path.with_name("link").symlink_to(volume / "sluice.yaml")
        path.with_name("link").rename(path)
        wait_for(gateway, b"one")
        publish("..2026_2", "two", "..2026_1")
        wait_for(gateway, b"two")
        publish("..2026_3", "three", "..2026_2")
        wait_for(gateway, b"three")
        assert reloads(gateway, "refused") == 0


def test_a_new_token_and_a_new_static_folder_are_adopted():
    tokens = ["first-token-of-the-test", "second-token-of-the-test"]
    config = {**WATCH, "admin": {"token_file": "token"},
              "routes": [{"match": {"path": "/{rest...}"}, "static": {"root": "current"}}]}
    files = {"token": tokens[0], "one/page": "one", "two/page": "two"}
    gateway = Sluice(config, files=files)
    (gateway.directory / "current").symlink_to("one")
    with gateway:
        assert gateway.get("/page").body == b"one"
        (gateway.directory / "next").symlink_to("two")
        (gateway.directory / "next").rename(gateway.directory / "current")
        wait_for(gateway, b"two", "/page")

        def status(token):
            return gateway.admin("/stats", headers={"Authorization": f"Bearer {token}"})[0]

        assert status(tokens[0]) == 200
        (gateway.directory / "token").write_text(tokens[1])
        wait_until(lambda: status(tokens[1]) == 200, "the new token is adopted")
        assert status(tokens[0]) == 401


def test_a_gateway_that_drains_reads_nothing():
    with RawOrigin() as origin:
        config = proxy_config(origin, process={"watch": True, "shutdown_grace": f"{int(DEADLINE)}s"})
        with Sluice(config) as gateway:
            client = gateway.client()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting = origin.accept()
            waiting.read_request()
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "got SIGTERM: ending" in gateway.output(), "the gateway drains")
            wait_until(lambda: not inotify_descriptors(gateway), "nothing is watched any more")
            gateway.write_config(surprise=1)
            waiting.send(OK)
            assert client.read_response().status == 200
            assert gateway.process.wait(DEADLINE) == 0
            assert "changed: reloading" not in gateway.output()


def test_a_new_process_watches_after_an_upgrade():
    with watching() as gateway:
        gateway.write_config(routes=routes("second"))
        gateway.upgrade()
        wait_for(gateway, b"second")
        gateway.write_config(routes=routes("third"))
        wait_for(gateway, b"third")


def test_what_changes_while_an_upgrade_fails_is_noticed_after_it():
    with watching() as gateway:
        path = gateway.directory / "sluice.yaml"
        with gateway.stopped():  # it sees the mistake and the signal at once
            path.write_text("{")
            gateway.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "does not serve" in gateway.output(), "the new process fails")
        wait_until(lambda: reloads(gateway, "refused") >= 1, "the mistake is noticed by the old one")
        path.write_text(text_of(gateway, routes=routes("second")))
        wait_for(gateway, b"second")


def test_a_kernel_that_has_no_watches_left_is_told_of_and_the_gateway_goes_on(tmp_path, monkeypatch):
    script = tmp_path / "sluice"
    limited = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"'
    script.write_text(f"#!/bin/sh\nexec unshare --user --map-root-user sh -c '{limited}' {BINARY} \"$@\"\n")
    script.chmod(0o755)
    tried = subprocess.run([script, "version"], capture_output=True, text=True, timeout=DEADLINE)
    if tried.returncode != 0:
        pytest.skip(f"no user namespace: {tried.stderr}")
    monkeypatch.setattr(harness_gateway, "BINARY", script)
    with watching() as gateway:
        assert "changes of files are not noticed" in gateway.output()
        assert "raise fs.inotify.max_user_instances" in gateway.output()
        assert gateway.reload(routes=routes("second"))["accepted"]
        assert gateway.get("/a").body == b"second"
        assert gateway.output().count("are not noticed") == 1
