"""A test CA (root and intermediate) and its certificates, made by the openssl program."""

import base64
import calendar
import hashlib
import ssl
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
[ca-leaf]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
RSA_KEYS = {kind: ("-newkey", f"rsa:{kind.removeprefix('rsa-')}", "-nodes") for kind in ("rsa-1024", "rsa-2048")}


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
        """The PEM file for a server.

        Kinds: good, expired, wrong-name, domain-name (names the parent of the host), self-signed, ca-leaf (self-signed and
        CA:TRUE), with-root (the chain ends with the root), rsa-1024, rsa-2048, sha1 (signed with it).
        """
        pem = self.folder / f"{host}.{kind}.pem"
        if pem.exists():
            return pem
        key, request, leaf = (self.folder / f"{host}.{kind}.{end}" for end in ("key", "csr", "crt"))
        name = {"wrong-name": "elsewhere.test", "domain-name": host.split(".", 1)[1]}.get(kind, host)
        new_key = RSA_KEYS.get(kind, NEW_KEY)
        subject = (*new_key, "-keyout", key, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        if kind in ("self-signed", "ca-leaf"):
            run("openssl", "req", "-config", self.configuration, "-x509", *subject, "-out", leaf, "-days", "90",
                "-extensions", "ca-leaf" if kind == "ca-leaf" else "leaf")
            pem.write_text(key.read_text() + leaf.read_text())
            return pem
        run("openssl", "req", "-config", self.configuration, *subject, "-out", request)
        now = time.time()
        # 90 days of life; good has just begun, expired ended three days ago.
        start = now - (93 if kind == "expired" else 1) * DAY
        run("openssl", "ca", "-config", self.configuration, "-batch", "-notext", "-in", request, "-out", leaf,
            "-startdate", utc(start), "-enddate", utc(start + 90 * DAY), "-md", "sha1" if kind == "sha1" else "sha256")
        chain = [key, leaf, self.folder / "intermediate.pem", *([self.root] if kind == "with-root" else [])]
        pem.write_text("".join(part.read_text() for part in chain))
        return pem

    def association(self, record: str, host: str, kind: str) -> str:
        """The data of a TLSA record (RFC 6698 section 2.1) from `usage selector matching WHAT`.

        What: own (the certificate that the host serves), other (of a key that nobody has in use), cut (own without its last octet),
        intermediate, root.
        """
        usage, selector, matching, what = record.split()
        pem = {"intermediate": self.folder / "intermediate.pem", "root": self.root}.get(what)
        if pem is None:
            pem = self.server("other-key.test") if what == "other" else self.server(host, kind)
        data = self.public_key(pem) if selector == "1" else certificate(pem)
        digest = {"0": bytes, "1": lambda data: hashlib.sha256(data).digest(), "2": lambda data: hashlib.sha512(data).digest()}
        value = digest[matching](data)
        return f"{usage} {selector} {matching} {(value[:-1] if what == 'cut' else value).hex()}"

    @staticmethod
    def public_key(pem: Path) -> bytes:
        """The SubjectPublicKeyInfo of the first certificate in a file."""
        lines = run("openssl", "x509", "-in", pem, "-noout", "-pubkey").splitlines()
        return base64.b64decode("".join(line for line in lines if not line.startswith("-")))


def certificate(pem: Path) -> bytes:
    """The first certificate in a file, in DER."""
    text = pem.read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") : text.index("-----END CERTIFICATE") + 25])


def utc(at: float) -> str:
    """A date as openssl ca wants it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at))


def not_after(pem: Path) -> int:
    """The end of the first certificate in a file, as openssl reads it, in seconds since 1970."""
    text = run("openssl", "x509", "-in", pem, "-noout", "-enddate").strip().removeprefix("notAfter=")
    return calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y %Z"))
