"""Postfix as the mail hosts: one smtpd line in master.cf for each address, with a certificate of its own."""

import os
import re
import shutil
import signal
from pathlib import Path

from .domains import REPORTS_MX, MailHost, Table
from .dovecot import OWNER
from .pki import Pki
from .process import Failure, listens, run, wait_until
from .report_mail import IMAP_RECIPIENT, RECIPIENT

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = e2e.test
mydestination =
inet_protocols = all
inet_interfaces = all
alias_maps =
alias_database =
local_recipient_maps =
# Only reports have mailboxes, at an address of their own.
virtual_mailbox_domains = reports.test
virtual_mailbox_base = {mail}
virtual_mailbox_maps = inline:{{ {{ {recipient} = reports/ }}, {{ {imap_recipient} = imap/ }} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{owner}
# Elsewhere nothing is accepted: a monitor has no business to try.
smtpd_recipient_restrictions = reject
smtpd_relay_restrictions = reject
# The clients' names would be asked of this machine's own resolver.
smtpd_peername_lookup = no
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_session_cache_database =
"""

MASTER = """
postlog   unix-dgram n - n - 1 postlogd
anvil     unix  -  -  n  -  1  anvil
tlsmgr    unix  -  -  n 1000? 1 tlsmgr
proxymap  unix  -  -  n  -  -  proxymap
rewrite   unix  -  -  n  -  -  trivial-rewrite
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n 300 1  qmgr
virtual   unix  -  n  n  -  -  virtual
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
{reports}:25 inet n - n - 50 smtpd -o syslog_name=mail.reports.test -o myhostname=mail.reports.test -o smtpd_tls_security_level=none -o smtpd_recipient_restrictions=reject_unauth_destination -o smtpd_relay_restrictions=reject_unauth_destination
"""

# What a mail host accepts. Security level 0 lets old keys and versions through; Postfix's own defaults ask for TLS 1.2 or newer.
LEVEL_0 = "tls_medium_cipherlist=ALL:@SECLEVEL=0"
TLS = {
    "modern": ("smtpd_tls_protocols=>=TLSv1.2",),
    "old-too": ("smtpd_tls_protocols=>=TLSv1", LEVEL_0),
    "tls11": ("smtpd_tls_protocols=TLSv1.1", LEVEL_0),
    # Neither forward secrecy nor an AEAD.
    "rsa-key-exchange": ("smtpd_tls_protocols=TLSv1.2", "tls_medium_cipherlist=AES128-SHA:AES256-SHA:AES128-SHA256"),
    "level-0": ("smtpd_tls_protocols=>=TLSv1.2", LEVEL_0),
}


class Postfix:
    """The mail hosts."""

    def __init__(self, folder: Path, world: Table, pki: Pki):
        self.folder = folder
        self.world = world
        self.pki = pki
        self.settings = folder / "settings"
        self.log = folder / "mail.log"
        # A maildir for each mailbox.
        self.mail = folder / "mail"

    def start(self) -> None:
        """Write the settings and start it."""
        self.settings.mkdir(parents=True)
        (self.folder / "queue").mkdir()
        (self.folder / "data").mkdir()
        shutil.chown(self.folder / "data", "postfix")
        self.mail.mkdir()
        shutil.chown(self.mail, OWNER, OWNER)
        main = MAIN.format(
            folder=self.folder, mail=self.mail, recipient=RECIPIENT, imap_recipient=IMAP_RECIPIENT, owner=OWNER
        )
        (self.settings / "main.cf").write_text(main)
        self.write_services()
        for host in self.world.served_hosts():
            if host.certificate != "none":
                self.install(host.name, host.certificate)
        run("postfix", "-c", self.settings, "start")
        addresses = [REPORTS_MX, *(address for host in self.world.served_hosts() for address in host.addresses)]
        wait_until(lambda: all(listens(address, 25) for address in addresses), "postfix ready")

    def write_services(self) -> None:
        """master.cf, from the table of the world."""
        lines = [self.service(host, address) for host in self.world.served_hosts() for address in host.addresses]
        (self.settings / "master.cf").write_text(MASTER.format(reports=REPORTS_MX) + "\n".join(lines) + "\n")

    def refresh(self) -> None:
        """Offer what the table says now."""
        self.write_services()
        self.reload()

    def service(self, host: MailHost, address: str) -> str:
        """The line of one address. The log names the mail host in the place of `postfix`."""
        socket = f"[{address}]:25" if ":" in address else f"{address}:25"
        if host.certificate == "none":
            settings = ["smtpd_tls_security_level=none"]
        else:
            settings = [f"smtpd_tls_chain_files={self.pem(host.name)}", *TLS[host.tls]]
        if host.sni_only:
            settings = [f"smtpd_tls_chain_files={self.pki.server('other-key.test')}", f"tls_server_sni_maps={self.sni_map(host)}"]
        options = [f"syslog_name={host.name}", f"myhostname={host.name}", *settings]
        return f"{socket} inet n - n - 50 smtpd " + " ".join(f"-o {option}" for option in options)

    def sni_map(self, host: MailHost) -> str:
        """A table from the host's name to its key and chain; -F takes the contents of the file into the table."""
        table = self.folder / f"{host.name}.sni"
        table.write_text(f"{host.name} {self.pki.server(host.name, host.certificate)}\n")
        run("postmap", "-F", "-c", self.settings, f"hash:{table}")
        return f"hash:{table}"

    def pem(self, host: str) -> Path:
        """The file that a mail host reads its key and chain from."""
        return self.folder / f"{host}.pem"

    def install(self, host: str, certificate: str) -> None:
        """Put a certificate into a mail host's place; a running server needs `reload`."""
        new = self.folder / f"{host}.new"
        shutil.copyfile(self.pki.server(host, certificate), new)
        new.rename(self.pem(host))

    def reload(self) -> None:
        """New smtpd processes read their certificates again; old ones end with their connection."""
        run("postfix", "-c", self.settings, "reload")

    def log_lines(self, host: str, what: str, since: int = 0) -> list[str]:
        """The lines of a mail host's smtpd from a position in the log that begin with a word."""
        with open(self.log, errors="replace") as log:
            log.seek(since)
            return re.findall(rf" {re.escape(host)}/smtpd\[\d+\]: ({what}.*)", log.read())

    def log_position(self) -> int:
        """The end of the log now."""
        return self.log.stat().st_size

    def stop(self) -> None:
        """End the master, which ends its children; wait until it is gone."""
        pid_file = self.folder / "queue/pid/master.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text())
        try:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), "postfix stopped", 5)
        except ProcessLookupError:
            return
        except Failure:
            os.kill(pid, signal.SIGKILL)
            raise
