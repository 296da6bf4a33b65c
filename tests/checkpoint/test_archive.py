"""model.tar.gz: equal models give equal archives, and a stranger's archive can do no harm."""

import gzip
import io
import os
import tarfile
import tempfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from o2v_jax.checkpoint import is_archive, load, pack, save
from o2v_jax.checkpoint.unpacking import unpack_archive
from o2v_jax.errors import CheckpointError

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tar(path, *members, mode="w:gz", folder=None, prefix=""):
    """Writes an archive of a folder's files and of (TarInfo, bytes) members after them."""
    with tarfile.open(path, mode) as archive:
        if folder is not None:
            for file in sorted(folder.iterdir()):
                archive.add(file, f"{prefix}{file.name}")
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name, kind=tarfile.REGTYPE, link="", data=b"", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info, data


def problem_of(path, **limits):
    with pytest.raises(CheckpointError) as caught:
        load(path, **limits)
    (problem,) = caught.value.problems
    return problem


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The directory under which archives are unpacked, checked to be empty at the end."""
    directory = tmp_path / "scratch" / "inner"
    directory.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert not any(directory.iterdir())
    assert list(directory.parent.iterdir()) == [directory]


@pytest.mark.parametrize("name", ["model.tar.gz", "model.tgz", "any"])
def test_a_packed_model_loads(saved, scratch, make_model, difference, name):
    assert difference(load(pack(saved, saved.with_name(name))), make_model()) == set()
    assert {path.name for path in saved.parent.iterdir()} == {"model", "scratch", name}


def test_equal_models_give_equal_archives(saved, make_model):
    other = save(make_model(), saved.with_name("other"))
    for path in other.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    one, two = (pack(folder, folder.with_suffix(".tar.gz")) for folder in (saved, other))
    different = pack(save(make_model(1), other), other.with_suffix(".tgz"))
    assert one.read_bytes() == two.read_bytes() != different.read_bytes()


def test_what_is_packed_is_anonymous_sorted_and_at_the_top(saved):
    with tarfile.open(pack(saved, saved.with_suffix(".tar.gz"))) as archive:
        members = archive.getmembers()
    assert [info.name for info in members] == sorted(path.name for path in saved.iterdir())
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in members} == {
        (0, 0, 0, "", "", 0o644)
    }


def test_what_is_no_model_is_not_packed(saved):
    (saved / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        pack(saved, saved.with_suffix(".tar.gz"))
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./", "model/", "./model/"])
def test_tar_archives_of_others_load(saved, make_model, difference, mode, prefix):
    path = tar(saved.with_name("m"), mode=mode, folder=saved, prefix=prefix)
    assert difference(load(path), make_model()) == set()


def test_what_is_wrong_inside_an_archive_is_said_of_the_archive(saved, scratch):
    (saved / "config.json").write_text("oops")
    (saved / "params.safetensors").write_bytes(b"")
    path = tar(saved.with_name("m.tgz"), folder=saved)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: config.json is not valid JSON")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("evil", "message"),
    [
        (member("../evil"), "'../evil': only relative paths without"),
        (member("a/../../evil"), "'a/../../evil': only relative paths without"),
        (member("/evil"), "'/evil': only relative paths without"),
        (member("evil", tarfile.SYMTYPE, "config.json"), "'evil': it is a link"),
        (member("evil", tarfile.SYMTYPE, "/etc/passwd"), "'evil': it is a link"),
        (member("evil", tarfile.LNKTYPE, "config.json"), "'evil': it is a link"),
        (member("evil", tarfile.CHRTYPE), "'evil': it is a device"),
        (member("evil", tarfile.BLKTYPE), "'evil': it is a device"),
        (member("evil", tarfile.FIFOTYPE), "'evil': it is a device"),
    ],
)
def test_evil_members_are_named_and_refused(saved, scratch, evil, message):
    path = tar(saved.with_name("m.tgz"), evil, folder=saved)
    assert message in problem_of(path)


def test_a_link_cannot_redirect_a_later_member(saved, scratch):
    link = member("out", tarfile.SYMTYPE, str(saved))
    path = tar(saved.with_name("m.tgz"), link, member("out/config.json", data=b"evil"))
    assert "'out': it is a link" in problem_of(path)
    assert b"evil" not in (saved / "config.json").read_bytes()


def test_set_user_id_bits_are_dropped(saved, scratch):
    path = tar(saved.with_name("m.tgz"), member("tool", mode=0o6777), folder=saved)
    with unpack_archive(path, 10**6) as folder:
        assert (folder / "tool").stat().st_mode & 0o7022 == 0


def test_a_file_in_the_place_of_a_folder_is_refused(saved, scratch):
    path = tar(saved.with_name("m.tgz"), member("a"), member("a/b"), folder=saved)
    assert "cannot be unpacked at its member 'a/b'" in problem_of(path)


def test_the_size_limit_counts_every_byte_unpacked(saved, scratch, make_model, difference):
    size = sum(path.stat().st_size for path in saved.iterdir())
    path = pack(saved, saved.with_suffix(".tar.gz"))
    assert difference(load(path, max_archive_bytes=size), make_model()) == set()
    assert "contents larger than" in problem_of(path, max_archive_bytes=size - 1)


def test_a_bomb_is_refused_before_it_is_unpacked(saved, scratch):
    path = tar(saved.with_name("m.tgz"), member("zeros", data=bytes(10**7)), folder=saved)
    assert path.stat().st_size < 10**5
    problem = problem_of(path, max_archive_bytes=10**6)
    assert "'zeros': it makes the contents larger than max_archive_bytes allows" in problem


@pytest.mark.parametrize("before", [0, 1])
def test_a_bomb_in_a_header_is_refused(saved, scratch, before):
    with tarfile.open(saved.with_name("m.tgz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for _ in range(before):
            archive.add(saved / "config.json", "config.json")
        info, _ = member("a")
        info.pax_headers = {"comment": "x" * 10**6}
        archive.addfile(info)
    assert "more bytes than its headers announce" in problem_of(saved.with_name("m.tgz"))


def test_an_archive_is_known_by_its_beginning(saved):
    with tarfile.open(saved.with_name("bomb"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info, _ = member("a")
        info.pax_headers = {"comment": "x" * 10**7}
        archive.addfile(info)
    bomb = saved.with_name("bomb").read_bytes()
    saved.with_name("bomb").write_bytes(bomb[:1000])
    plain, packed = tar(saved.with_name("t"), mode="w", folder=saved), saved.with_name("p")
    assert is_archive(saved.with_name("bomb"))  # and does not read its header to the end
    assert is_archive(plain)
    assert is_archive(pack(saved, packed))
    for content in (b"", b"{}", b"x" * 600, b"\x1f\x8b", b"\x1f\x8bx" * 30, gzip.compress(b"x")):
        packed.write_bytes(content)
        assert not is_archive(packed)


def test_a_bomb_after_the_end_is_refused(saved, scratch):
    path = tar(saved.with_name("m.tar"), mode="w", folder=saved)
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(2 * 10**7)))
    assert "more bytes than its headers announce" in problem_of(path)


@pytest.mark.slow
def test_too_many_members_are_refused(saved, scratch):
    path = tar(saved.with_name("m.tgz"), *(member(f"a{n}") for n in range(10_001)))
    assert "there are more than 10000 members" in problem_of(path)


def test_a_flipped_bit_is_found_by_the_archives_own_checksum(saved, scratch):
    (saved / "provenance.json").write_text('{"a": "AAAA"}')
    path = tar(saved.with_name("m.tar"), mode="w", folder=saved)
    good = gzip.compress(path.read_bytes(), compresslevel=0)
    path.write_bytes(good.replace(b"AAAA", b"AAAB"))
    assert "CRC check failed" in problem_of(path)


@pytest.mark.parametrize("folders", [[], ["a", "b"], ["a/b"]])
def test_there_must_be_one_model(saved, scratch, folders):
    members = [
        member(f"{name}/{path.name}", data=path.read_bytes())
        for name in folders
        for path in saved.iterdir()
    ]
    problem = problem_of(tar(saved.with_name("m.tgz"), member("readme"), *members))
    assert ("several: 'a', 'b'" if len(folders) == 2 else "neither at its top level") in problem


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(saved, scratch, share):
    path = pack(saved, saved.with_suffix(".tar.gz"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "cannot be unpacked" in problem_of(path)


@EXAMPLES
@given(data=st.binary(), magic=st.booleans())
def test_random_bytes_only_ever_raise_the_one_error(saved, scratch, data, magic):
    path = saved.with_name("m.tgz")
    path.write_bytes(gzip.compress(data) if magic else data)
    assert problem_of(path)


@EXAMPLES
@given(
    changes=st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), max_size=4),
    compressed=st.booleans(),
)
def test_random_changes_only_ever_raise_the_one_error(saved, scratch, changes, compressed):
    path = tar(saved.with_name("m.tar"), mode="w", folder=saved)
    content = bytearray(path.read_bytes())
    for place, byte in changes.items():
        content[int(place * len(content))] = byte
    path.write_bytes(gzip.compress(content) if compressed else content)
    with suppress(CheckpointError):
        load(path)


def abandon(path):
    """What a process leaves that is killed while it works in such a directory."""
    (path / "content").mkdir(parents=True)
    path.with_name(path.name + ".lock").touch()


def test_what_killed_processes_left_is_removed(saved, scratch):
    abandon(scratch / "o2v_jax-0123456789ab")
    abandon(saved.with_name(".m.tgz.0123456789ab.tmp"))
    load(pack(saved, saved.with_name("m.tgz")))
    assert {path.name for path in saved.parent.iterdir()} == {"model", "scratch", "m.tgz"}
