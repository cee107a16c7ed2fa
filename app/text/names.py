"""Names by the rules of Unicode: valid names of users, lists, tags and stages, and their comparison.

All characters of a name are visible. Controls, including bidirectional ones, and invisible characters are
refused, except joiners, variation selectors and the like where scripts and emoji need them (UAX 31, profile
for joiners; RFC 5892, appendix A). Names of users are normalised to NFKC, as in RFC 8266, and names of lists,
tags and stages to NFC, so that one name has one spelling.
"""

from __future__ import annotations

from unicodedata import normalize

import regex

MAX_USER_CHARS = 128

_INVISIBLE = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]"
    r"--[\p{GCB=Prepend}\p{Extended_Pictographic}\U00013430-\U0001345f]]",
    regex.V1,
)
"""Invisible or unassigned characters, except Arabic number signs and hieroglyphs' joiners."""
_ALLOWED = regex.compile(
    r"\u200c(?:(?<=\p{L}\p{M}*\p{ccc=9}\u200c)(?=\p{L})"
    r"|(?<=[\p{jt=L}\p{jt=D}]\p{jt=T}*\u200c)(?=\p{jt=T}*[\p{jt=R}\p{jt=D}]))"
    r"|\u200d(?:(?<=\p{L}\p{M}*\p{ccc=9}\u200d)|(?<=\p{L}\u200d)(?=\p{ccc=9}\p{L}))"
    r"|(?<=\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f]*)\u200d(?=\p{Extended_Pictographic})"
    r"|(?<=[\p{L}\p{N}\p{P}\p{S}])[\ufe00-\ufe0f]"
    r"|(?<=\p{Han})[\U000e0100-\U000e01ef]"
    r"|(?<=\p{Mongolian})[\u180b-\u180f]"
    r"|(?<=\U0001f3f4)[\U000e0020-\U000e007e]+\U000e007f"
)
"""Valid places of invisible characters that change their neighbours: letters, viramas, emoji."""
_SHOWN = regex.compile(
    r"[^\p{Default_Ignorable_Code_Point}\p{White_Space}\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}\p{Mn}\p{Me}"
    r"\u2800\ufff9-\ufffb\U0001d159\U00013441\U00013442]"
)
_NOT_COMPARED = regex.compile(r"[\p{Default_Ignorable_Code_Point}]+")
_SELECTORS = regex.compile(r"\p{Variation_Selector}+")
_BLANKS = regex.compile(r"\p{Zs}+")


def is_visible(text: str) -> bool:
    """Return whether any character of a text is visible."""
    return _SHOWN.search(text) is not None


def normal_label(name: str) -> str:
    """Return the normalised spelling of a list's, tag's or stage's name."""
    return normalize("NFC", name)


def normal_user(name: str) -> str:
    """Return the normalised spelling of a user's name."""
    if name.isascii() and "  " not in name:
        return name
    return _BLANKS.sub(" ", normalize("NFKC", _SELECTORS.sub("", name)))


def label_of(name: str, limit: int) -> str:
    """Return the name of a list, tag or stage, normalised. Raise `ValueError` for an invalid name."""
    return _checked(normal_label(name), limit)


def user_name(name: str) -> str:
    """Return a user's name, normalised. Raise `ValueError` for an invalid name."""
    name = _checked(normal_user(name), MAX_USER_CHARS)
    if name in PATH_SEGMENTS:
        raise ValueError("must not be . or .., which URL paths cannot contain")
    return name


def without_invisible(text: str) -> str:
    """Remove the characters that names must not contain."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(part for at, part in enumerate(text) if not _is_out_of_place(text, at))


def with_replacements(text: str, sign: str = "\ufffd") -> str:
    """Return a text on one line, with a sign for invisible characters and those that set a direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if _is_out_of_place(text, at) else part for at, part in enumerate(text))


def caseless(name: str) -> str:
    """Return the form for comparing names regardless of case, width and invisible characters."""
    if name.isascii():
        return name.lower()
    bare = _NOT_COMPARED.sub("", normalize("NFD", name))
    return normalize("NFKC", normalize("NFKC", bare.casefold()).casefold())


PATH_SEGMENTS = frozenset({".", ".."})
"""Names that are invalid in a URL path: clients remove such segments, even percent-encoded."""


def _checked(name: str, limit: int) -> str:
    if name != name.strip() or not 0 < len(name) <= limit:
        raise ValueError(f"must have 1 to {limit} characters, and no blanks around them")
    if name.isascii() and name.isprintable():
        return name
    for match in _INVISIBLE.finditer(name):
        if _is_out_of_place(name, match.start()):
            raise ValueError(f"must not contain U+{ord(match[0]):04X}, which is invisible there")
    if not is_visible(name):
        raise ValueError("must contain a visible character")
    return name


def _is_out_of_place(text: str, at: int) -> bool:
    if not _INVISIBLE.match(text, at):
        return False
    return not any(found.start() <= at < found.end() for found in _places(text, at))


def _places(text: str, at: int) -> list[regex.Match[str]]:
    """Return the matches at an index, or at a flag's tags before it, that are allowed there."""
    starts = [at]
    while starts[-1] > 0 and "\U000e0020" <= text[starts[-1] - 1] <= "\U000e007e":
        starts.append(starts[-1] - 1)
    return [found for start in starts if (found := _ALLOWED.match(text, start))]
