#!/usr/bin/env python3
"""Runs every command line of the documentation against the demonstration, and compares what the pages show. See README.md."""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True

import deploy
import fixtures
import pages
import test_docs
from commands import GAP, commands, difference, healthcheck, how, in_this_world, monitor, route, unsaid
from pages import ROOT
from snippets import Snippets
from tables import NOT_RUN
from world import Failure, World

BUILDS = [ROOT / "target" / profile / "smtptls-exporter" for profile in ("release", "debug")]


def main() -> int:
    """Check everything; say everything that is wrong at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporter", type=Path, help="the built program; default: the newer one of target/release and target/debug")
    parser.add_argument("--only", default="", help="only pages whose path contains this")
    parser.add_argument("--write", action="store_true", help="write the outputs that are shown whole anew into the pages")
    parser.add_argument("--list", action="store_true", help="list the command lines that are not run, and why")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    # The tools first: what cannot fail proves nothing.
    tests = unittest.TextTestRunner(verbosity=0, stream=open(os.devnull, "w")).run(unittest.defaultTestLoader.loadTestsFromModule(test_docs))
    if not tests.wasSuccessful():
        print("\n".join(trace for _, trace in tests.failures + tests.errors), file=sys.stderr)
        return 1
    blocks, wrong = [], []
    for file in pages.files():
        if arguments.only in str(file.relative_to(ROOT)):
            found, problems = pages.blocks(file)
            blocks += found
            wrong += problems
    lines = []
    for block in blocks:
        if block.language in ("sh", "console"):
            try:
                lines += commands(block)
            except ValueError as error:
                wrong.append(str(error))
    if arguments.list:
        print("\n".join(f"{command}: {NOT_RUN[how(command)[1]][1]}" for command in lines if how(command)[0] == "not run"))
        return 0
    binary = (arguments.exporter or newest()).resolve()
    folder = Path(tempfile.mkdtemp(prefix="smtptls-docs-"))
    world = World(binary, folder)
    began = time.monotonic()
    try:
        wrong += check_tables(lines, arguments.only) + inline(binary, arguments.only)
        snippets = Snippets(binary, folder / "snippets")
        wrong += [f"{block}: {problem}" for block in blocks if (problem := snippets.wrong(block))]
        world.start()
        started = time.monotonic() - began
        fixtures.lay_out(world)
        wrong += deploy.check(world)
        counts = run_all(world, lines, wrong, arguments.write)
        problem = world.stop()
        wrong += [problem] if problem else []
    except Failure as failure:
        wrong.append(str(failure))
        print("\n".join(wrong), file=sys.stderr)
        return 1
    finally:
        world.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"command lines: {counts['run']} run ({counts['shown']} with their output shown), {counts['not run']} not run (--list says why)")
    print("snippets: " + ", ".join(f"{count} {kind}" for kind, count in snippets.checked.items()))
    print(f"the demonstration was probed after {started:.1f} s; all took {time.monotonic() - began:.0f} s")
    if wrong:
        print("\n" + "\n".join(wrong), file=sys.stderr)
        return 1
    return 0


def newest() -> Path:
    """The program that was built last."""
    there = [build for build in BUILDS if build.exists()]
    if not there:
        sys.exit(f"no program at {' or '.join(map(str, BUILDS))}: build it, or say --exporter")
    return max(there, key=lambda build: build.stat().st_mtime)


def check_tables(lines, only: str) -> list[str]:
    """Every line is in a table, can be read by a shell, and looks for what the program says; every row of the table is used."""
    wrong, used = [], Counter()
    source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.rs"))
    for command in lines:
        kind, row = how(command)
        if kind == "unknown":
            wrong.append(f"{command}: {row} is in no table; tests/docs/tables.py says what is run and what is not")
        if kind == "not run":
            used[row] += 1
        wrong += [f"{command}: the program never logs {words!r}" for words in unsaid(command.line, source)]
        read = subprocess.run(["bash", "-n", "-c", command.line], capture_output=True, text=True, check=False)
        if read.returncode:
            wrong.append(f"{command}: {read.stderr.strip()}")
    if not only:
        wrong += [f"tests/docs/tables.py: no command line is like {pattern}" for row, (pattern, _) in enumerate(NOT_RUN) if not used[row]]
    return wrong


def run_all(world: World, lines, wrong: list[str], write: bool) -> Counter:
    """Run what is to be run, in the order of the pages."""
    counts, outputs = Counter(), {}
    for number, command in enumerate(lines):
        kind, _ = how(command)
        counts[kind] += 1
        if kind != "run":
            continue
        line = in_this_world(command.line, world.url, str(world.folder))
        words, health = monitor(line), healthcheck(line)
        if words or health:
            problem = world.run_monitor(words or ["smtptls-exporter", "serve", *route(health)], number, health)
            wrong += [f"{command}: {problem}"] if problem else []
            continue
        done = world.run(line)
        # Commands that change what lies in the folder are followed by others that need it as it was.
        fixtures.restore(world)
        if done.returncode != command.status:
            wrong.append(f"{command}: exit status {done.returncode}, not {command.status}: {(done.stdout[-300:] + done.stderr[-500:]).strip()}")
            continue
        if command.shown is not None and command.block.example is None:
            counts["shown"] += 1
            outputs[command.block.file, command.block.line, command.place] = done.stdout
            if write and not any(shown.strip() == GAP for shown in command.shown):
                continue
            problem = difference(command.shown, done.stdout)
            wrong += [f"{command}: {problem}"] if problem else []
    if write:
        for file in {command.block.file for command in lines}:
            write_outputs(file, [command for command in lines if command.block.file == file], outputs)
    return counts


def write_outputs(file: Path, lines, outputs) -> None:
    """Put the outputs into a page, the last one first so that places hold."""
    text = file.read_text().split("\n")
    for command in reversed(lines):
        output = outputs.get((file, command.block.line, command.place))
        if output is None or any(shown.strip() == GAP for shown in command.shown):
            continue
        # Behind the line of the command, which may be continued.
        begin = command.block.line + command.place + 1
        while text[begin - 1].endswith("\\"):
            begin += 1
        text[begin:begin + len(command.shown)] = [line.rstrip() for line in output.rstrip("\n").split("\n")] if output.strip() else []
    file.write_text("\n".join(text))


def inline(binary: Path, only: str) -> list[str]:
    """Commands that are named in a sentence: the command and each of its flags exist."""
    helps, wrong = {}, []

    def help_of(words: tuple[str, ...]) -> str | None:
        if words not in helps:
            done = subprocess.run([binary, *words, "--help"], capture_output=True, text=True, check=False)
            helps[words] = done.stdout if done.returncode == 0 else None
        return helps[words]

    for file in pages.files():
        if only not in str(file.relative_to(ROOT)):
            continue
        for found in re.finditer(r"`smtptls-exporter( [^`]*)`", pages.without_blocks(file.read_text())):
            words = shlex.split(found[1].replace("…", ""))
            command: tuple[str, ...] = ()
            while words and re.fullmatch(r"[a-z]+", words[0]) and help_of(command + (words[0],)) is not None:
                command += (words.pop(0),)
            text = help_of(command) or ""
            if re.fullmatch(r"[a-z]+", words[0] if words else "") and "Commands:" in text:
                wrong.append(f"{file.relative_to(ROOT)}: {found[0]}: there is no command {words[0]}")
            for word in words:
                flag = word.partition("=")[0]
                if flag.startswith("-") and flag != "-" and not re.search(rf"(?<![\w-]){re.escape(flag)}\b", text):
                    wrong.append(f"{file.relative_to(ROOT)}: {found[0]}: there is no flag {flag}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
