from __future__ import annotations

from pathlib import Path

import pytest

from records import InputError
from storage import shared_locks as file_systems
from storage.shared_locks import Mount, mount_of, refuse_local_locks, why_locks_stay_here

MOUNTS = r"""/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2,local_lock=none 0 0
server:/old /home/old nfs rw,vers=3,nolock,local_lock=all 0 0
scratch /my\040scratch lustre rw,flock 0 0
nonsense
me@host: /home/me/far fuse.sshfs rw 0 0
overlay /home/me/far ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/etc", "/", "ext4"),
        ("/home/me/run", "/home", "nfs4"),
        ("/homeless", "/", "ext4"),
        ("/home/old", "/home/old", "nfs"),
        ("/my scratch/run", "/my scratch", "lustre"),
        ("/home/me/far/run", "/home/me/far", "ext4"),  # mounted over the other
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, point: str, kind: str) -> None:
    found = mount_of(Path(path), MOUNTS)
    assert found is not None
    assert (found.point, found.kind) == (point, kind)


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("ext4", "rw", None),
        ("nfs4", "rw,local_lock=none", None),
        ("nfs4", "rw,local_lock=posix", None),
        ("nfs", "rw,nolock,local_lock=all", "nfs is mounted with local_lock=all, nolock"),
        ("cifs", "rw,nobrl", "cifs is mounted with nobrl"),
        ("cifs", "rw", None),
        ("lustre", "rw,flock", None),
        ("lustre", "rw,localflock", "lustre is mounted with localflock"),
        ("lustre", "rw", "lustre is mounted with no flock"),
        ("fuse.sshfs", "rw", "fuse.sshfs has no locks between machines"),
    ],
)
def test_locks_that_stay_on_this_machine_are_known(kind: str, options: str, why: str | None) -> None:
    assert why_locks_stay_here(Mount("/", kind, frozenset(options.split(",")))) == why


def test_a_folder_that_others_cannot_see_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_local_locks(tmp_path)
    table = tmp_path / "mounts"
    table.write_text(f"server:/x {tmp_path.resolve()} nfs rw,nolock 0 0\n")
    monkeypatch.setattr(file_systems, "MOUNTS", table)
    with pytest.raises(InputError, match=r"could not be locked .*nfs is mounted with nolock.*choose an --output_dir"):
        refuse_local_locks(tmp_path / "run")
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "not_linux")
    refuse_local_locks(tmp_path / "run")
