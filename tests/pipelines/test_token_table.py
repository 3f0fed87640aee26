"""Tokens of frozen encoders on disk: computed once, found again only for what they were computed from."""

import copy
import multiprocessing
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sensorimotor.errors import CacheError, OutputPathError
from sensorimotor.perception.modality import Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines import token_table as module
from sensorimotor.pipelines.episode_recipe import Augment
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.observed import observed
from sensorimotor.pipelines.token_table import AT_ONCE, Encoding, token_table

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CAMERA = Image(height=8, width=10)


class Means(nn.Module):
    """Two tokens of a picture, its mean and its largest level times a weight; `rows` notes how many came at a time."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.rows = []

    def forward(self, values):
        self.rows.append(len(values))
        flat = values.flatten(1).float()
        tokens = torch.stack([flat.mean(1), flat.amax(1)], 1)[..., None] * self.weight
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)


def expected(values, weight=1.0):
    return Means(weight)(torch.from_numpy(np.stack(values)))[0].detach().numpy().astype(np.float16).astype(np.float32)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (20, 8, 10, 3)).astype(np.uint8)


@pytest.fixture
def watch(memory):
    """What an episode sees of pictures, one a step: `watch(pictures)`."""

    def make(shown, modality=CAMERA, feature=None):
        times_s = np.arange(len(shown)) / 10
        episode = memory.Episode("episode", times_s, {"camera": memory.Track(times_s, shown)})
        return observed(episode, "camera", feature or Feature("image", (8, 10, 3)), modality)

    return make


def encoding(**changes):
    plain = Encoding("camera", "front", CAMERA, Means(), None, Augment(), 0)
    return replace(plain, **changes)


def table(how, seen, cache, data="data"):
    return token_table(how, seen, data, cache, CPU)


def everything(made, episode, count, view=0):
    numbers = np.arange(count)
    return made.read(np.full(count, episode), numbers, np.full(count, view))


# Once


def test_tokens_of_all_that_was_seen_are_read_back(watch, pictures, tmp_path):
    seen = {3: watch(pictures[:12]), 7: watch(pictures[12:])}
    made = table(encoding(), seen, tmp_path)
    tokens, mask = made.read(np.array([3, 7, 3]), np.array([11, 0, 5]), np.zeros(3, np.int64))
    assert np.array_equal(tokens, expected(pictures[[11, 12, 5]]))
    assert (tokens.dtype, mask.dtype, mask.shape) == (np.float32, bool, (3, 2))


def test_the_second_time_nothing_is_encoded_or_read(watch, pictures, tmp_path):
    first = table(encoding(), {0: watch(pictures)}, tmp_path)
    how = encoding()
    again = table(how, {0: replace(watch(pictures), values=None)}, tmp_path)
    assert how.encoder.rows == []
    assert np.array_equal(everything(again, 0, 20)[0], everything(first, 0, 20)[0])


def test_progress_counts_every_value(watch, pictures, tmp_path):
    told = []
    token_table(encoding(), {0: watch(pictures), 1: watch(pictures[:5])}, "data", tmp_path, CPU, told.append)
    assert sum(told) == 25


def test_values_that_no_step_saw_are_not_encoded(watch, pictures, tmp_path):
    how, seen = encoding(), watch(pictures)
    some = replace(seen, value=np.array([-1, 4, 4, 9]))
    made = table(how, {0: some}, tmp_path)
    assert sum(how.encoder.rows) == 2
    assert np.array_equal(made.read(np.array([0]), np.array([9]), np.array([0]))[0], expected(pictures[[9]]))


def test_an_input_that_nobody_ever_saw_has_an_empty_table(watch, pictures, tmp_path):
    how = encoding()
    made = table(how, {0: replace(watch(pictures), value=np.full(20, -1))}, tmp_path)
    assert (how.encoder.rows, made.row.shape) == ([], (0, 1))


def test_equal_texts_are_encoded_once(memory, tmp_path):
    said = ["lift", "lower", "lift", "lift"]
    times_s = np.arange(4.0)
    episode = memory.Episode("episode", times_s, {"said": memory.Track(times_s, said)})
    words = Tokenizer.train(said, 4)
    how = encoding(modality=Text(max_tokens=4), tokenizer=words, augment=Augment(views=3))
    made = table(how, {0: observed(episode, "said", Feature("text"), Text(max_tokens=4))}, tmp_path)
    assert how.encoder.rows == [2]
    assert made.row.tolist() == [[0], [1], [0], [0]]


# The key


@pytest.mark.parametrize(
    ("changes", "data", "episodes"),
    [
        ({"encoder": Means(1.5)}, "data", [0, 1]),
        ({"encoder": nn.Sequential(Means())}, "data", [0, 1]),
        ({"feature": "wrist"}, "data", [0, 1]),
        ({"modality": Image(height=8, width=10, max_age_s=2.0)}, "data", [0, 1]),
        ({"modality": Image(height=8, width=10, frames=2)}, "data", [0, 1]),
        ({"augment": Augment(views=2, light=0.1)}, "data", [0, 1]),
        ({}, "other data", [0, 1]),
        ({}, "data", [0, 2]),
        ({}, "data", [0]),
    ],
    ids=["weights", "kind", "feature", "input", "film", "views", "data", "episodes", "fewer"],
)
def test_what_tokens_depend_on_is_in_the_key(changes, data, episodes):
    assert encoding(**changes).fingerprint(data, episodes) != encoding().fingerprint("data", [0, 1])


def test_views_depend_on_how_they_vary_and_on_the_seed():
    plans = [Augment(views=2, light=0.1), Augment(views=3, light=0.1), Augment(views=2, light=0.2)]
    keys = {encoding(augment=plan).fingerprint("data", [0]) for plan in plans}
    keys.add(encoding(augment=plans[0], seed=1).fingerprint("data", [0]))
    assert len(keys) == 4


@pytest.mark.parametrize("changes", [{"seed": 9}, {"augment": Augment(light=0.3)}, {"name": "eye"}], ids=str)
def test_what_tokens_do_not_depend_on_is_not(changes):
    """One view is the value as it is: seed and variation do nothing to it, and an input may have any name."""
    assert encoding(**changes).fingerprint("data", [0]) == encoding().fingerprint("data", [0])


def test_a_tokenizer_is_in_the_key_where_there_are_texts():
    words = [Tokenizer.train([text], 4) for text in ("lift", "lower")]
    read = [encoding(modality=Text(max_tokens=4), tokenizer=one).fingerprint("data", [0]) for one in words]
    seen = [encoding(tokenizer=one).fingerprint("data", [0]) for one in words]
    assert (len(set(read)), len(set(seen))) == (2, 1)


def test_the_order_in_which_episodes_come_does_not_matter(watch, pictures, tmp_path):
    """Another seed holds out others: the same episodes in another order, whose tokens are already there."""
    seen = {0: watch(pictures[:3]), 1: watch(pictures[3:10]), 2: watch(pictures[10:])}
    table(encoding(), seen, tmp_path)
    how = encoding()
    made = table(how, {number: seen[number] for number in (2, 0, 1)}, tmp_path)
    assert how.encoder.rows == []
    assert np.array_equal(everything(made, 1, 7)[0], expected(pictures[3:10]))
    assert np.array_equal(everything(made, 2, 10)[0], expected(pictures[10:]))


# Views


def test_every_value_has_so_many_views_and_the_first_is_as_it_is(watch, pictures, tmp_path):
    how = encoding(augment=Augment(views=3, light=0.4))
    made = table(how, {0: watch(pictures)}, tmp_path)
    views = [everything(made, 0, 20, view)[0] for view in range(3)]
    assert sum(how.encoder.rows) == 60
    assert np.array_equal(views[0], expected(pictures))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(views[one][:, 0] - views[other][:, 0]).min() > 1e-3


def test_views_are_the_same_whenever_they_are_made(watch, pictures, tmp_path):
    plan = Augment(views=2, light=0.4, shift=0.2)
    tables = [
        table(encoding(augment=plan, seed=seed), {0: watch(pictures)}, tmp_path / str(i))
        for i, seed in enumerate((0, 0, 1))
    ]
    one, same, other = (everything(made, 0, 20, 1)[0] for made in tables)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


# Films


def test_of_films_every_frame_is_encoded_once(watch, pictures, tmp_path):
    film = Image(height=8, width=10, frames=4)
    how, seen = encoding(modality=film), watch(pictures, film)
    made = table(how, {0: seen}, tmp_path)
    assert sum(how.encoder.rows) == 20
    assert np.array_equal(everything(made, 0, 20)[0], expected(pictures))
    assert seen.parts(np.array([0, 2, 9])).tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [6, 7, 8, 9]]


def test_only_frames_that_a_film_has_are_encoded(watch, pictures, tmp_path):
    film = Image(height=8, width=10, frames=2)
    how = encoding(modality=film)
    table(how, {0: replace(watch(pictures, film), value=np.array([5, 11]))}, tmp_path)
    assert sum(how.encoder.rows) == 4


def test_films_that_come_whole_have_frames_of_their_own(watch, pictures, tmp_path):
    film = Image(height=8, width=10, frames=4)
    how, seen = encoding(modality=film), watch(pictures.reshape(5, 4, 8, 10, 3), film, Feature("image", (4, 8, 10, 3)))
    made = table(how, {0: seen}, tmp_path)
    assert seen.parts(np.array([1])).tolist() == [[4, 5, 6, 7]]
    assert np.array_equal(everything(made, 0, 20)[0], expected(pictures))


def test_the_frames_of_a_film_move_alike(watch, tmp_path):
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 10, 3)).astype(np.uint8), 6, 0)
    film = Image(height=8, width=10, frames=3)
    plan = Augment(views=4, light=0.4, shift=0.3)
    made = table(encoding(modality=film, augment=plan), {0: watch(still, film)}, tmp_path)
    views = np.stack([everything(made, 0, 6, view)[0] for view in range(4)])
    assert (views == views[:, :1]).all()
    assert len({view.tobytes() for view in views}) == 4


# Damage


@pytest.mark.parametrize("name", ["tokens.npy", "mask.npy", "rows.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut short", "no array"])
def test_a_damaged_table_is_refused_with_a_remedy(watch, pictures, tmp_path, name, damage):
    table(encoding(), {0: watch(pictures)}, tmp_path)
    (place,) = tmp_path.iterdir()
    file = place / name
    content = {"empty": b"", "cut short": file.read_bytes()[:-7], "no array": b"x" * 500}.get(damage)
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(CacheError, match=rf"{place}.* is damaged .*delete .*, and it is made again"):
        table(encoding(), {0: watch(pictures)}, tmp_path)


@pytest.mark.parametrize("name", ["tokens.npy", "mask.npy", "rows.npz"])
def test_files_of_different_tables_are_not_mixed(watch, pictures, tmp_path, name):
    table(encoding(), {0: watch(pictures)}, tmp_path / "a")
    table(encoding(), {0: watch(pictures[:9])}, tmp_path / "b", "less data")
    (mine,), (other,) = (list((tmp_path / which).iterdir()) for which in "ab")
    (mine / name).write_bytes((other / name).read_bytes())
    with pytest.raises(CacheError, match=f"{mine} is damaged .*do not fit together"):
        table(encoding(), {0: watch(pictures)}, tmp_path / "a")


def test_rows_that_there_are_not_are_refused(watch, pictures, tmp_path):
    table(encoding(), {0: watch(pictures)}, tmp_path)
    (place,) = tmp_path.iterdir()
    for row in (20, -1):
        wrong = np.zeros((20, 1), np.int64)
        wrong[3] = row
        np.savez(place / "rows.npz", row=wrong)
        with pytest.raises(CacheError, match="do not fit together"):
            table(encoding(), {0: watch(pictures)}, tmp_path)


# A disk that is full, a place that cannot be written, and work that was interrupted


@pytest.fixture
def small_files():
    """No file can grow beyond a kilobyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_there_is_no_room_nothing_is_left_and_the_next_run_begins_anew(watch, memory, tmp_path, request):
    many = np.random.default_rng(0).integers(0, 256, (600, 8, 10, 3)).astype(np.uint8)
    request.getfixturevalue("small_files")
    with pytest.raises(OutputPathError, match=f"cannot write {tmp_path}/.*: File too large"):
        table(encoding(), {0: watch(many)}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    assert np.array_equal(everything(table(encoding(), {0: watch(many)}, tmp_path), 0, 600)[0], expected(many))


def test_a_cache_that_cannot_be_written_is_named_before_anything_is_encoded(watch, pictures, tmp_path):
    (tmp_path / "file").write_text("no directory")
    how = encoding()
    with pytest.raises(OutputPathError, match=f"cannot write {tmp_path}/file/tokens"):
        table(how, {0: watch(pictures)}, tmp_path / "file" / "tokens")
    assert how.encoder.rows == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_work_that_was_interrupted_leaves_nothing(watch, pictures, tmp_path, monkeypatch, error):
    def interrupted(*_):
        raise error

    how = encoding()
    monkeypatch.setattr(how.encoder, "forward", interrupted)
    with pytest.raises(error):
        table(how, {0: watch(pictures)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


# Two at a time


def test_who_is_second_uses_what_the_first_has_made(watch, pictures, tmp_path):
    """Two runs begin at once: the second finds the table there when its own is finished, and leaves it as it is."""
    seen, found = {0: watch(pictures)}, []
    how = encoding()

    def first_is_faster(_):
        if not found:
            made = table(copy.deepcopy(encoding()), seen, tmp_path / "other")
            (place,) = (tmp_path / "other").iterdir()
            place.rename(tmp_path / place.name)
            found.append((made, (tmp_path / place.name).stat().st_ino))

    made = token_table(how, seen, "data", tmp_path, CPU, first_is_faster)
    (place,) = (path for path in tmp_path.iterdir() if path.name != "other")
    assert place.stat().st_ino == found[0][1]
    assert np.array_equal(everything(made, 0, 20)[0], expected(pictures))


def _in_a_process(memory_types, shown, cache, barrier, answers):
    torch.set_num_threads(1)
    track, episode_type = memory_types
    times_s = np.arange(len(shown)) / 10
    episode = episode_type("episode", times_s, {"camera": track(times_s, shown)})
    seen = {0: observed(episode, "camera", Feature("image", (8, 10, 3)), CAMERA)}
    barrier.wait()
    answers.put(everything(table(encoding(), seen, cache), 0, len(shown))[0])


def test_processes_that_make_the_same_table_at_once_all_get_it(memory, pictures, tmp_path):
    context = multiprocessing.get_context("fork")  # what a spawned one would import takes longer than the test
    barrier, answers = context.Barrier(3), context.Queue()
    given = ((memory.Track, memory.Episode), pictures, tmp_path, barrier, answers)
    processes = [context.Process(target=_in_a_process, args=given) for _ in range(3)]
    for process in processes:
        process.start()
    for _ in processes:
        assert np.array_equal(answers.get(timeout=60), expected(pictures))
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(list(tmp_path.iterdir())) == 1


# Memory


def test_only_so_many_values_are_held_at_a_time_and_tokens_stay_on_disk(watch, tmp_path):
    shown = np.random.default_rng(0).integers(0, 256, (5 * AT_ONCE + 3, 8, 10, 3)).astype(np.uint8)
    asked = []

    class Watched:
        def __init__(self, values):
            self.values = values

        def read(self, numbers):
            asked.append(len(numbers))
            return self.values.read(numbers)

    how, seen = encoding(augment=Augment(views=2, light=0.2)), watch(shown)
    made = table(how, {0: replace(seen, values=Watched(seen.values))}, tmp_path)
    assert (max(asked), sum(asked)) == (AT_ONCE, len(shown))
    assert max(how.encoder.rows) == AT_ONCE
    assert isinstance(made.tokens, np.memmap)
    assert isinstance(made.mask, np.memmap)
    assert not isinstance(made.read(np.array([0]), np.array([5]), np.array([1]))[0], np.memmap)


def test_tokens_are_written_as_they_come(watch, tmp_path, monkeypatch):
    sizes, add = [], module._Growing.add

    def noted(self, rows):
        add(self, rows)
        sizes.append(len(rows))

    monkeypatch.setattr(module._Growing, "add", noted)
    shown = np.zeros((3 * AT_ONCE, 8, 10, 3), np.uint8)
    table(encoding(), {0: watch(shown)}, tmp_path)
    assert sizes == [AT_ONCE] * 6  # tokens and masks


def test_states_can_have_tables_too(memory, tmp_path):
    times_s = np.arange(3.0)
    values = [np.full(2, i, np.float32) for i in range(3)]
    episode = memory.Episode("episode", times_s, {"joints": memory.Track(times_s, values)})
    seen = observed(episode, "joints", Feature("vector", (2,)), State(size=2))
    made = table(encoding(modality=State(size=2)), {0: seen}, tmp_path)
    assert np.array_equal(everything(made, 0, 3)[0], expected(values))
