"""Names that are Markdown, HTML, links or terminal commands."""

HOSTILE = (
    "![x](http://127.0.0.1:1/x.png)",
    "[x](javascript:alert(1))",
    "<img src=http://127.0.0.1:1/x.png>",
    "<http://127.0.0.1:1/>",
    "http://127.0.0.1:1/ www.example.org a@example.org",
    "a|b | ![x](http://127.0.0.1:1/x.png) | \\| \\\\| |",
    "a\\|![x](http://127.0.0.1:1/x.png)",
    "`a` ![x](http://127.0.0.1:1/x.png) ``b` ```",
    "```\n![x](http://127.0.0.1:1/x.png)\n```",
    "a\n\n![x](http://127.0.0.1:1/x.png)\r\n| a |\n|---|",
    "a\u2028![x](http://127.0.0.1:1/x.png)\x0b\x85",
    "[x]: http://127.0.0.1:1/x.png\n![x]",
    "# a", "- a", "1. a", "> a", "---", "***a*** ~~b~~ __c__", "$$a$$ :smile: [^1]", "&lt;img&gt; &#33;[x](y)",
    "\\", "|", "||", "`", "``", " ` ", " ", "  a  ", "",
    "abc\u202egnp.exe\u2066 \u200b", "\x1b[31mred\x00", "\ud800", "\U0001f600 \uff5c \uff01\uff3bx\uff3d",
)  # fmt: skip
