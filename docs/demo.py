#!/usr/bin/env python3
"""Draws the picture in the README from what the demo prints:

    cargo run --quiet -- demo --exit | python3 docs/demo.py > docs/demo.svg
"""

import re
import sys
from html import escape

CELL, LINE, SIZE, EDGE = 7.8, 21, 13, 22  # pixels
NAME = 8  # columns in front of what is said

STYLE = """
  text { font: %dpx ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre; }
  .paper { fill: #ffffff; stroke: #d0d7de; }
  .plain { fill: #1f2328; } .name, .typed { fill: #1f2328; font-weight: 600; }
  .dim { fill: #656d76; } .bar { fill: #0969da; } .link { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #30363d; }
    .plain { fill: #d1d7e0; } .name, .typed { fill: #f0f6fc; }
    .dim { fill: #8b949e; } .bar { fill: #58a6ff; } .link { fill: #58a6ff; }
  }""" % SIZE

PIECES = re.compile(r"(?P<bar>[▓░]+)|(?P<link>https?://\S+)|(?P<dim>\[ [^\]]+ \])")


def pieces(line):
    """Splits a line into (column, class, text)."""
    if line[:NAME].strip():
        yield 0, "name", line[:NAME].rstrip()
    said = line[NAME:]
    if not line[:NAME].strip():
        yield NAME, "dim", said
        return
    kind = "typed" if said.startswith("/") else "plain"
    at = 0
    for found in PIECES.finditer(said):
        if found.start() > at:
            yield NAME + at, kind, said[at : found.start()]
        yield NAME + found.start(), found.lastgroup, found.group()
        at = found.end()
    if at < len(said):
        yield NAME + at, kind, said[at:]


def main():
    lines = sys.stdin.read().rstrip().split("\n")
    if not lines[-1].startswith("toall   Posted to"):
        sys.exit("The demo did not end with a post; no picture is made.")
    width = round(2 * EDGE + CELL * max(map(len, lines)))
    height = 2 * EDGE + LINE * len(lines)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" role="img">')
    print("<title>What toall demo prints</title>")
    print(f"<style>{STYLE}\n</style>")
    print(f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>')
    for number, line in enumerate(lines):
        y = EDGE + LINE * number + SIZE
        parts = [(0, "dim", line)] if line.startswith("toall demo:") else pieces(line)
        for column, kind, text in parts:
            x, length = EDGE + CELL * column, CELL * len(text)
            # The length pins the columns, whichever font the reader has.
            print(f'<text class="{kind}" x="{x:.1f}" y="{y}" textLength="{length:.1f}" '
                  f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>')
    print("</svg>")


main()
