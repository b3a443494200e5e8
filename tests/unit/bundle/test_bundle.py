"""Bundles: what is signed is what is loaded, whoever could write where it lay."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from slipstream.bundle import signing
from slipstream.bundle.bundle import FILES, OPTIONAL, Bundle, open_bundle, read_bundle, save_bundle
from slipstream.errors import BundleError, NotFound, SlipstreamError
from slipstream.store import Store

ALL = (*FILES, *OPTIONAL)
CONTENT = {name: f"content of {name}".encode() for name in ALL}


@pytest.fixture
def key(tmp_path: Path) -> signing.SigningKey:
    return signing.signing_key(tmp_path / "keys")


@pytest.fixture
def bundle(store: Store, key: signing.SigningKey) -> Bundle:
    signing.publish(store, "small", key)
    return save_bundle(store, "small", CONTENT, key)


def _place(store: Store, digest: str) -> Path:
    return store.objects.place(digest)  # type: ignore[attr-defined]


def test_what_is_saved_opens(store: Store, bundle: Bundle) -> None:
    opened = open_bundle(store, bundle.digest)
    assert opened == bundle
    assert opened.files == CONTENT
    assert opened.size == sum(map(len, CONTENT.values()))


def test_the_same_files_and_key_give_the_same_id(store: Store, bundle: Bundle, key: signing.SigningKey) -> None:
    assert save_bundle(store, "small", CONTENT, key).digest == bundle.digest
    assert save_bundle(store, "small", CONTENT | {"card.json": b"{}"}, key).digest != bundle.digest


@pytest.mark.parametrize("name", ALL)
def test_each_changed_object_is_refused(store: Store, bundle: Bundle, name: str) -> None:
    digest = json.loads(bundle.manifest)["files"][name]["sha256"]
    _place(store, digest).write_bytes(b"something else")
    with pytest.raises(SlipstreamError) as caught:
        open_bundle(store, bundle.digest)
    assert caught.value.code == "data_checksum_mismatch"
    _place(store, digest).unlink()
    with pytest.raises(BundleError, match=name) as caught:
        open_bundle(store, bundle.digest)
    assert caught.value.code == "model_digest_mismatch"


def test_a_manifest_that_was_made_anew_is_refused(store: Store, bundle: Bundle) -> None:
    said = json.loads(bundle.manifest)
    evil = store.objects.put(b"evil")
    said["files"]["model.skops"] = {"sha256": evil, "size": 4}
    with pytest.raises(BundleError) as caught:
        open_bundle(store, store.objects.put_json(said))
    assert caught.value.code == "model_signature_invalid"


def test_a_key_that_the_ledger_does_not_record_is_refused(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    stranger = signing.signing_key(tmp_path / "other")
    signed = save_bundle(store, "small", CONTENT, stranger)
    with pytest.raises(BundleError, match="not trusted") as caught:
        open_bundle(store, signed.digest)
    assert caught.value.code == "model_signature_invalid"
    other_model = save_bundle(store, "other", CONTENT, stranger)
    with pytest.raises(BundleError, match="not trusted"):
        open_bundle(store, other_model.digest)


def test_pinned_keys_count_and_the_ledger_no_longer_does(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    assert open_bundle(store, bundle.digest, frozenset({bundle.key})) == bundle
    thief = signing.signing_key(tmp_path / "thief")
    signing.publish(store, "small", thief)
    stolen = save_bundle(store, "small", CONTENT, thief)
    assert open_bundle(store, stolen.digest).key == thief.name
    with pytest.raises(BundleError, match="SLIPSTREAM_TRUSTED_KEYS"):
        open_bundle(store, stolen.digest, frozenset({bundle.key}))


def test_one_without_a_compiled_model_is_whole_too(store: Store, key: signing.SigningKey, tmp_path: Path) -> None:
    signing.publish(store, "small", key)
    plain = save_bundle(store, "small", {name: CONTENT[name] for name in FILES}, key)
    assert set(open_bundle(store, plain.digest).files) == set(FILES)
    plain.write(tmp_path / "folder")
    assert read_bundle(tmp_path / "folder") == plain


def test_files_of_another_name_are_not_saved(store: Store, key: signing.SigningKey) -> None:
    for files in (CONTENT | {"scorer/other": b""}, {name: CONTENT[name] for name in FILES[1:]}):
        with pytest.raises(BundleError, match="a bundle has the files"):
            save_bundle(store, "small", files, key)


def test_an_unknown_bundle_is_named(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        open_bundle(store, "0" * 64)
    assert caught.value.code == "bundle_not_found"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format":1}', b'{"files":{},"format":1,"key":"k","signature":"s"}'])
def test_what_is_no_manifest_is_refused(store: Store, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(store, store.objects.put(data))


class TestFolder:
    def test_comes_back(self, bundle: Bundle, tmp_path: Path) -> None:
        assert bundle.write(tmp_path / "folder") == len(ALL) + 2
        assert read_bundle(tmp_path / "folder") == bundle
        assert read_bundle(tmp_path / "folder", frozenset({bundle.key})) == bundle

    @pytest.mark.parametrize("name", [*ALL, "manifest.json", "signer.pub"])
    def test_each_changed_or_missing_file_is_refused(self, bundle: Bundle, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "folder"
        bundle.write(folder)
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))
        with pytest.raises(BundleError) as caught:
            read_bundle(folder)
        assert caught.value.code in {"model_digest_mismatch", "model_signature_invalid"}
        (folder / name).unlink()
        with pytest.raises(BundleError, match="missing"):
            read_bundle(folder)

    def test_a_file_more_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        bundle.write(tmp_path / "folder")
        (tmp_path / "folder" / "model.pkl").write_bytes(b"\x80")
        with pytest.raises(BundleError, match=r"model\.pkl"):
            read_bundle(tmp_path / "folder")

    def test_a_file_more_beside_the_compiled_model_is_refused(self, bundle: Bundle, tmp_path: Path) -> None:
        bundle.write(tmp_path / "folder")
        (tmp_path / "folder" / "scorer" / "more.onnx").write_bytes(b"\x08")
        with pytest.raises(BundleError, match=r"scorer/more\.onnx"):
            read_bundle(tmp_path / "folder")

    def test_another_key_is_refused_where_keys_are_pinned(self, bundle: Bundle, tmp_path: Path) -> None:
        bundle.write(tmp_path / "folder")
        with pytest.raises(BundleError) as caught:
            read_bundle(tmp_path / "folder", frozenset({"0" * 64}))
        assert caught.value.code == "model_signature_invalid"

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="no bundle"):
            read_bundle(tmp_path / "nowhere")


def _name_of_key(folder: Path) -> str:
    return signing.signing_key(folder).name


class TestKey:
    def test_is_made_once_and_kept_from_others(self, tmp_path: Path) -> None:
        first = signing.signing_key(tmp_path / "keys")
        assert signing.signing_key(tmp_path / "keys").name == first.name
        file = tmp_path / "keys" / signing.FILE
        assert file.stat().st_mode & 0o777 == 0o600
        assert list(file.parent.iterdir()) == [file]
        assert first.sign(b"data") == signing.signing_key(tmp_path / "keys").sign(b"data")

    def test_processes_that_make_one_at_once_agree(self, tmp_path: Path) -> None:
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            names = pool.map(_name_of_key, [tmp_path / "keys"] * 8)
        assert len(set(names)) == 1

    def test_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        signing.signing_key(tmp_path / "keys")
        (tmp_path / "keys" / signing.FILE).chmod(0o644)
        with pytest.raises(BundleError, match="chmod 600") as caught:
            signing.signing_key(tmp_path / "keys")
        assert caught.value.code == "key_permissions"

    def test_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "keys").mkdir()
        file = tmp_path / "keys" / signing.FILE
        file.touch(mode=0o600)
        with pytest.raises(BundleError) as caught:
            signing.signing_key(tmp_path / "keys")
        assert caught.value.code == "key_not_readable"
