"""An authority of our own for one broker, and the certificates that it signs: for the broker, and for deploy's own way in.

All PEM, which Kafka and Python both read, so that no keytool is needed. Each file is its owner's alone (0600). Time is an argument.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.state import LOOPBACK, write_private

AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 397
RENEWED_DAYS: Final = 90
"""A certificate with less than this left is replaced at the next start."""
_SKEW: Final = timedelta(hours=1)  # a client whose clock is a little late is not to be turned away
_LOCALHOST: Final = "localhost"

# Kafka signs and verifies with P-256 as well as with RSA, and a key takes a millisecond to make.
_CURVE: Final = ec.SECP256R1()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate to have. `server`: it may answer as 127.0.0.1 and localhost; every one of them may call."""

    name: str
    """The certificate's common name, and the file's."""
    server: bool


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, now: datetime) -> _Authority:
        key = ec.generate_private_key(_CURVE)
        builder = (
            _builder("Last Metre Kafka authority", key.public_key(), now, AUTHORITY_DAYS)
            .issuer_name(_name("Last Metre Kafka authority"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    def sign(self, leaf: Leaf, now: datetime) -> str:
        """A new key and its certificate, as PEM."""
        key = ec.generate_private_key(_CURVE)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if leaf.server else [])]
        builder = (
            _builder(leaf.name, key.public_key(), now, LEAF_DAYS)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
        )
        if leaf.server:
            names = [x509.IPAddress(ipaddress.ip_address(LOOPBACK)), x509.DNSName(_LOCALHOST)]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _pem(key) + builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _builder(name: str, key: ec.EllipticCurvePublicKey, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _lasts(certificate: x509.Certificate, now: datetime, days: int) -> bool:
    return certificate.not_valid_before_utc <= now and certificate.not_valid_after_utc - now > timedelta(days=days)


def _authority(folder: Path, now: datetime) -> _Authority | None:
    """The authority that the folder holds, if it can still sign what lasts."""
    try:
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key() or not _lasts(certificate, now, LEAF_DAYS):
        return None
    return _Authority(key, certificate)


def _holds(path: Path, authority: _Authority, now: datetime) -> bool:
    """Whether a leaf's file is whole, this authority's, and not near its end."""
    try:
        text = path.read_bytes()
        key = load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text)
        certificate.verify_directly_issued_by(authority.certificate)
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
        return False
    return key.public_key() == certificate.public_key() and _lasts(certificate, now, RENEWED_DAYS)


def ensure(folder: Path, leaves: tuple[Leaf, ...], now: datetime) -> tuple[str, ...]:
    """See that `ca.pem` and `<name>.pem` (key and certificate) are there and last; the names of what was made anew, `ca` among them.

    A new authority makes everything new.
    """
    made: list[str] = []
    authority = _authority(folder, now)
    if authority is None:
        authority = _Authority.make(now)
        write_private(folder / "ca.key", _pem(authority.key))
        write_private(folder / "ca.pem", authority.certificate.public_bytes(Encoding.PEM).decode())
        made.append("ca")
    for leaf in leaves:
        path = folder / f"{leaf.name}.pem"
        if not _holds(path, authority, now):
            write_private(path, authority.sign(leaf, now))
            made.append(leaf.name)
    return tuple(made)
