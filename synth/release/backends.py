"""What differs between kinds of storage: putting a folder there, swapping the index, adding a file.

A backend knows nothing of releases. ``swap`` is compare-and-swap on one small file: it writes only if the file
still is what ``read`` gave, which is all the locking a store needs. On a local disk it is a file lock and
``os.replace``, on S3 a conditional PUT (``If-Match`` / ``If-None-Match: *``), in memory a lock. ``create`` writes a
file only where there is none, whole or not at all: what is added so is never changed, and of two writers one loses.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from synth.errors import SynthError, Unavailable, UserError

INDEX = "index.json"
MAX_INDEX_BYTES = 64 << 20
Told = Callable[[int], None]  # told the bytes written so far


class Backend(Protocol):
    """One place that releases are read from and perhaps written to."""

    def read(self) -> tuple[bytes, str]:
        """The index file (empty if there is none) and a token of its state."""

    def swap(self, data: bytes, token: str) -> bool:
        """Write the index if its state still is ``token``; False if somebody was faster."""

    def create(self, path: str, data: bytes) -> bool:
        """Write a new small file, whole; False if there is one already."""

    def put(self, folder: Path, files: list[str], to: str, told: Told) -> None:
        """Put ``files`` of ``folder`` below ``to``, in order, where nothing may be yet."""

    def remove(self, to: str) -> None:
        """Remove what an interrupted ``put`` left below ``to``."""

    def open(self, path: str) -> BinaryIO:
        """A file for reading; ``FileNotFoundError`` if there is none."""


@contextlib.contextmanager
def storage(url: str, *, full: str = "free some space, then go on with --resume; nothing was published",
            ) -> Iterator[None]:
    """Turn what a storage library raises into a :class:`UserError` without its text (it may hold credentials).

    ``full`` is what to do about a full disk.
    """
    try:
        yield
    except (SynthError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:  # botocore, aiohttp and the like have no common base
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("the disk is full", where=url, todo=full) from None
        if isinstance(error, PermissionError):
            raise UserError("the store does not let us in", where=url,
                            todo="check the credentials and the rights on it") from None
        raise Unavailable(f"the store failed ({type(error).__name__})", where=url,
                          todo="check the address, the credentials and the network, then try again") from None


class Local:
    """A folder. A release is copied beside its place and moved there in one rename."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self) -> tuple[bytes, str]:
        try:
            data = (self.root / INDEX).read_bytes()
        except FileNotFoundError:
            data = b""
        return data, hashlib.sha256(data).hexdigest()

    def swap(self, data: bytes, token: str) -> bool:
        with self._locked():
            if self.read()[1] != token:
                return False
            temporary = self.root / f".{INDEX}.tmp"
            _write(temporary, data)
            os.replace(temporary, self.root / INDEX)
            _sync(self.root)
        return True

    def create(self, path: str, data: bytes) -> bool:
        final = self.root / path
        with self._locked():
            if final.exists():
                return False
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.tmp")  # a killed writer's is overwritten by the next one
            try:
                _write(temporary, data)
                os.replace(temporary, final)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            _sync(final.parent)
        return True

    def put(self, folder: Path, files: list[str], to: str, told: Told) -> None:
        staging = self.root / ".staging"
        with self._locked():
            self._sweep(staging)
            partial = staging / f"{to.replace('/', '-')}-{os.urandom(4).hex()}"
            (partial / "release").mkdir(parents=True)
            alive = os.open(partial / "alive", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(alive, fcntl.LOCK_EX)
        try:
            done = 0
            for name in files:
                target = partial / "release" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_file(folder / name, target)
                done += target.stat().st_size
                told(done)
            final = self.root / to
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(partial / "release", final)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise FileExistsError from None  # a release is there
                raise
            _sync(final.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(alive)
            with contextlib.suppress(OSError):
                staging.rmdir()

    def remove(self, to: str) -> None:
        shutil.rmtree(self.root / to, ignore_errors=True)

    def open(self, path: str) -> BinaryIO:
        if not (self.root / path).resolve().is_relative_to(self.root.resolve()):
            raise FileNotFoundError
        return (self.root / path).open("rb")

    def _sweep(self, staging: Path) -> None:
        """Remove what killed processes left: their lock is free."""
        for left in staging.iterdir() if staging.is_dir() else ():
            try:
                lock = os.open(left / "alive", os.O_RDWR | os.O_CREAT, 0o600)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            except BlockingIOError:
                pass  # its writer lives
            finally:
                os.close(lock)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class Remote:
    """Any fsspec file system, for reading. Writing needs a conditional write, so other kinds refuse it."""

    def __init__(self, fs: Any, root: str, url: str) -> None:
        self.fs, self.root, self.url = fs, root.rstrip("/"), url

    def read(self) -> tuple[bytes, str]:
        try:
            with self.open(INDEX) as file:
                data = file.read(MAX_INDEX_BYTES)
        except FileNotFoundError:
            data = b""
        return data, ""

    def swap(self, data: bytes, token: str) -> bool:
        raise self._refusal()

    def create(self, path: str, data: bytes) -> bool:
        raise self._refusal()

    def put(self, folder: Path, files: list[str], to: str, told: Told) -> None:
        done = 0
        for name in files:
            self._create(folder / name, f"{self.root}/{to}/{name}")
            done += (folder / name).stat().st_size
            told(done)

    def remove(self, to: str) -> None:
        self.fs.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(f"{self.root}/{to}", recursive=True)

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, self.fs.open(f"{self.root}/{path}", "rb"))

    def _create(self, source: Path, target: str) -> None:
        raise self._refusal()

    def _refusal(self) -> UserError:
        return UserError("this kind of store can be read but not published to: it has no conditional write, so two "
                         "writers could make the same version", where=self.url,
                         todo="publish to a local folder or to S3")


_memory_lock = threading.Lock()


class Memory(Remote):
    """fsspec's memory file system (tests, notebooks): one process."""

    def read(self) -> tuple[bytes, str]:
        data, _ = super().read()
        return data, hashlib.sha256(data).hexdigest()

    def swap(self, data: bytes, token: str) -> bool:
        with _memory_lock:
            if self.read()[1] != token:
                return False
            self.fs.pipe_file(f"{self.root}/{INDEX}", data)
        return True

    def create(self, path: str, data: bytes) -> bool:
        with _memory_lock:
            if self.fs.exists(f"{self.root}/{path}"):
                return False
            self.fs.pipe_file(f"{self.root}/{path}", data)
        return True

    def _create(self, source: Path, target: str) -> None:
        if self.fs.exists(target):
            raise FileExistsError
        self.fs.pipe_file(target, source.read_bytes())


class S3(Remote):
    """S3 and what speaks it. Immutability and compare-and-swap are the server's, by conditional PUTs."""

    def read(self) -> tuple[bytes, str]:
        path = f"{self.root}/{INDEX}"
        bucket, key, _ = self.fs.split_path(path)
        try:  # one request, so that the bytes and the ETag belong together
            answer = self.fs.call_s3("get_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return b"", ""
        from fsspec.asyn import sync

        return sync(self.fs.loop, answer["Body"].read), str(answer["ETag"])

    def swap(self, data: bytes, token: str) -> bool:
        return self._put_if(INDEX, data, token)

    def create(self, path: str, data: bytes) -> bool:
        return self._put_if(path, data, "")

    def _put_if(self, path: str, data: bytes, token: str) -> bool:
        """A conditional PUT: over the state ``token``, or where there is nothing."""
        condition = {"IfMatch": token} if token else {"IfNoneMatch": "*"}
        bucket, key, _ = self.fs.split_path(f"{self.root}/{path}")
        try:
            self.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, ContentType="application/json",
                            **condition)
        except FileNotFoundError:
            if token:
                return False  # somebody removed the file
            raise UserError("there is no such bucket", where=self.url,
                            todo="create it, or correct the address") from None
        except OSError as error:
            if _lost_race(error):
                return False
            raise
        return True

    def _create(self, source: Path, target: str) -> None:
        try:
            self.fs.put_file(str(source), target, mode="create")
        except OSError as error:
            if _lost_race(error):
                raise FileExistsError from None
            raise


def _lost_race(error: BaseException) -> bool:
    """True for the server's 412 (precondition failed) and 409 (a conflicting write is under way)."""
    cause = error.__cause__ or error.__context__ or error
    response = getattr(cause, "response", {})
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (409, 412)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes to a new file and wait until they are on the disk."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
