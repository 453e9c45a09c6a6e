"""Command lines in the documentation: taken apart, run, and compared with what the page shows."""

import re
import shlex
from dataclasses import dataclass

from pages import Block
from tables import RUN, STANDS_FOR, why_not

# A line of a shown output that stands for any number of lines.
GAP = "…"

# What differs from run to run, in the order in which it is looked for; both sides are brought into this form before they are compared.
VARIES = [
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?", "DATE"),
    (r"\b\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*( \d{4})?", "DATE"),
    (r"\b\d{8}T?\d{4,6}Z?\b", "ID"),
    (r"\b\d{2}:\d{2}(:\d{2})?(\.\d+)?\b", "TIME"),
    (r"\b[0-9a-fA-F]{8,}(…|\.\.)?", "HEX"),
    (r"\b127\.\d+\.\d+\.\d+(:\d+)?", "ADDRESS"),
    (r"\blocalhost:\d+", "ADDRESS"),
    (r"\b\d+(\.\d+)? ?(ms|s|seconds?|minutes?|min|hours?|h)\b", "DURATION"),
    (r"\bjust now\b|\bDURATION ago\b( \(DATE\))?", "AGO"),
    (r"\b\d+\.\d+(e[+-]?\d+)?\b|\b\d{9,}\b", "NUMBER"),
    (r"/\S*/(smtptls-[\w-]+|demo)(?=[/\s]|$)", "FOLDER"),
]


# What a reader becomes another user with; here everything belongs to one.
SUDO = r"\bsudo (-u \S+ )?"


@dataclass
class Command:
    """One command line with what the page shows of its output."""

    block: Block
    line: str
    status: int
    shown: list[str] | None
    place: int

    def __str__(self):
        return f"{self.block}: {self.line}"


def commands(block: Block) -> list[Command]:
    """The command lines of a block, continuation lines joined."""
    found, shown = [], None
    console = block.language == "console"
    lines = list(enumerate(block.lines))
    while lines:
        place, line = lines.pop(0)
        if console and not line.startswith("$ "):
            if shown is None:
                raise ValueError(f"{block}: a console block begins with '$ ' and a command")
            shown.append(line)
            continue
        line = line.removeprefix("$ ") if console else line
        while line.endswith("\\") and lines:
            line = line[:-1].rstrip() + " " + lines.pop(0)[1].strip()
        line = uncommented(line).strip()
        if not line:
            continue
        shown = [] if console else None
        status = block.statuses[min(len(found), len(block.statuses) - 1)]
        found.append(Command(block, line, status, shown, place))
    return found


def uncommented(line: str) -> str:
    """The line without a comment at its end; a # in quotes or in a word is none."""
    quote = None
    for index, character in enumerate(line):
        if quote:
            quote = None if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index]
    return line


def programs(line: str) -> list[str]:
    """The programs that a command line calls."""
    line = re.sub(SUDO, "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    found, first = [], True
    for word in lexer:
        if re.fullmatch(r"[|&;()]+", word):
            first = True
        elif first and not re.match(r"\w+=", word):
            found.append(word)
            first = False
    return found


def how(command: Command) -> tuple[str, int | str | None]:
    """Whether a command is run: ("run", None), ("not run", its row), or ("unknown", the program)."""
    row = why_not(command.line)
    if row is not None:
        return "not run", row
    unknown = [program for program in programs(command.line) if program not in RUN]
    return ("unknown", unknown[0]) if unknown else ("run", None)


def searched_log(line: str) -> list[str]:
    """The alternatives that a command line looks for in the log of the monitor; what the kernel logs is not ours."""
    words = re.search(r"\bjournalctl (?P<of>[^|]*)\| *(?P<grep>grep .*)$", line)
    if words is None or "smtptls" not in words["of"]:
        return []
    parts = [word for word in shlex.split(words["grep"])[1:] if not word.startswith("-")]
    return parts[0].split("|") if parts else []


def unsaid(line: str, source: str) -> list[str]:
    """Those of them that the program never says; an alternative is looked for as it is, in letters of either case."""
    return [words for words in searched_log(line) if words.lower() not in source.lower()]


def monitor(line: str) -> list[str] | None:
    """The words of a command line that starts a monitor, which runs until it is stopped."""
    words = shlex.split(line)
    if words[:1] != ["smtptls-exporter"]:
        return None
    if len(words) == 1 or words[1] in ("serve", "demo"):
        return words
    return words if words[1].startswith("--") and not {"--version", "--help", "--config.check"} & set(words) else None


def healthcheck(line: str) -> list[str] | None:
    """The words of a command line that asks a monitor of its own."""
    words = shlex.split(line)
    return words if words[:2] == ["smtptls-exporter", "healthcheck"] else None


def route(words: list[str]) -> list[str]:
    """The flags by which that monitor answers there."""
    flags = [flag for flag in ("--web.route-prefix", "--web.config.file") if flag in words]
    return [word for flag in flags for word in (flag, words[words.index(flag) + 1])]


def in_this_world(line: str, url: str, folder: str) -> str:
    """The command line with the reader's names, addresses and folders replaced."""
    line = re.sub(SUDO, "", line)
    for name, stands_for in STANDS_FOR:
        # Not in the name of a file (google.com!example.com!…), and not in a longer name.
        line = re.sub(rf"(?<![\w!-]){re.escape(name)}(?![\w-]|\.\w)", stands_for, line)
    line = re.sub(r"(http://)?localhost:10461", url, line)
    line = line.replace("/etc/smtptls-exporter/web.yml", f"{folder}/web.yml")
    return line.replace("/var/lib/smtptls-exporter", f"{folder}/data").replace("/etc/smtptls-exporter/smtptls-exporter.yml", f"{folder}/smtptls-exporter.yml")


def common(text: str) -> list[str]:
    """The words of an output, without what differs from run to run and without how it is wrapped."""
    # The code of a finding stands at the end of its first line; which words come before it depends on the length of an address.
    text = re.sub(r"^( *[✗!·] )(.*?) {2,}([a-z][a-z-]+)$", r"\1\3 \2", text, flags=re.M)
    for pattern, form in VARIES:
        text = re.sub(pattern, form, text)
    return text.split()


def difference(shown: list[str], seen: str) -> str | None:
    """The first place where an output is not what the page shows."""
    if not any(line.strip() for line in shown) and seen.strip():
        return "the page does not show what the program says: run.py --write"
    parts, part = [], []
    for line in shown:
        if line.strip() == GAP:
            parts.append(part)
            part = []
        else:
            part.append(line)
    parts.append(part)
    words, at = common(seen), 0
    for number, lines in enumerate(parts):
        wanted = common("\n".join(lines))
        first, last = number == 0, number == len(parts) - 1
        start = found(wanted, words, at, anchored=first, at_end=last and len(parts) > 1)
        if start is None:
            here = next((index for index in range(min(len(wanted), len(words) - at)) if wanted[index] != words[at + index]), min(len(wanted), len(words) - at))
            return f"the page shows {' '.join(wanted[max(0, here - 3):here + 5])!r}, the program says {' '.join(words[max(0, at + here - 3):at + here + 5])!r}"
        at = start + len(wanted)
    if parts[-1] and at != len(words):
        return f"the program goes on: {' '.join(words[at:at + 8])!r}"
    return None


def found(wanted: list[str], words: list[str], at: int, anchored: bool, at_end: bool) -> int | None:
    """Where a part of the shown output stands."""
    if at_end and wanted:
        start = len(words) - len(wanted)
        return start if start >= at and words[start:] == wanted else None
    places = [at] if anchored else range(at, len(words) - len(wanted) + 1)
    return next((place for place in places if words[place:place + len(wanted)] == wanted), None)
