#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws docs/diagrams/*.dot (by Graphviz) and *.seq (itself) as SVG beside them.

A line of a .seq file is one of
    actor name: title | second line
    name -> name: words         an arrow, of the next row
    note name: words            a box on the actor's line
    == words                    a new part
    # words                     not drawn

The white background is drawn, so that a picture can be read on any page.
"""

import re
import subprocess
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
COLUMN, EDGE, ROW, HEAD, BOX = 178, 92, 34, 64, (146, 46)
INK, MUTED, LINE = "#1f2328", "#57606a", "#8c959f"
TONES = {"chat-gateway": ("#ddeaff", "#2f62c8"), "Redis": ("#ffdedb", "#cf5b56"),
         "chat-persister": ("#d5f0de", "#23875a")}


class Mistake(Exception):
    pass


def parse(text):
    """([(name, title, second line)], [(kind, ...)]); a line that is none of the above is refused."""
    actors, rows = [], []
    for number, line in enumerate(text.splitlines(), 1):
        actor = re.fullmatch(r"actor (\w+): (.+?) \| (.+)", line)
        arrow = re.fullmatch(r"(\w+) -> (\w+): (.+)", line)
        note = re.fullmatch(r"note (\w+): (.+)", line)
        names = [name for name, _, _ in actors]
        if actor:
            actors.append(actor.groups())
        elif line.startswith("== "):
            rows.append(("part", line[3:]))
        elif arrow and arrow[1] != arrow[2] and {arrow[1], arrow[2]} <= set(names):
            rows.append(("arrow", names.index(arrow[1]), names.index(arrow[2]), arrow[3]))
        elif note and note[1] in names:
            rows.append(("note", names.index(note[1]), note[2]))
        elif line and not line.startswith("#"):
            raise Mistake(f"line {number}: {line}")
    return actors, rows


def words(x, y, text, size=12, colour=INK, anchor="middle", weight="normal"):
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(text)}</text>')


def box(x, y, width, height, fill, stroke, radius=9):
    return (f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="1.2"/>')


def width_of(text):
    return 6.3 * len(text)


def draw_actor(x, title, second):
    fill, stroke = TONES.get(title, ("#f6f8fa", LINE))
    return [box(x - BOX[0] / 2, 12, *BOX, fill, stroke), words(x, 32, title, 14, weight="bold"),
            words(x, 48, second, 11, MUTED)]


def draw_row(row, y, columns, width):
    if row[0] == "part":
        line = f'<line x1="12" y1="{y}" x2="{width - 12}" y2="{y}" stroke="#d0d7de"/>'
        return [line, box(12, y - 11, width_of(row[1]) + 24, 22, "#eef1f4", "#d0d7de", 11),
                words(24, y + 4, row[1], 12, MUTED, "start", "bold")]
    if row[0] == "note":
        x, wide = columns[row[1]], width_of(row[2]) + 16
        x = max(wide / 2 + 8, min(width - wide / 2 - 8, x))
        return [box(x - wide / 2, y - 12, wide, 24, "#fff8e1", "#d9b54a", 5), words(x, y + 4, row[2])]
    begin, end = columns[row[1]], columns[row[2]]
    tip = -7 if end > begin else 7
    middle, wide = (begin + end) / 2, width_of(row[3]) + 6
    return [f'<line x1="{begin}" y1="{y}" x2="{end + tip}" y2="{y}" stroke="{INK}" stroke-width="1.5"/>',
            f'<path d="M{end} {y}l{1.3 * tip:g} -4v8z" fill="{INK}"/>',
            f'<rect x="{middle - wide / 2:g}" y="{y - 17}" width="{wide:g}" height="14" fill="white"/>',
            words(middle, y - 6, row[3])]


def draw(text):
    """The SVG of a .seq file, the same bytes wherever it is drawn."""
    actors, rows = parse(text)
    columns = [EDGE + COLUMN * i for i in range(len(actors))]
    width, height = columns[-1] + EDGE, HEAD + ROW * (len(rows) + 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
           f'height="{height}" font-family="Helvetica,Arial,sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for x, (_, title, second) in zip(columns, actors):
        out.append(f'<line x1="{x}" y1="{HEAD - 6}" x2="{x}" y2="{height - 12}" stroke="{LINE}" '
                   f'stroke-dasharray="3 4"/>')
        out += draw_actor(x, title, second)
    for number, row in enumerate(rows, 1):
        out += draw_row(row, HEAD + ROW * number, columns, width)
    return "\n".join([*out, "</svg>", ""])


def graph(path):
    """The SVG of a .dot file: its measures depend on Graphviz and its fonts."""
    return subprocess.run(["dot", "-Tsvg", path], capture_output=True, text=True, timeout=60,
                          check=True).stdout


def main():
    for path in sorted(HERE.glob("*.dot")) + sorted(HERE.glob("*.seq")):
        try:
            svg = draw(path.read_text()) if path.suffix == ".seq" else graph(path)
        except Mistake as mistake:
            sys.exit(f"{path}: {mistake}")
        except subprocess.CalledProcessError as error:
            sys.exit(f"{path}: {error.stderr}")
        path.with_suffix(".svg").write_text(svg)


if __name__ == "__main__":
    main()
