"""Whether the locks of a folder's file system reach the other machines that see it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from records import InputError

MOUNTS = Path("/proc/self/mounts")  # Linux; see proc(5) and fstab(5)
# File systems that keep locks to the machine, or to the process that serves them; none renames atomically for others.
NEVER_SHARED = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.mount-s3", "fuse.goofys", "fuse.rclone")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, its kind, its options."""

    point: str
    kind: str
    options: frozenset[str]


def mount_of(path: Path, mounts: str) -> Mount | None:
    """The mount that a path is on, from a table as Linux lists it; the last of several at one point."""
    found: Mount | None = None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[1])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(point, fields[2], frozenset(fields[3].split(",")))
    return found


def why_locks_stay_here(mount: Mount) -> str | None:
    """Why other machines do not see this machine's locks (flock); None where they do, or nobody else sees the files.

    From nfs(5), mount.cifs(8) and Lustre's mount.lustre(8).
    """
    local = {
        "nfs": {"nolock", "local_lock=flock", "local_lock=all"},
        "nfs4": {"nolock", "local_lock=flock", "local_lock=all"},
        "cifs": {"nobrl"},
        "smb3": {"nobrl"},
        "lustre": {"localflock", "noflock"},
    }
    if mount.kind in NEVER_SHARED:
        return f"{mount.kind} has no locks between machines"
    found = sorted(mount.options & local.get(mount.kind, set()))
    if mount.kind == "lustre" and "flock" not in mount.options and not found:
        found = ["no flock"]
    return f"{mount.kind} is mounted with {', '.join(found)}" if found else None


def refuse_local_locks(folder: Path) -> None:
    """Raises `InputError` if a run on another machine could write to the same folder unnoticed."""
    if MOUNTS.exists():
        mount = mount_of(folder.resolve(), os.fsdecode(MOUNTS.read_bytes()))
        if mount is not None and (why := why_locks_stay_here(mount)) is not None:
            raise InputError(
                f"{folder.resolve()} could not be locked against other machines ({why}); choose an --output_dir on "
                "a local disk, or on a file system with shared locks (NFS by default, Lustre with flock)"
            )
