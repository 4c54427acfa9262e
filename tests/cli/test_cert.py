"""The command ``greencoro cert``."""

from __future__ import annotations

import datetime
import shutil
import stat
import subprocess

import pytest

from greencoro.cli import main
from greencoro.distributed.credentials import Credentials
from tests.distributed.certificates import Made, made_by_openssl

NAMES = ["greencoro.cert", "greencoro.key", "greencoro.keycert"]


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_it_makes_is_for_its_owner_only_and_can_be_used(tmp_path, capsys):
    directory = tmp_path / "deep" / "certs"
    assert main(["cert", "make", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[:3]) == [str(directory / name) for name in NAMES]
    assert sorted(content(directory)) == NAMES
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    one = Credentials(directory / "greencoro.keycert")
    other = Credentials(directory / "greencoro.cert", directory / "greencoro.key")
    assert one.certificate_hash == other.certificate_hash
    assert one.certificate_hash.hex().upper() in lines[4].replace(":", "")
    assert "(364 days left)" in lines[5]


def test_it_replaces_nothing_unless_it_is_forced(tmp_path, capsys):
    assert main(["cert", "make", str(tmp_path)]) == 0
    before = content(tmp_path)
    for name in NAMES:
        for other in NAMES:
            if other != name:
                (tmp_path / other).unlink()
        assert main(["cert", "make", str(tmp_path)]) == 1
        error = capsys.readouterr().err
        assert error == f"greencoro cert: {tmp_path / name} is there already; --force replaces it\n"
        assert content(tmp_path) == {name: before[name]}, "nothing was made"
        for other in NAMES:
            (tmp_path / other).write_bytes(before[other])
    assert main(["cert", "make", str(tmp_path), "--force", "--days", "7"]) == 0
    assert "(6 days left)" in capsys.readouterr().out
    assert sorted(content(tmp_path)) == NAMES
    assert not set(content(tmp_path).values()) & set(before.values())
    Credentials(tmp_path / "greencoro.keycert")


def test_a_link_at_the_place_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "greencoro.key").symlink_to(elsewhere)
    assert main(["cert", "make", str(directory)]) == 1
    assert main(["cert", "make", str(directory), "--force"]) == 0
    assert not elsewhere.exists()
    assert not (directory / "greencoro.key").is_symlink()


def test_where_it_cannot_write_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert main(["cert", "make", str(tmp_path / "file" / "below")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("greencoro cert: cannot write ") and error.count("\n") == 1


@pytest.mark.parametrize("days", ["0", "-1", "36501", "x"])
def test_days_that_cannot_be_are_refused(tmp_path, capsys, days):
    assert main(["cert", "make", str(tmp_path), "--days", days]) == 2
    assert "--days" in capsys.readouterr().err
    assert not content(tmp_path)


def show(capsys, *arguments):
    code = main(["cert", "show", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_show_tells_whose_it_is_and_whether_the_key_fits(tmp_path, capsys):
    made, other = Made(tmp_path, "mine"), Made(tmp_path, "other")
    code, said = show(capsys, made.both)
    assert code == 0
    subject, fingerprint, valid, key = said.splitlines()
    assert subject == "subject: CN=mine"
    assert fingerprint.startswith("SHA-256: ") and len(fingerprint) == 9 + 95
    today = datetime.datetime.now(datetime.UTC)
    assert f"{today - datetime.timedelta(days=1):%Y-%m-%d}" in valid and "(0 days left)" in valid
    assert key == "private key: fits"
    assert show(capsys, made.certfile, "--keyfile", made.keyfile) == (0, said)
    code, said = show(capsys, made.certfile)
    assert code == 0 and f"private key: none in {made.certfile}; name its file with --keyfile" in said
    code, said = show(capsys, made.certfile, "--keyfile", other.keyfile)
    assert code == 1 and "does NOT fit" in said


def test_show_tells_of_each_certificate_of_a_chain(tmp_path, capsys):
    authority = Made(tmp_path, "authority", is_authority=True)
    code, said = show(capsys, Made(tmp_path, "signed", signer=authority).both)
    assert code == 0
    lines = said.splitlines()
    assert [line for line in lines if line.startswith(("subject", "signed"))] == [
        "subject: CN=signed",
        "signed by: CN=authority",
        "subject: CN=authority",
    ]


@pytest.mark.parametrize(("days", "words"), [((-2, -1), "(EXPIRED)"), ((1, 2), "(NOT VALID YET)")])
def test_show_says_so_where_it_is_not_valid_now(tmp_path, capsys, days, words):
    code, said = show(capsys, Made(tmp_path, days=days).both)
    assert code == 1 and words in said


def test_show_writes_no_control_characters_of_a_strangers(tmp_path, capsys):
    code, said = show(capsys, Made(tmp_path, "red\x1b[31m").both)
    assert code == 0 and "\x1b" not in said and "red" in said


def test_show_of_what_is_no_certificate_is_one_line(tmp_path, capsys):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x1b[31mnothing\n")
    locked = Made(tmp_path, password=b"open sesame")
    for file in (garbage, tmp_path / "nowhere", locked.both, locked.keyfile):
        code, said = show(capsys, file)
        assert code == 1
        assert said.startswith("greencoro cert: ") and said.count("\n") == 1 and "\x1b" not in said


def test_openssl_agrees_on_what_is_made_and_what_it_made_is_shown(tmp_path, capsys):
    certfile, keyfile = made_by_openssl(tmp_path)
    code, said = show(capsys, certfile, "--keyfile", keyfile)
    assert code == 0 and "subject: CN=disasyncoro" in said and "private key: fits" in said
    assert main(["cert", "make", str(tmp_path)]) == 0
    capsys.readouterr()
    command = [shutil.which("openssl"), "x509", "-in", str(tmp_path / "greencoro.cert"), "-noout", "-fingerprint"]
    openssl = subprocess.run([*command, "-sha256"], capture_output=True, text=True, check=True, timeout=30).stdout
    _, said = show(capsys, tmp_path / "greencoro.keycert")
    assert openssl.partition("=")[2].strip() in said


def test_show_of_a_request_says_that_the_certificate_is_wanted(tmp_path, capsys):
    made_by_openssl(tmp_path)
    request = tmp_path / "disasyncoro.csr"
    code, said = show(capsys, request)
    assert code == 1
    assert said == f"greencoro cert: {request} is a certificate request: give the certificate that was made from it\n"
