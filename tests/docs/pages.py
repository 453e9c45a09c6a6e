"""What the tests of the documentation need to know of Markdown: fenced blocks, links, headings and their anchors."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What may stand behind the three backticks. A block without one of these words is an error: it would be in no test.
LANGUAGES = {"sh", "console", "yaml", "json", "jsonl", "promql", "nginx", "caddy", "dns", "text"}

# A comment on the line before a block, invisible to readers: the exit status of each command in it (the last one holds on), or
# why its output is not compared.
MARKER = re.compile(r"<!-- (?:exit (?P<status>[\d ]+)|(?P<shown>shown as an example): (?P<why>.+)) -->")


@dataclass
class Block:
    """A fenced block."""

    file: Path
    line: int
    language: str
    lines: list[str]
    statuses: list[int] = field(default_factory=lambda: [0])
    example: str | None = None

    def __str__(self):
        return f"{os.path.relpath(self.file, ROOT)}:{self.line}"


def files() -> list[Path]:
    """Every Markdown file that belongs to the project, new ones too."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).exists())


def blocks(file: Path) -> tuple[list[Block], list[str]]:
    """The fenced blocks of a file, and what is wrong with them."""
    found, wrong, open_block, indent, before = [], [], None, "", ""
    blank = True
    for number, line in enumerate(file.read_text().split("\n"), 1):
        fence = re.match(r"( *)```(.*)$", line)
        if open_block is not None:
            if fence and not fence[2]:
                found.append(open_block)
                open_block = None
            else:
                open_block.lines.append(line.removeprefix(indent))
        elif fence:
            indent = fence[1]
            open_block = Block(file, number, fence[2].strip(), [])
            if open_block.language not in LANGUAGES:
                wrong.append(f"{open_block}: a block says what it is: {', '.join(sorted(LANGUAGES))}")
            marker = MARKER.fullmatch(before.strip())
            if marker and marker["status"]:
                open_block.statuses = [int(status) for status in marker["status"].split()]
            elif marker:
                open_block.example = marker["why"]
        elif re.match(r"#+[^#\s]", line):
            wrong.append(f"{os.path.relpath(file, ROOT)}:{number}: the site makes a heading of a line that begins with #; break it elsewhere")
        elif blank and re.match(r" {4,}\S", line) and not re.match(r"\s*([-*]|\d+\.)", before):
            wrong.append(f"{os.path.relpath(file, ROOT)}:{number}: an indented block; write ```sh, so that its commands are tested")
        if not fence or open_block is None:
            blank = not line.strip()
            before = line if line.strip() else before
    if open_block is not None:
        wrong.append(f"{open_block}: the block has no end")
    return found, wrong


def without_blocks(text: str) -> str:
    """The text with its fenced blocks and comments taken out, line by line."""
    kept, inside = [], False
    for line in text.split("\n"):
        if re.match(r" *```", line):
            inside = not inside
            kept.append("")
        else:
            kept.append("" if inside else line)
    return re.sub(r"<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), "\n".join(kept), flags=re.S)


def headings(text: str) -> list[str]:
    """The words of each heading, without marks."""
    return [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", found[1]).strip()
            for found in re.finditer(r"^#{1,6} (.+?) *#*$", without_blocks(text), re.M)]


def github_anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def mkdocs_anchor(heading: str) -> str:
    """The anchor that mkdocs gives to it."""
    plain = re.sub(r"[^\w\s-]", "", heading.encode("ascii", "ignore").decode()).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def anchors(text: str, name) -> set[str]:
    """The anchors of a page; a heading that stands twice gets a number from GitHub (-1) and from mkdocs (_1)."""
    seen, found = {}, set()
    for heading in headings(text):
        anchor = name(heading)
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(anchor if not count else f"{anchor}{'-' if name is github_anchor else '_'}{count}")
    return found


def links(text: str):
    """Each link and picture: line number and target."""
    plain = re.sub(r"`[^`\n]*`", "", without_blocks(text))
    for number, line in enumerate(plain.split("\n"), 1):
        for found in re.finditer(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", line):
            yield number, found[1]
