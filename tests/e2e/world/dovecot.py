"""Dovecot as the IMAP server of a mailbox that receives reports."""

from pathlib import Path

from .domains import IMAP
from .pki import Pki
from .process import Daemon, listens

USER = "reports"
PASSWORD = "a word with \\ and \""
# Who owns the mailboxes: nobody.
OWNER = 65534

SETTINGS = """
protocols = imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = {address}
ssl = required
ssl_cert = <{pem}
ssl_key = <{pem}
mail_location = maildir:{mail}/imap
mail_uid = {owner}
mail_gid = {owner}
first_valid_uid = 1
first_valid_gid = 1
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={mail}/home
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = 993
    ssl = yes
  }}
}}
"""


class Dovecot:
    """The server. `mail`: the folder in which Postfix delivers, one maildir a mailbox."""

    def __init__(self, folder: Path, mail: Path, pki: Pki):
        self.folder = folder
        self.mail = mail
        self.pki = pki
        self.log = folder / "dovecot.log"
        self.password_file = folder / "password"
        self.daemon = Daemon("dovecot", ["dovecot", "-F", "-c", folder / "dovecot.conf"], folder / "output.log", folder)

    def start(self) -> None:
        """Write the settings and start it."""
        self.folder.mkdir(parents=True)
        self.password_file.write_text(PASSWORD + "\n")
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n")
        settings = SETTINGS.format(
            folder=self.folder, address=IMAP, pem=self.pki.server("imap.reports.test"), mail=self.mail, owner=OWNER
        )
        (self.folder / "dovecot.conf").write_text(settings)
        self.daemon.start(lambda: listens(IMAP, 993))

    def count(self, folder: str = "") -> int:
        """How many mails lie in a folder; the INBOX has no name."""
        place = self.mail / "imap" / (f".{folder}" if folder else "")
        return sum(len(list((place / part).glob("*"))) for part in ("new", "cur"))

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()
