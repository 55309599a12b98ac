"""The reference index: everything known about the evaluation pictures, built once, saved, memory-mapped."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Optional

import faiss
import numpy as np

from . import voting
from .errors import InputError
from .files import atomic_write, write_json
from .images import ImageError, read_bytes
from .match import Failure, ShardResult
from .matcher import Matcher
from .options import Options
from .picture import describe, mean_colour
from .reference import References
from .threads import one_thread

FORMAT = 1
_CHUNK = 64                     # pictures handed to an embedding at once
Embed = Callable[[Sequence[str]], np.ndarray]


class ReferenceIndex:
    """Answers "is this a copy of one of them?" for any number of pictures. Made by `build` or `load`.

    Attributes:
        names: the readable references, in the order given.
        errors: the others, as `Failure`.
        options: the parameters of every decision.
        fingerprint: of the references' names and sizes in bytes and of the options, 64 hexadecimal digits.
    """

    def __init__(self, names: list[str], references: References, descriptors: faiss.Index, options: Options,
                 errors: list[Failure], fingerprint: str, embed: Optional[Embed] = None):
        self.names, self.references, self.descriptors, self.options = names, references, descriptors, options
        self.errors, self.fingerprint, self.embed = errors, fingerprint, embed
        self.matcher = Matcher(names, references, descriptors, options)

    @classmethod
    def build(cls, reference_paths: Iterable[str], options: Optional[Options] = None, root="",
              embed: Optional[Embed] = None, map: Callable = map) -> ReferenceIndex:
        """Read all references.

        Args:
            reference_paths: files, relative to `root`.
            options: parameters; the defaults are the measured ones.
            root: folder of the paths.
            embed: files -> float array [n, D] of a network, a second source of candidates; rows need no unit length.
            map: how the pictures are read, such as `executor.map`.

        Raises:
            InputError: none of the references is readable, or `embed` without its name among the options.
        """
        options = options or Options()
        _require_both(options, embed)
        names = list(dict.fromkeys(reference_paths))
        read, errors = [], []
        with one_thread():
            for name, entry in zip(names, map(partial(_describe_reference, os.fspath(root), options), names)):
                if isinstance(entry, Failure):
                    errors.append(entry)
                else:
                    read.append((name, *entry))
            if not read:
                raise InputError(f"none of the {len(names)} evaluation images can be read"
                                 + (f"; the first is {errors[0].path}: {errors[0].message}" if errors else "")
                                 + f". Are the paths relative to {os.fspath(root) or os.getcwd()}?")
            readable, digests, pictures, colours = (list(column) for column in zip(*read))
            vectors = _embed_all(embed, [os.path.join(root, n) for n in readable])
            references = References.of(digests, pictures, colours, vectors)
            descriptors = voting.build_descriptor_index(references["descriptors"], options)
        return cls(readable, references, descriptors, options, errors, fingerprint(names, options, root), embed)

    def match(self, query_paths: Iterable[str], root="") -> ShardResult:
        """Compare pictures with all references. Each is judged on its own: shards may be cut anywhere.

        Args:
            query_paths: files, relative to `root`.
            root: folder of the paths.
        """
        names = list(query_paths)
        result = ShardResult([], [], [], {"images": 0, "truncated": 0, "no_local_features": 0})
        with one_thread():
            for start in range(0, len(names), _CHUNK):
                self._match_chunk(names[start:start + _CHUNK], root, result)
        return result

    def _match_chunk(self, names: list[str], root, result: ShardResult) -> None:
        open_ = []
        for name in names:
            try:
                data = read_bytes(os.path.join(root, name))
                same = self.matcher.same_bytes(name, hashlib.sha256(data).digest())
                open_.append((name, same, None if same else describe(data, self.options)))
            except ImageError as error:
                result.errors.append(_failure(name, "decode", error))
        compared = [name for name, same, _ in open_ if not same]
        cosines = iter(self._cosines([os.path.join(root, name) for name in compared]))
        for name, same, picture in open_:
            close = []
            if picture is not None:
                same, close = self.matcher.compare(name, picture, next(cosines))
                result.counts["truncated"] += picture.truncated
                result.counts["no_local_features"] += picture.is_flat
            result.counts["images"] += 1
            result.matches.extend(same)
            result.close.extend(close)

    def _cosines(self, files: list[str]) -> Iterable:
        if self.embed is None:
            return [None] * len(files)
        return _embed_all(self.embed, files) @ self.references["embedding"].T

    def save(self, folder) -> None:
        """Write the index to a folder: arrays as .npy, the search structure of faiss, and index.json last."""
        folder = Path(folder)
        self.references.save(folder)
        with atomic_write(folder / "descriptors.faiss", "wb") as file:
            file.write(faiss.serialize_index(self.descriptors).tobytes())
        write_json(folder / "index.json", {
            "format": FORMAT, "fingerprint": self.fingerprint, "options": asdict(self.options), "names": self.names,
            "errors": [list(e) for e in self.errors]})

    @classmethod
    def load(cls, folder, embed: Optional[Embed] = None, expected: Optional[str] = None) -> ReferenceIndex:
        """Open a saved index; arrays are memory-mapped.

        Args:
            folder: where `save` wrote.
            embed: the function it was built with, if any.
            expected: the fingerprint it must have.

        Raises:
            InputError: no index there, one of another version, or one made from other references or options.
        """
        folder = Path(folder)
        try:
            header = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if header["format"] != FORMAT:
                raise ValueError(f"its format is {header['format']}, this version reads {FORMAT}")
            if expected not in (None, header["fingerprint"]):
                raise InputError(f"the index in {folder} has the fingerprint {header['fingerprint']}, expected "
                                 f"{expected}: it was made from another evaluation list, other files or other "
                                 "options. Remove the folder or name another one.")
            options = Options(**header["options"])
            _require_both(options, embed)
            descriptors = faiss.deserialize_index(np.fromfile(folder / "descriptors.faiss", np.uint8))
            return cls(header["names"], References.load(folder), descriptors, options,
                       [Failure(*e) for e in header["errors"]], header["fingerprint"], embed)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{folder} holds no usable reference index: {error}. Remove the folder, it will be built "
                             "again.") from error


def fingerprint(names: Iterable[str], options: Options, root="") -> str:
    """SHA-256 over the names and sizes in bytes of the references and over every option."""
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(options)], sort_keys=True).encode())
    for name in names:
        try:
            size = os.path.getsize(os.path.join(root, name))
        except OSError:
            size = -1
        digest.update(f"{name}\t{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _describe_reference(root: str, options: Options, name: str):
    """(SHA-256, Picture, mean colour) of one reference, or why not."""
    try:
        with one_thread():
            data = read_bytes(os.path.join(root, name))
            return hashlib.sha256(data).digest(), describe(data, options), mean_colour(data)
    except ImageError as error:
        return _failure(name, "reference", error)


def _failure(name: str, stage: str, error: ImageError) -> Failure:
    return Failure(name, stage, type(error.__cause__ or error).__name__, " ".join(str(error).split()))


def _require_both(options: Options, embed: Optional[Embed]) -> None:
    if bool(options.embedding) != (embed is not None):
        raise InputError(f"the option embedding is {options.embedding!r} and the embed function is {embed!r}: give "
                         "both, the function and a name for its network, or neither.")


def _embed_all(embed: Optional[Embed], files: list[str]) -> np.ndarray:
    """Unit rows float32 [n, D] of all files; D = 0 without a network."""
    if embed is None or not files:
        return np.zeros((len(files), 0), np.float32)
    rows = np.concatenate([np.asarray(embed(files[s:s + _CHUNK]), np.float32) for s in range(0, len(files), _CHUNK)])
    if rows.shape[0] != len(files) or rows.ndim != 2:
        raise InputError(f"embed returned an array of shape {rows.shape} for {len(files)} files; expected one row of "
                         "numbers per file.")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
