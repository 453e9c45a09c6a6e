"""Tests of the tests: each can fail, and does not fail for what differs from run to run."""

import tempfile
import unittest
from pathlib import Path

import pages
from commands import commands, difference, how, in_this_world, monitor, programs, uncommented, unsaid
from snippets import RECORD


def command(line: str, language: str = "sh"):
    """The only command of a block."""
    (only,) = commands(pages.Block(pages.ROOT / "README.md", 1, language, line.split("\n")))
    return only


class Outputs(unittest.TestCase):
    """What a page shows, and what the program says."""

    def test_the_same(self):
        self.assertIsNone(difference(["a  b", "c"], "a b c\n"))

    def test_what_varies(self):
        shown = ["checked in 0.1 s at 2026-11-26T08:08:12Z", "id=20261126T080812Z 20 Nov 127.77.25.3 fd554c9ef0adfbc3 in", "4 minutes"]
        self.assertIsNone(difference(shown, "checked in 12 ms at 2027-01-02T00:00:00.5Z id=20270102T000000Z 2 Jan 127.1.2.3:25 00112233aabbccdd in 3 hours"))

    def test_where_a_line_is_wrapped(self):
        shown = ["  · The certificate of mx [127.1.1.1] is     certificate-untrusted", "    not trusted"]
        self.assertIsNone(difference(shown, "  · The certificate of mx [127.111.111.111] is not   certificate-untrusted\n    trusted\n"))
        self.assertIsNotNone(difference(shown, "  · The certificate of mx [127.1.1.1] is     certificate-expired\n    not trusted\n"))

    def test_another_word(self):
        self.assertIn("drift", difference(["good is drift"], "good is well"))

    def test_another_number_of_days(self):
        self.assertIsNotNone(difference(["88 days left"], "87 days left"))

    def test_more_and_less(self):
        self.assertIsNotNone(difference(["a"], "a b"))
        self.assertIsNotNone(difference(["a b"], "a"))
        self.assertIsNotNone(difference([], "a"))

    def test_gaps(self):
        self.assertIsNone(difference(["a", "…", "d"], "a b c d"))
        self.assertIsNone(difference(["…", "b", "…"], "a b c"))
        self.assertIsNotNone(difference(["…", "x", "…"], "a b c"))
        self.assertIsNotNone(difference(["a", "…", "c"], "a b c d"))


class Lines(unittest.TestCase):
    """Command lines."""

    def test_programs(self):
        self.assertEqual(programs("A=1 curl -s 'a|b' | grep x && sudo -u me ls > /f; cat"), ["curl", "grep", "ls", "cat"])

    def test_comments(self):
        self.assertEqual(uncommented("a '#' b#c # d").rstrip(), "a '#' b#c")

    def test_what_is_looked_for_in_the_log(self):
        source = '"connections cannot be accepted" "a task Panicked"'
        line = "journalctl -u smtptls-exporter | grep -E 'cannot be accepted|could not'"
        self.assertEqual(unsaid(line, source), ["could not"])
        self.assertEqual(unsaid("journalctl -u smtptls-exporter | grep -i -A5 panicked", source), [])
        self.assertEqual(unsaid("journalctl -k | grep -i oom", source), [])

    def test_what_is_run(self):
        self.assertEqual(how(command("smtptls-exporter check a.test | grep x"))[0], "run")
        self.assertEqual(how(command("kubectl apply -f x"))[0], "not run")
        self.assertEqual(how(command("rm -rf /")), ("unknown", "rm"))
        self.assertEqual(how(command("grep x y | rm z")), ("unknown", "rm"))

    def test_console(self):
        self.assertEqual(command("$ a \\\n  b\nc\nd", "console").shown, ["c", "d"])
        self.assertRaises(ValueError, commands, pages.Block(pages.ROOT, 1, "console", ["no command"]))

    def test_monitors(self):
        self.assertTrue(monitor("smtptls-exporter") and monitor("smtptls-exporter --domain a.test") and monitor("smtptls-exporter demo"))
        self.assertFalse(monitor("smtptls-exporter --version") or monitor("smtptls-exporter check a.test") or monitor("curl x"))

    def test_names(self):
        self.assertEqual(in_this_world("curl http://localhost:10461/domains/example.com", "http://h:1", "/f"), "curl http://h:1/domains/good.test")
        self.assertEqual(in_this_world("dig _mta-sts.example.com notexample.com example.com.", "", ""), "dig _mta-sts.good.test notexample.com good.test.")
        self.assertEqual(in_this_world("x google.com!example.com!1.json.gz example.com.au", "", ""), "x google.com!example.com!1.json.gz example.com.au")
        self.assertEqual(in_this_world("sudo -u me curl http://monitor.example.com:10461/-/healthy", "http://h:1", ""), "curl http://h:1/-/healthy")


class Pages(unittest.TestCase):
    """Markdown."""

    def read(self, text: str):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.md"
            file.write_text(text)
            return pages.blocks(file)

    def test_blocks(self):
        (block,), wrong = self.read("<!-- exit 1 0 -->\n```sh\na\n```\n")
        self.assertEqual((block.lines, block.statuses, wrong), (["a"], [1, 0], []))

    def test_what_would_be_in_no_test(self):
        for text in ("```\na\n```\n", "```bash\na\n```\n", "words\n\n    a command\n", "see\n#12 there\n", "```sh\na\n"):
            self.assertTrue(self.read(text)[1], text)
        self.assertEqual(self.read("- item\n\n    more of it\n")[1], [])

    def test_anchors(self):
        text = "# What is `a_b`?\n\n## Twice\n\n## Twice\n\n```sh\n# no heading\n```\n"
        self.assertEqual(pages.anchors(text, pages.github_anchor), {"what-is-a_b", "twice", "twice-1"})
        self.assertEqual(pages.anchors(text, pages.mkdocs_anchor), {"what-is-a_b", "twice", "twice_1"})

    def test_links(self):
        text = "[a](b.md#c) ![d](e.png) `[no](link)`\n```text\n[no](link)\n```\n"
        self.assertEqual(list(pages.links(text)), [(1, "b.md#c"), (1, "e.png")])


class Records(unittest.TestCase):
    """Zone file syntax."""

    def test_records(self):
        for line in ('_mta-sts.example.com. TXT "v=STSv1; id=1"', "a.example.com. 300 IN MX 10 mx.example.com.", "_25._tcp.mx.a. TLSA 3 1 1 ab12"):
            self.assertTrue(RECORD.fullmatch(line), line)
        for line in ('_mta-sts.example.com TXT "x"', "a. TXT x", "a. MX mx.a."):
            self.assertFalse(RECORD.fullmatch(line), line)


if __name__ == "__main__":
    unittest.main()
