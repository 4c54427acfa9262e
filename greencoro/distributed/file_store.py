"""The directory that files of peers are saved below.

Everything here touches the disk, so nothing of it runs on the reactor. A file is written under a name of our own, in
the same file system, and takes its own name when it is whole and on the disk: at every moment, and after every crash,
that name has the old content or the new. What a process that died left behind is removed by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greencoro.distributed import confined, owner_locks, user_directory
from greencoro.distributed.fields import Buffer
from greencoro.distributed.transfer_plan import Standing
from greencoro.distributed.transfer_words import RESERVED_PREFIX, Place
from greencoro.errors import ConfigError, TransferError
from greencoro.hub import native

__all__ = ["READ_BYTES", "FileStore", "Part", "standing"]

#: Read at once for a digest.
READ_BYTES = 1024 * 1024
#: Forced to the disk at once, so that the last time takes no longer than the others.
_SYNC_BYTES = 64 * 1024 * 1024
_LOCK_SUFFIX = ".lock"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Of the directories that it made a store knows so many.
_MAX_MADE = 10_000
#: What a file system says that has no hard links, or that cannot give this file one more.
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))

# Between looking at a name and taking it; of all stores, as several may have one directory.
_placing = native.Lock()


class FileStore:
    """See the module.

    Args:
        path (Path | None): The directory; None for one of this user's own under the temporary one, made when the first
            file comes.

    Raises:
        ConfigError: It cannot be made, or is no directory.
    """

    def __init__(self, path: Path | None) -> None:
        self._is_private = path is None
        self.path = (user_directory.default_path() / "files" if path is None else path).absolute()
        self._numbers = itertools.count(1)
        self._guard = native.Lock()
        self._lock: int | None = None
        #: The directories that were made for files of peers, and not removed.
        self._made: set[tuple[str, ...]] = set()
        self._mark = ""
        if path is not None:
            self._make()

    def _make(self) -> None:
        try:
            if self._is_private:
                user_directory.make(self.path.parent, private=True)
            user_directory.make(self.path, self._is_private)
        except OSError as error:
            raise ConfigError(f"dest_path {self.path} cannot be made: {error.strerror}") from error

    def remove_abandoned(self) -> None:
        """Remove what stores of dead processes left half written here; nothing where there is no such directory."""
        for lock in owner_locks.abandoned(self.path, f"{RESERVED_PREFIX}*{_LOCK_SUFFIX}"):
            for part in self.path.glob(f"{lock.name.removesuffix(_LOCK_SUFFIX)}-*"):
                part.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is being written any more."""
        with self._guard:
            lock, self._lock = self._lock, None
            if lock is not None:
                self.path.joinpath(self._mark + _LOCK_SUFFIX).unlink(missing_ok=True)
                native.close(lock)

    def free_bytes(self) -> int:
        """Bytes of the disk that this user may still fill."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def new_part(self, mode: int) -> Part:
        """A file to write to, with the permissions ``mode`` less the umask.

        Raises:
            OSError, ConfigError: It cannot be made.
        """
        with self._guard:
            if self._lock is None:
                self._make()
            while self._lock is None:
                self._mark = RESERVED_PREFIX + secrets.token_hex(6)
                self._lock = owner_locks.make(self.path / (self._mark + _LOCK_SUFFIX))
        return Part(self.path, f"{self._mark}-{next(self._numbers)}", mode)

    @contextmanager
    def _opened(self, place: Place, make: bool = False) -> Iterator[int]:
        try:
            with confined.opened(self.path, place.directory, make, durable=make, on_made=self._on_made) as parent:
                yield parent
        except OSError as error:
            if confined.leads_elsewhere(error):
                raise TransferError(f"{str(place)!r} leads through a link or a file") from error
            raise

    def _on_made(self, way: tuple[str, ...]) -> None:
        if len(self._made) < _MAX_MADE:
            self._made.add(way)

    def look(self, place: Place) -> os.stat_result | None:
        """What is there, links not followed; None for nothing.

        Raises:
            TransferError: The way leads through a link or a file.
        """
        try:
            with self._opened(place) as parent:
                return os.stat(place.file, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def digest(self, place: Place, on_read: Callable[[], None]) -> str:
        """The SHA-256 of the file there, in hexadecimal digits; ``on_read()`` is called after each piece of it.

        Raises:
            OSError: There is none that can be read.
        """
        with self._opened(place) as parent:
            descriptor = os.open(place.file, _OLD_FILE, dir_fd=parent)
        try:
            found = hashlib.sha256()
            buffer = memoryview(bytearray(READ_BYTES))
            while size := os.readv(descriptor, [buffer]):
                found.update(buffer[:size])
                on_read()
            return found.hexdigest()
        finally:
            native.close(descriptor)

    def save(
        self, part: Part, place: Place, overwrite: bool, on_placed: Callable[[], None]
    ) -> tuple[os.stat_result | None, bool]:
        """Give a part that is finished its name; it may keep the other one until it is discarded.

        Args:
            on_placed: Called once it has it, before anything else of this process is saved or removed.

        Returns:
            tuple[os.stat_result | None, bool]: What was there before, and whether the part is there now: without
            ``overwrite`` a file that came meanwhile stays, whichever process it came from.

        Raises:
            TransferError: What is there is no regular file, or the way leads through a link or a file.
        """
        while True:
            with self._opened(place, make=True) as parent:
                with _placing:
                    if not os.fstat(parent).st_nlink:
                        continue  # it was empty, and `_prune` came first
                    before = _put(part.path, place, parent, overwrite)
                    if before is not None and not overwrite:
                        return before, False
                    on_placed()
                confined.sync(parent)
            return before, True

    def delete(self, place: Place, on_removed: Callable[[], None], prune: bool = False) -> None:
        """Remove a file; ``on_removed()`` is called once it is gone, before anything else is saved or removed.

        Args:
            prune (bool): Remove the directories on the way to it as well that this store made and that are empty now.

        Raises:
            TransferError: It is no regular file.

            OSError: It is not there, or cannot be removed.
        """
        with self._opened(place) as parent, _placing:
            if not stat.S_ISREG(os.stat(place.file, dir_fd=parent, follow_symlinks=False).st_mode):
                raise TransferError(f"{str(place)!r} is no regular file")
            os.unlink(place.file, dir_fd=parent)
            on_removed()
        if prune:
            self._prune(tuple(place.directory))

    def _prune(self, way: tuple[str, ...]) -> None:
        with suppress(OSError), _placing:
            while way in self._made:
                *above, name = way
                with confined.opened(self.path, above) as parent:
                    os.rmdir(name, dir_fd=parent)
                self._made.discard(way)
                way = tuple(above)


def _found(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _put(part: Path, place: Place, parent: int, overwrite: bool) -> os.stat_result | None:
    """Give a part its name, unless something is there and not to be replaced; what was there."""
    while True:
        before = _found(place.file, parent)
        if before is not None and not overwrite:
            return before
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise TransferError(f"{str(place)!r} is there and is no regular file")
        if overwrite:
            os.replace(part, place.file, dst_dir_fd=parent)
            return before
        if _take_name(part, place.file, parent):
            return None


def _take_name(part: Path, name: str, parent: int) -> bool:
    """Give a part a name that nobody has; False where somebody was first.

    To look first would not do: another process may save below the same directory. A link is made by one of them only.
    """
    try:
        os.link(part, name, dst_dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _take_name_locked(part, name, parent)
    return True


def _take_name_locked(part: Path, name: str, parent: int) -> bool:
    """As `_take_name`, in a file system without links; only other processes that do the same are kept out."""
    # The descriptor is this call's own, so closing it takes the lock away.
    fcntl.flock(parent, fcntl.LOCK_EX)
    if _found(name, parent) is not None:
        return False
    os.rename(part, name, dst_dir_fd=parent)
    return True


class Part:
    """A file that is being written, under a name of ours.

    Attributes:
        permissions (int): Those that it has.
    """

    def __init__(self, directory: Path, name: str, mode: int) -> None:
        self.path = directory / name
        self._descriptor: int | None = os.open(self.path, _NEW_FILE, mode & 0o777)
        self.permissions = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        self._digest = hashlib.sha256()
        self._unsynced = 0

    def _opened(self) -> int:
        if self._descriptor is None:
            raise TransferError(f"{self.path} is closed")
        return self._descriptor

    def write(self, data: Buffer) -> None:
        """Append."""
        descriptor = self._opened()
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        self._digest.update(data)
        self._unsynced += len(data)

    @property
    def is_sync_due(self) -> bool:
        """Is there so much to be forced to the disk that it should be done now, not all of it at the end?"""
        return self._unsynced >= _SYNC_BYTES

    def sync(self) -> None:
        """Force to the disk what there is."""
        os.fdatasync(self._opened())
        self._unsynced = 0

    def hexdigest(self) -> str:
        """The SHA-256 of what was written."""
        return self._digest.hexdigest()

    def finish(self, mtime_ns: int) -> None:
        """No more comes: force all of it to the disk."""
        descriptor = self._opened()
        os.utime(descriptor, ns=(os.fstat(descriptor).st_atime_ns, mtime_ns))
        os.fsync(descriptor)

    def discard(self) -> None:
        """Close it, and remove the name of ours that it may still have."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            native.close(descriptor)
            self.path.unlink(missing_ok=True)


def standing(found: os.stat_result | None) -> Standing | None:
    """What was found, as far as it decides about a transfer."""
    if found is None:
        return None
    return Standing(stat.S_ISREG(found.st_mode), found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode))
