"""Ed25519 signatures of bundles, and which keys are believed.

A key is named by the sha256 of its public half (PEM), which is also the digest under which the store keeps it. Whoever
packages records the key in the ledger as trusted for the model (``key.published``). What that proves:

* Bundle files that were changed, swapped or added after packaging are refused, also by somebody who can write the
  store's objects, a Bento's folder or the network in between.
* Somebody who can append to the ledger can publish a key of their own. Pin the keys (``SLIPSTREAM_TRUSTED_KEYS``, their
  names with commas between) wherever that is not good enough: then the ledger's records count for nothing.
* A Bento carries the public key beside its bundle. Run alone and without pinned keys, its signature proves that the
  files belong together, not who made them.
* A signature says who packaged a model. It does not say that the model is good.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.errors import BundleError, shown
from slipstream.store import Store
from slipstream.store.files import atomic_write

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE = "signing.pem"
PUBLISHED = "key.published"


@dataclass(frozen=True)
class SigningKey:
    """The private key of an installation.

    Attributes:
        name: Sha256 of the public key's PEM.
        public: The public key, PEM.
    """

    name: str
    public: bytes
    _private: Ed25519PrivateKey

    def sign(self, data: bytes) -> str:
        """The signature in base64; equal data gives an equal signature (RFC 8032)."""
        return base64.b64encode(self._private.sign(data)).decode()


def signing_key(folder: Path) -> SigningKey:
    """The key in *folder*; made there, readable by its owner alone, when there is none.

    Raises:
        BundleError: ``key_not_readable`` or, when others can read it, ``key_permissions``.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = folder / FILE
    if not file.exists():
        _make(file)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise BundleError(f"{file}: others can read the signing key; run chmod 600 {file}.", code="key_permissions")
    try:
        private = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{file}: is no signing key: {error}; restore it.", code="key_not_readable") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BundleError(f"{file}: is no Ed25519 key; restore it.", code="key_not_readable")
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(hashlib.sha256(public).hexdigest(), public, private)


def publish(store: Store, model: str, key: SigningKey, actor: str = "") -> None:
    """Record in the ledger, once, that *key* is trusted for *model*."""
    store.objects.put(key.public)
    if store.ledger.find(PUBLISHED, model, key.name) is None:
        store.ledger.append(PUBLISHED, model, {"key": key.name}, key=key.name, actor=actor)


def published_key(store: Store, model: str, name: str, pinned: frozenset[str] = frozenset()) -> bytes:
    """The public key of that *name*, if it is believed for *model*.

    Args:
        pinned: Names of the only keys to believe; without any, those that the ledger records.

    Raises:
        BundleError: ``model_signature_invalid`` for a key that is not believed.
    """
    trusted = name in pinned if pinned else store.ledger.find(PUBLISHED, model, name) is not None
    if not trusted:
        hint = "SLIPSTREAM_TRUSTED_KEYS does not name it" if pinned else "the ledger does not record it"
        message = f"{model}: signed with key {shown(name[:16])}, which is not trusted; {hint}."
        raise BundleError(message, code="model_signature_invalid")
    return store.objects.get(name)


def verify(public: bytes, signature: str, data: bytes) -> None:
    """Check a signature.

    Raises:
        BundleError: ``model_signature_invalid``.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public)
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidSignature
        key.verify(base64.b64decode(signature, validate=True), data)
    except (InvalidSignature, ValueError) as error:
        message = "manifest.json: the signature does not fit; the bundle was changed after it was packaged."
        raise BundleError(message, code="model_signature_invalid") from error


def _make(file: Path) -> None:
    """A new private key at *file*; of two processes that make one at once, the first wins and both use its key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{FILE}.{os.getpid()}")
    atomic_write(draft, pem, mode=0o600)
    try:
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink()
