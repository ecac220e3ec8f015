"""The lab's own certificate authority, and the world's TLS.  The one importer of cryptography.

Only endpoints trust it; its key never leaves the process's state directory.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fqdnlab.errors import StateError

__all__ = ["Authority"]

_DAY = datetime.timedelta(days=1)
_LIFE = 30 * _DAY  # labs live shorter
_CONTEXTS = 2_000  # kept


class Authority:
    """A CA made at first use in `state`, and TLS contexts for any name or address.

    Parameters
    ----------
    state : Path
        A directory of root's: ``ca.pem`` (for clients), ``ca.key``, ``leaf.key``.

    Raises
    ------
    StateError
        If what is there is no CA of ours.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._contexts: dict[tuple[str, str], ssl.SSLContext] = {}
        try:
            self._key = _key(state / "ca.key")
            self._leaf_key = _key(state / "leaf.key")
            self._certificate = self._own_certificate(state / "ca.pem")
        except (ValueError, TypeError) as error:
            raise StateError(
                f"the certificate authority in {state} cannot be read: {error}",
                "remove ca.pem, ca.key and leaf.key there; new ones are made",
            ) from error
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def _own_certificate(self, path: Path) -> x509.Certificate:
        public = self._key.public_key()
        if path.exists():
            found = x509.load_pem_x509_certificate(path.read_bytes())
            alive = found.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + _DAY
            if alive and found.public_key() == public:
                return found
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fqdnlab lab CA")])
        certificate = (
            _dated(x509.CertificateBuilder(), _LIFE)
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return certificate

    def context(self, address: str, name: str = "") -> ssl.SSLContext:
        """TLS of the server at `address`; a client that names one gets a certificate for it."""
        found = self._contexts.get((address, name))
        if found is None:
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            found = self._contexts[address, name] = self._make_context(address, name)
        return found

    def _make_context(self, address: str, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = self._state / "leaf.pem"  # load_cert_chain takes files only
        _write(path, self._leaf(address, name), 0o600)
        context.load_cert_chain(path, self._state / "leaf.key")
        context.set_alpn_protocols(["http/1.1", "dot"])
        if not name:

            def by_name(tls: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
                if asked:
                    tls.context = self.context(address, asked)

            context.sni_callback = by_name
        return context

    def _leaf(self, address: str, name: str) -> bytes:
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address))]
        if name:
            names.insert(0, x509.DNSName(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (name or address)[:64])])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _dated(x509.CertificateBuilder(), _LIFE)
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(self._leaf_key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _dated(builder: x509.CertificateBuilder, life: datetime.timedelta) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + life)
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path.name} is no key on an elliptic curve")
        return found
    made = ec.generate_private_key(ec.SECP256R1())
    octets = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(path, octets, 0o600)
    return made


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Whole or not at all, with `mode` from the start."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(octets)
    fresh.replace(path)
