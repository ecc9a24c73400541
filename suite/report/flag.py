"""Quality flags: always an icon and a word, never a colour alone."""

from __future__ import annotations

from typing import Literal, get_args

Flag = Literal["info", "ok", "warn", "bad"]
FLAGS: tuple[Flag, ...] = get_args(Flag)

ICONS: dict[Flag, str] = {"info": "i", "ok": "✓", "warn": "!", "bad": "✕"}
WORDS: dict[Flag, str] = {"info": "Note", "ok": "Good", "warn": "Caution", "bad": "Problem"}


def icon_html(flag: Flag) -> str:
    """The round icon of a flag; a screen reader says its word instead."""
    return f'<span class="icon {flag}" role="img" aria-label="{WORDS[check_flag(flag)]}">{ICONS[flag]}</span>'


def check_flag(flag: Flag) -> Flag:
    """`flag` itself, or ValueError naming the flags there are."""
    if flag not in FLAGS:
        raise ValueError(f"a flag is one of {', '.join(FLAGS)}, got {flag!r}")
    return flag
