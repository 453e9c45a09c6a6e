"""The stage of the partitions: a small world of its own in network namespaces, of which each side is cut off and joined again."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from report import Report
from world.apart import PRIVATE
from world.process import Failure, tail

# Seconds, for all of it.
MOST = 640
# Seconds, for it to be gone once it was killed, or to end once it has told all.
END = 10


class PartitionsStage:
    """Needs nothing of the other world, and disturbs nothing of it."""

    def __init__(self, report: Report, folder: Path, binary: Path):
        self.report = report
        self.folder = folder / "partitions"
        self.binary = binary

    def run(self) -> None:
        """Let it run where it is alone, and tell what it tells."""
        self.folder.mkdir()
        log = self.folder / "partitions.log"
        script = Path(__file__).with_name("partitions.py")
        told = 0
        with open(log, "wb") as errors:
            argv = [*PRIVATE, sys.executable, str(script), str(self.folder), str(self.binary)]
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                late = threading.Event()

                def stop() -> None:
                    late.set()
                    process.kill()

                # To read a line waits for ever where none comes: the end of the time ends the process, and so what is read.
                timer = threading.Timer(MOST, stop)
                timer.daemon = True
                timer.start()
                try:
                    for line in process.stdout:
                        check = json.loads(line)
                        self.report.result(check["name"], check["problem"])
                        told += 1
                    status = process.wait(END)
                finally:
                    timer.cancel()
                    # Everything inside ends with it.
                    process.kill()
        if late.is_set():
            raise Failure(f"the partitions did not end within {MOST} seconds, after {told} checks\n{tail(log)}")
        if status != 0 or not told:
            raise Failure(f"the partitions ended with status {status} after {told} checks\n{tail(log)}")
