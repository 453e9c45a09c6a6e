"""The lines of the run: one for each check, and the count at the end."""

import time


class Report:
    """Counts what held and what did not."""

    def __init__(self):
        self.began = time.monotonic()
        self.passed = 0
        self.failed: list[str] = []

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

    def check(self, name: str, action, *arguments) -> bool:
        """Run one check; any exception is its failure."""
        try:
            action(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.result(name, str(error) or repr(error))
            return False
        self.result(name)
        return True

    def end(self) -> int:
        """The last lines; returns the exit status."""
        print(f"\n{self.passed} ok, {len(self.failed)} failed, {time.monotonic() - self.began:.1f} s")
        for name in self.failed:
            print(f"  FAIL  {name}")
        return 1 if self.failed or not self.passed else 0
