"""Where weights come from and what is stated about their licence, read from what the libraries have on disk."""

import hashlib

import huggingface_hub
import pytest
import whisper

from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.origin import card_licence, origin_of, restricted
from sensorimotor.perception.pretrained import Origin
from sensorimotor.perception.whisper_encoder import WhisperSpec


def card(folder, head):
    (folder / "README.md").write_text(f"---\n{head}\n---\n# A model\n")
    return folder / "README.md"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub where every repository has the same card; gives what was asked for."""
    asked = []
    made = card(tmp_path, "license: mit")

    def download(repository, file):
        asked.append((repository, file))
        return str(made)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


@pytest.fixture
def no_hub(monkeypatch):
    def refuse(repository, file):
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: apple-amlr\nlicense_link: LICENSE", "apple-amlr"),
        ("license: other", "other"),
        ("license: [mit, apache-2.0]", None),
        ("tags: [clip]", None),
        ("license: 'never closed", None),
        ("- a list", None),
    ],
)
def test_a_card_states_the_licence_in_its_head_or_it_is_not_stated(tmp_path, head, licence):
    assert card_licence(card(tmp_path, head)) == licence


def test_a_card_that_is_missing_or_no_text_states_nothing(tmp_path):
    assert card_licence(tmp_path / "README.md") is None
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    assert card_licence(tmp_path / "README.md") is None
    (tmp_path / "README.md").write_text("# No head\nlicense: mit\n")
    assert card_licence(tmp_path / "README.md") is None


@pytest.mark.parametrize("licence", ["apple-amlr", "apple-ascl", "cc-by-nc-4.0", "CC-BY-NC-SA-4.0", "Research only"])
def test_licences_for_research_only_are_known_as_such(licence):
    assert restricted(licence)


@pytest.mark.parametrize("licence", ["mit", "apache-2.0", "cc-by-4.0", "openrail", "ncsa", None])
def test_others_are_not(licence):
    assert not restricted(licence)


def test_a_folder_is_known_by_its_name_and_its_card(tmp_path):
    card(tmp_path, "license: bsd-3-clause")
    expected = Origin(weights=tmp_path.name, source="a local folder", licence="bsd-3-clause")
    assert origin_of(ClipSpec(model=f"local-dir:{tmp_path}")) == expected
    assert origin_of(LanguageSpec(model=str(tmp_path))) == expected


def test_a_builtin_model_is_known_by_the_repository_its_tag_comes_from(hub):
    repository = "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"
    assert origin_of(ClipSpec()) == Origin(
        weights="ViT-B-32-256 (datacomp_s34b_b86k)", source=f"https://huggingface.co/{repository}", licence="mit"
    )
    origin_of(ClipSpec(model="ViTamin-S", pretrained="datacomp1b"))  # its entry names a file in the repository
    assert hub == [(repository, "README.md"), ("jienengchen/ViTamin-S", "README.md")]


def test_a_name_on_the_hub_is_known_by_its_card(hub):
    assert origin_of(ClipSpec(model="hf-hub:me/mine")) == Origin(
        weights="me/mine", source="https://huggingface.co/me/mine", licence="mit"
    )
    assert origin_of(LanguageSpec()).weights == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.usefixtures("no_hub")
def test_without_a_card_nothing_is_stated_but_for_mobileclip():
    assert origin_of(LanguageSpec()).licence is None
    assert origin_of(ClipSpec()).licence is None
    assert origin_of(ClipSpec(model="MobileCLIP2-S0", pretrained="dfndr2b")).licence == "apple-amlr"
    assert origin_of(ClipSpec(model="hf-hub:apple/MobileCLIP-S1-OpenCLIP")).licence == "apple-amlr"


def test_a_checkpoint_file_says_nothing_of_itself(tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"weights")
    expected = Origin(weights="mine.pt", source="a local file", licence=None)
    assert origin_of(ClipSpec(pretrained=str(tmp_path / "mine.pt"))) == expected
    assert origin_of(WhisperSpec(model=str(tmp_path / "mine.pt"))) == expected


def test_whisper_is_known_by_name_or_by_the_bytes_of_its_file(tmp_path, monkeypatch):
    expected = Origin(weights="Whisper tiny", source="https://github.com/openai/whisper", licence="mit")
    assert origin_of(WhisperSpec()) == expected
    file = tmp_path / "renamed.pt"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(whisper, "_MODELS", {"tiny": f"https://example.org/{digest}/tiny.pt"})
    assert origin_of(WhisperSpec(model=str(file))) == expected
