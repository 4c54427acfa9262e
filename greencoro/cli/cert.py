"""``greencoro cert``: the certificate by which processes with TLS know each other."""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from greencoro.log import escape

__all__ = ["cert"]

_NAME = "greencoro"
_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
#: The clocks of the machines that it is copied to may be behind this one's by less than that.
_VALID_BEFORE = datetime.timedelta(days=1)
# The first stands in "NEW CERTIFICATE REQUEST", too.
_REQUEST_MARK = b"CERTIFICATE REQUEST-----"
_CERTIFICATE_MARK = b"-----BEGIN CERTIFICATE-----"
_MAX_DAYS = 36_500


@click.group(help="Make and show the certificate by which processes with TLS know each other.")
def cert() -> None:
    """The commands below."""


@cert.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--days",
    type=click.IntRange(1, _MAX_DAYS),
    default=365,
    show_default=True,
    metavar="N",
    help="How long it is valid.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
def make(directory: Path, days: int, force: bool) -> int:
    """Make a key and a self-signed certificate for it, in three files of DIRECTORY.

    They are greencoro.key, greencoro.cert, and greencoro.keycert, which holds both.
    """
    # Elliptic, because the reactor signs once for each connection, and RSA takes longer.
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key, datetime.datetime.now(datetime.UTC), days)
    key_pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    cert_pem = certificate.public_bytes(_PEM)
    files = {
        directory / f"{_NAME}.key": key_pem,
        directory / f"{_NAME}.cert": cert_pem,
        directory / f"{_NAME}.keycert": key_pem + cert_pem,
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = [path for path in files if os.path.lexists(path)]
        if there and not force:
            return _refuse(f"{there[0]} is there already; --force replaces it")
        for path, data in files.items():
            _write(path, data, force)
    except OSError as error:
        return _refuse(f"cannot write {error.filename or directory}: {error.strerror}")
    for path in files:
        click.echo(path)
    _tell(certificate, datetime.datetime.now(datetime.UTC))
    return 0


@cert.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--keyfile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The private key, where it is not in the same file.",
)
def show(file: Path, keyfile: Path | None) -> int:
    """Show each certificate in FILE, and whether the private key fits the first.

    The exit code is 1 where the first is not valid now, or a key is there and does not fit.
    """
    try:
        data = file.read_bytes()
        if _REQUEST_MARK in data and _CERTIFICATE_MARK not in data:
            return _refuse(f"{file} is a certificate request: give the certificate that was made from it")
        certificates = x509.load_pem_x509_certificates(data)
        fits = _key_fits(certificates[0], (keyfile or file).read_bytes())
    except OSError as error:
        return _refuse(f"cannot read {error.filename}: {error.strerror}")
    except (ValueError, TypeError) as error:
        return _refuse(f"{file}{f' or {keyfile}' if keyfile else ''} cannot be understood: {escape(error, 200)}")
    now = datetime.datetime.now(datetime.UTC)
    for certificate in certificates:
        _tell(certificate, now)
    if fits is None:
        where = keyfile or file
        click.echo(f"private key: none in {where}" + ("" if keyfile else "; name its file with --keyfile"))
    else:
        click.echo(f"private key: {'fits' if fits else 'does NOT fit: it belongs to another certificate'}")
    return 0 if _is_valid(certificates[0], now) and fits is not False else 1


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_BEFORE)
        .not_valid_after(now + datetime.timedelta(days=days))
        # It vouches for itself and for nothing else.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, data: bytes, force: bool) -> None:
    """Make a file that only its owner can read, whole or not at all."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        if force:
            os.replace(made, path)
        else:
            # Unlike a renaming, this fails where somebody was faster.
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)


def _key_fits(certificate: x509.Certificate, pem: bytes) -> bool | None:
    """Does the private key in ``pem`` belong to the certificate? None where there is none.

    Raises:
        ValueError, TypeError: There is something that cannot be read as a key, or that has a password.
    """
    begin = pem.find(b"PRIVATE KEY-----")
    if begin < 0:
        return None
    key = serialization.load_pem_private_key(pem[pem.rfind(b"-----BEGIN", 0, begin) :], password=None)
    form = _DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def _is_valid(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _tell(certificate: x509.Certificate, now: datetime.datetime) -> None:
    # The names in it are whatever its maker wrote there.
    click.echo(f"subject: {escape(certificate.subject.rfc4514_string())}")
    if certificate.issuer != certificate.subject:
        click.echo(f"signed by: {escape(certificate.issuer.rfc4514_string())}")
    digest = hashlib.sha256(certificate.public_bytes(_DER)).hexdigest().upper()
    click.echo("SHA-256: " + ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        state = "NOT VALID YET"
    elif now > last:
        state = "EXPIRED"
    else:
        state = f"{(last - now).days} days left"
    click.echo(f"valid: {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC ({state})")


def _refuse(line: str) -> int:
    click.echo(f"greencoro cert: {line}", err=True)
    return 1
