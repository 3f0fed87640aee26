"""What is wrong with what a user gives is said in one typed error that names the place and what to do about it.

Everything here goes through `train`, as `sensorimotor train` does. What one reader or encoder refuses by itself is
tested with it.
"""

import csv
import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from pyarrow import parquet

from sensorimotor.errors import DataError, EncoderError, ObservationError, RecipeError, SignatureError
from sensorimotor.models.checkpoint import load_checkpoint
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
FRONT, STATE, MIC = "observation.images.front", "observation.state", "audio.mic"
SMALL = {"image_dim": 8, "audio_dim": 8, "text_dim": 8, "state_dim": 8, "dim": 8, "blocks": 0}
MANIFEST = {
    "camera": {},
    "mic": {"seconds": 0.1, "sample_rate": 8000},
    "caption": {"max_tokens": 8},
    "gauges": {},
}
ROBOT = {
    "front": {"feature": FRONT},
    "state": {"feature": STATE},
    "mic": {"feature": MIC, "seconds": 0.1, "sample_rate": 8000},
}


def rows(count=8):
    """Eight clips, half of them labelled `go`, the others `stop`."""
    return [
        {
            "camera": f"{i}.png",
            "mic": f"{i}.wav",
            "caption": ("go on", "stop now")[i % 2],
            "speed": i / 2,
            "load": 1.5,
            "action": ("go", "stop")[i % 2],
        }
        for i in range(count)
    ]


def write(path, table, pixels=16):
    """A table as CSV or Parquet, and its media."""
    path.parent.mkdir(exist_ok=True)
    for i in range(len(table)):
        cv2.imwrite(str(path.parent / f"{i}.png"), np.full((pixels, pixels, 3), 20 * i, np.uint8))
        soundfile.write(path.parent / f"{i}.wav", np.full(800, 0.1, np.float32), 8000)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(table), path)
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Three episodes of six steps, each in files of its own."""
    path = tmp_path_factory.mktemp("recorded") / "robot"
    features = {
        FRONT: Feature("image", (32, 32, 3)),
        STATE: Feature("vector", (2,), ("a", "b")),
        "action": Feature("vector", (2,), ("x", "y"), ("m", "m")),
        MIC: Feature("audio", (1,), rate_hz=8000, stream=True),
    }
    with Recorder(path, features, 10) as recorder:
        for episode in range(3):
            for step in range(6):
                values = {STATE: [episode, step], "action": [step / 10, -step / 10]}
                recorder.add({FRONT: np.full((32, 32, 3), 10 * step, np.uint8), **values}, step / 10)
                recorder.add_sound(MIC, np.full((800, 1), 0.1, np.float32), step / 10 + 0.01)
            recorder.commit("push")
    return path


@pytest.fixture
def robot(recorded, tmp_path):
    """A copy of the recording that a test may damage."""
    return shutil.copytree(recorded, tmp_path / "robot")


@pytest.fixture
def learn(tmp_path):
    """Trains for two steps: `learn(path, data={…}, signature={…}, network={…})`."""

    def run(path, *, data=(), signature=(), network=()):
        kind = "lerobot" if path.suffix == "" else "manifest"
        vectors = {"vectors": {"gauges": ["speed", "load"]}} if kind == "manifest" else {}
        content = {
            "name": "tried",
            "data": {"kind": kind, "path": str(path), "held_out": 0.3, **vectors, **dict(data)},
            "signature": {"inputs": MANIFEST if kind == "manifest" else ROBOT, **dict(signature)},
            "network": SMALL | dict(network),
            "training": {"steps": 2, "batch_episodes": 4, "evaluate_every": 2},
        }
        return train(parse_recipe(content, "recipe.toml"), tmp_path / "run", cache=tmp_path / "cache")

    return run


@pytest.fixture
def table(tmp_path):
    """Nothing is wrong with it."""
    return write(tmp_path / "clips" / "clips.csv", rows())


def rewrite(path, **columns):
    """Replace columns of a Parquet file."""
    content = parquet.read_table(path)
    for name, values in columns.items():
        content = content.set_column(content.column_names.index(name), name, values)
    parquet.write_table(content, path)


def data_file(robot, episode=0):
    return robot / f"data/chunk-000/file-{episode:03d}.parquet"


def vectors(values):
    return pa.array(values, pa.list_(pa.float32()))


def test_what_is_right_is_learnt_from(learn, table):
    assert learn(table).step == 2


def test_a_recording_that_is_right_is_learnt_from(learn, robot):
    assert learn(robot).step == 2


# Encoders


@pytest.mark.parametrize(
    ("name", "encoder", "said"),
    [
        ("camera", {"kind": "open_clip", "model": "ViT-B-23"}, r"no model 'ViT-B-23'; did you mean ViT-B-32"),
        ("camera", {"kind": "open_clip", "pretrained": "mine"}, r"no weights 'mine' .*it has datacomp_s34b_b86k"),
        ("mic", {"kind": "whisper", "model": "tinny"}, r"no Whisper 'tinny': name one of .*tiny.*or a \.pt file"),
        (
            "caption",
            {"kind": "transformers", "model": "/proc/nowhere"},
            r"'/proc/nowhere' cannot be had .*model = 'FO",
        ),
    ],
)
def test_a_model_or_tag_that_does_not_exist_names_the_input_and_those_that_do(learn, table, name, encoder, said):
    with pytest.raises(EncoderError, match=f"^input '{name}': .*{said}"):
        learn(table, network={"encoders": {name: encoder}})


def test_a_hub_that_cannot_be_reached_says_what_to_download_and_where_to_put_it(learn, table, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("open_clip.factory.download_pretrained", unreachable)
    with pytest.raises(EncoderError, match=r"^input 'camera': .*cannot be downloaded .*into a folder, and name it"):
        learn(table, network={"encoders": {"camera": {"kind": "open_clip"}}})


def test_weights_of_another_architecture_name_what_does_not_fit(learn, table, tmp_path):
    transformers = pytest.importorskip("transformers")
    words = tmp_path / "words"
    words.mkdir()
    (words / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "go", "on"]))
    transformers.BertTokenizer(str(words / "vocab.txt")).save_pretrained(words)
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 7}
    transformers.BertModel(transformers.BertConfig(hidden_size=16, **sizes)).save_pretrained(words)
    config = json.loads((words / "config.json").read_text())
    (words / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    encoder = {"kind": "transformers", "model": str(words)}
    with pytest.raises(EncoderError, match=rf"^input 'caption': .*{words}.*encoder\.layer\.1\..* are missing"):
        learn(table, network={"encoders": {"caption": encoder}})


# What a policy was trained for


def test_a_camera_of_another_size_than_exported_is_told_what_size_was():
    with pytest.raises(
        ObservationError, match=r"input 'camera': expected .*\(56, 56, 3\), got uint8 \(48, 64, 3\)\. Res"
    ):
        Policy.load("default").act({"camera": np.zeros((48, 64, 3), np.uint8)})


def test_sound_of_another_rate_than_stated_does_not_fit_its_window():
    from sensorimotor.perception.modality import Audio

    half_as_many = np.zeros((4000, 1), np.float32)  # half a second at 8 kHz
    with pytest.raises(ObservationError, match=r"exactly 8000 samples \(0.5 s at 16000 Hz\).*got 4000 samples"):
        Audio(seconds=0.5).check("mic", half_as_many)


def test_an_encoder_that_hears_another_rate_says_which(learn, table):
    sizes = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 8, "n_audio_head": 1, "n_audio_layer": 1}
    sizes |= {"n_vocab": 10, "n_text_ctx": 8, "n_text_state": 8, "n_text_head": 1, "n_text_layer": 1}
    with pytest.raises(SignatureError, match="^input 'mic': Whisper hears 16000 Hz.*not 0.1 s at 8000 Hz: state those"):
        learn(table, network={"encoders": {"mic": {"kind": "whisper", "architecture": sizes}}})


def test_sound_files_of_another_rate_than_the_recording_says_are_named(learn, robot):
    (path,) = robot.glob("audio/**/*000.flac")
    soundfile.write(path, soundfile.read(path)[0], 16_000)
    with pytest.raises(DataError, match=rf"{path}: expected 8000 Hz x 1, .*found 16000 Hz x 1; correct one of them"):
        learn(robot)


def test_a_text_of_more_tokens_than_its_input_has_names_its_row(learn, table):
    told = rows()
    told[3]["caption"] = "go on " * 20
    said = (
        r"^row 4 of long.csv: caption 'go on go .* has 41 tokens, but signature.inputs.caption.max_tokens = 8: shorten"
    )
    with pytest.raises(DataError, match=said):
        learn(write(table.with_name("long.csv"), told))


def test_limits_that_are_infinite_are_refused_with_their_key(learn, table):
    signature = {"inputs": {"camera": {}}, "action": {"feature": "gauges", "low": [-np.inf, 0], "high": [9, 9]}}
    with pytest.raises(RecipeError, match=r"signature.action.low.0: Input should be a finite number \(got -inf\)"):
        learn(table, signature=signature)


def test_limits_that_the_data_do_not_keep_are_named_with_what_they_are(learn, robot):
    action = {"low": [0.0, -1.0], "high": [0.2, 0.0]}
    with pytest.raises(
        RecipeError, match=r"signature.action: x is limited to \[0, 0.2\], .* 0 to 0.5: widen low and h"
    ):
        learn(robot, signature={"action": action})


# Data


@pytest.mark.parametrize("name", [STATE, "action"])
def test_a_number_that_is_none_is_missing_and_never_in_the_statistics(learn, robot, tmp_path, name):
    values = parquet.read_table(data_file(robot))[name].to_pylist()
    values[2], values[3] = [float("nan"), 0.0], [float("inf"), 0.0]
    rewrite(data_file(robot), **{name: vectors(values)})
    done = learn(robot)
    assert all(np.isfinite([one["mean"], one["std"]]).all() for one in done.record["actions"].values())
    assert all(torch.isfinite(one).all() for one in load_checkpoint(done.checkpoint).network.state_dict().values())


def test_an_input_that_is_missing_everywhere_is_named(learn, robot):
    for episode in range(3):
        rewrite(data_file(robot, episode), **{STATE: vectors([[np.nan, np.nan]] * 6)})
    with pytest.raises(DataError, match=rf"no step of 2 episodes has a '{STATE}': leave out signature.inputs.state"):
        learn(robot)


def test_data_that_never_say_what_to_do_are_named(learn, table):
    told = [one | {"action": ""} for one in rows()]
    with pytest.raises(DataError, match=r"silent.csv: no step of 6 episodes has an 'action': there is nothing to imit"):
        learn(write(table.with_name("silent.csv"), told))
    told = [one | {"speed": ""} for one in rows()]
    with pytest.raises(DataError, match=r"still.csv, column 'speed' has no value in any row: leave it out"):
        learn(write(table.with_name("still.csv"), told))


def test_a_gap_in_a_recording_names_the_video_and_the_moment(learn, robot):
    times = [0.0, 0.1, 0.2, 5.3, 5.4, 5.5]
    for episode in range(3):
        rewrite(data_file(robot, episode), timestamp=pa.array(times, pa.float32()))
    with pytest.raises(
        DataError, match=r"file-00.\.mp4: expected a frame at 5\.[345]000 s, found the nearest one at 0.5"
    ):
        learn(robot)


def test_rows_that_are_missing_name_the_file_and_the_episode(learn, robot):
    parquet.write_table(parquet.read_table(data_file(robot)).slice(0, 4), data_file(robot))
    with pytest.raises(DataError, match=rf"{data_file(robot)}: expected 6 rows of episode 0, found 4; .*copy it again"):
        learn(robot)


def test_a_missing_video_is_named(learn, robot):
    for path in robot.rglob("*.mp4"):
        path.unlink()
    with pytest.raises(DataError, match=r"observation.images.front/.*\.mp4: there is no such video; copy it there, or"):
        learn(robot)


def test_a_video_of_another_rate_is_named(learn, robot):
    described = json.loads((robot / "meta/info.json").read_text())
    (robot / "meta/info.json").write_text(json.dumps(described | {"fps": 20}))
    with pytest.raises(DataError, match=r"\.mp4: expected 20 frames a second, found 10; encode it again at its true r"):
        learn(robot)


def test_a_truncated_table_is_named(learn, robot, table):
    clips = write(table.with_name("clips.parquet"), rows())
    for path, source in ((data_file(robot), robot), (clips, clips)):
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(DataError, match=rf"{path} is damaged.*(copy it again|write it again)"):
            learn(source)


def test_an_action_of_another_width_names_its_row(learn, robot, table):
    values = parquet.read_table(data_file(robot))["action"].to_pylist()
    rewrite(data_file(robot), action=vectors([*values[:4], [1.0, 2.0, 3.0], *values[5:]]))
    with pytest.raises(
        DataError, match=rf"{data_file(robot)}: episode 0, row 4: expected action of 2 .*found 3; leave"
    ):
        learn(robot)
    told = [one | {"action": [1.0, 2.0, 3.0][: 3 if i == 5 else 2]} for i, one in enumerate(rows())]
    path = write(table.with_name("wide.parquet"), told)
    with pytest.raises(
        DataError, match=r"wide.parquet, row 6, column 'action': a list of 3 numbers, but the first has 2"
    ):
        learn(path)


def test_a_feature_of_an_unknown_type_is_named(learn, robot, table):
    described = json.loads((robot / "meta/info.json").read_text())
    described["features"]["action"]["dtype"] = "complex64"
    (robot / "meta/info.json").write_text(json.dumps(described))
    with pytest.raises(
        DataError, match=r"info.json: feature 'action': expected .*found dtype 'complex64'.*take it out"
    ):
        learn(robot)
    path = write(table.with_name("bytes.parquet"), [one | {"action": b"go"} for one in rows()])
    with pytest.raises(DataError, match=r"bytes.parquet, column 'action': binary is no type .*Convert it, or leave"):
        learn(path)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"signature": {"inputs": {"camra": {}}}}, RecipeError, r"signature.inputs.camra: .*did you mean 'camera'\?"),
        (
            {"signature": {"action": {"feature": "actoin"}}},
            DataError,
            r"clips.csv has no .*'actoin'; did you mean 'act",
        ),
        ({"data": {"vectors": {"gauges": ["sped", "load"]}}}, DataError, r"clips.csv .*'sped'; did you mean 'speed'\?"),
        ({"data": {"kinds": {"captoin": "text"}}}, DataError, r"clips.csv has no .*'captoin'; did you mean 'caption'"),
    ],
)
def test_a_column_that_is_missing_suggests_the_nearest(learn, table, changes, error, said):
    with pytest.raises(error, match=said):
        learn(table, **changes)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: (folder / "4.png").unlink(),
            r"row 5, column 'camera': 4.png .*cannot be read: No such file.*Put",
        ),
        (
            lambda folder: (folder / "4.wav").write_bytes(b"RIFF"),
            r"row 5, column 'mic': 4.wav .*cannot be read as sound",
        ),
        (
            lambda folder: soundfile.write(folder / "4.wav", np.zeros((800, 2)), 8000),
            r"row 5, column 'mic': 4.wav has 2 channels, but the first sound 1\. .*channels = \{mic = 1\}",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "4.png"), np.zeros((20, 16, 3), np.uint8)),
            r"row 5, column 'camera': 4.png is 20x16x3 .*but the first is 16x16x3\. Scale or cut",
        ),
    ],
    ids=["missing", "damaged", "channels", "size"],
)
def test_a_file_that_cannot_be_used_names_its_row(learn, table, damage, said):
    damage(table.parent)
    with pytest.raises(DataError, match=rf"clips.csv, {said}"):
        learn(table)


# Data to be judged on


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        (lambda one: {k: v for k, v in one.items() if k != "mic"}, RecipeError, "the data have no 'mic'"),
        (lambda one: one | {"caption": 0.5}, DataError, r"expected caption to be text, .*found vector of shape \(1,\)"),
        (lambda one: one | {"action": "run"}, DataError, r"row 1 of .*'run' is none of the actions go, stop: correct"),
    ],
    ids=["missing", "kind", "label"],
)
def test_held_out_data_of_another_kind_are_refused_before_anything_is_learnt(learn, table, changed, error, said):
    other = write(table.with_name("held_out.csv"), [changed(one) for one in rows()])
    with pytest.raises(error, match=rf"held_out.csv: .*{said}|{said}"):
        learn(table, data={"held_out_path": str(other)})


def test_held_out_pictures_of_another_size_are_refused_before_anything_is_learnt(learn, table, tmp_path):
    other = write(tmp_path / "other" / "clips.csv", rows(), pixels=24)
    with pytest.raises(
        DataError, match=r"other/clips.csv: expected camera .*\(16, 16, 3\), .*found .*\(24, 24, 3\): make"
    ):
        learn(table, data={"held_out_path": str(other)})
