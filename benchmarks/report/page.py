"""The report as one HTML page without anything from elsewhere."""

__all__ = ["page_of"]

from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.number { text-align: right; }
.ok { color: #18794e; } .failed { color: #c62a2f; font-weight: 600; }
@media (prefers-color-scheme: dark) { .ok { color: #4cc38a; } .failed { color: #ff8589; } }
pre { background: #8882; padding: .6rem; overflow: auto; font-size: 12px; }
"""


def page_of(report: dict[str, Any]) -> str:
    """The page of a report as ``report.json`` holds it."""
    parts = report["parts"]
    failed = [part["name"] for part in parts if not part["passed"]]
    said = f"not passed: {', '.join(failed)}" if failed else "all passed"
    sections = [
        f"<h1>MindI2I on {escape(report['target'])}</h1>",
        f"<p>{len(parts)} parts, {escape(said)}.</p>",
        _settings("Versions", _of(parts, "versions")),
        _settings("Precision and overflow", _of(parts, "precision")),
        _steps(parts),
        _references(parts),
        *(_settings(part["name"], part["found"]) for part in parts if part["module"] in ("workers", "trace")),
        _on_host(parts),
        _failures(parts),
        _table("All parts", ("part", "", "s"), [(p["name"], _verdict(p), p["seconds"]) for p in parts]),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>MindI2I on {escape(report['target'])}</title><style>{_STYLE}</style>\n{body}\n</html>\n"
    )


class _Html(str):
    """Text that is HTML already."""


def _verdict(part: dict[str, Any]) -> str:
    return _Html('<span class="ok">ok</span>' if part["passed"] else '<span class="failed">FAILED</span>')


def _of(parts: list[dict], module: str) -> dict[str, Any]:
    return next((part["found"] for part in parts if part["module"] == module), {})


def _table(title: str, head: tuple[str, ...], rows: list[tuple]) -> str:
    if not rows:
        return ""
    lines = [f"<h2>{escape(title)}</h2><table>"]
    if any(head):
        lines.append("<tr>" + "".join(f"<th>{escape(word)}</th>" for word in head) + "</tr>")
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def _cell(value: Any) -> str:
    if isinstance(value, _Html):
        return f"<td>{value}</td>"
    if isinstance(value, (int, float)):
        return f'<td class="number">{value}</td>'
    if isinstance(value, dict):
        return "<td>" + "<br>".join(f"{escape(str(k))}: {escape(str(v))}" for k, v in value.items()) + "</td>"
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    return f"<td><pre>{escape(text)}</pre></td>" if "\n" in text else f"<td>{escape(text)}</td>"


def _settings(title: str, found: dict[str, Any]) -> str:
    return _table(title, ("", ""), list(found.items()))


def _steps(parts: list[dict]) -> str:
    simulated = {part["name"].split()[-1]: part["found"] for part in parts if part["module"] == "simulated"}
    rows = []
    for part in parts:
        found = part["found"]
        if part["module"] == "timing" and "median_ms" in found:
            mode = part["name"].split()[-1]
            size, spread = f"{found['height']}x{found['width']}", f"{found['least_ms']} to {found['most_ms']}"
            expected = simulated.get(mode, {}).get("peak_gib", "not simulated")
            rows.append(
                (
                    mode,
                    size,
                    found["precision"],
                    found["compile_s"],
                    found["median_ms"],
                    spread,
                    found["peak_gib"],
                    expected,
                )
            )
    head = ("mode", "size", "precision", "compile s", "median ms", "ms", "peak GiB", "simulated peak GiB")
    return _table("Training steps", head, rows)


def _references(parts: list[dict]) -> str:
    rows = []
    for part in parts:
        if part["module"] != "reference":
            continue
        for mode, quantities in part["found"].items():
            name = part["name"].removeprefix("reference ")
            bad = [row for row in quantities if row["verdict"] != "ok"]
            words = "; ".join(f"{r['quantity']} {r['error']} (tolerance {r['tolerance']})" for r in bad)
            rows.append((name, mode, len(quantities), _largest(quantities), len(bad), words))
    head = ("set", "mode", "quantities", "largest error, of its tolerance", "beyond", "which")
    return _table("Published numbers", head, rows)


def _largest(quantities: list[dict[str, str]]) -> str:
    """The largest error as a part of its tolerance, and whose it is; some quantities have no tolerance."""
    # quantities that must be equal have a tolerance of 0
    shares = [
        (float(q["error"]) / max(float(q["tolerance"]), 1e-30), q["quantity"]) for q in quantities if q["tolerance"]
    ]
    if not shares:
        return "none"
    share, quantity = max(shares)
    return f"{share:.2g} ({quantity})"


def _on_host(parts: list[dict]) -> str:
    rows = [(part["name"], part["kernels"], part["on_host"]) for part in parts if part.get("kernels")]
    return _table("Kernels", ("part", "by kind", "fell back to the host"), rows)


def _failures(parts: list[dict]) -> str:
    rows = [(p["name"], p["problem"] + "\n" + p.get("last_words", "")) for p in parts if not p["passed"]]
    return _table("What failed", ("part", ""), rows)
