"""The reference index: everything known about the evaluation pictures, built once, saved, memory-mapped."""
from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import faiss

from . import voting
from .digests import UNREADABLE, sha256_of
from .errors import InputError
from .files import write_json
from .images import ImageError, read_bytes, size_in_bytes
from .match import Failure, ShardResult
from .matcher import Matcher
from .network.embedding import CHUNK, Embed, all_cosines, embed_all
from .options import Options
from .picture import describe
from .reference import References, column_file, failure, write_references
from .threads import one_thread

FORMAT = 2
_HEADER, _SEARCH = "index.json", "descriptors.faiss"
_SHAPING = ("size", "enlarge_below", "keypoints", "contrast", "exact_below", "embedding")      # options an index is made with


class ReferenceIndex:
    """Answers "is this a copy of one of them?" for any number of pictures. Made by `build` or `load`.

    Attributes:
        names: the readable references, in the order given.
        errors: the others, as `Failure`.
        options: the parameters of every decision.
        built_from: `references_fingerprint` of the references it was built from.
    """

    def __init__(self, names: list[str], references: References, descriptors: faiss.Index, options: Options,
                 errors: list[Failure], built_from: str, embed: Optional[Embed] = None):
        self.names, self.references, self.descriptors, self.options = names, references, descriptors, options
        self.errors, self.built_from, self.embed = errors, built_from, embed
        self.matcher = Matcher(names, references, options)

    @classmethod
    def build(cls, reference_paths: Iterable[str], options: Optional[Options] = None, root="",
              embed: Optional[Embed] = None, map: Callable = map, folder=None) -> ReferenceIndex:
        """Read all references, one after another; memory holds none of them for long.

        Args:
            reference_paths: files, relative to `root`.
            options: parameters; the defaults are the measured ones.
            root: folder of the paths.
            embed: files -> float array [n, D] of a network, a second source of candidates; rows need no unit length.
            map: how the pictures are read, such as `executor.map`.
            folder: where the index is kept, for `load`; what another build left there is replaced. By default it
                lives as long as this object, in the system's folder for temporary files.

        Raises:
            InputError: none of the references is readable, a file cannot be written, or `embed` without its name
                among the options.
        """
        options = options or Options()
        _require_both(options, embed)
        if folder is None:
            with tempfile.TemporaryDirectory(prefix="dedup-") as passing:      # what is mapped outlives its name
                return cls.build(reference_paths, options, root, embed, map, passing)
        folder, names = Path(folder), list(dict.fromkeys(reference_paths))
        _clear(folder)
        with one_thread():
            readable, errors = write_references(folder, names, options, root, embed, map)
        voting.write_index(voting.build_descriptor_index(References(folder)["descriptors"], options), folder / _SEARCH)
        _write_header(folder, references_fingerprint(names, options, root), options, readable, errors)
        return cls.load(folder, embed)

    @property
    def fingerprint(self) -> str:
        """Of all that its answers follow from, 64 hexadecimal digits; see the function of this name."""
        return _fingerprint(self.built_from, self.options)

    def match(self, query_paths: Iterable[str], root="") -> ShardResult:
        """Compare pictures with all references. Each is judged on its own: shards may be cut anywhere.

        Args:
            query_paths: files, relative to `root`.
            root: folder of the paths.
        """
        names = list(query_paths)
        result = ShardResult([], [], [], {"images": 0, "truncated": 0, "no_local_features": 0}, [])
        with one_thread():
            for start in range(0, len(names), CHUNK):
                self._match_chunk(names[start:start + CHUNK], root, result)
        return result

    def _match_chunk(self, names: list[str], root, result: ShardResult) -> None:
        open_ = []
        for name in names:
            result.digests.append(UNREADABLE)
            try:
                data = read_bytes(os.path.join(root, name))
                result.digests[-1] = sha256_of(data)
                same = self.matcher.same_bytes(name, result.digests[-1])
                open_.append((name, same, None if same else describe(data, self.options, self.options.query_size)))
            except ImageError as error:
                result.errors.append(failure(name, "decode", error))
        compared = [(name, picture) for name, _, picture in open_ if picture is not None]
        cosines = iter(self._cosines([os.path.join(root, name) for name, _ in compared]))
        nearest = iter(voting.nearest_of_each(
            self.descriptors, [picture.view.features.descriptors for _, picture in compared], self.options))
        for name, same, picture in open_:
            close = []
            if picture is not None:
                same, close = self.matcher.compare(name, picture, next(nearest), next(cosines))
                result.counts["truncated"] += picture.truncated
                result.counts["no_local_features"] += picture.is_flat
            result.counts["images"] += 1
            result.matches.extend(same)
            result.close.extend(close)

    def _cosines(self, files: list[str]) -> Iterable:
        if self.embed is None:
            return [None] * len(files)
        return all_cosines(embed_all(self.embed, files), self.references["embedding"])

    def save(self, folder) -> None:
        """Write a copy of the index to a folder."""
        folder = Path(folder)
        _clear(folder)
        self.references.save(folder)
        voting.write_index(self.descriptors, folder / _SEARCH)
        _write_header(folder, self.built_from, self.options, self.names, self.errors)

    @classmethod
    def load(cls, folder, embed: Optional[Embed] = None, expected: Optional[str] = None,
             options: Optional[Options] = None) -> ReferenceIndex:
        """Open an index; its columns are memory-mapped.

        Args:
            folder: where `build` wrote.
            embed: the function it was built with, if any.
            expected: the fingerprint it must have.
            options: other thresholds than those it was built with; options that shape an index must be the same.

        Raises:
            InputError: no index there, one of another version, or one made from other references or options.
        """
        folder = Path(folder)
        try:
            header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
            if header["format"] != FORMAT:
                raise ValueError(f"its format is {header['format']}, this version reads {FORMAT}")
            built_with = Options(**header["options"])
            options = options or built_with
            _require_both(options, embed)
            _require_same_shape(folder, built_with, options)
            found = _fingerprint(header["built_from"], options)
            if expected not in (None, found):
                raise InputError(f"the index in {folder} has the fingerprint {found}, expected {expected}: it was made "
                                 "from another evaluation list, other files or other options. Remove the folder or "
                                 "name another one.")
            return cls(header["names"], References(folder), faiss.read_index(os.fspath(folder / _SEARCH)), options,
                       [Failure(*e) for e in header["errors"]], header["built_from"], embed)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{folder} holds no usable reference index: {error}. Remove the folder, it will be built "
                             "again.") from error


def fingerprint(names: Iterable[str], options: Options, root="") -> str:
    """SHA-256 over all that a result follows from: `references_fingerprint` and every option."""
    return _fingerprint(references_fingerprint(names, options, root), options)


def references_fingerprint(names: Iterable[str], options: Options, root="") -> str:
    """SHA-256 over what an index is made of: names and sizes in bytes of the references, options that shape it."""
    digest = hashlib.sha256(json.dumps([FORMAT, _shaping(options)]).encode())
    for name in names:
        size = size_in_bytes(os.path.join(root, name))
        digest.update(f"{name}\t{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _fingerprint(built_from: str, options: Options) -> str:
    return hashlib.sha256(json.dumps([built_from, asdict(options)], sort_keys=True).encode()).hexdigest()


def _shaping(options: Options) -> list:
    return [getattr(options, name) for name in _SHAPING]


def _require_same_shape(folder: Path, built_with: Options, options: Options) -> None:
    for name, built, wanted in zip(_SHAPING, _shaping(built_with), _shaping(options)):
        if built != wanted:
            raise InputError(f"the index in {folder} was built with {name} {built}, now it is {wanted}. Remove the folder "
                             "or name another one.")


def _clear(folder: Path) -> None:
    """Make sure that `folder` is no index while its files change, and remove what a killed build left."""
    try:
        (folder / _HEADER).unlink(missing_ok=True)
        for name in (*(column_file(folder, n).name for n in References.NAMES), _SEARCH, _HEADER):
            for leftover in folder.glob(f".{name}.*.tmp"):
                leftover.unlink()
    except OSError as error:
        raise InputError(f"the old index in {folder} cannot be removed: {error.strerror}. Choose another folder.") from error


def _write_header(folder: Path, built_from: str, options: Options, names: list[str], errors: list[Failure]) -> None:
    """The file that makes a folder an index, written last."""
    write_json(folder / _HEADER, {"format": FORMAT, "built_from": built_from, "options": asdict(options), "names": names,
                                  "errors": [list(e) for e in errors]})


def _require_both(options: Options, embed: Optional[Embed]) -> None:
    if bool(options.embedding) != (embed is not None):
        raise InputError(f"the option embedding is {options.embedding!r} and the embed function is {embed!r}: give "
                         "both, the function and a name for its network, or neither.")
