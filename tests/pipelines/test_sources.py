import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import DataError, RecipeError, UsageError
from sensorimotor.pipelines.episode_recipe import ManifestData, RecordedData
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.manifest import ManifestSource
from sensorimotor.pipelines.recipe import parse_recipe
from sensorimotor.pipelines.record import record_expert
from sensorimotor.pipelines.sources import open_parts, open_source, source_at, split


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 10))
def test_every_episode_is_learnt_from_or_held_out(count, held_out, seed):
    mine, theirs = split(count, held_out, seed)
    assert sorted(mine + theirs) == list(range(count))
    assert (mine, theirs) == (sorted(mine), sorted(theirs))
    assert mine
    assert theirs
    assert abs(len(theirs) - held_out * count) <= 1
    assert split(count, held_out, seed) == (mine, theirs)


def test_another_seed_holds_out_others():
    assert len({tuple(split(50, 0.1, seed)[1]) for seed in range(20)}) > 15


@pytest.mark.parametrize("count", [0, 1])
def test_one_episode_cannot_be_divided(count):
    with pytest.raises(DataError, match=f"{count} episodes are too few: one to learn from and one to be judged on"):
        split(count, 0.5, 0)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("speed,load,action\n1,2,go\n3,4,stop\n")
    return path


def test_a_recipe_says_how_its_data_are_read(table, tmp_path):
    data = ManifestData(kind="manifest", path=str(table), vectors={"both": ("speed", "load")}, kinds={"action": "text"})
    assert set(open_source(data).features) == {"both", "action"}
    other = tmp_path / "other.csv"
    other.write_text("speed,load,action\n5,6,go\n")
    assert len(open_source(data, str(other))) == 1


def test_what_stands_at_a_path_is_seen_from_the_path(table, tmp_path):
    assert isinstance(source_at(table), ManifestSource)
    record_expert("sensorimotor/Reach-v0", tmp_path / "reach", 1)
    assert isinstance(source_at(tmp_path / "reach"), LeRobotSource)
    assert len(open_source(RecordedData(kind="lerobot", path=str(tmp_path / "reach")))) == 1


@pytest.mark.parametrize("name", ["clips.txt", "nothing", "clip.png"])
def test_what_is_no_data_says_what_is(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name} is no data: name a recording's directory, or a manifest \(.parquet"):
        source_at(tmp_path / name)


def test_a_home_directory_may_be_named(table, monkeypatch):
    monkeypatch.setenv("HOME", str(table.parent))
    assert len(open_source(ManifestData(kind="manifest", path="~/numbers.csv"))) == 2


def test_the_home_of_nobody_is_refused():
    with pytest.raises(UsageError, match=r"~nobody-here/t\.csv: there is no home directory of ~nobody-here: write"):
        open_source(ManifestData(kind="manifest", path="~nobody-here/t.csv"))


def test_what_is_learnt_from_is_not_held_out_too(table):
    same = table.parent / "." / ".." / table.parent.name / table.name
    content = {
        "name": "own",
        "data": {"kind": "manifest", "path": str(table), "held_out_path": str(same)},
        "signature": {"inputs": {"speed": {}}},
        "training": {"steps": 1},
    }
    with pytest.raises(RecipeError, match=r"data\.held_out_path = .* is what is learnt from: leave it out"):
        open_parts(parse_recipe(content, "here"))
