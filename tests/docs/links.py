#!/usr/bin/env python3
"""Holds every link of the documentation: the file is there, the anchor is there on GitHub and in the site, and the site asks nobody else.

    links.py                  the Markdown files of the project
    links.py --site FOLDER    the built site as well (mkdocs build --strict --site-dir FOLDER)
"""

import argparse
import html.parser
import re
import sys
import urllib.parse
from pathlib import Path

sys.dont_write_bytecode = True

import yaml

import pages
from pages import ROOT

# Attributes by which a page makes a browser fetch something. What a reader clicks on (a href) may lead anywhere.
FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("object", "data"), ("form", "action")}

# Made by mkdocs itself, not from a page.
MADE = {"404.html", "search.html"}


def main() -> None:
    """Say everything that is wrong at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path)
    arguments = parser.parse_args()
    wrong, links = [], 0
    texts = {file: file.read_text() for file in pages.files()}
    for file, text in texts.items():
        for number, target in pages.links(text):
            links += 1
            problem = follow(file, target, texts)
            if problem:
                wrong.append(f"{file.relative_to(ROOT)}:{number}: {target}: {problem}")
    wrong += navigation() + runbook_urls(texts) + glossary()
    said = f"{len(texts)} files, {links} links"
    if arguments.site:
        problems, page_count, link_count = site(arguments.site)
        wrong += problems
        said += f"; the site: {page_count} pages, {link_count} links"
    if wrong:
        sys.exit("\n".join(wrong))
    print(said)


def follow(file: Path, target: str, texts: dict[Path, str]) -> str | None:
    """What is wrong with a link, if anything."""
    parts = urllib.parse.urlsplit(target)
    if parts.scheme:
        return None if parts.scheme in ("http", "https", "mailto") and (parts.netloc or parts.path) else "no such kind of link"
    path = (file.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else file
    if not path.is_relative_to(ROOT):
        return "it leads out of the project"
    if not path.exists():
        return "nothing is there"
    if parts.fragment:
        if path not in texts:
            return "an anchor in what is no page"
        if parts.fragment not in pages.anchors(texts[path], pages.github_anchor):
            return "no such heading on GitHub"
        in_site = path.is_relative_to(ROOT / "docs") and file.is_relative_to(ROOT / "docs")
        if in_site and parts.fragment not in pages.anchors(texts[path], pages.mkdocs_anchor):
            return "the site gives that heading another anchor: say it in plainer words"
    return None


def navigation() -> list[str]:
    """Every page of docs/ can be reached from the navigation; runbooks by way of their table."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = set(leaves(settings["nav"]))
    there = {str(file.relative_to(ROOT / "docs")) for file in (ROOT / "docs").rglob("*.md")}
    runbooks = {name for name in there if name.startswith("runbooks/SMTPTLS")}
    table = (ROOT / "docs/runbooks/README.md").read_text()
    return (
        [f"mkdocs.yml: {name} is not in the navigation" for name in sorted(there - runbooks - named)]
        + [f"mkdocs.yml: {name} is not there" for name in sorted(named - there)]
        + [f"docs/runbooks/README.md: {name} is not in the table" for name in sorted(runbooks) if f"({Path(name).name})" not in table]
    )


def leaves(tree):
    """The file names in a navigation."""
    for entry in tree:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else leaves(value)


def runbook_urls(texts: dict[Path, str]) -> list[str]:
    """The address of the project is one and the same everywhere."""
    from mkdocs_hook import REPOSITORY
    rules = (ROOT / "alerts/mx.rules.yml").read_text()
    wrong = [] if f"{REPOSITORY}/blob/main/docs/runbooks/" in rules else [f"alerts/mx.rules.yml: its runbooks are not at {REPOSITORY}"]
    for file, text in texts.items():
        for found in re.finditer(re.escape(REPOSITORY) + r"/blob/main/([^)#\s`]+)", text):
            if not (ROOT / found[1]).exists():
                wrong.append(f"{file.relative_to(ROOT)}: {found[0]}: nothing is there")
    return wrong


def glossary() -> list[str]:
    """The glossary has every word of a closed list that findings, metrics and the monitor's answers show to people."""
    text = (ROOT / "docs/glossary.md").read_text()
    findings, code = (ROOT / "docs/findings.md").read_text(), (ROOT / "src/verdict/readiness.rs").read_text()
    words = set(re.findall(r"^- Result type: `([\w-]+)`", findings, re.M)) | set(re.findall(r"^- Check group: (\w+)", findings, re.M)) - {"none"}
    states = re.search(r"`smtptls_domain_delivery`.*?\(([\w, -]+)\)", (ROOT / "docs/metrics.md").read_text())[1].split(", ")
    conditions = set(re.findall(r'required\("([\w-]+)"', code))
    wrong = [] if len(words) > 15 and len(states) == 6 and len(conditions) > 10 else ["glossary: the lists were not found"]
    return wrong + [f"docs/glossary.md: {word} is not explained" for word in sorted(words | set(states) | conditions) if f"`{word}`" not in text]


class Page(html.parser.HTMLParser):
    """What a built page links to, what it fetches, and its anchors."""

    def __init__(self):
        super().__init__()
        self.links, self.fetched, self.anchors = [], [], set()

    def handle_starttag(self, tag, attributes):
        """Collect."""
        attributes = dict(attributes)
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        for element, attribute in FETCHED:
            canonical = tag == "link" and attributes.get("rel") == "canonical"
            if tag == element and attributes.get(attribute) and not canonical:
                self.fetched.append(attributes[attribute])


def site(folder: Path) -> tuple[list[str], int, int]:
    """What is wrong with the built site, and how much of it was looked at."""
    wrong, links, built = [], 0, {}
    for file in sorted(folder.rglob("*.html")):
        page = Page()
        page.feed(file.read_text())
        built[file.resolve()] = page
    if len(built) < 40:
        wrong.append(f"{folder}: only {len(built)} pages: this is not the site")
    for file, page in built.items():
        name = file.relative_to(folder.resolve())
        for target in page.fetched:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                wrong.append(f"{name}: fetches {target}")
            elif parts.path and str(name) not in MADE and not (file.parent / urllib.parse.unquote(parts.path)).exists():
                wrong.append(f"{name}: {target} is not there")
        for target in page.links if str(name) not in MADE else []:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            links += 1
            path = (file.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else file
            path = path / "index.html" if path.is_dir() else path
            if not path.exists():
                wrong.append(f"{name}: {target} is not there")
            elif parts.fragment and path in built and parts.fragment not in built[path].anchors:
                wrong.append(f"{name}: {target}: no such anchor")
    for sheet in sorted(folder.rglob("*.css")):
        for found in re.finditer(r"@import[^;]*|url\(\s*['\"]?(?:https?:)?//[^)]*\)", sheet.read_text(errors="replace")):
            wrong.append(f"{sheet.relative_to(folder)}: fetches {found[0]}")
    return wrong, len(built), links


if __name__ == "__main__":
    main()
