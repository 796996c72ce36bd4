"""Pages of the documentation, taken apart: what of them every language has in common, and where links may lead.

Code is compared as it stands. Comments in it are sentences: of them only numbers and words of code are compared.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from src.options.owner import ROOT

#: the line under the title that leads to the other language
LANGUAGES = re.compile(r"^(?:English \| \[简体中文\]|\[English\]).*$")
SHELLS = ("bash", "sh", "console")
#: what stands between backquotes
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
#: 1,000, 0.5, 512 of 512p, both sides of 512x1024, and a unit; not the 2 of pix2pixHD
NUMBER = re.compile(
    r"(?:(?<![\w.])|(?<=\dx))(\d+(?:,\d{3})*(?:\.\d+)*)(\s?(?:[kMGT]i?B|G?TFLOPS?|ms|%)(?!\w))?", re.ASCII
)
#: options, names with an underscore, paths, and lists of values without spaces, as they stand in comments
WORD_OF_CODE = re.compile(r"--\w+|[\w.-]*\w[_/][\w./-]*\b|[a-z]\w*(?:,[a-z]\w*)+", re.ASCII)
ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")


def value_of(match):
    """A number as every language writes it: no commas between thousands, one space before its unit."""
    return match[1].replace(",", "") + (f" {match[2].strip()}" if match[2] else "")


@dataclass
class Section:
    """A heading and what stands below it up to the next one, each line with its number."""

    level: int
    heading: str
    line: int
    prose: list[tuple[int, str]] = field(default_factory=list)
    code: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)

    def add_code(self, number, text, language):
        """A line of a block: in a language everything but comments is code, in a block without one nothing is."""
        code, comment = (re.split(r"(?:^|(?<=\s))#", text, maxsplit=1) + [""])[:2] if language else ("", text)
        if code.strip():
            self.code.append((number, code.strip()))
        self.notes.append((number, comment))

    def spans(self):
        return self._found(SPAN, self._text(), lambda match: " ".join(match[1].split()))

    def words_of_code(self):
        return [(number, match[0]) for number, note in self.notes for match in WORD_OF_CODE.finditer(note)]

    def links(self):
        return self._found(LINK, self._text(SPAN), lambda match: match[1])

    def numbers(self):
        """Those of sentences and comments; tables have theirs in `rows`."""
        text = re.sub(r"^\|.*", "", self._text(SPAN, LINK), flags=re.MULTILINE)
        of_notes = [(number, value_of(match)) for number, note in self.notes for match in NUMBER.finditer(note)]
        return sorted([*self._found(NUMBER, text, value_of), *of_notes])

    def rows(self):
        """The numbers of each row of a table, cell by cell."""
        lines = zip(self.prose, self._text(SPAN, LINK).split("\n"), strict=False)
        for (number, _), text in lines:
            cells = [sorted(map(value_of, NUMBER.finditer(cell))) for cell in text.split("|")[1:-1]]
            if text.startswith("|") and any(cells):
                yield number, " | ".join(" ".join(cell) for cell in cells)

    def parts(self):
        """Paragraphs, items of lists and rows of tables."""
        found, before = [], ""
        for number, text in self.prose:
            kind = "row" if text.startswith("|") else "item" if ITEM.match(text) else "paragraph"
            if text.strip() and (kind != "paragraph" or not before.strip()):
                found.append((number, kind))
            before = text
        return found

    def _text(self, *without):
        """The sentences, without what patterns match; lines stay where they are."""
        text = "\n".join(text for _, text in self.prose)
        for pattern in without:
            text = pattern.sub(lambda match: "`" + "\n" * match[0].count("\n"), text)
        return text

    def _found(self, pattern, text, value):
        return [(self.prose[text.count("\n", 0, m.start())][0], value(m)) for m in pattern.finditer(text)]


@dataclass
class Page:
    """One page; `text` stands for its file where a test changes it."""

    path: Path
    text: str = ""

    def __post_init__(self):
        self.text = self.text or self.path.read_text(encoding="utf-8")

    @property
    def name(self):
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def sections(self):
        sections, language = [Section(0, "", 1)], None
        for number, text in enumerate(self.text.splitlines(), 1):
            fence, heading = re.match(r"\s*```(\w*)", text), re.match(r"(#{1,6}) (.+)", text)
            if fence:
                language = fence[1] if language is None else None
                sections[-1].prose.append((number, ""))
            elif language is not None:
                sections[-1].add_code(number, text, language)
            elif heading:
                sections.append(Section(len(heading[1]), heading[2], number, [(number, heading[2])]))
            elif not LANGUAGES.match(text):
                sections[-1].prose.append((number, text))
        return sections

    @property
    def whole(self):
        """All sections as one."""
        kinds = ("prose", "code", "notes")
        return Section(0, "the whole page", 1, *([x for s in self.sections for x in getattr(s, k)] for k in kinds))

    @property
    def other_language(self):
        """(line, target) of the link to the same page in the other language, in a line under the title."""
        lines = enumerate(self.text.splitlines()[:5], 1)
        return [(number, target) for number, line in lines if LANGUAGES.match(line) for target in LINK.findall(line)]

    @cached_property
    def anchors(self):
        """GitHub's anchors of the headings, in their order: letters and digits of any script, hyphens for spaces."""
        anchors, seen = [], Counter()
        for section in self.sections[1:]:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", section.heading).strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            anchors.append(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return anchors

    def links(self):
        """(line, target as written) of every link and image, that to the other language too."""
        return self.other_language + [link for section in self.sections for link in section.links()]

    def resolve(self, target):
        """The path and the anchor that a link of this page leads to."""
        path, _, anchor = target.partition("#")
        return (self.path.parent / path).resolve() if path else self.path, anchor
