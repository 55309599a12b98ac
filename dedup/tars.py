"""Pictures inside uncompressed tar files, read by position: `folder/shard-000.tar/inner/name.jpg` names a member.

Beside `shard-000.tar` an index `shard-000.tar.index` is kept: JSON lines, the first about the file, then one per member:

    {"format": 1, "size": 1048576, "mtime_ns": 1700000000000000000, "members": 2, "damage": null}
    ["0001.jpg", 1536, 20480]           name, position of its first byte, number of bytes
    ["0002.jpg", "a symbolic link"]     name, why it cannot be read

An index whose size and modification time are not those of the tar file is never believed but made again. Where it
cannot be written it is kept in memory.
"""
from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import re
import tarfile
from functools import lru_cache
from typing import BinaryIO, NamedTuple, Optional, Union

from .errors import InputError
from .files import atomic_write

INDEX_SUFFIX = ".index"
_FORMAT = 1
_OPEN_INDEXES = 32              # kept in memory by each process
_BLOCK = 512
_NAME = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|xz|zst|lz4|lzma|z))?|tgz|tbz2?|txz|tzst)(?=/|$)", re.IGNORECASE)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_KINDS = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link to nothing before it",
          tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}
Member = Union[tuple, str]      # (position, bytes), or why it cannot be read


class TarIndex(NamedTuple):
    """What a tar file holds.

    Args:
        members: name -> (position, number of bytes), or why the member cannot be read. Of equal names the last
            counts, as when unpacking.
        damage: what is wrong with the rest of the file; None if it was read to its end mark.
    """

    members: dict[str, Member]
    damage: Optional[str]


def is_tar_name(name: str) -> bool:
    """Does a file name end like that of a tar file, compressed or not?"""
    found = list(_NAME.finditer(name))
    return bool(found) and found[-1].end() == len(name)


def split(path: str) -> Optional[tuple[str, str]]:
    """The tar file and the member that a path names, "" for the file itself; None if no part of it is a tar file."""
    for found in _NAME.finditer(path):
        if os.path.isfile(path[:found.end()]):
            return path[:found.end()], path[found.end() + 1:]
    return None


def read_index(tar: str) -> TarIndex:
    """What a tar file holds, from memory, from the index beside it, or by reading all of its headers.

    Raises:
        OSError: the file cannot be read, or is compressed.
    """
    with open(tar, "rb") as file:
        return _index_of(tar, file)


def read_member(tar: str, name: str, limit: int) -> bytes:
    """The bytes of a member. Threads and forked processes may call this at the same time.

    Args:
        tar: the tar file.
        name: of the member.
        limit: how many bytes it may have.

    Raises:
        OSError: there is no such member, or it cannot be read; the message says why.
    """
    with open(tar, "rb") as file:
        position, size = _place(tar, name, _index_of(tar, file))
        if size > limit:
            raise OSError(errno.EFBIG, f"{size} bytes are more than the {limit} a picture may have")
        file.seek(position)
        data = file.read(size)
    if len(data) < size:
        raise OSError(errno.EIO, f"{os.path.basename(tar)} ends inside this member: {len(data)} of {size} bytes are there")
    return data


def member_size(tar: str, name: str) -> int:
    """The number of bytes of a member.

    Raises:
        OSError: there is no such member, or it cannot be read.
    """
    return _place(tar, name, read_index(tar))[1]


def _place(tar: str, name: str, index: TarIndex) -> tuple[int, int]:
    if not name:
        raise IsADirectoryError(errno.EISDIR, index.damage or "a tar file is no picture: name its members, or give the "
                                "tar file as the source")
    place = index.members.get(_normal(name))
    if place is None:
        damage = f", which is damaged: {index.damage}" if index.damage else ""
        raise FileNotFoundError(errno.ENOENT, f"no such member in {os.path.basename(tar)}{damage}")
    if isinstance(place, str):
        raise OSError(errno.EINVAL, f"this member of {os.path.basename(tar)} is {place}")
    return place


def _index_of(tar: str, file: BinaryIO) -> TarIndex:
    stat = os.fstat(file.fileno())      # of the very file that is read: it may have been replaced since
    return _index(os.path.abspath(tar), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=_OPEN_INDEXES)
def _index(tar: str, size: int, mtime_ns: int) -> TarIndex:
    header = {"format": _FORMAT, "size": size, "mtime_ns": mtime_ns}
    index = _load(tar + INDEX_SUFFIX, header)
    if index is None:
        index = scan(tar)
        if (os.path.getsize(tar), os.stat(tar).st_mtime_ns) != (size, mtime_ns):
            raise OSError(errno.ESTALE, f"{os.path.basename(tar)} was changed while it was read")
        with contextlib.suppress(InputError):       # read-only, or full: then this process alone knows it
            _save(tar + INDEX_SUFFIX, header, index)
    return index


def _load(file: str, header: dict) -> Optional[TarIndex]:
    """The index in a file; None if it is not there, belongs to another state of the tar file, or is not whole."""
    try:
        with open(file, encoding="utf-8") as lines:
            found = json.loads(lines.readline())
            if {key: found[key] for key in header} != header:
                return None
            rows = json.loads("[" + ",".join(lines) + "]")
        members = {name: place[0] if len(place) == 1 else (int(place[0]), int(place[1])) for name, *place in rows}
        return TarIndex(members, found["damage"]) if len(members) == found["members"] else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _save(file: str, header: dict, index: TarIndex) -> None:
    with atomic_write(file) as lines:
        lines.write(json.dumps({**header, "members": len(index.members), "damage": index.damage}) + "\n")
        for name, place in index.members.items():
            lines.write(json.dumps([name, place] if isinstance(place, str) else [name, *place]) + "\n")


def scan(tar: str) -> TarIndex:
    """Read all headers of a tar file, of any common kind: ustar, GNU, PAX.

    Members before a damaged place are kept, and the damage is described.

    Raises:
        OSError: the file cannot be read, or is compressed.
    """
    members: dict[str, Member] = {}
    with open(tar, "rb") as file:
        _require_plain(file)
        try:
            end = _scan_headers(file, members)
            damage = _damage_behind(file, end)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            damage = f"{error}"
    return TarIndex(members, damage and f"{damage}; members found before that: {len(members)}")


def _require_plain(file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise OSError(errno.EINVAL, f"{os.path.basename(file.name)} is compressed ({kind}), its members cannot be read "
                                        "by position. Unpack it, or write it again as a plain .tar")


def _scan_headers(file: BinaryIO, members: dict[str, Member]) -> int:
    """Enter all members; returns where the headers end."""
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            if info.size < 0:                       # would lead back, and round in circles
                raise tarfile.ReadError(f"a negative size at byte {info.offset}")
            archive.members.clear()                 # it would keep a kilobyte for each
            if not info.isdir():
                members[_normal(info.name)] = _place_of(info, members)
        return archive.offset


def _normal(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _place_of(info: tarfile.TarInfo, members: dict[str, Member]) -> Member:
    if info.issparse():
        return "a sparse file"
    if info.isreg():
        return info.offset_data, info.size
    if info.islnk() and _normal(info.linkname) in members:
        return members[_normal(info.linkname)]
    return _KINDS.get(info.type, "of an unknown kind")


def _damage_behind(file: BinaryIO, end: int) -> Optional[str]:
    """What is wrong with a tar file behind its last member; None if there is an end mark and nothing but zeros."""
    file.seek(end)
    mark = file.read(_BLOCK)
    if len(mark) < _BLOCK:
        return f"it is cut off at byte {end + len(mark)}: there is no end mark"
    if any(mark):
        return f"what stands at byte {end} is no header"
    while block := file.read(1 << 20):
        if any(block):
            return f"more data follow the end mark at byte {end}, perhaps of a second tar file"
    return None
