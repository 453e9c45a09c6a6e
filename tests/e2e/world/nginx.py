"""nginx as the policy hosts: one server block each."""

import signal
from pathlib import Path

from .domains import POLICY_HOSTS, Domain, Table
from .pki import Pki
from .process import Daemon, listens

MAIN = """
daemon off;
worker_processes 1;
user root;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 512; }}
http {{
  access_log {folder}/access.log;
  server_names_hash_bucket_size 128;
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
  ssl_protocols TLSv1.2 TLSv1.3;
  default_type text/plain;
  # A name that is not ours gets no certificate.
  server {{ {listen_default} ssl_reject_handshake on; }}
{servers}}}
"""

SERVER = """  server {{
    {listen} server_name mta-sts.{domain};
    ssl_certificate {pem}; ssl_certificate_key {pem};
    location = /.well-known/mta-sts.txt {{ {answer} }}
    location = /moved.txt {{ return 200 "{body}"; }}
    location / {{ return 404; }}
  }}
"""


class Nginx:
    """The policy hosts."""

    def __init__(self, folder: Path, world: Table, pki: Pki):
        self.folder = folder
        self.world = world
        self.pki = pki
        # Whole server blocks, by domain, in the place of the usual ones.
        self.blocks = {}
        self.log = folder / "nginx.log"
        argv = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", self.log]
        self.daemon = Daemon("nginx", argv, self.log, folder)

    def start(self) -> None:
        """Write the settings and start it."""
        (self.folder / "temp").mkdir(parents=True)
        self.write()
        self.daemon.start(lambda: all(listens(address, 443) for address in POLICY_HOSTS))

    def write(self) -> None:
        """The settings, from the table of the world."""
        servers = "".join(self.server(domain) for domain in self.world.domains.values() if domain.policy is not None)
        default = " ".join(f"listen {address}:443 ssl default_server;" for address in POLICY_HOSTS)
        (self.folder / "nginx.conf").write_text(MAIN.format(folder=self.folder, servers=servers, listen_default=default))

    def refresh(self) -> None:
        """Serve what the table says now; connections that are open keep what was."""
        self.write()
        self.daemon.signal(signal.SIGHUP)

    def server(self, domain: Domain) -> str:
        """The server block of one policy host. A redirect leads to the very policy, as it does in the field."""
        if block := self.blocks.get(domain.name):
            return block
        policy = domain.policy
        body = policy.body().replace("\r", "\\r").replace("\n", "\\n")
        answers = {200: f'return 200 "{body}";', 404: "return 404;", 301: "return 301 /moved.txt;"}
        return SERVER.format(
            domain=domain.name,
            listen=" ".join(f"listen {address}:443 ssl;" for address in policy.addresses),
            pem=self.pki.server(f"mta-sts.{domain.name}", policy.certificate),
            answer=answers[policy.answer],
            body=body,
        )

    def stop(self) -> None:
        """End it."""
        self.daemon.stop()
