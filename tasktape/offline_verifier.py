"""Verify signed tree heads, proofs and backups of Tasktape, without Tasktape: `python verify.py --help`.

It is one file. It needs Python 3.11 or later and the package `cryptography`; to read backups also Python 3.14
or the package `zstandard`. It shares no code with Tasktape: it was written from the definitions in
`docs/reference/tree-heads.md` and `docs/reference/backup-format.md`, so that each checks the other.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAX_BLOCK_BYTES = 1 << 28
SIGNER, WITNESS = 1, 4
"""The kinds of Ed25519 keys: one signs heads, the other one cosigns them with a time."""
NOTE = re.compile(r"((?:[^\n]+\n)+)\n((?:\u2014 [^\n]+(?:\n|$))+)\n*")
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_HELP = "a public key, name+id+key, or a file with keys; repeat it for several"
HEADS_HELP = "a file with signed heads; repeat it for several"


class Wrong(Exception):
    """Error for anything that does not verify; the message is one line."""


# --- trees (RFC 9162, 2.1) ------------------------------------------------------------------------------


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with two children."""
    return sha256(b"\1" + left + right).digest()


class Tree:
    """A tree that grows by leaves; it keeps the hashes of its complete subtrees only, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._complete: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        at = self.size
        while at & 1:
            leaf = node_hash(self._complete.pop(), leaf)
            at >>= 1
        self._complete.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of all leaves so far."""
        if not self._complete:
            return sha256().digest()
        *lefts, root = self._complete
        for left in reversed(lefts):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of these hashes of leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def included_root(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to. Raise `ValueError` if its length is wrong."""
    if size == 1:
        if path:
            raise ValueError("the proof is too long")
        return leaf
    left = 1 << (size - 1).bit_length() - 1
    *rest, last = path
    if index < left:
        return node_hash(included_root(index, left, leaf, rest), last)
    return node_hash(last, included_root(index - left, size - left, leaf, rest))


def consistent_roots(
    old_size: int, size: int, path: Sequence[bytes], old_root: bytes | None
) -> tuple[bytes, bytes]:
    """Return the roots of the first leaves and of all leaves that a consistency proof leads to.

    `old_root` is None below the first node at which the old tree is cut. Raise `ValueError` as above.
    """
    if old_size == size:
        [root] = path if old_root is None else [*path, old_root]
        return root, root
    left = 1 << (size - 1).bit_length() - 1
    *rest, last = path
    if old_size <= left:
        old, new = consistent_roots(old_size, left, rest, old_root)
        return old, node_hash(new, last)
    old, new = consistent_roots(old_size - left, size - left, rest, None)
    return node_hash(last, old), node_hash(last, new)


# --- signed heads (C2SP signed-note, tlog-checkpoint, tlog-cosignature) ---------------------------------


class Key(NamedTuple):
    """A public key of Ed25519; `since` is the time from which it signs, if that is known."""

    name: str
    id: bytes
    kind: int
    public: bytes
    since: str = ""


class Head(NamedTuple):
    """A tree head: its own text, and for each partition its size and its root."""

    origin: str
    size: int
    time: str
    partitions: Sequence[tuple[int, bytes]]
    text: str
    signers: Sequence[str]

    def __str__(self) -> str:
        return f"the head of {self.size:,} records at {self.time}"


def read_keys(texts: Iterable[str]) -> list[Key]:
    """Read keys, files with a key in each line, and answers of `GET /api/audit/keys`."""
    keys = []
    for text in texts:
        content = _text(Path(text)) if Path(text).exists() else text
        if content.startswith("{"):
            keys += [_key(each["key"], each["since"]) for each in json.loads(content)["keys"]]
        else:
            lines = content.splitlines()
            keys += [_key(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    return keys


def _key(text: str, since: str = "") -> Key:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Wrong(f"{text[:100]!r} is not a key: it has the form name+id+key")
    name, key_id, encoded = parts
    content = _bytes(encoded, "a key")
    key = Key(name, sha256(f"{name}\n".encode() + content).digest()[:4], content[0], content[1:], since)
    if key.id.hex() != key_id or key.kind not in {SIGNER, WITNESS} or len(key.public) != 32:
        raise Wrong(f"{text[:100]!r} is not a key of Ed25519, or not complete")
    return key


def read_heads(text: str, keys: Sequence[Key], where: str) -> list[Head]:
    """Read signed heads, one or several, and check their signatures and roots."""
    notes = NOTE.findall(text)
    if not notes or NOTE.sub("", text).strip() or CONTROLS.search(text):
        raise Wrong(f"{where} is not a signed head: a text, an empty line, and lines of signatures")
    heads = []
    for body, lines in notes:
        signers = _signers(body, lines, keys, where)
        head = _head(body, list(signers.values()), where)
        _check_signers(head, signers, keys, where)
        heads.append(head)
    return heads


def _signers(body: str, lines: str, keys: Sequence[Key], where: str) -> dict[Key, str]:
    """Return the known keys that signed a text, with their names. Each of their signatures must be right."""
    ed25519 = import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    invalid = import_module("cryptography.exceptions").InvalidSignature
    found = {}
    for line in lines.splitlines():
        name, _, encoded = line[2:].partition(" ")
        content = _bytes(encoded, f"a signature of {where}")
        for key in keys:
            if (key.name, key.id) != (name, content[:4]):
                continue
            message, signature, shown = body.encode(), content[4:], f"{name} ({key.id.hex()})"
            if key.kind == WITNESS:
                seconds, signature = int.from_bytes(content[4:12]), content[12:]
                message = f"cosignature/v1\ntime {seconds}\n".encode() + message
                shown += f" at {_time(seconds * 1000)}"
            try:
                ed25519.Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
            except invalid:
                raise Wrong(f"{where}: the signature of {name} ({key.id.hex()}) is wrong") from None
            found[key] = shown
    return found


def _check_signers(head: Head, signers: Collection[Key], keys: Sequence[Key], where: str) -> None:
    """Check that a key of the log signed, the one of its time if times are known, and all given witnesses."""
    if not any(key.kind == SIGNER and key.name == head.origin for key in signers):
        raise Wrong(f"{where} is not signed by a given key of {head.origin}")
    if missing := [key.name for key in keys if key.kind == WITNESS and key not in signers]:
        raise Wrong(f"{where} is not cosigned by {', '.join(missing)}")
    begun = [key for key in keys if key.since and _moment(key.since) <= _moment(head.time)]
    if begun and (current := max(begun, key=lambda key: _moment(key.since))) not in signers:
        raise Wrong(f"{where} is not signed by {current.id.hex()}, the key of its time {head.time}")


def _head(body: str, signers: Sequence[str], where: str) -> Head:
    origin, *lines = body.split("\n")[:-1]
    if len(lines) < 4 or not NUMBER.fullmatch(lines[0]) or not lines[2].startswith("time "):
        raise Wrong(f"{where} is not a tree head: origin, size, root, time and partitions")
    time = lines[2].removeprefix("time ")
    _moment(time)
    sizes_and_roots = []
    for at, line in enumerate(lines[3:]):
        values = line.split(" ")
        if len(values) != 4 or values[:2] != ["partition", str(at)] or not NUMBER.fullmatch(values[2]):
            raise Wrong(f"{where}: the line of partition {at} is malformed or missing")
        sizes_and_roots.append((int(values[2]), _hash(values[3], f"the root of partition {at} in {where}")))
    head = Head(origin, int(lines[0]), time, sizes_and_roots, body, signers)
    if sum(size for size, _ in sizes_and_roots) != head.size:
        raise Wrong(f"{where}: the sizes of its partitions do not add up to {head.size}")
    if root_of(partition_leaves(head)) != _hash(lines[1], f"the root in {where}"):
        raise Wrong(f"{where}: its root is not that of its partitions")
    return head


def partition_leaves(head: Head) -> list[bytes]:
    """Return the leaves of the tree over partitions."""
    return [
        leaf_hash(struct.pack(">IQ", partition, size) + root)
        for partition, (size, root) in enumerate(head.partitions)
    ]


def check_views(heads: Sequence[Head]) -> list[Head]:
    """Return heads in the order of their sizes. Raise `Wrong` if they cannot be of one log that only grew."""
    ordered = sorted(heads, key=lambda head: head.size)
    for before, after in pairwise(ordered):
        if (before.origin, len(before.partitions)) != (after.origin, len(after.partitions)):
            raise Wrong(f"the heads are of different logs: {before.origin} and {after.origin}")
        for partition, (old, new) in enumerate(zip(before.partitions, after.partitions, strict=True)):
            if old[0] > new[0] or (old[0] == new[0] and old[1] != new[1]):
                raise Wrong(
                    f"two signed heads contradict each other in partition {partition}: {before} has "
                    f"{old[0]:,} records with the root {old[1].hex()[:12]}, {after} has {new[0]:,} with "
                    f"{new[1].hex()[:12]}: the log was rewritten, or shows different people different things"
                )
    return ordered


# --- records in backups (docs/reference/backup-format.md) -----------------------------------------------


def read_backups(paths: Sequence[Path]) -> Iterator[tuple[int, int, bytes]]:
    """Yield partition, offset and canonical bytes of the records of a backup and its increments, in order."""
    base, ends = None, {}
    for path in paths:
        with path.open("rb") as file:
            blocks = _blocks(file, path)
            header = _header(next(blocks)[1], path)
            if (header["base"] or {"digest": None})["digest"] != base:
                raise Wrong(
                    f"{path} does not continue the file before: give a full backup, then its increments"
                )
            ends = (
                {start["partition"]: start["offset"] for start in header["starts"]} if base is None else ends
            )
            for kind, content, digest in blocks:
                base = digest.hex()
                if kind != b"R":
                    continue
                for partition, offset, record in _records(content, path):
                    if offset != ends.get(partition):
                        expected = f"{partition}:{ends.get(partition, 'none')}"
                        raise Wrong(
                            f"{path} has the record {partition}:{offset} in the place of {expected}: "
                            "records are missing, inserted or moved"
                        )
                    ends[partition] = offset + 1
                    yield partition, offset, record
            if ends != {int(partition): end for partition, end in header["ends"].items()}:
                raise Wrong(f"{path} does not have all records that it announces")


def _header(payload: bytes, path: Path) -> Any:
    try:
        header = json.loads(payload)
        return {name: header[name] for name in ("base", "starts", "ends")}
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"{path} has a malformed header ({error})") from None


def _blocks(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, content and digest of each block, up to the footer, which must be the end of the file."""
    start = file.read(18)
    if start != b"TASKTAPE-BACKUP\n\0\1":
        raise Wrong(f"{path} is not a backup of format 1")
    digest, number, kind = sha256(start).digest(), 0, b""
    while kind != b"F":
        at, head = file.tell(), file.read(9)
        kind, found, length = struct.unpack(">cII", head) if len(head) == 9 else (b"", -1, 0)
        if found != number or length > MAX_BLOCK_BYTES or kind not in (b"RF" if number else b"H"):
            raise Wrong(f"{path} is damaged at byte {at}: block {number} is missing, moved or cut off")
        payload = file.read(length)
        digest = sha256(digest + head + payload).digest()
        if file.read(32) != digest:
            raise Wrong(f"{path} is damaged at byte {at}: block {number} does not match its digest")
        yield kind, payload, digest
        number += 1
    if file.read(1):
        raise Wrong(f"{path} is damaged at byte {file.tell() - 1}: bytes follow its end")


def _records(payload: bytes, path: Path) -> Iterator[tuple[int, int, bytes]]:
    content, at = _decompressed(payload, path), 0
    while at < len(content):
        try:
            (length,) = struct.unpack_from(">I", content, at)
            partition, offset = struct.unpack_from(">IQ", content, at + 5)
        except struct.error as error:
            raise Wrong(f"{path} has a malformed record ({error})") from None
        yield partition, offset, content[at + 5 : at + 5 + length]
        at += 5 + length


def _decompressed(payload: bytes, path: Path) -> bytes:
    """Return the content of a zstandard frame, at most as much as a block may have."""
    for module in ("compression.zstd", "zstandard"):
        try:
            zstd = import_module(module)
        except ModuleNotFoundError:
            continue
        try:
            frame = zstd.ZstdDecompressor()
            if module == "zstandard":
                return bytes(frame.stream_reader(payload).read(MAX_BLOCK_BYTES))
            return bytes(frame.decompress(payload, MAX_BLOCK_BYTES))
        except zstd.ZstdError as error:
            raise Wrong(f"{path} has a block that cannot be decompressed ({error})") from None
    raise Wrong(
        "backups are compressed: this needs Python 3.14, or the package zstandard (pip install zstandard)"
    )


def read_record(record: bytes) -> dict[str, Any]:
    """Return what Kafka keeps of a record, from its canonical bytes. Raise `Wrong`."""
    try:
        partition, offset, timestamp_ms = struct.unpack_from(">IQq", record)
        (key, value), at = _texts(record, 20, 2)
        (count,) = struct.unpack_from(">i", record, at)
        headers, _ = _texts(record, at + 4, 2 * count)
    except struct.error as error:
        raise Wrong(f"a record is malformed ({error})") from None
    return {
        "position": f"{partition}:{offset}",
        "recorded_at": _time(timestamp_ms),
        "key": key,
        "headers": list(zip(headers[::2], headers[1::2], strict=True)),
        "value": value,
    }


def _texts(record: bytes, at: int, count: int) -> tuple[list[str | None], int]:
    """Return so many texts of a record, and where they end."""
    found: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from(">i", record, at)
        at += 4 + max(length, 0)
        content = record[at - length : at]
        found.append(None if length < 0 else content.decode(errors="backslashreplace"))
    return found, at


# --- comparisons ----------------------------------------------------------------------------------------


class Comparison:
    """The comparison of records with signed heads, and with a list of hashes if there is one."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self._heads = check_views(heads)
        self._trees = [Tree() for _ in self._heads[0].partitions]
        self._due = [self._due_roots(partition) for partition in range(len(self._trees))]
        self._checked = [0] * len(self._trees)
        self._kept: dict[int, bytes] = {}
        self.faults: dict[int, str] = {}
        for partition in range(len(self._trees)):
            self._check_roots(partition)

    def _due_roots(self, partition: int) -> dict[int, Head]:
        return {head.partitions[partition][0]: head for head in self._heads}

    def keep(self, hashes: Iterable[tuple[int, bytes]]) -> None:
        """Take a list of hashes to compare records with, after it was compared with the heads itself."""
        other = Comparison(self._heads)
        kept: dict[int, bytearray] = {}
        for partition, leaf in hashes:
            other.add(partition, leaf)
            kept.setdefault(partition, bytearray()).extend(leaf)
        if faults := other.finish():
            raise Wrong(f"the list of hashes does not have the roots of the heads: {faults[0]}")
        self._kept = {partition: bytes(each) for partition, each in kept.items()}

    def add(self, partition: int, leaf: bytes) -> None:
        """Add the next record of a partition."""
        if partition >= len(self._trees):
            raise Wrong(f"there is a record of partition {partition}, which the heads do not have")
        if partition in self.faults:
            return
        tree = self._trees[partition]
        if self._kept and self._kept.get(partition, b"")[tree.size * 32 : tree.size * 32 + 32] not in {
            leaf,
            b"",
        }:
            self.faults[partition] = f"the record {partition}:{tree.size} differs from the list of hashes"
        tree.add(leaf)
        self._check_roots(partition)

    def _check_roots(self, partition: int) -> None:
        size = self._trees[partition].size
        head = self._due[partition].pop(size, None)
        if head is None or partition in self.faults:
            return
        first, last = self._checked[partition], size - 1
        if self._trees[partition].root() == head.partitions[partition][1]:
            self._checked[partition] = size
        elif first >= last:
            self.faults[partition] = f"the record {partition}:{first} differs from {head}"
        else:
            places = f"{partition}:{first} to {partition}:{last}"
            self.faults[partition] = f"the first record that differs from {head} is one of {places}"

    def finish(self) -> list[str]:
        """Return what differs, one line for each partition."""
        for partition, due in enumerate(self._due):
            if due and partition not in self.faults:
                self.faults[partition] = self._missing(partition, due[min(due)])
        return [self.faults[partition] for partition in sorted(self.faults)]

    def _missing(self, partition: int, head: Head) -> str:
        first, end = self._checked[partition], self._trees[partition].size
        newer = f"which ends at {partition}:{head.partitions[partition][0]}, unless that is the newer one"
        if self._kept or first == end:
            return f"the record {partition}:{end} is missing in comparison with {head}, {newer}"
        return (
            f"the first record that is missing or differs from {head}, {newer}, "
            f"is one of {partition}:{first} to {partition}:{end}"
        )

    def covered(self) -> tuple[int, int]:
        """Return the number of records that a head contains, and of those after all heads."""
        return sum(self._checked), sum(tree.size for tree in self._trees) - sum(self._checked)


def check_inclusion(proof: Any, keys: Sequence[Key]) -> tuple[Head, int, int, bytes]:
    """Check a proof that a record is in a tree; return its head, the position, and the hash of the record."""
    head = _only_head(proof["tree_head"], keys)
    partition, offset = map(int, proof["position"].split(":"))
    if not 0 <= partition < len(head.partitions) or not 0 <= offset < head.partitions[partition][0]:
        raise Wrong(f"the record {partition}:{offset} is not in {head}")
    leaf, leaves = _hash(proof["leaf"], "the hash of the record"), partition_leaves(head)
    below, above = (_path(proof[name]["proof"]) for name in ("in_partition", "over_partitions"))
    size, root = head.partitions[partition]
    if included_root(offset, size, leaf, below) != root:
        raise Wrong(f"the proof does not lead from the record {partition}:{offset} to the root of {head}")
    if included_root(partition, len(leaves), leaves[partition], above) != root_of(leaves):
        raise Wrong(f"the proof does not lead from partition {partition} to the root of {head}")
    return head, partition, offset, leaf


def check_consistency(proof: Any, keys: Sequence[Key]) -> tuple[Head, Head]:
    """Check a proof that a later tree has all records of an earlier one; return both heads."""
    old, new = (_only_head(proof[name], keys) for name in ("old", "new"))
    check_views([old, new])
    paths = {each["partition"]: _path(each["proof"]) for each in proof["partitions"]}
    if old.size > new.size or sorted(paths) != list(range(len(old.partitions))):
        raise Wrong(f"the proof does not lead from {old} to {new}")
    for partition, path in paths.items():
        (old_size, old_root), (size, root) = old.partitions[partition], new.partitions[partition]
        if not old_size and not path:
            continue
        if not old_size or consistent_roots(old_size, size, path, old_root) != (old_root, root):
            raise Wrong(f"{new} does not continue {old}: the trees of partition {partition} do not fit")
    return old, new


def _only_head(text: str, keys: Sequence[Key]) -> Head:
    head, *more = read_heads(text, keys, "the head of the proof")
    if more:
        raise Wrong("the proof has several heads in the place of one")
    return head


# --- reading --------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _bytes(encoded: str, name: str) -> bytes:
    try:
        content = b64decode(encoded, validate=True)
    except ValueError:
        content = b""
    if not content or b64encode(content).decode() != encoded:
        raise Wrong(f"{name} is not base64")
    return content


def _hash(encoded: str, name: str) -> bytes:
    content = _bytes(encoded, name)
    if len(content) != 32:
        raise Wrong(f"{name} is not a SHA-256")
    return content


def _path(hashes: Sequence[str]) -> list[bytes]:
    if len(hashes) > 64:
        raise Wrong("the proof is too long")
    return [_hash(each, "a hash of the proof") for each in hashes]


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Wrong(f"{text[:100]!r} is not a time") from None


def _time(ms: int) -> str:
    try:
        return (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{ms} ms"


# --- the command line -----------------------------------------------------------------------------------


def show_heads(given: argparse.Namespace) -> Iterator[str]:
    """Check signed heads."""
    for head in check_views(_heads(given)):
        yield f"{head}: signed by {', '.join(head.signers)}"


def show_inclusion(given: argparse.Namespace) -> Iterator[str]:
    """Check that a record is in a tree, and show it."""
    proof = json.loads(_text(given.proof))
    head, partition, offset, leaf = check_inclusion(proof, given.keys)
    check_views([head, *_heads(given)])
    yield f"The record {partition}:{offset} is in {head}, signed by {', '.join(head.signers)}."
    record = None if proof.get("record") is None else _bytes(proof["record"], "the record")
    for place, found, canonical in read_backups(given.backups):
        if (place, found) == (partition, offset):
            record = canonical
    if record is None:
        yield f"The proof has its hash only, {leaf.hex()}. Give a backup to see the record."
    elif leaf_hash(record) != leaf:
        raise Wrong(f"the record {partition}:{offset} is another one than that of the proof")
    else:
        yield json.dumps(read_record(record), indent=2, ensure_ascii=False)


def show_consistency(given: argparse.Namespace) -> Iterator[str]:
    """Check that a later tree has all records of an earlier one."""
    old, new = check_consistency(json.loads(_text(given.proof)), given.keys)
    check_views([old, new, *_heads(given)])
    yield f"{new} has all records of {old}, unchanged."


def show_backup(given: argparse.Namespace) -> Iterator[str]:
    """Check that the records of a backup are those that heads were signed for."""
    comparison = Comparison(_heads(given))
    if given.hashes:
        comparison.keep(read_hashes(given.hashes))
    for partition, _, record in read_backups(given.backups):
        comparison.add(partition, leaf_hash(record))
    if faults := comparison.finish():
        raise Wrong("\n".join(faults))
    covered, newer = comparison.covered()
    yield f"{covered:,} records are those that were signed. {newer:,} are newer than all heads given."


def show_hashes(given: argparse.Namespace) -> Iterator[str]:
    """List the hash of each record."""
    for partition, offset, record in read_backups(given.backups):
        yield f"{partition}:{offset} {leaf_hash(record).hex()}"


def read_hashes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield partition and hash of each line that `hashes` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            position, encoded = line.split()
            yield int(position.partition(":")[0]), bytes.fromhex(encoded)


def _heads(given: argparse.Namespace) -> list[Head]:
    return [head for path in given.heads for head in read_heads(_text(path), given.keys, str(path))]


VERBS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "heads": show_heads,
    "inclusion": show_inclusion,
    "consistency": show_consistency,
    "backup": show_backup,
    "hashes": show_hashes,
}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    about = "Verify signed tree heads, proofs and backups of Tasktape, without Tasktape."
    program = argparse.ArgumentParser(prog="verify.py", description=about)
    verbs = program.add_subparsers(dest="verb", required=True)
    for verb, show in VERBS.items():
        parser = verbs.add_parser(verb, help=show.__doc__, description=show.__doc__)
        if verb != "hashes":
            parser.add_argument(
                "--key", dest="keys", action="append", required=True, metavar="KEY", help=KEY_HELP
            )
        if verb in {"inclusion", "consistency"}:
            parser.add_argument("proof", type=Path, metavar="PROOF", help="a proof of the API")
        if verb == "heads":
            parser.add_argument("heads", type=Path, nargs="+", metavar="HEADS", help=HEADS_HELP)
        elif verb != "hashes":
            needed = verb == "backup"
            parser.add_argument(
                "--heads", type=Path, action="append", default=[], required=needed, help=HEADS_HELP
            )
        if verb == "backup":
            parser.add_argument("--hashes", type=Path, help="hashes that were listed when all was well")
        if verb in {"backup", "hashes", "inclusion"}:
            number = "*" if verb == "inclusion" else "+"
            parser.add_argument(
                "backups",
                type=Path,
                nargs=number,
                metavar="BACKUP",
                help="a full backup, then its increments",
            )
    return program.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; return its exit status. Faults are printed, one a line."""
    given = parsed(arguments)
    try:
        if "keys" in given:
            given.keys = read_keys(given.keys)
        for line in VERBS[given.verb](given):
            print(line)
    except Wrong as wrong:
        faults = str(wrong).splitlines()
    except ModuleNotFoundError as error:
        faults = [f"the package {error.name} is missing: pip install cryptography"]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        faults = [f"the input cannot be read: {type(error).__name__}: {error}"]
    else:
        return 0
    for fault in faults:
        print(f"WRONG: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
