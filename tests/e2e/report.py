"""The lines of the run: one for each check, and the count at the end."""

import time


STAGES = ("world", "check", "advice", "alerts", "scrape", "probe", "connections", "faults", "reload", "resolver", "dashboards", "reports", "shards", "partitions", "stop")


class Report:
    """Counts what held and what did not. `only` names a stage, or a domain or host that a check has to be about."""

    def __init__(self, only: str | None = None):
        self.only = only
        self.began = time.monotonic()
        self.passed = 0
        self.failed: list[str] = []

    def wants(self, name: str) -> bool:
        """Whether a check of this name is asked for."""
        return self.only is None or self.only in name.replace(":", " ").split()

    def wants_stage(self, stage: str) -> bool:
        """Whether a stage can hold anything that is asked for."""
        # A domain or host: those stages that look at each of them.
        by_name = ("world", "check", "scrape")
        return self.only is None or self.only == stage or (self.only not in STAGES and stage in by_name)

    def stage(self, title: str) -> None:
        """A heading, with the time since the start."""
        print(f"\n{title}  [{time.monotonic() - self.began:.1f} s]", flush=True)

    def result(self, name: str, problem: str | None = None) -> None:
        """One check: it holds, or the problem says why not."""
        if problem is None:
            self.passed += 1
            print(f"  ok    {name}", flush=True)
        else:
            self.failed.append(name)
            print(f"  FAIL  {name}\n          " + problem.strip().replace("\n", "\n          "), flush=True)

    def note(self, text: str) -> None:
        """Something that was not looked at, which is neither right nor wrong."""
        print(f"  --    {text}", flush=True)

    def check(self, name: str, action, *arguments) -> None:
        """Run one check, if it is asked for; any exception is its failure."""
        if not self.wants(name):
            return
        try:
            action(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.result(name, str(error) or repr(error))
        else:
            self.result(name)

    def end(self) -> int:
        """The last lines; returns the exit status."""
        if not self.passed and not self.failed:
            print(f"no check is named {self.only}")
        print(f"\n{self.passed} ok, {len(self.failed)} failed, {time.monotonic() - self.began:.1f} s")
        for name in self.failed:
            print(f"  FAIL  {name}")
        return 1 if self.failed or not self.passed else 0
