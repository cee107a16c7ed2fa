"""Entity tags and conditional requests of RFC 9110.

A version is the strong tag `"3"`. Compressed, the same version is another representation, with the strong tag
`"3-gzip"`: both name version 3, so both can be sent back with `If-Match` and `If-None-Match`. The same holds
for tags that compressing proxies change in this way (Apache, Caddy). Content without a version has a weak
tag.
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
    """A tag; a weak one identifies equivalent content, a strong one the exact bytes."""

    value: str
    weak: bool = False

    @property
    def base(self) -> str:
        """Return the value without the suffix of the content coding."""
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
        """Return True if a strong tag names the same content as `current`, in any coding."""
        named = (tag.base for tag in self.tags if not tag.weak)
        return self.wildcard or (not current.weak and current.base in named)

    def weakly(self, current: EntityTag) -> EntityTag | None:
        """Return the tag that names the same content as `current`, for the response; None if none does."""
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
        """Return the version to merge from; None if the current one is named. Raise `PreconditionFailed`."""
        if current in self.versions:
            return None
        older = [version for version in self.versions if current is not None and version < current]
        if older and not self.strict:
            return max(older)
        named = " or ".join(str(version) for version in sorted(self.versions)[:5])
        at = "not there" if current is None else f"at version {current}"
        raise PreconditionFailed(f"If-Match names version {named}, and this is {at}")


def parse_tags(name: str, lines: Sequence[str]) -> Tags | None:
    """Parse the lines of a header; return None if there are none. Raise `Malformed`."""
    if not lines:
        return None
    header = ",".join(lines).strip()
    if header == "*":
        return Tags(wildcard=True)
    tags: list[EntityTag] = []
    at = _BETWEEN.match(header).end()  # type: ignore[union-attr]  # it matches nothing too
    while at < len(header) or not tags:
        found = _TAG.match(header, at)
        if found is None:
            raise Malformed(f'{name}: write the version in quotes, as ETag does: "3"')
        if len(tags) == MAX_TAGS:
            raise Malformed(f"{name}: at most {MAX_TAGS} tags")
        tags.append(EntityTag(found[2], found[1] is not None))
        at = _BETWEEN.match(header, found.end()).end()  # type: ignore[union-attr]
    return Tags(tuple(tags))


def read_tag(header: str) -> EntityTag:
    """Parse an `ETag` of this server."""
    return EntityTag(header.removeprefix("W/")[1:-1], header.startswith("W/"))


def tag_of_content(content: bytes | memoryview) -> EntityTag:
    """Return the weak tag of content without a version."""
    return EntityTag(blake2b(content, digest_size=12).hexdigest(), weak=True)
