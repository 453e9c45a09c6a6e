"""The check stage: `check` on every domain, in each way of looking at DNSSEC."""

import concurrent.futures
import json
import subprocess

from expected import Expected, fits
from report import Report
from verdicts import VERDICTS
from world.domains import Domain
from world.exporter import Exporter
from world.mail_world import MailWorld
from world.process import Failure
from world.proof import expect
from world.zones import security

# Both have to come to the same verdict: the one believes the resolver's AD bit, the other validates by itself.
MODES = ("trust-ad", "validate")
# At a time. Most of a check is waiting.
WORKERS = 4

# Through a forwarder that loses the signatures: delivery and the exit status. What DANE would say is withheld, on either side.
STRIPPED = {
    # MTA-STS needs no DNSSEC.
    "good.test": ("protected", (0,)),
    # The mismatch cannot be seen.
    "renewed.dane.test": ("protected", (0,)),
    # Nothing enforces as far as can be seen, and more cannot be seen.
    "ee.dane.test": ("unknown|unprotected", (0, 3)),
    "mismatch.dane.test": ("unknown|unprotected", (0, 3)),
    "bogus.test": ("unknown|unprotected", (0, 3)),
}


class CheckStage:
    """The stage."""

    def __init__(self, report: Report, world: MailWorld, exporter: Exporter):
        self.report = report
        self.world = world
        self.exporter = exporter

    def run(self) -> None:
        """All of it."""
        wanted = [name for name in VERDICTS if self.report.wants(f"check {name}")]
        tasks = [(mode, name) for mode in MODES for name in wanted]
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            outcomes = list(pool.map(self.try_check, *zip(*tasks))) if tasks else []
        results = {}
        for (mode, name), (problem, result) in zip(tasks, outcomes, strict=True):
            results[mode, name] = result
            self.report.result(f"check {name}: {mode}, {VERDICTS[name].delivery}", problem)
        for name in wanted:
            first, second = (results[mode, name] for mode in MODES)
            self.report.check(f"check {name}: {' and '.join(MODES)} agree", agree, first, second)
        for name in STRIPPED:
            self.report.check(f"check {name}: without signatures, no verdict on DANE", self.check_stripped, name)
        self.report.check("check: several domains, in the order asked", self.check_order)
        self.report.check("check --explain: a known code, an unknown one", self.check_explain)
        self.report.check("config check: this configuration, a broken one", self.config_check)

    def try_check(self, mode: str, name: str) -> tuple[str | None, dict | None]:
        """The problem with `check` of one domain, and what it said."""
        result = None
        try:
            status, result = self.exporter.check(name, mode)
            self.judge(name, VERDICTS[name], status, result)
            self.judge_facts(name, result)
            self.judge_dane(name, VERDICTS[name], result)
        except (AssertionError, Failure, KeyError, TypeError, IndexError, subprocess.TimeoutExpired) as error:
            return f"{type(error).__name__}: {error}", result
        return None, result

    def judge(self, name: str, verdict: Expected, status: int, result: dict) -> None:
        """Exit status, delivery and exactly the findings that are due."""
        got = {}
        for finding in result["findings"]:
            on_host = finding["subject"] in self.world.table.hosts
            code = f"{finding['subject']} {finding['code']}" if on_host else finding["code"]
            if finding["code"] not in verdict.optional:
                got[code] = finding["severity"]
        # A severity that depends on history is a warning in a first look.
        wanted = {code: severity or "warning" for code, severity in (verdict.findings | verdict.mx_findings).items()}
        wanted = {code: got[code] if code in got and fits(severity, got[code]) else severity for code, severity in wanted.items()}
        expect("domain", result["domain"], name)
        expect("findings", got, wanted)
        expect("delivery", result["delivery"], verdict.delivery)
        erroneous = any(finding["severity"] == "error" for finding in result["findings"])
        expect("exit", status, int(erroneous) if verdict.exit is None else verdict.exit)

    def judge_facts(self, name: str, result: dict) -> None:
        """The evidence in the JSON: what was published and served."""
        domain = self.world.table.domains[name]
        if not domain.fails(f"_mta-sts.{name}"):
            expect("sts.record.txt", sorted(result["sts"]["record"]["txt"]), sorted(domain.sts_txt))
        if not domain.fails(name):
            hosts = [mx for mx in domain.mx if mx != "."]
            expect("mx hosts", [mx["host"] for mx in result["mx"] or []], hosts)
            for mx in result["mx"] or []:
                expect(f"addresses of {mx['host']}", sorted(a["address"] for a in mx["addresses"]), self.addresses(mx["host"]))
            expect("tlsrpt.present", result["tlsrpt"]["present"], domain.tlsrpt)
        if domain.policy is not None and len(domain.sts_txt) == 1 and domain.policy.certificate == "good":
            expect("sts.policy.http_status", result["sts"]["policy"]["http_status"], domain.policy.answer)
            if domain.policy.answer == 200:
                expect("sts.policy.mode", result["sts"]["policy"]["mode"], domain.policy.mode)
                expect("sts.policy.body", result["sts"]["policy"]["body"], domain.policy.body())

    def addresses(self, mx: str) -> list[str]:
        """The addresses that can be found of a mail host."""
        host = self.world.table.hosts[mx]
        return [] if security(host.owner()) == "bogus" else sorted(host.addresses)

    def judge_dane(self, name: str, verdict: Expected, result: dict) -> None:
        """What DNSSEC says of the records; for each mail host its TLSA records, for each address whether they match."""
        domain = self.world.table.domains[name]
        for record, word in self.dnssec(domain).items():
            expect_word(f"dnssec.{record}", result["dnssec"][record], word)
        for mx in result["mx"] or []:
            status, dane = verdict.hosts.get(mx["host"], ("none", "not-applicable"))
            expect_word(f"tlsa.status of {mx['host']}", (mx["tlsa"] or {}).get("status"), status)
            for address in mx["addresses"]:
                # An address that refuses connections shows no chain; without records none is asked for.
                expect_word(f"dane of {mx['host']} at {address['address']}", address["dane"], dane)
        for sender, state in verdict.senders.items():
            # A kind that is not looked at has no view.
            expect(f"senders.{sender}.state", (result["senders"][sender] or {}).get("state"), state)

    @staticmethod
    def dnssec(domain: Domain) -> dict[str, str]:
        """What a validator finds of the records that can be looked up."""
        word = {"weak": "secure|insecure"}.get(security(domain.name), security(domain.name))
        names = {"mx": domain.name, "sts": f"_mta-sts.{domain.name}", "tlsrpt": f"_smtp._tls.{domain.name}"}
        return {record: word for record, name in names.items() if word == "bogus" or not domain.fails(name)}

    def check_stripped(self, name: str) -> None:
        """Not a word about DANE, one that it cannot be seen, and no blame."""
        delivery, exits = STRIPPED[name]
        status, result = self.exporter.check(name, "stripped")
        codes = {finding["code"] for finding in result["findings"]}
        expect("codes about DNSSEC and DANE", sorted(code for code in codes if code.startswith(("dane-", "dnssec-"))), [])
        expect("vantage-limited", [f["severity"] for f in result["findings"] if f["code"] == "vantage-limited"], ["info"])
        expect("errors", [f["code"] for f in result["findings"] if f["severity"] == "error"], [])
        expect_word("delivery", result["delivery"], delivery)
        expect("dnssec", set(result["dnssec"].values()), {"indeterminate"})
        for mx in result["mx"] or []:
            expect(f"tlsa.status of {mx['host']}", (mx["tlsa"] or {}).get("status"), "indeterminate")
            expect(f"dane of {mx['host']}", {address["dane"] for address in mx["addresses"]}, {None})
        if status not in exits:
            raise Failure(f"exit: {status} instead of {exits}")

    def check_order(self) -> None:
        done = self.exporter.command("check", "shared2.test", "backup.test", "good.test", "--format", "json")
        expect("exit", done.returncode, 1)
        expect("domains", [r["domain"] for r in json.loads(done.stdout)], ["shared2.test", "backup.test", "good.test"])

    def check_explain(self) -> None:
        for code, status in (("mx-not-in-policy", 0), ("no-such-code", 2)):
            expect(f"--explain {code}: exit", self.exporter.command("check", "--explain", code).returncode, status)

    def config_check(self) -> None:
        expect("exit", self.exporter.command("config", "check").returncode, 0)
        self.exporter.configure(broken="no_such_key: 1\n")
        done = self.exporter.command("config", "check")
        self.exporter.configure()
        if done.returncode == 0 or "no_such_key" not in done.stdout + done.stderr:
            raise Failure(f"a broken configuration passes: exit {done.returncode}, {done.stdout}{done.stderr}")


def expect_word(what: str, got: str | None, wanted: str) -> None:
    """A word that has to be the one that is wanted, or one of them."""
    if not fits(wanted, got):
        raise Failure(f"{what}: {got!r} instead of {wanted!r}")


def agree(first: dict | None, second: dict | None) -> None:
    """Two looks at the same domain."""
    if first is None or second is None:
        raise Failure("one of them said nothing")
    expect("the second", core(second), core(first))


def core(result: dict) -> dict:
    """What they have to agree on."""
    return {
        "delivery": result["delivery"],
        "senders": {sender: view["state"] for sender, view in result["senders"].items() if view},
        "findings": sorted({(f["subject"], f["address"] or "", f["code"], f["severity"]) for f in result["findings"]}),
        "tlsa": {mx["host"]: (mx["tlsa"] or {}).get("status") for mx in result["mx"] or []},
        "dane": {(mx["host"], a["address"]): a["dane"] for mx in result["mx"] or [] for a in mx["addresses"]},
    }
