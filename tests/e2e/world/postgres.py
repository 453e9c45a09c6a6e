"""PostgreSQL from Debian's packages: a server of its own in the folder of the run, as the user that the package made."""

import shutil
import time
from pathlib import Path

from .process import Daemon, Failure, run

USER = "postgres"
PORT = 5444


class Postgres:
    """A server on a socket and on one loopback address."""

    def __init__(self, folder: Path, address: str):
        self.folder = folder
        self.data = folder / "data"
        self.address = address
        self.programs = newest()
        self.daemon = Daemon("postgres", self.as_user(self.programs / "postgres", "-D", self.data), folder / "postgres.log", folder)

    def as_user(self, *argv) -> list:
        """It refuses to run as root."""
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *argv]

    def start(self) -> None:
        """A new cluster with one role and one database."""
        self.folder.mkdir()
        shutil.chown(self.folder, USER, USER)
        password = self.folder / "password"
        password.write_text("e2e-password\n")
        shutil.chown(password, USER, USER)
        run(*self.as_user(self.programs / "initdb", "-D", self.data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", password, "--no-sync"), cwd=self.folder)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            settings.write(f"listen_addresses = '{self.address}'\nport = {PORT}\nunix_socket_directories = '{self.folder}'\n")
        self.start_again()
        self.query("CREATE ROLE smtptls LOGIN PASSWORD 'e2e-secret'", "postgres")
        self.query("CREATE DATABASE smtptls OWNER smtptls", "postgres")

    def start_again(self) -> None:
        """After an end, with what was there."""
        self.daemon.start(self.answers)

    def stop(self) -> None:
        """All sessions end at once."""
        self.daemon.stop()

    def answers(self) -> bool:
        """Whether a session can begin."""
        try:
            return self.query("SELECT 1", "postgres") == "1"
        except Failure:
            time.sleep(0.1)
            return False

    @property
    def url(self) -> str:
        """For state.url."""
        return f"postgres://smtptls:e2e-secret@{self.address}:{PORT}/smtptls?sslmode=disable"

    def query(self, sql: str, database: str = "smtptls") -> str:
        """What a statement answers, as bare text."""
        return run("env", "PGPASSWORD=e2e-password", "psql", "-h", self.address, "-p", str(PORT), "-U", "owner", "-d", database, "-AtXqc", sql).strip()


def newest() -> Path:
    """The programs of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise Failure("missing: initdb. On Debian: RUNLEVEL=1 apt-get install --no-install-recommends postgresql")
    return found[-1].parent
