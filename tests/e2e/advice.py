"""The advice stage: what `tlsa suggest` and `policy suggest` say is what OpenSSL and ldns compute, and it works in real servers."""

import json
import re

from report import Report
from world.domains import Policy
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.process import Failure, run, wait_until
from world.proof import expect

# Hosts with what is due: the state of the zone, whether DANE holds, and the exit status.
HOSTS = {
    "mx.ee.dane.test": ("signed", True, 0),
    "mx.eeexpired.dane.test": ("signed", True, 0),
    "mx.eename.dane.test": ("signed", True, 0),
    "mx.ta.dane.test": ("signed", True, 0),
    "mx.taexpired.dane.test": ("signed", False, 1),
    "mx.mismatch.dane.test": ("signed", False, 1),
    "mx.rollover.dane.test": ("signed", True, 0),
    "mx.unusable.dane.test": ("signed", None, 0),
    "mx.aliasend.dane.test": ("signed", True, 0),
    "mx.tlsafail.dane.test": ("broken", None, 1),
    "mx.unsigned.test": ("unsigned", None, 0),
    "mx.bogus.test": ("broken", None, 1),
}

# A domain that has neither policy nor records.
BARE = "none.test"


class AdviceStage:
    """The stage."""

    def __init__(self, report: Report, world: MailWorld, exporter: Exporter):
        self.report = report
        self.world = world
        self.exporter = exporter

    def run(self) -> None:
        """All of it."""
        check = self.report.check
        for host in HOSTS:
            check(f"advice {host}: the records are what OpenSSL computes", self.tlsa, host)
        check("advice mx.ee.dane.test: ldns computes the same record", self.ldns, "mx.ee.dane.test")
        check("advice mx.rollover.dane.test: the next certificate and the next key", self.next, "mx.rollover.dane.test")
        check("advice mx.plain.test: no certificate to make a record of", self.no_certificate, "mx.plain.test")
        check("advice policies: every policy of this world is usable", self.policies)
        check(f"advice {BARE}: what is suggested protects, served by nginx as suggested", self.policy)
        check("advice nullmx.test: nothing to publish", self.no_mail)
        check("advice backup.test: what enforce would refuse", self.obstacle)

    def json(self, *words: str, mode: str = "validate") -> tuple[int, dict]:
        """A command with --format json: exit status and object."""
        done = self.exporter.command(*words, "--format", "json", mode=mode)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError as error:
            raise AssertionError(f"exit {done.returncode}, no JSON: {done.stdout[:500]}{done.stderr[-1500:]}") from error

    def tlsa(self, name: str) -> None:
        """Records, what is published and whether it holds; the same whoever validates."""
        host = self.world.table.hosts[name]
        signing, holds, status = HOSTS[name]
        if signing == "broken" and name.startswith("mx.bogus"):
            # Its addresses cannot be had, and so nothing can be seen.
            code, said = self.json("tlsa", "suggest", name)
            expect("exit, dnssec", (code, said["dnssec"]), (status, signing))
            return
        own = self.world.pki.association("3 1 1 own", name, host.certificate)
        for mode in ("validate", "trust-ad"):
            code, said = self.json("tlsa", "suggest", name, mode=mode)
            expect(f"{mode}: exit", code, status)
            expect(f"{mode}: records", said["records"], [own])
            expect(f"{mode}: dnssec", said["dnssec"], signing)
            expect(f"{mode}: holds", said["holds"], holds)
            expect(f"{mode}: name", said["name"], f"_25._tcp.{host.base()}")
            if not host.tlsa_unserved:
                expect(f"{mode}: published", sorted(row["record"] for row in said["published"]), sorted(self.world.knot.tlsa(host)))
            # DANE-TA asks for the name of the base domain and for dates: told only where it would hold.
            good = host.certificate == "good" and host.base() == name
            issuer = [self.world.pki.association("2 1 1 intermediate", name, host.certificate)] if good else []
            expect(f"{mode}: issuer", [row["record"] for row in said["authorities"]], issuer)

    def ldns(self, name: str) -> None:
        """`ldns-dane` makes the same record of the file that the server has."""
        host = self.world.table.hosts[name]
        pem = self.world.pki.server(name, host.certificate)
        line = run("ldns-dane", "-c", pem, "create", name, "25", "3", "1", "1").split()
        _, said = self.json("tlsa", "suggest", name)
        expect("record", said["records"], [" ".join(line[-4:]).lower()])

    def next(self, name: str) -> None:
        """From a certificate, a chain with its key, a private key and a public key: the record of the key that is to come."""
        wanted = self.world.pki.association("3 1 1 other", name, "good")
        pem = self.world.pki.server("other-key.test")
        key = pem.with_suffix(".key")
        public = pem.with_suffix(".pub")
        public.write_text(run("openssl", "pkey", "-in", key, "-pubout"))
        for flag, file in (("--next-cert", pem.with_suffix(".crt")), ("--next-key", key), ("--next-key", public)):
            code, said = self.json("tlsa", "suggest", name, flag, str(file))
            expect(f"{flag} {file.name}: exit, next", (code, said["next"]), (0, wanted))
            expect(f"{flag} {file.name}: published", {row["sight"] for row in said["published"]}, {"matches", "next"})
            expect(f"{flag} {file.name}: missing", said["missing"], [])
        rsa = self.world.folder / "rsa.key"
        rsa.write_text(run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
        digest = run("sh", "-c", f"openssl pkey -in {rsa} -pubout -outform der | openssl dgst -sha256 -r").split()[0]
        _, said = self.json("tlsa", "suggest", name, "--next-key", str(rsa))
        expect("an RSA key", said["next"], f"3 1 1 {digest}")

    def no_certificate(self, name: str) -> None:
        """A host without STARTTLS."""
        code, said = self.json("tlsa", "suggest", name)
        expect("exit, records", (code, said["records"]), (1, []))
        [unseen] = said["unseen"]
        expect("why", unseen["why"], "STARTTLS is not offered")

    def policies(self) -> None:
        """`policy check` of each file with its mail hosts."""
        file = self.exporter.folder / "mta-sts.txt"
        for domain in self.world.table.domains.values():
            if domain.policy is None:
                continue
            file.write_bytes(domain.policy.body().encode())
            done = self.exporter.command("policy", "check", str(file))
            expect(f"{domain.name}: exit", done.returncode, 0)

    def policy(self) -> None:
        """Suggested for enforce, published as it was suggested, and checked. The block for nginx is the suggested one but for the
        addresses, folders and certificates of this world."""
        code, said = self.json("policy", "suggest", BARE, "--mode", "enforce")
        expect("exit, obstacles", (code, said["obstacles"]), (0, []))
        root = self.exporter.folder / "www"
        file = root / ".well-known" / "mta-sts.txt"
        file.parent.mkdir(parents=True)
        file.write_text(said["policy"])
        checked = self.exporter.command("policy", "check", str(file), "--mx", f"mx.{BARE}")
        expect("policy check", checked.returncode, 0)
        records = {row["name"]: row["value"] for row in said["txt"]}
        policy = Policy((f"mx.{BARE}",))
        pem = self.world.pki.server(f"mta-sts.{BARE}")
        block = said["web"]["nginx"].replace("listen 443 ssl;", "".join(f"listen {address}:443 ssl;" for address in policy.addresses))
        block = block.replace("    listen [::]:443 ssl;\n", "").replace(f"root /var/www/mta-sts.{BARE};", f"root {root};")
        block = re.sub(r"/etc/letsencrypt/live/\S+\.pem", str(pem), block)
        expect("paths of this world", "/etc" in block.split("server {", 1)[1] or "/var/www" in block, False)
        self.world.nginx.blocks[BARE] = block
        before = self.world.table.domains[BARE]
        try:
            self.world.change_domain(BARE, policy=policy, sts_txt=(records[f"_mta-sts.{BARE}"],), tlsrpt=True)
            # nginx reads it as it is in its own eyes.
            run("nginx", "-t", "-p", self.world.nginx.folder, "-c", self.world.nginx.folder / "nginx.conf", "-e", "stderr")
            wait_until(self.protected, f"check {BARE} finds it protected", 20, pause=0.5)
            code, again = self.json("policy", "suggest", BARE)
            expect("asked again", (code, again["unchanged"], again["id"]), (0, True, said["id"]))
        finally:
            self.world.change_domain(BARE, policy=before.policy, sts_txt=before.sts_txt, tlsrpt=before.tlsrpt)
            del self.world.nginx.blocks[BARE]

    def protected(self) -> bool:
        """`check` finds nothing that is worth a warning. (The records of a moment ago may still be in the resolver's cache.)"""
        code, result = self.exporter.check(BARE, "validate")
        pressing = [finding["code"] for finding in result["findings"] if finding["severity"] != "info"]
        if result["delivery"] == "protected" and pressing:
            raise Failure(f"protected, with {pressing}")
        return code == 0 and result["delivery"] == "protected"

    def no_mail(self) -> None:
        """A null MX and no policy."""
        code, said = self.json("policy", "suggest", "nullmx.test")
        expect("exit, need, policy, txt", (code, said["need"], said["policy"], said["txt"]), (0, "nothing", None, []))

    def obstacle(self) -> None:
        """An expired certificate of the backup, in enforce already."""
        code, said = self.json("policy", "suggest", "backup.test")
        expect("exit, mode", (code, said["mode"], said["unchanged"]), (1, "enforce", True))
        expect("obstacles", [(row["host"], row["kind"]) for row in said["obstacles"]], [("mx2.backup.test", "certificate")])
