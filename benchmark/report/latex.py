"""A leaderboard as a LaTeX table: booktabs, notes under it, settings as comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

import pandas as pd

from benchmark.report.formats import about, texts
from benchmark.report.ranking import Note, Ranking
from benchmark.report.settings_text import fact_rows, part_cells

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after \\ a bracket would be read as a length
    "]": "{]}",
    "–": "--",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "★": r"$\star$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
PAGE, PAGE_SMALL = 92, 72  # characters that fit a line of 345 pt at scriptsize, and at small (intervals are smaller)


def escape(text: str) -> str:
    """Text as LaTeX shows it, on one line; what a plain pdfLaTeX has no glyph for becomes ``?``."""
    line = " ".join(text.split()).replace('"', "''")
    made = [SPECIAL.get(c, c if (c.isascii() and c.isprintable()) or _accented(c) else "?") for c in line]
    apart = ["{}" if i and c == line[i - 1] == "-" else "" for i, c in enumerate(line)]  # two hyphens are a dash
    return "".join(f"{gap}{text}" for gap, text in zip(apart, made, strict=True))


def _accented(c: str) -> bool:
    """A letter that pdfLaTeX makes of an ASCII letter and an accent, or has in its font."""
    return c in "ßæøÆØ" or (ord(c) < 0x180 and c.isalpha() and normalize("NFD", c)[0].isascii())


def latex(board: Ranking) -> str:
    """A ``table`` environment, ready for ``\\input``: caption, label, the table, and its notes.

    A row a model; where that is wider than a page, a column a model, if that is narrower; what is too wide still is
    shrunk to the page. Bold is a headline value of rank 1, and only where some model is significantly worse; nothing
    else is set off.
    """
    names = board.page()
    bold = _bold(board)
    table = _rows(board, names, bold)
    turned = [list(row) for row in zip(*table, strict=True)]
    across = _width(table) > PAGE and _width(turned) < _width(table)
    cells = turned if across else table
    wide = _width(cells) > PAGE
    align = "l" + "r" * (len(cells[0]) - 1) if across else _alignment(board.frame, names)
    lines = [f"% needs \\usepackage{{booktabs{',graphicx' * wide}}}", "\\begin{table}", "\\centering"]
    lines += [f"\\caption{{{escape(_caption(board))}}}", f"\\label{{tab:{_label(board.name)}}}"]
    lines += ["\\scriptsize\\setlength{\\tabcolsep}{3pt}"] if _width(cells) > PAGE_SMALL else ["\\small"]
    lines += ["\\resizebox{\\linewidth}{!}{%"] * wide
    lines += [f"\\begin{{tabular}}{{{align}}}", "\\toprule"]
    head, *rest = [" & ".join(_cell(*cell) for cell in row) + r" \\" for row in cells]
    lines += [head, "\\midrule", *rest, "\\bottomrule", "\\end{tabular}" + "}" * wide]
    lines += ["", "\\medskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
    lines += [f"{text}\\par" for text in _notes(board, set_off=bool(bold))]
    lines += ["\\end{minipage}", "\\end{table}"]
    return "\n".join([*lines, *_comments(board)]) + "\n"


def _rows(board: Ranking, names: Sequence[str], bold: set[int]) -> list[list[tuple[str, bool]]]:
    """The heading and a row a model: each cell's text, and whether it is bold."""
    heads = [(board.heads[name].arrow if name in board.heads else name, False) for name in names]
    rows = [
        [(text, row in bold and name == board.lead) for name, text in zip(names, cells, strict=True)]
        for row, cells in enumerate(texts(board, names))
    ]
    return [heads, *rows]


def _width(rows: Sequence[Sequence[tuple[str, bool]]]) -> float:
    """Characters of the widest cells, with what stands between columns."""
    return sum(max(len(text) for text, _ in column) + 1.5 for column in zip(*rows, strict=True))


def _cell(text: str, bold: bool) -> str:
    value, bracket, interval = text.partition(" [")
    number = escape(value)
    number = f"\\textbf{{{number}}}" if bold else number
    return f"{number} {{\\scriptsize {escape(bracket.strip() + interval)}}}" if bracket else number


def _bold(board: Ranking) -> set[int]:
    """Positions of the rows of rank 1, where the data put somebody behind them."""
    if "rank" not in board.frame or not (board.frame["rank"] > 1).any():
        return set()
    return {i for i, rank in enumerate(board.frame["rank"]) if not pd.isna(rank) and rank == 1}


def _alignment(frame: pd.DataFrame, names: Sequence[str]) -> str:
    numeric = [name != "model" and pd.api.types.is_numeric_dtype(frame[name]) for name in names]
    return "".join("r" if number else "l" for number in numeric)


def _caption(board: Ranking) -> str:
    facts = about(board)
    return f"{board.title.rstrip('.')}. {facts[:1].upper()}{facts[1:]}." if facts else f"{board.title}."


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", name)


def _notes(board: Ranking, *, set_off: bool) -> list[str]:
    """Sentences under the table."""
    bold = f" Bold: rank 1 on {board.lead}, where a model is significantly worse." if set_off else ""
    first = f"Brackets: 95 % intervals; ? with two bounds: samples lack a verdict. n: samples of a model.{bold}"
    said = [*board.places, *board.remarks]
    return [escape(first), *[escape(line) for line in said], *[_footnote(note) for note in board.notes]]


def _footnote(note: Note) -> str:
    found = "; ".join(f"{model}: {words}" for model, words in note.found)
    return f"\\textsuperscript{{{note.number}}} {escape(f'{note.name}: {note.means}. {found}.')}"


def _comments(board: Ranking) -> list[str]:
    """Settings, each on a line that LaTeX does not set."""
    lines = []
    for name, found in board.settings.items():
        lines.append(f"% Every setting needed to repeat {name}:")
        lines += [f"%   {_one_line(f'{key}: {text}')}" for key, text in fact_rows(found)]
        lines += [f"%   {_one_line(' | '.join(cell for cell in part_cells(part) if cell))}" for part in found.parts]
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())
