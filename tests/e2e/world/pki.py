"""A test CA (root and intermediate) and its certificates, made by the openssl program."""

import calendar
import time
from pathlib import Path

from .process import run

DAY = 86400

CONFIGURATION = """
[req]
distinguished_name = dn
[dn]
[ca]
default_ca = intermediate
[intermediate]
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}/issued
certificate = {folder}/intermediate.pem
private_key = {folder}/intermediate.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signing]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Pki:
    """Certificates as PEM files for a server: key, leaf, intermediate."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.root = folder / "root.pem"
        self.configuration = folder / "openssl.cnf"

    def start(self) -> None:
        """Make root and intermediate."""
        (self.folder / "issued").mkdir(parents=True)
        (self.folder / "index.txt").touch()
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder))
        ca, config = self.folder / "intermediate", ("-config", self.configuration)
        run("openssl", "req", *config, "-x509", *NEW_KEY, "-keyout", self.folder / "root.key", "-out", self.root,
            "-subj", "/CN=End-to-end test root", "-days", "3650", "-extensions", "root")
        run("openssl", "req", *config, *NEW_KEY, "-keyout", f"{ca}.key", "-out", f"{ca}.csr",
            "-subj", "/CN=End-to-end test intermediate")
        run("openssl", "x509", "-req", "-in", f"{ca}.csr", "-CA", self.root, "-CAkey", self.folder / "root.key",
            "-days", "3650", "-extfile", self.configuration, "-extensions", "signing", "-out", f"{ca}.pem")

    def server(self, host: str, kind: str = "good") -> Path:
        """The PEM file for a server. Kinds: good, expired, wrong-name, self-signed."""
        pem = self.folder / f"{host}.{kind}.pem"
        if pem.exists():
            return pem
        key, request, leaf = (self.folder / f"{host}.{kind}.{end}" for end in ("key", "csr", "crt"))
        name = "elsewhere.test" if kind == "wrong-name" else host
        subject = (*NEW_KEY, "-keyout", key, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        if kind == "self-signed":
            run("openssl", "req", "-config", self.configuration, "-x509", *subject, "-out", leaf, "-days", "90",
                "-extensions", "leaf")
            pem.write_text(key.read_text() + leaf.read_text())
            return pem
        run("openssl", "req", "-config", self.configuration, *subject, "-out", request)
        now = time.time()
        # 90 days of life; good has just begun, expired ended three days ago.
        start = now - (93 if kind == "expired" else 1) * DAY
        run("openssl", "ca", "-config", self.configuration, "-batch", "-notext", "-in", request, "-out", leaf,
            "-startdate", utc(start), "-enddate", utc(start + 90 * DAY))
        pem.write_text(key.read_text() + leaf.read_text() + (self.folder / "intermediate.pem").read_text())
        return pem


def utc(at: float) -> str:
    """A date as openssl ca wants it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at))


def not_after(pem: Path) -> int:
    """The end of the first certificate in a file, as openssl reads it, in seconds since 1970."""
    text = run("openssl", "x509", "-in", pem, "-noout", "-enddate").strip().removeprefix("notAfter=")
    return calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y %Z"))
