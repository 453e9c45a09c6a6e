"""Which command lines of the documentation are run, which are not, and why; and what the names in them stand for."""

import re

# Programs that may be run. Others need a row below.
RUN = {
    "smtptls-exporter", "curl", "dig", "openssl", "promtool", "amtool", "jq", "grep", "head", "tail", "cat", "cd", "ls", "mv", "mkdir", "sort", "sed", "sha256sum",
    "echo", "man",
}

# Command lines that are not run here: a pattern for the whole line, and the reason. bash still has to be able to read them, and a
# row that fits none is an error. What is in no row is run.
NOT_RUN = [
    (r"(sudo )?(RUNLEVEL=1 |DEBIAN_FRONTEND=\S+ )*apt-get .*", "changes the machine"),
    (r"(.* && )?(sudo )?(systemctl|journalctl) .*", "asks systemd of the reader's machine"),
    (r"(kubectl|helm) .*", "needs a cluster"),
    (r"psql .*", "asks the reader's database"),
    (r"(cd \S+ && )?docker .*", "needs a Docker daemon"),
    (r"gh .*|git (tag|push) .*", "asks GitHub, or makes a release"),
    (r"packaging/\w+\.sh", "is a stage of .ci/run, or builds the program once more"),
    (r"sha256sum .*(SHA256SUMS|target/\S+)", "needs what a release has, or a build that takes minutes"),
    (r"cargo (install|run|build|fuzz|fmt|clippy) .*|cargo fmt --all", "builds the program; the stages of .ci/run do"),
    (r"(SMTPTLS_\w+=\S+ |INSTA_UPDATE=\S+ )*cargo (test|bench)\b.*", "is the test itself, or a measurement"),
    (r"tests/e2e/soak\.py.*", "is a stage of .ci/run, or a measurement of twenty minutes"),
    (r"cargo build && sudo tests/e2e/run.py|(sudo )?tests/e2e/run\.py.*", "is a stage of .ci/run"),
    (r"benches/report_parsedmarc\.py .*", "needs parsedmarc; a measurement"),
    (r"promtool check rules --lint=all alerts/\*\.rules\.yml && promtool test rules .*", "is a stage of .ci/run"),
    (r"prometheus --config\.file=alerts/prometheus\.example\.yml .*", "runs until it is stopped; promtool check config reads the file"),
    (r"promtool query .*|curl .*localhost:9090.*", "asks the reader's Prometheus"),
    (r"promtool check config /etc/prometheus/.*", "reads the reader's Prometheus"),
    (r"delv .*", "validates from the real root, which the demonstration is not below"),
    (r"(nc|ip|ss) .*", "waits for a person, or asks the reader's network"),
    (r"openssl (ecparam|req -new|x509) .*", "made the certificates of the tests, once"),
    (r"htpasswd .*", "asks for a password at the terminal"),
    (r"zstd --train .*", "made the dictionary of the store, once"),
    (r"curl .*https://(reports\.example\.com|mail\.example)/.*", "asks a host of the reader's that no demonstration has"),
    (r"(df|ls|cat|ps|top|free|chown|chmod|getfacl) .*(/var/lib|/etc|/proc|/run)\S*.*", "looks at the reader's machine"),
    (r"(cp|install) .*(/etc/|/var/lib/)grafana.*", "changes the reader's Grafana"),
    (r"sudo (useradd|install|sed) .*|echo .* \| sudo tee .*", "changes the machine"),
    (r"(cd deploy/helm && )?(tests/helm/run|\./make)\.py.*", "is the stage helm of .ci/run"),
    (r"packaging/debian/\w+\.(sh|py) .*", "makes and tries the package; a stage of .ci/run does"),
    (r"npm ci .*|node .*", "draws pictures, or is the stage browser of .ci/run"),
    (r"tests/docs/\w+\.py.*", "are these tests"),
    (r"mkdocs build .*", "is the stage site of .ci/run"),
]

# Names of the reader's that stand in the documentation, and what is put in their place in the world of the demonstration.
STANDS_FOR = [
    ("http://monitor.example.com:10461", "http://localhost:10461"),
    # A host with TLSA records.
    ("mx1.example.com", "mx1.dane.test"),
    ("example.com", "good.test"),
    ("example.org", "drift.test"),
]


def why_not(command: str) -> int | None:
    """The row of NOT_RUN that a command falls under."""
    for number, (pattern, _) in enumerate(NOT_RUN):
        if re.fullmatch(pattern, command, re.S):
            return number
    return None
