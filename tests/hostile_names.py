"""Names that a formatter of some kind would take for something else than text."""

import sys

HOSTILE_NAMES = (
    "broken $_$",
    "$\\frac{$ one dollar",
    "<img src=x onerror=window.hit=1>",
    "&lt;b&gt; & \"quotes\" 'and' `code`",
    "=cmd|' C calc'!A0",
    "'=already quoted",
    "+1", "-rf", "@sum(1+1)", "\uff1d1",
    "two\nlines", "tab\tand\x1b[2Jescape\x07", "back\\slash",
    "\u202egpj.egami", "\u2066isolated", "zero\u200bwidth",
    "x" * 240,
    "[a-c]*?.{1}", "100%20 %s %(x)d {0} {x}", "![x](http127.0.0.1)", "| pipe |",
    "ümläut", "cafe\u0301",
)  # fmt: skip
# what a file may be called here
FILE_NAMES = HOSTILE_NAMES if sys.platform == "linux" else ("broken $_$", "=cmd", "[a-c]", "100%20", "ümläut")
