"""Certificates made for a test."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ENCODING = serialization.Encoding.PEM
USES = x509.ExtendedKeyUsageOID


class Made:
    """A certificate with its key, in two files and in one.

    Args:
        days: From when to when it is valid, counted from now.

        signer: Who signed it; None: itself.

        uses: What it may be used for; None: anything.

        is_authority: May it sign others?

        password: Of the private key, where it is to have one.

        key: The private key itself; None: a new one.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "greencoro",
        days: tuple[float, float] = (-1, 1),
        signer: Made | None = None,
        uses: list[Any] | None = None,
        is_authority: bool = False,
        password: bytes | None = None,
        key: Any = None,
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name if signer is None else signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if uses is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        certificate = builder.sign(self.key if signer is None else signer.key, hashes.SHA256())
        self.certificate = certificate
        # A chain: our own first, then the signer's.
        pem = certificate.public_bytes(ENCODING) + (b"" if signer is None else signer.certfile.read_bytes())
        encryption: Any = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        key_pem = self.key.private_bytes(ENCODING, serialization.PrivateFormat.PKCS8, encryption)
        self.certfile = self._write(directory / f"{name}.cert", pem)
        self.keyfile = self._write(directory / f"{name}.key", key_pem)
        self.both = self._write(directory / f"{name}.keycert", key_pem + pem)

    @staticmethod
    def _write(path: Path, data: bytes) -> Path:
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path


def made_by_openssl(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of the three commands that the seed gives; skips where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here")
    config = directory / "openssl.cnf"
    config.write_text("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=disasyncoro\n")
    for command in (
        "genrsa -out disasyncoro.key 2048",
        "req -new -key disasyncoro.key -out disasyncoro.csr -config openssl.cnf",
        "req -x509 -days 365 -key disasyncoro.key -in disasyncoro.csr -out disasyncoro.cert -config openssl.cnf",
    ):
        subprocess.run([openssl, *command.split()], cwd=directory, check=True, capture_output=True, timeout=30)
    return directory / "disasyncoro.cert", directory / "disasyncoro.key"
