"""A hook of mkdocs (mkdocs.yml): what the pages link to outside docs/ is in the repository, and not in the site."""

import posixpath
import re

REPOSITORY = "https://github.com/smtptls/smtptls-exporter"

# A link or picture of Markdown with a relative target.
LINK = re.compile(r"(\]\()((?:\.\./)+[^)\s#]*)")


def on_page_markdown(markdown, page, config, files):
    """Point links that leave docs/ to the repository, as GitHub resolves them."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def absolute(found):
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        if target.startswith("docs/"):
            return found[0]
        return f"{found[1]}{REPOSITORY}/blob/main/{target}"

    return LINK.sub(absolute, markdown)

