"""Entity tags and the conditions on them, as RFC 9110 has them.

A version is the strong tag `"3"`. Compressed, the same version is another representation, with the strong tag
`"3-gzip"`: both name version 3, so both can be sent back with `If-Match` and `If-None-Match`. So can those of
proxies that compress and do likewise (Apache, Caddy). What has no version has a weak tag of its content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from app.errors import Malformed, PreconditionFailed

GZIP_SUFFIX = "-gzip"
_CODING = re.compile(r"-(gzip|br|zstd|deflate)$")
MAX_TAGS = 100
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')
_BETWEEN = re.compile(r"[ \t,]*")
_VERSION = re.compile(r"^(0|[1-9][0-9]{0,15})$")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A tag; a weak one names what is as good as equal, a strong one the very bytes."""

    value: str
    weak: bool = False

    @property
    def base(self) -> str:
        """The value without the coding of the content."""
        return self.value if self.weak else _CODING.sub("", self.value)

    def compressed(self) -> EntityTag:
        """Return the tag of the same content, compressed."""
        return self if self.weak else EntityTag(self.base + GZIP_SUFFIX)

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.value}"'


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of `If-Match` or `If-None-Match`: tags, or `*` for any."""

    tags: tuple[EntityTag, ...] = ()
    wildcard: bool = False

    def strongly(self, current: EntityTag) -> bool:
        """Return True if one is strong and names what `current` does, in whichever coding."""
        named = (tag.base for tag in self.tags if not tag.weak)
        return self.wildcard or (not current.weak and current.base in named)

    def weakly(self, current: EntityTag) -> EntityTag | None:
        """Return the tag that names what `current` does, as an answer has it; None if there is none."""
        if self.wildcard:
            return current
        found = next((tag for tag in self.tags if tag.base == current.base), None)
        return None if found is None else EntityTag(found.value, current.weak)

    def versions(self) -> frozenset[int]:
        """Return the versions that strong tags name."""
        return frozenset(int(tag.base) for tag in self.tags if not tag.weak and _VERSION.match(tag.base))


@dataclass(frozen=True, slots=True)
class Precondition:
    """The versions that a command was meant for; `strict` refuses a newer one instead of merging with it."""

    versions: frozenset[int]
    strict: bool = False

    def base_of(self, current: int | None) -> int | None:
        """Return the version to merge from; None if the current one is named. Raises `PreconditionFailed`."""
        if current in self.versions:
            return None
        older = [version for version in self.versions if current is not None and version < current]
        if older and not self.strict:
            return max(older)
        named = " or ".join(str(version) for version in sorted(self.versions)[:5])
        at = "not there" if current is None else f"at version {current}"
        raise PreconditionFailed(f"If-Match names version {named}, and this is {at}")


def parse_tags(name: str, lines: Sequence[str]) -> Tags | None:
    """Read the lines of a header; None if there are none. Raises `Malformed`."""
    if not lines:
        return None
    header = ",".join(lines).strip()
    if header == "*":
        return Tags(wildcard=True)
    tags: list[EntityTag] = []
    place = _BETWEEN.match(header).end()  # type: ignore[union-attr]  # it matches nothing too
    while place < len(header) or not tags:
        found = _TAG.match(header, place)
        if found is None:
            raise Malformed(f'{name}: write the version in quotes, as ETag does: "3"')
        if len(tags) == MAX_TAGS:
            raise Malformed(f"{name}: at most {MAX_TAGS} tags")
        tags.append(EntityTag(found[2], found[1] is not None))
        place = _BETWEEN.match(header, found.end()).end()  # type: ignore[union-attr]
    return Tags(tuple(tags))


def read_tag(header: str) -> EntityTag:
    """Read an `ETag` of ours."""
    return EntityTag(header.removeprefix("W/")[1:-1], header.startswith("W/"))


def tag_of_content(content: bytes | memoryview) -> EntityTag:
    """Return the weak tag of a content without a version."""
    return EntityTag(blake2b(content, digest_size=12).hexdigest(), weak=True)
