"""Chinese pages say what the English ones say: the same sections, commands, options, numbers and links.

README_CN.md belongs to README.md, docs/zh/NAME.md to docs/NAME.md. What differs is named by page, section and line.
"""

import os
import re
from collections import Counter

import pytest

from src.options.owner import ROOT
from tests.pages import Page

PAIRS = {
    ROOT / "README.md": ROOT / "README_CN.md",
    **{ROOT / "docs" / path.name: path for path in sorted((ROOT / "docs" / "zh").glob("*.md"))},
}
BY_NAME = pytest.mark.parametrize("english", PAIRS, ids=lambda path: path.name)


def links(page, section, other=None):
    """(line, place from the root) of a section's links, as `other`, the Chinese page, has them: to Chinese pages."""
    for number, target in section.links():
        if "://" in target:
            yield number, target
            continue
        path, anchor = page.resolve(target)
        if other and path in PAIRS:
            two = (page, other) if path == page.path else (Page(path), Page(PAIRS[path]))
            path, anchor = two[1].path, dict(zip(two[0].anchors, two[1].anchors, strict=False)).get(anchor, anchor)
        yield number, os.path.relpath(path, ROOT) + (f"#{anchor}" if anchor else "")


def differences(english, chinese):
    """Sentences that say what one of two pages has and the other has not, section by section where headings agree."""
    found, pairs = [], list(zip(english.sections, chinese.sections, strict=False))
    levels, others = ([section.level for section in page.sections] for page in (english, chinese))
    if levels != others:
        for page in (english, chinese):
            headings = [f"line {s.line}: {'#' * s.level} {s.heading}" for s in page.sections[1:]]
            found.append("\n    ".join([f"headings differ; those of {page.name} are", *headings]))
        pairs = [(english.whole, chinese.whole)]
    for ours, theirs in pairs:
        kinds = {
            "line of code": (ours.code, theirs.code),
            "code in a sentence": (ours.spans(), theirs.spans()),
            "code in a comment": (ours.words_of_code(), theirs.words_of_code()),
            "number": (ours.numbers(), theirs.numbers()),
            "numbers of a row:": (list(ours.rows()), list(theirs.rows())),
            "link to": (list(links(english, ours, chinese)), list(links(chinese, theirs))),
            "part of the text:": (ours.parts(), theirs.parts()),
        }
        said = [line for kind, two in kinds.items() for line in unequal(kind, english, chinese, *two)]
        if said:
            where = [f"{page.name} from line {s.line}, {s.heading}" for page, s in ((english, ours), (chinese, theirs))]
            found.append("\n    ".join([" | ".join(where), *said]))
    return found


def unequal(kind, english, chinese, ours, theirs):
    def times(page, items, value):
        lines = [str(number) for number, item in items if item == value]
        return f"{len(lines)} in {page.name}" + (f" (line {', '.join(lines)})" if lines else "")

    counts, others = (Counter(item for _, item in items) for items in (ours, theirs))
    for value in (counts - others) | (others - counts):
        yield f"{kind} {value}: {times(english, ours, value)}, {times(chinese, theirs, value)}"
    if kind == "line of code" and counts == others and [i for _, i in ours] != [i for _, i in theirs]:
        yield f"lines of code stand in another order: {', '.join(item for _, item in theirs)}"


@BY_NAME
def test_languages_lead_to_each_other(english):
    for page, other in ((Page(english), PAIRS[english]), (Page(PAIRS[english]), english)):
        leads_to = [page.resolve(target)[0] for _, target in page.other_language]
        assert leads_to == [other], f"{page.name}: the line under its title does not lead to {other}"


@BY_NAME
def test_both_languages_say_the_same(english):
    found = differences(Page(english), Page(PAIRS[english]))
    assert not found, "\n" + "\n".join(found)


@BY_NAME
def test_bold_text_is_bold(english):
    """Markdown ends bold text after punctuation only before a space, and begins it with punctuation only behind one."""
    for number, line in enumerate(Page(PAIRS[english]).text.splitlines(), 1):
        pieces = re.sub(r"`[^`]*`", "`", line).split("**")
        for before, bold, after in zip(pieces[::2], pieces[1::2], pieces[2::2], strict=False):
            ends = re.search(r"[^\w\s]$", bold) and re.match(r"\w", after)
            begins = re.match(r"[^\w\s]", bold) and re.search(r"\w$", before)
            assert not ends and not begins, f"{PAIRS[english].name}, line {number}: a space is missing at **{bold}**"


ENGLISH = """# Data

English | [简体中文](zh/data.md)

Reads `--batch_size 2` of 1,000 files (5.4 GiB), see [flows](flows.md) and [sizes](#sizes).

- one
- two

| file | size | in |
|---|---|---|
| `a` | 5 GB | 2 of 3 s |
| `b` | 7 GB | 4 s |

## Sizes

```bash
python train.py --check_data True   # 16-bit files of train_inst/, or --no_instance True
bash scripts/train_512p.sh
```
"""
CHINESE = """# 数据

[English](../data.md) | 简体中文

从1000个文件（5.4 GiB）读取`--batch_size 2`，见[尺寸](#尺寸)和[流模型](../flows.md)。

- 一
- 二

| 文件 | 大小 | 时间 |
|---|---|---|
| `a` | 5 GB | 3 s中的2 s |
| `b` | 7 GB | 4 s |

## 尺寸

```bash
python train.py --check_data True   # train_inst/中的16位文件，或--no_instance True
bash scripts/train_512p.sh
```
"""


def compared(chinese):
    return differences(Page(ROOT / "docs" / "data.md", ENGLISH), Page(ROOT / "docs" / "zh" / "data.md", chinese))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1000个", "1001个", "number 1001: 0 in docs/data.md, 1 in docs/zh/data.md (line 5)"),
        ("5.4 GiB", "5.4 GB", "number 5.4 GiB: 1 in docs/data.md (line 5), 0 in docs/zh/data.md"),
        (
            "| 7 GB | 4 s",
            "| 4 s | 7 GB",
            "numbers of a row:  | 7 GB | 4: 1 in docs/data.md (line 13), 0 in docs/zh/data.md",
        ),
        ("16位", "8位", "number 16: 1 in docs/data.md (line 18), 0 in docs/zh/data.md"),
        ("--batch_size 2", "--batchsize 2", "code in a sentence --batch_size 2: 1 in docs/data.md (line 5), 0 in"),
        ("或--no_instance", "或--instance", "code in a comment --instance: 0 in docs/data.md, 1 in"),
        ("bash scripts/train_512p.sh\n", "", "line of code bash scripts/train_512p.sh: 1 in docs/data.md (line 19), 0"),
        ("--check_data True", "--check_data", "line of code python train.py --check_data: 0 in docs/data.md, 1 in"),
        ("](../flows.md)", "](../data.md)", "link to docs/data.md: 0 in docs/data.md, 1 in docs/zh/data.md (line 5)"),
        ("- 二\n", "", "part of the text: item: 2 in docs/data.md (line 7, 8), 1 in docs/zh/data.md (line 7)"),
        (
            "## 尺寸",
            "### 尺寸",
            "headings differ; those of docs/zh/data.md are\n    line 1: # 数据\n    line 15: ### 尺寸",
        ),
        (
            "## 尺寸\n\n```bash\n",
            "```bash\n#",
            "line of code python train.py --check_data True: 1 in docs/data.md (line 18)",
        ),
    ],
)
def test_a_difference_is_named(old, new, said):
    assert CHINESE.count(old) == 1 and said in "\n".join(compared(CHINESE.replace(old, new)))


def test_anchors_follow_the_rule():
    text = "# 中断与`续训`，8卡\n\n## [Full-Glow](a.md) 采样？\n\n## 尺寸\n\n## 尺寸\n"
    page = Page(ROOT / "docs" / "zh" / "x.md", text)
    assert page.anchors == ["中断与续训8卡", "full-glow-采样", "尺寸", "尺寸-1"]
