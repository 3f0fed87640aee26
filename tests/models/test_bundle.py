import json
import re

import pytest

from sensorimotor.errors import BundleError
from sensorimotor.models import bundle as layout
from sensorimotor.models.bundle import Bundle, bundled_names, fingerprint_of, seal


def edit(path, change):
    """Change `config.json` and keep its fingerprint as it was."""
    config = json.loads((path / "config.json").read_text())
    change(config)
    (path / "config.json").write_text(json.dumps(config))


def forge(path, change):
    """Change `config.json` and give it the fingerprint that fits: what a careless or hostile tool may write."""

    def and_fingerprint(config):
        change(config)
        config["fingerprint"] = fingerprint_of(config)

    edit(path, and_fingerprint)


def refused(path, message):
    """That a bundle is refused, by a sentence that names it."""
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bundle_is_read_with_its_signature_sizes_and_tokenizer(tiny_bundle):
    bundle = Bundle.load(str(tiny_bundle))
    assert bundle.signature.names == ("camera", "mic", "instruction")
    assert bundle.memory_size == bundle.config["memory_size"] > 0
    assert bundle.tokenizer().unknown("go to the zebra") == ["zebra"]
    assert bundle.size_bytes == sum(file.stat().st_size for file in tiny_bundle.iterdir())
    assert bundle.fingerprint == fingerprint_of(bundle.config)


def test_the_fingerprint_covers_every_file(tiny_bundle):
    config = Bundle.load(tiny_bundle).config
    assert set(config["files"]) | {"config.json"} == {file.name for file in tiny_bundle.iterdir()}


def test_a_bundle_that_was_moved_or_laid_out_anew_is_the_same_bundle(bundle_copy, tiny_bundle):
    edit(bundle_copy, lambda config: None)  # without the indentation it was written with
    assert (bundle_copy / "config.json").read_text() != (tiny_bundle / "config.json").read_text()
    assert Bundle.load(bundle_copy).fingerprint == Bundle.load(tiny_bundle).fingerprint


# Damage


@pytest.mark.parametrize("name", ["core.onnx", "encoder.mic.onnx", "tokenizer.json", "golden.npz", "model.safetensors"])
def test_a_truncated_file_is_named(bundle_copy, name):
    file = bundle_copy / name
    file.write_bytes(file.read_bytes()[:-1])
    refused(bundle_copy, f"{re.escape(name)} is damaged or was changed")


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_one_changed_byte_is_seen(bundle_copy, place):
    content = bytearray((bundle_copy / "core.onnx").read_bytes())
    content[place] ^= 1
    (bundle_copy / "core.onnx").write_bytes(content)
    refused(bundle_copy, r"core\.onnx is damaged or was changed")


@pytest.mark.parametrize("name", ["core.onnx", "README.md", "encoder.camera.onnx"])
def test_a_missing_file_is_named(bundle_copy, name):
    (bundle_copy / name).unlink()
    refused(bundle_copy, f"incomplete: {re.escape(name)} is missing")


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["signature"].update(rate_hz=20.0),
        lambda config: config["signature"]["inputs"]["camera"].update(critical=False),
        lambda config: config["metrics"]["held_out"]["camera"].update(accuracy=1.0),
        lambda config: config["files"].update({"core.onnx": "0" * 64}),
        lambda config: config["files"].pop("README.md"),
        lambda config: config.update(fingerprint="0" * 64),
        lambda config: config.pop("fingerprint"),
        lambda config: config.update(note="harmless"),
    ],
)
def test_an_edited_configuration_is_refused(bundle_copy, change):
    edit(bundle_copy, change)
    refused(bundle_copy, r"config\.json was changed after it was written")


def test_one_changed_digit_of_the_configuration_is_seen(bundle_copy):
    text = (bundle_copy / "config.json").read_text()
    assert '"rate_hz": 10.0' in text
    (bundle_copy / "config.json").write_text(text.replace('"rate_hz": 10.0', '"rate_hz": 11.0'))
    refused(bundle_copy, "was changed after it was written")


# What is no bundle


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b'{"format": 1', "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[1, 2]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"{}", "bundle format None"),
        (b'{"format": "1"}', "bundle format 1"),
        (b'{"format": 1}', "lists no files"),
        (b'{"format": 1, "files": []}', "lists no files"),
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    refused(tmp_path, message)


def test_a_configuration_that_is_huge_is_not_even_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(layout.MAX_CONFIG_BYTES + 1)
    refused(tmp_path, "larger than 4194304 bytes")


def test_a_newer_format_says_what_to_do(bundle_copy):
    forge(bundle_copy, lambda config: config.update(format=layout.FORMAT + 1))
    refused(bundle_copy, "bundle format 3, this version reads up to 2: upgrade sensorimotor")


def test_a_directory_without_a_configuration_is_no_bundle(tmp_path):
    refused(tmp_path, r"is no bundle: it has no config\.json")
    (tmp_path / "config.json").mkdir()
    refused(tmp_path, "cannot be read")


def test_a_file_is_no_bundle(tiny_bundle):
    refused(tiny_bundle / "core.onnx", "is a file; a bundle is a directory")


@pytest.mark.parametrize("name", ["defualt", "no/such/place", "\0", "n" * 300])
def test_an_unknown_name_is_answered_with_the_names_there_are(monkeypatch, tmp_path, name):
    for bundled in ("default", "arm"):
        (tmp_path / bundled).mkdir()
        (tmp_path / bundled / "config.json").touch()
    (tmp_path / "unfinished").mkdir()
    monkeypatch.setattr(layout, "BUNDLED", tmp_path)
    assert bundled_names() == ["arm", "default"]
    with pytest.raises(BundleError, match=r"bundled: arm, default$") as caught:
        Bundle.load(name)
    assert repr(name) in str(caught.value)


def test_a_bundled_policy_is_found_by_its_name(monkeypatch, tiny_bundle, tmp_path):
    monkeypatch.setattr(layout, "BUNDLED", tiny_bundle.parent)
    monkeypatch.chdir(tmp_path)
    assert Bundle.load("tiny").path == tiny_bundle


# Configurations whose fingerprint fits and that are wrong all the same


@pytest.mark.parametrize("name", ["../core.onnx", "a/b", "/etc/passwd", "..\\core.onnx", ".hidden", ".."])
def test_a_file_name_that_leads_out_of_the_bundle_is_refused(bundle_copy, name):
    forge(bundle_copy, lambda config: config["files"].update({name: "0" * 64}))
    refused(bundle_copy, "is no plain file name")


@pytest.mark.parametrize("name", ["", "no\0name", "n" * 300])
def test_a_file_name_that_no_file_can_have_is_refused(bundle_copy, name):
    forge(bundle_copy, lambda config: config["files"].update({name: "0" * 64}))
    refused(bundle_copy, "is incomplete: .* is missing")


def test_too_many_files_are_not_even_looked_for(bundle_copy):
    forge(bundle_copy, lambda config: config.update(files={str(i): "0" * 64 for i in range(257)}))
    refused(bundle_copy, "lists no files, or more than 256")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("signature"), "no valid signature: 'signature'"),
        (lambda config: config["signature"].pop("rate_hz"), "no valid signature: .*rate_hz"),
        (lambda config: config.update(signature="none"), "no valid signature"),
        (lambda config: config["files"].pop("core.onnx"), r"does not list core\.onnx"),
        (lambda config: config["files"].pop("encoder.mic.onnx"), r"does not list encoder\.mic\.onnx"),
        (lambda config: config["files"].pop("tokenizer.json"), r"does not list tokenizer\.json"),
        (lambda config: config.pop("memory_size"), "memory_size"),
        (lambda config: config.update(memory_size="many"), "memory_size"),
        (lambda config: config.update(memory_size=-1), "memory_size"),
        (lambda config: config["encoders"].pop("mic"), "encoders"),
        (lambda config: config["encoders"]["mic"].pop("dim"), "encoders"),
        (lambda config: config.update(encoders=7), "encoders"),
        (lambda config: config.pop("parity"), "parity"),
        (lambda config: config.pop("provenance"), "provenance"),
        (lambda config: config.pop("name"), "name"),
    ],
)
def test_what_a_configuration_lacks_is_named(bundle_copy, change, message):
    forge(bundle_copy, change)
    refused(bundle_copy, message)


def test_a_file_that_is_not_listed_is_never_used(bundle_copy):
    forge(bundle_copy, lambda config: config["files"].pop("golden.npz"))
    bundle = Bundle.load(bundle_copy)
    with pytest.raises(BundleError, match=r"does not list golden\.npz"):
        bundle.file("golden.npz")


def test_a_file_that_may_not_be_read_is_refused(bundle_copy, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(layout, "sha256", forbidden)
    refused(bundle_copy, "Permission denied")


def test_a_tokenizer_that_is_none_is_refused(bundle_copy):
    (bundle_copy / "tokenizer.json").write_text("{}")
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Bundle.load(bundle_copy).tokenizer()


# Sealing


def test_sealing_lists_every_file_and_says_what_it_wrote(tmp_path):
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).write_text(name)
    sealed = seal(tmp_path, {"name": "x", "format": 99})
    assert sealed == json.loads((tmp_path / "config.json").read_text())
    assert (list(sealed["files"]), sealed["format"]) == (["a.onnx", "b.onnx"], 1)
    assert sealed["fingerprint"] == fingerprint_of(sealed)
    again = seal(tmp_path, {"name": "x"})
    assert again == sealed


def test_the_fingerprint_changes_with_any_file_and_any_word(tmp_path):
    (tmp_path / "core.onnx").write_text("graph")
    prints = [seal(tmp_path, {"name": name})["fingerprint"] for name in ("x", "y", "x")]
    (tmp_path / "core.onnx").write_text("graph.")
    prints.append(seal(tmp_path, {"name": "x"})["fingerprint"])
    assert prints[0] == prints[2]
    assert len(set(prints)) == 3
