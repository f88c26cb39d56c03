"""A browser: chromium without a window loads a page over HTTP/2 and asks for sixty things at once."""

import shutil
import subprocess

import pytest

from harness import SLOW, Authority, Sluice, free_port, proxy_config

PAGE = """<title>begun</title><script>
const all = [...Array(60).keys()].map(i => fetch('/piece/' + i).then(r => r.text()));
Promise.all(all).then(pieces => {
  const protocols = new Set(performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol));
  document.title = pieces.join('') + ' by ' + [...protocols].join();
});
</script>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is needed")
def test_a_page_and_what_it_asks_for_come_over_http2(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "DNS:localhost", "IP:127.0.0.1")[:2]
    routes = [
        {"name": "page", "match": {"path": "/page"}, "respond": {"status": 200, "headers": {"content-type": "text/html"}, "body": PAGE}},
        {"name": "pieces", "match": {"path": "/piece/{i:int}"}, "respond": {"status": 200, "body": "x"}},
    ]
    tls = {"certificates": [{"cert_file": str(cert), "key_file": str(key)}]}
    with Sluice(proxy_config(f"127.0.0.1:{free_port()}", routes=routes, listener={"tls": tls})) as gateway:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors",
                   f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=20000", "--dump-dom", f"https://{gateway.address()}/page"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW, check=False)
        assert f"<title>{'x' * 60} by h2</title>" in done.stdout, done.stdout + done.stderr
