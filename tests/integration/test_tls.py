"""HTTPS with clients: which certificate they get, what is agreed on, who is let in, and what happens to those who are not."""

import hashlib
import json
import shutil
import socket
import ssl
import subprocess

import pytest

from harness import DEADLINE, Authority, answering, echo, proxying, response, sluice, wait_until
from harness.certificates import RSA

NAMES = ["DNS:a.test", "DNS:*.wild.test"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", *NAMES)


def entry(files, **more):
    return {"cert_file": files[0], "key_file": files[1], **more}


def trusting(authority, **options):
    context = ssl.create_default_context(cafile=authority.certificate)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def serving(*certificates, script=None, tls=None, **rest):
    section = {"certificates": [entry(files) for files in certificates], **(tls or {})}
    return proxying(script or answering(echo), listener={"tls": section, **rest.pop("listener", {})}, **rest)


def names_of(client):
    return {name for _, name in client.socket.getpeercert()["subjectAltName"]}


def closed(gateway, reason):
    return gateway.metrics().total("sluice_downstream_connections_closed_total", reason=reason)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_pass_over_tls(authority, server, version):
    body = bytes(range(256)) * 4096
    with serving(server) as (gateway, origin):
        context = trusting(authority, minimum_version=version, maximum_version=version)
        with gateway.client(tls=context, server_name="a.test") as client:
            for _ in range(3):
                assert client.ask("POST", "/x", body=body).body == body
            agreed = client.socket.version()
        assert origin.requests[0].get("x-forwarded-proto") == "https"
        assert gateway.access_log(3)[0]["tls"] == agreed == version.name.replace("_", ".")
        assert gateway.metrics().total("sluice_tls_handshakes_total", session="full") == 1
        gateway.wait_gauges_zero()


def test_a_name_gets_its_certificate_and_an_unknown_one_the_first(authority, server):
    other = authority.issue("other", "DNS:b.test")
    with serving(server, other) as (gateway, _):
        lax = trusting(authority, check_hostname=False)
        for name, wanted in [("a.test", "a.test"), ("A.TEST", "a.test"), ("b.test", "b.test"), ("x.wild.test", "a.test"),
                             ("wild.test", "a.test"), ("x.y.wild.test", "a.test"), ("unknown.test", "a.test"), (None, "a.test")]:
            with gateway.client(tls=lax, server_name=name) as client:
                assert wanted in names_of(client), name
                assert client.get("/").status == 200
        with gateway.client(tls=trusting(authority), server_name="x.wild.test") as client:
            assert client.get("/").status == 200


def test_clients_choose_between_rsa_and_ecdsa(authority, server):
    rsa = authority.issue("rsa", *NAMES, key=RSA)
    with serving(server, rsa) as (gateway, _):
        for cipher, digest in [("ECDHE-ECDSA-AES128-GCM-SHA256", server), ("ECDHE-RSA-AES128-GCM-SHA256", rsa)]:
            context = trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(cipher)
            with gateway.client(tls=context, server_name="a.test") as client:
                given = ssl.DER_cert_to_PEM_cert(client.socket.getpeercert(binary_form=True))
                with open(digest[0]) as file:
                    assert given.strip() in file.read()


def resumed(gateway, context, session):
    """A request on a new connection that offers `session`: (whether it was taken up, the session for the next one)."""
    raw = socket.create_connection(gateway.address().rsplit(":", 1), DEADLINE)
    with context.wrap_socket(raw, server_hostname="a.test", session=session) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        while connection.recv(65536):
            pass
        return connection.session_reused, connection.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_also_after_a_reload(authority, server, version):
    with serving(server, route={"headers": {"request": {"set": {"X-Name": "{tls_server_name}"}}}}) as (gateway, origin):
        context = trusting(authority, minimum_version=version, maximum_version=version)
        was_resumed, session = resumed(gateway, context, None)
        assert not was_resumed
        was_resumed, session = resumed(gateway, context, session)
        assert was_resumed
        assert origin.requests[1].get("x-name") == "a.test"
        gateway.reload(process={"shutdown_grace": "300ms"})
        assert resumed(gateway, context, session)[0]
        assert gateway.metrics().total("sluice_tls_handshakes_total", session="resumed") == 2


def test_gateways_with_the_same_ticket_keys_resume_each_others_sessions(authority, server, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(hashlib.shake_256(name.encode()).digest(80))
    context = trusting(authority)

    def with_keys(*names):
        return serving(server, tls={"ticket_key_files": [str(tmp_path / name) for name in names]})

    with with_keys("one") as (first, _), with_keys("two", "one") as (second, _), with_keys("two") as (third, _):
        _, session = resumed(first, context, None)
        was_resumed, next_session = resumed(second, context, session)
        assert was_resumed
        assert resumed(third, context, next_session)[0]  # second sealed it anew
        assert not resumed(third, context, session)[0]
    with serving(server, tls={"session_tickets": False}) as (gateway, _):
        _, session = resumed(gateway, context, None)
        assert session is None or not resumed(gateway, context, session)[0]


# --- who is let in ---

SUBJECT = "{tls_client_subject}|{tls_client_names}|{tls_client_fingerprint}|{tls_server_name}|{tls_version}"


def asking_clients(authority, server, clients, certificate=None):
    tls = {"client_ca_file": clients.certificate, **({"client_certificate": certificate} if certificate else {})}
    return serving(server, tls=tls, route={"headers": {"request": {"set": {"X-Client": SUBJECT}}}})


def test_a_client_certificate_is_required_and_told(authority, server, tmp_path):
    clients = Authority(tmp_path, "clients")
    mine = clients.issue("app", "DNS:app.test", "URI:spiffe://test/app")
    with asking_clients(authority, server, clients) as (gateway, origin):
        context = trusting(authority)
        context.load_cert_chain(*mine)
        with gateway.client(tls=context, server_name="a.test") as client:
            assert client.get("/", {"X-Client": "forged"}).status == 200
        der = ssl.PEM_cert_to_DER_cert(open(mine[0]).read())
        digest = hashlib.sha256(der).hexdigest()
        assert origin.requests[0].get("x-client") == f"CN=clients-app|DNS:app.test, URI:spiffe://test/app|{digest}|a.test|TLSv1.3"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            with gateway.client(tls=trusting(authority), server_name="a.test") as client:
                client.get("/")
        wait_until(lambda: closed(gateway, "tls_client_certificate_missing") == 1, "it is counted")
        stranger = trusting(authority)
        stranger.load_cert_chain(*Authority(tmp_path, "strangers").issue("app"))
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            with gateway.client(tls=stranger, server_name="a.test") as client:
                client.get("/")
        wait_until(lambda: closed(gateway, "tls_client_certificate_refused") == 1, "it is counted")
        assert len(origin.requests) == 1


def test_a_client_certificate_may_be_optional(authority, server, tmp_path):
    clients = Authority(tmp_path, "clients")
    with asking_clients(authority, server, clients, "optional") as (gateway, origin):
        with gateway.client(tls=trusting(authority), server_name="a.test") as client:
            assert client.get("/").status == 200
        assert origin.requests[0].get("x-client") == "|||a.test|TLSv1.3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_what_its_client_showed(authority, server, tmp_path, version):
    """Neither one that began before clients were asked, nor one of a client whose authority is withdrawn."""
    clients = Authority(tmp_path, "clients")
    context = trusting(authority, minimum_version=version, maximum_version=version)
    with serving(server) as (gateway, origin):
        _, session = resumed(gateway, context, None)
        section = {"certificates": [entry(server)], "client_ca_file": clients.certificate}
        assert gateway.reload(listeners={"public": {"tls": section}})["accepted"]
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            resumed(gateway, context, session)
        context.load_cert_chain(*clients.issue("app", "DNS:app.test"))
        _, session = resumed(gateway, context, None)
        assert session is None or not resumed(gateway, context, session)[0]
        assert len(origin.requests) == (2 if session is None else 3)


def test_names_of_listeners_that_begin_alike_share_no_sessions(authority, server, tmp_path):
    front = "a-name-of-thirty-two-characters-"
    section = {"tls": {"certificates": [entry(server)]}}
    with serving(server, listeners={front + "1": section, front + "2": section}) as (gateway, _):
        context = trusting(authority)

        def ask(listener, session):
            raw = socket.create_connection(gateway.address(listener).rsplit(":", 1), DEADLINE)
            with context.wrap_socket(raw, server_hostname="a.test", session=session) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
                while connection.recv(65536):
                    pass
                return connection.session_reused, connection.session

        _, session = ask(front + "1", None)
        assert not ask(front + "2", session)[0]
        assert ask(front + "1", session)[0]


def test_a_name_in_a_client_certificate_cannot_look_like_two(authority, server, tmp_path):
    clients = Authority(tmp_path, "clients")
    with asking_clients(authority, server, clients) as (gateway, origin):
        context = trusting(authority)
        (tmp_path / "names.conf").write_text("[ext]\nsubjectAltName=@names\n[names]\nURI.1=\"https://x, DNS:admin.internal\"\nDNS.1=app.test\n")
        issued, key = clients.issue("app")
        asked = tmp_path / "app.csr"
        for arguments in (["req", "-new", "-key", key, "-subj", "/CN=app", "-out", asked],
                          ["x509", "-req", "-in", asked, "-CA", clients.certificate, "-CAkey", clients.key, "-CAcreateserial", "-days", "1",
                           "-extfile", tmp_path / "names.conf", "-extensions", "ext", "-out", issued]):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=DEADLINE)
        context.load_cert_chain(issued, key)
        with gateway.client(tls=context, server_name="a.test") as client:
            assert client.get("/").status == 200
        assert origin.requests[0].get("x-client").split("|")[1] == "DNS:app.test"


def test_a_listener_that_goes_away_during_a_handshake_takes_the_connection_along(authority, server):
    """The handshake goes on; then the connection parts, as an idle one of the listener would have."""
    section = {"tls": {"certificates": [entry(server)]}}
    with serving(server, listeners={"old": section}) as (gateway, _):
        raw = socket.create_connection(gateway.address("old").rsplit(":", 1), DEADLINE)
        wait_until(lambda: gateway.metrics().total("sluice_downstream_connections", listener="old", state="handshake") == 1, "it begins")
        assert gateway.reload(listeners={"old": None})["accepted"]
        assert gateway.reload(listeners={"new": section})["accepted"]
        with trusting(authority).wrap_socket(raw, server_hostname="a.test") as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
        gateway.wait_gauges_zero()


# --- who is not ---

def test_a_handshake_that_stalls_is_ended(authority, server):
    with serving(server, listener={"timeouts": {"tls_handshake": "100ms"}}) as (gateway, _):
        with gateway.client() as client:
            client.send(b"\x16\x03\x01")
            assert client.socket.recv(1) == b""
        wait_until(lambda: closed(gateway, "tls_handshake_timeout") == 1, "it is counted")
        gateway.wait_gauges_zero()


def test_a_client_that_goes_away_in_the_handshake_is_counted(authority, server):
    with serving(server) as (gateway, _):
        gateway.client().send(b"\x16\x03\x01").close()
        wait_until(lambda: closed(gateway, "tls_closed") == 1, "it is counted")
        gateway.wait_gauges_zero()


def test_plain_http_is_told_to_use_https(authority, server):
    with serving(server) as (gateway, _):
        answer = gateway.get("/")
        assert answer.status == 400
        assert b"HTTPS" in answer.body
        wait_until(lambda: closed(gateway, "tls_not_tls") == 1, "it is counted")


GARBAGE = {"zeros": b"\x00" * 64, "ones": b"\xff" * 64, "text": b"SSH-2.0-x\r\n" * 8, "too long": b"\x16\x03\x01\x40\x01" + b"\x00" * 16385}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_ends_the_connection(authority, server, kind):
    with serving(server) as (gateway, _):
        with gateway.client() as client:
            client.send_if_open(GARBAGE[kind])
            wait_until(lambda: closed(gateway, "tls_not_tls") + closed(gateway, "tls_failed") == 1, "it is counted")
        gateway.wait_gauges_zero()


def test_versions_and_ciphers_that_nobody_shares_are_counted(authority, server):
    with serving(server, tls={"min_version": "1.3"}) as (gateway, _):
        with pytest.raises(ssl.SSLError):
            gateway.client(tls=trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2), server_name="a.test")
        wait_until(lambda: closed(gateway, "tls_version") == 1, "it is counted")
    with serving(server, tls={"max_version": "1.2", "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}) as (gateway, _):
        context = trusting(authority)
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises(ssl.SSLError):
            gateway.client(tls=context, server_name="a.test")
        wait_until(lambda: closed(gateway, "tls_no_cipher") == 1, "it is counted")


@pytest.mark.parametrize("group, accepted", [("X25519", True), ("P-256", True), ("P-384", True), ("ffdhe2048", False), ("ffdhe8192", False)])
def test_keys_are_agreed_on_over_the_usual_curves_only(authority, server, group, accepted):
    with serving(server) as (gateway, _):
        done = subprocess.run(["openssl", "s_client", "-connect", gateway.address(), "-groups", group, "-CAfile", authority.certificate],
                              input="", capture_output=True, text=True, timeout=DEADLINE)
        assert (done.returncode == 0) == accepted, done.stderr
        wait_until(lambda: closed(gateway, "tls_no_cipher") == (0 if accepted else 1), "it is counted")


def test_a_client_that_does_not_trust_us_is_counted(authority, server, tmp_path):
    with serving(server) as (gateway, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            gateway.client(tls=trusting(Authority(tmp_path, "others")), server_name="a.test")
        wait_until(lambda: closed(gateway, "tls_distrusted") == 1, "it is counted")


def test_the_common_protocol_is_chosen_and_none_is_refused(authority, server):
    with serving(server) as (gateway, _):
        context = trusting(authority)
        context.set_alpn_protocols(["spdy/9", "http/1.1"])
        with gateway.client(tls=context, server_name="a.test") as client:
            assert client.socket.selected_alpn_protocol() == "http/1.1"
        context.set_alpn_protocols(["spdy/9"])
        with pytest.raises(ssl.SSLError):
            gateway.client(tls=context, server_name="a.test")


# --- life ---

def test_renewed_certificates_are_used_after_a_reload_and_connections_go_on(authority, server, tmp_path):
    files = [shutil.copy(path, tmp_path) for path in server]
    with serving(files) as (gateway, _):
        context = trusting(authority, check_hostname=False)
        old = gateway.client(tls=context, server_name="a.test")
        for path, new in zip(files, authority.issue("renewed", "DNS:renewed.test"), strict=True):
            shutil.copy(new, path)
        assert gateway.reload(process={"shutdown_grace": "300ms"})["accepted"]
        with gateway.client(tls=context, server_name="a.test") as client:
            assert names_of(client) == {"renewed.test"}
        assert "a.test" in names_of(old)
        assert old.get("/").status == 200


def shown(gateway, authority):
    with gateway.client(tls=trusting(authority, check_hostname=False), server_name="a.test") as client:
        return names_of(client)


def test_a_renewed_certificate_is_used_without_being_asked_and_half_of_it_waits_for_the_other_half(authority, server, tmp_path):
    files = [shutil.copy(path, tmp_path) for path in server]
    renewed = authority.issue("renewed", "DNS:renewed.test")
    with serving(files) as (gateway, _):
        shutil.copy(renewed[0], files[0])
        wait_until(lambda: gateway.metrics().total("sluice_config_reloads_total", outcome="refused") == 1, "the key is not its own")
        assert "the key does not belong to the certificate" in gateway.output()
        assert shown(gateway, authority) == {"a.test", "*.wild.test"}
        shutil.copy(renewed[1], files[1])
        wait_until(lambda: shown(gateway, authority) == {"renewed.test"}, "the new pair is shown")
        assert gateway.metrics().total("sluice_config_reloads_total", outcome="refused") == 1


def test_large_answers_pass_a_client_that_reads_slowly(authority, server):
    body = bytes(range(256)) * 16384  # 4 MiB
    with serving(server, script=answering(response(body))) as (gateway, _):
        with gateway.client(tls=trusting(authority), server_name="a.test", receive_buffer=4096) as client:
            assert client.get("/").body == body
        gateway.wait_gauges_zero()


def test_an_answer_that_the_upstream_cuts_short_does_not_look_whole(authority, server):
    def cut(connection):
        connection.read_request()
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        connection.close()

    with serving(server, script=cut) as (gateway, _):
        with gateway.client(tls=trusting(authority), server_name="a.test") as client:
            client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")  # whose body ends with the connection
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                while client.socket.recv(65536):
                    pass


@pytest.mark.parametrize(("version", "offered", "chosen"), [
    ("-tls1_3", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
])
def test_the_order_of_ciphers_is_ours_but_for_clients_without_aes_in_hardware(authority, server, version, offered, chosen):
    with serving(server) as (gateway, _):
        option = "-ciphersuites" if version == "-tls1_3" else "-cipher"
        done = subprocess.run(["openssl", "s_client", "-connect", gateway.address(), version, option, offered, "-CAfile",
                               authority.certificate], input="", capture_output=True, text=True, timeout=DEADLINE)
        assert f"Cipher is {chosen}" in done.stdout


def test_curl_and_openssl_agree(authority, server):
    with serving(server) as (gateway, _):
        port = gateway.address().rsplit(":", 1)[1]
        done = subprocess.run(["curl", "-sS", "--fail", "--cacert", authority.certificate, "--resolve", f"a.test:{port}:127.0.0.1",
                               "-d", "data", f"https://a.test:{port}/x"], capture_output=True, text=True, timeout=DEADLINE)
        assert (done.returncode, done.stdout) == (0, "data"), done.stderr
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test", "-CAfile",
                               authority.certificate, "-verify_return_error"], input="", capture_output=True, text=True, timeout=DEADLINE)
        assert "Verify return code: 0 (ok)" in done.stdout


@pytest.mark.workers
def test_many_workers_share_certificates_and_ticket_keys(authority, server):
    with serving(server, process={"workers": 4}) as (gateway, _):
        context = trusting(authority)
        session = None
        for _ in range(20):
            _, session = resumed(gateway, context, session)
            with gateway.client(tls=context, server_name="a.test") as client:
                assert client.get("/").status == 200
        assert gateway.metrics().total("sluice_tls_handshakes_total", session="resumed") == 19


def test_a_response_is_stapled(authority, server, tmp_path):
    """OCSP: openssl plays the authority's responder, and shows what the gateway has stapled."""
    issued, key = server
    number = subprocess.run(["openssl", "x509", "-in", issued, "-noout", "-serial", "-enddate"], capture_output=True, text=True,
                            check=True, timeout=DEADLINE).stdout
    serial = number.split("serial=")[1].split()[0]
    (tmp_path / "index.txt").write_text(f"V\t400101000000Z\t\t{serial}\tunknown\t/CN=server\n")
    answer = str(tmp_path / "answer.der")
    subprocess.run(["openssl", "ocsp", "-index", tmp_path / "index.txt", "-CA", authority.certificate, "-rsigner", authority.certificate,
                    "-rkey", authority.key, "-issuer", authority.certificate, "-cert", issued, "-respout", answer, "-ndays", "1"],
                   check=True, capture_output=True, timeout=DEADLINE)
    with proxying(answering(echo), listener={"tls": {"certificates": [entry(server, ocsp_file=answer)]}}) as (gateway, _):
        done = subprocess.run(["openssl", "s_client", "-connect", gateway.address(), "-servername", "a.test", "-CAfile",
                               authority.certificate, "-status"], input="", capture_output=True, text=True, timeout=DEADLINE)
        assert "OCSP Response Status: successful" in done.stdout
        assert "Cert Status: good" in done.stdout
    other = authority.issue("other-than-the-response's", *NAMES)
    config = {"version": 1, "listeners": {"a": {"address": "127.0.0.1:1", "tls": {"certificates": [entry(other, ocsp_file=answer)]}}}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    assert "its OCSP response is for another certificate" in sluice("check", "--config", tmp_path / "c.yaml").stderr


# --- configuration ---

def test_mistakes_are_told_with_their_place(authority, server, tmp_path):
    other = authority.issue("other", "DNS:b.test")
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "short").write_bytes(b"x" * 79)

    def errors(tls):
        config = {"version": 1, "listeners": {"a": {"address": "127.0.0.1:1", "tls": tls}},
                  "routes": [{"name": "r", "match": {"path": "/"}, "respond": {"status": 200}}]}
        path = tmp_path / "c.yaml"
        path.write_text(json.dumps(config))
        done = sluice("check", "--config", path)
        return done.returncode, done.stderr + done.stdout

    for tls, wanted in [
        ({}, 'certificates'),
        ({"certificates": []}, "at least one certificate"),
        ({"certificates": None}, "at least one certificate"),
        ({"certificates": [entry(authority.issue("weak", "DNS:a.test", key=["-newkey", "rsa:1024"]))]}, "key too small"),
        ({"certificates": [entry(server)], "session_tickets": False, "ticket_key_files": [server[0]]}, "session_tickets: false"),
        ({"certificates": [{"cert_file": server[0]}]}, "key_file"),
        ({"certificates": [{"cert_file": server[0], "key_file": other[1]}]}, "the key does not belong to the certificate"),
        ({"certificates": [{"cert_file": str(tmp_path / "empty.pem"), "key_file": server[1]}]}, "there is no certificate in it"),
        ({"certificates": [{"cert_file": server[0], "key_file": server[0]}]}, "there is no private key in it"),
        ({"certificates": [{"cert_file": "nowhere.pem", "key_file": server[1]}]}, "No such file"),
        ({"certificates": [entry(server, ocsp_file=server[0])]}, "no OCSP response"),
        ({"certificates": [entry(server)], "min_version": "1.3", "max_version": "1.2"}, "min_version is newer than max_version"),
        ({"certificates": [entry(server)], "ciphers": "!ALL"}, "OpenSSL knows none of them"),
        ({"certificates": [entry(server)], "ciphers": "ECDHE+AESGCM:ECDHE-ECDSA-AES256-GCM-SHA385"},
         'no cipher of TLS 1.2 for "ECDHE-ECDSA-AES256-GCM-SHA385"; did you mean "ECDHE-ECDSA-AES256-GCM-SHA384"?'),
        ({"certificates": [entry(server)], "ciphers": "HIGH:TLS_AES_128_GCM_SHA256"}, 'no cipher of TLS 1.2 for "TLS_AES_128_GCM_SHA256"'),
        ({"certificates": [entry(server)], "client_certificate": "optional"}, '"client_ca_file" only'),
        ({"certificates": [entry(server)], "client_ca_file": str(tmp_path / "empty.pem")}, "there is no certificate in it"),
        ({"certificates": [entry(server)], "ticket_key_files": [str(tmp_path / "short")]}, "79 bytes"),
    ]:
        code, text = errors(tls)
        assert code != 0 and wanted in text and "c.yaml:1:" in text, (tls, text)
    assert errors({"certificates": [entry(server)]})[0] == 0
    assert errors({"certificates": [entry(server)], "ciphers": "HIGH:ECDHE+AESGCM:!aNULL:!MD5:-SHA1:@STRENGTH"})[0] == 0
