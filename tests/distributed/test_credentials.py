"""Certificates and keys from files: what is taken, and what is refused at the start with one clear line (Z4)."""

import hashlib
import logging

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from greencoro.distributed import credentials
from greencoro.distributed.credentials import Credentials
from greencoro.errors import ConfigError
from tests.distributed.certificates import USES, Made, made_by_openssl


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def fingerprint(made):
    return hashlib.sha256(made.certificate.public_bytes(serialization.Encoding.DER)).digest()


def test_two_files_or_one_with_both_are_taken(made):
    for files in ((made.certfile, made.keyfile), (made.both, None), (str(made.both), str(made.both))):
        assert Credentials(*files).certificate_hash == fingerprint(made)


def test_what_the_seeds_openssl_commands_make_is_taken_in_two_files_and_in_one(tmp_path):
    certfile, keyfile = made_by_openssl(tmp_path)
    both = tmp_path / "disasyncoro.keycert"
    both.write_bytes(keyfile.read_bytes() + certfile.read_bytes())
    assert Credentials(certfile, keyfile).certificate_hash == Credentials(both).certificate_hash


def test_a_certificate_that_somebody_else_signed_is_taken_with_and_without_the_signers(tmp_path):
    authority = Made(tmp_path, "authority", is_authority=True)
    signed = Made(tmp_path, "signed", signer=authority)
    assert Credentials(signed.both).certificate_hash == fingerprint(signed)
    alone = tmp_path / "alone"
    alone.write_bytes(signed.certificate.public_bytes(serialization.Encoding.PEM))
    assert Credentials(alone, signed.keyfile).certificate_hash == fingerprint(signed)


def test_no_files_are_no_credentials_and_a_key_alone_is_refused(made):
    assert credentials.load(None, None) is None
    assert isinstance(credentials.load(made.certfile, made.keyfile), Credentials)
    with pytest.raises(ConfigError, match="give certfile= as well"):
        credentials.load(None, made.keyfile)


def refusal(*files):
    with pytest.raises(ConfigError) as caught:
        Credentials(*files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_Z4_files_that_cannot_be_read_are_named(made, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert refusal(nowhere) == f"cannot read {nowhere}: No such file or directory"
    assert refusal(made.certfile, nowhere) == f"cannot read {nowhere}: No such file or directory"
    assert refusal(tmp_path, made.keyfile) == f"cannot read {tmp_path}: Is a directory"


def test_Z4_a_key_that_is_missing_or_does_not_fit_is_told(made, tmp_path):
    assert refusal(made.certfile) == f"there is no private key in {made.certfile}: give keyfile= as well"
    assert "is it another file?" in refusal(made.certfile, made.certfile)
    other = Made(tmp_path, "other")
    expected = f"the private key in {other.keyfile} does not fit the certificate in {made.certfile}"
    assert refusal(made.certfile, other.keyfile) == expected


def test_Z4_a_key_of_another_kind_than_the_certificates_does_not_fit_either(made, tmp_path):
    other = Made(tmp_path, "other", key=rsa.generate_private_key(65537, 2048))
    for one, another in ((made, other), (other, made)):
        expected = f"the private key in {another.keyfile} does not fit the certificate in {one.certfile}"
        assert refusal(one.certfile, another.keyfile) == expected


def test_Z4_what_is_no_certificate_is_told(made, tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\nnot base64 at all\n-----END CERTIFICATE-----\n")
    assert refusal(garbage, made.keyfile).startswith(f"the certificate in {garbage} cannot be used: ")
    expected = f"the certificate in {made.keyfile} cannot be used: no certificate or crl found"
    assert refusal(made.keyfile) == expected


def test_Z4_a_key_that_is_too_short_is_told(tmp_path):
    short = Made(tmp_path, key=rsa.generate_private_key(65537, 1024))
    assert refusal(short.both) == f"the certificate in {short.both} cannot be used: ee key too small"


def test_Z4_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path):
    locked = Made(tmp_path, password=b"open sesame")
    assert "has a password" in refusal(locked.both)


@pytest.mark.parametrize(
    ("days", "reason"), [((-2, -1), "certificate has expired"), ((1, 2), "certificate is not yet valid")]
)
def test_Z4_a_certificate_that_is_not_valid_now_is_refused(tmp_path, days, reason):
    made = Made(tmp_path, days=days)
    assert refusal(made.both) == f"others would refuse the certificate in {made.both}: {reason}"


@pytest.mark.parametrize("use", [USES.SERVER_AUTH, USES.CLIENT_AUTH])
def test_Z4_a_certificate_for_one_side_of_a_connection_only_is_refused(tmp_path, use):
    one_sided = Made(tmp_path, uses=[use])
    assert "others would refuse" in refusal(one_sided.both)
    assert Credentials(Made(tmp_path, uses=[USES.SERVER_AUTH, USES.CLIENT_AUTH]).both)


def test_a_key_that_others_can_read_is_warned_about(made, caplog):
    Credentials(made.both)
    assert not caplog.records
    made.both.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        Credentials(made.both)
    assert f"chmod 600 {made.both}" in caplog.text


def test_a_key_that_others_can_read_is_also_told_to_those_who_set_up_no_logging(made, monkeypatch, capsys):
    monkeypatch.setattr("greencoro.hub.telling._is_heard", lambda logger: False)
    made.both.chmod(0o644)
    Credentials(made.both)
    line = f"greencoro: the private key in {made.both} can be read by others: chmod 600 {made.both}"
    assert capsys.readouterr().err.splitlines() == [line]
