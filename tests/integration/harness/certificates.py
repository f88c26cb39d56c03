"""Certificates made while the tests run, by the openssl command: an authority, and what it signs."""

import subprocess
from pathlib import Path

CONFIG = "[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = critical,CA:TRUE\n[leaf]\nbasicConstraints = critical,CA:FALSE\n"


EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["-newkey", "rsa:2048"]


class Authority:
    def __init__(self, directory, name="authority"):
        """Its files lie in `directory`, which the test owns."""
        self.directory = Path(directory)
        self.name = name
        (self.directory / "openssl.conf").write_text(CONFIG)
        self.certificate, self.key = self._make(name, "-extensions", "ca")

    def issue(self, name, *alternative_names, key=EC, days=1):
        """Paths of a certificate for e.g. "DNS:redis.test", "IP:127.0.0.1", and of its key."""
        names = ["-addext", f"subjectAltName={','.join(alternative_names)}"] if alternative_names else []
        return self._make(f"{self.name}-{name}", "-CA", self.certificate, "-CAkey", self.key, "-extensions", "leaf", *names,
                          key=key, days=days)

    def issue_expired(self, name, *alternative_names):
        """The same, of yesterday."""
        certificate, key = self.issue(name, *alternative_names)
        asked = str(self.directory / f"{name}.csr")
        self._openssl("req", "-new", "-config", self.directory / "openssl.conf", "-key", key, "-subj", f"/CN={name}", "-addext",
                      f"subjectAltName={','.join(alternative_names)}", "-out", asked)
        self._openssl("x509", "-req", "-in", asked, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "-1",
                      "-copy_extensions", "copy", "-out", certificate)
        return certificate, key

    def _make(self, name, *options, key=EC, days=1):
        certificate, key_file = (str(self.directory / f"{name}.{kind}") for kind in ("pem", "key"))
        self._openssl("req", "-x509", "-config", self.directory / "openssl.conf", *key, "-nodes", "-days", str(days), "-subj",
                      f"/CN={name}", "-keyout", key_file, "-out", certificate, *options)
        return certificate, key_file

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=10)
