"""The back end of GPUs, on the processor: all that differs there is whose memory it is and whose kernels."""

import gc
import itertools
import json
import shutil
import threading

import numpy as np
import onnx
import pytest

from sensorimotor.errors import BundleError, OutputError, UsageError
from sensorimotor.models.backend import CoreInput
from sensorimotor.models.bound_backend import SIZES, BoundBackend, chunks
from sensorimotor.models.bundle import CORE, GOLDEN, Bundle, encoder_file, seal
from sensorimotor.models.device_array import DeviceArray
from sensorimotor.models.execution import Execution
from sensorimotor.models.golden import load_golden, verify_golden
from sensorimotor.models.onnx_backend import OnnxBackend, shapes_of
from sensorimotor.models.parity import check_rows
from sensorimotor.models.policy import Policy

CLOSE = 1e-5
"""Graphs whose shapes are known are rewritten otherwise, and a row rounds otherwise in a batch of another size."""


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("default")


@pytest.fixture(scope="module")
def golden(bundle):
    steps, starts, _ = load_golden(bundle.file(GOLDEN), bundle.signature)
    return steps, starts


@pytest.fixture(scope="module")
def plain(bundle):
    return OnnxBackend(bundle)


@pytest.fixture
def bound(bundle, late_memory):
    return BoundBackend(bundle, memory=late_memory)


def policy_of(bundle, backend):
    return Policy(bundle.signature, backend, bundle.tokenizer(), bundle.fingerprint)


@pytest.fixture
def pair(bundle, plain, bound):
    return policy_of(bundle, plain), policy_of(bundle, bound)


def complete(golden):
    """Steps, each with all inputs: what one lacks is taken from another."""
    steps, _ = golden
    spare = {name: step.observation[name] for step in steps for name in step.observation}
    return [{**spare, **step.observation} for step in steps]


def same(one, other):
    np.testing.assert_allclose(np.asarray(one.parameters), np.asarray(other.parameters), atol=CLOSE, rtol=CLOSE)
    assert one.selected == other.selected


def test_every_subset_of_inputs_in_batches_of_every_kind_is_decided_as_by_the_plain_back_end(pair, golden):
    shown = complete(golden)
    names = pair[0].signature.names
    for size in range(1, len(names) + 1):
        for subset in itertools.combinations(names, size):
            for batch in (1, 2, 7, 11):
                rows = [{name: shown[7 * i % 100][name] for name in subset} for i in range(batch)]
                for policy in pair:
                    policy.reset()
                ages = [dict.fromkeys(subset, 0.1 * i) for i in range(batch)]
                decisions = [policy.act_batch(rows, ages_s=ages) for policy in pair]
                for one, other in zip(*decisions, strict=True):
                    same(one, other)
                    np.testing.assert_allclose(*(policy.memory(one.stream) for policy in pair), atol=CLOSE)


def test_rows_that_lack_different_inputs_are_decided_together(pair, golden):
    shown = complete(golden)
    rows = [{name: shown[i][name] for name in names} for i, names in enumerate(
        [("camera",), ("mic", "instruction"), ("instruction",), ("camera", "mic"), ("camera", "mic", "instruction")]
    )]  # fmt: skip
    for one, other in zip(*(policy.act_batch(rows) for policy in pair), strict=True):
        same(one, other)


def test_a_stream_of_hundreds_of_steps_is_lived_through_as_by_the_plain_back_end(pair, golden):
    steps, _ = golden
    for i in range(400):
        sensed = steps[i % len(steps)]
        same(*(policy.act(sensed.observation, ages_s=sensed.ages_s) for policy in pair))
        np.testing.assert_allclose(*(policy.memory() for policy in pair), atol=CLOSE)


def test_streams_that_take_turns_in_batches_of_changing_size_keep_to_their_own(pair, golden):
    shown, rng = complete(golden), np.random.default_rng(3)
    streams = [f"robot {i}" for i in range(12)]
    for turn in range(60):
        here = list(rng.permutation(streams)[: rng.integers(1, 13)])
        rows, sequences = [], []
        for name in here:
            number = (turn // 3 + streams.index(name)) % 100
            lacking = rng.integers(0, 4)
            rows.append({key: shown[number][key] for j, key in enumerate(pair[0].signature.names) if j != lacking})
            sequences.append({"camera": number, "mic": number} if rng.random() < 0.7 else {})
        sequences = [{key: n for key, n in one.items() if key in row} for one, row in zip(sequences, rows, strict=True)]
        decisions = [policy.act_batch(rows, sequences=sequences, streams=here) for policy in pair]
        for one, other in zip(*decisions, strict=True):
            same(one, other)
        if turn % 20 == 10:
            for policy in pair:
                policy.reset(streams[0])
        gc.collect()  # what nobody holds any more is given to others at once


def test_the_golden_set_is_reproduced(bundle, bound):
    report = verify_golden(bundle, policy_of(bundle, bound))
    assert report["ok"]
    assert report["max_error"] < CLOSE * 10


def test_the_export_gate_lets_it_through(bundle, plain, bound, golden):
    steps, _ = golden
    whole = [step for step in steps if len(step.observation) == 3] or None
    if whole is None:
        pytest.skip("no golden step has all inputs")
    assert check_rows(policy_of(bundle, plain), policy_of(bundle, bound), whole[:3], 1e-4) < 1e-4


def test_tokens_stay_on_the_device_and_are_those_of_the_plain_back_end(bound, plain):
    frames = np.random.default_rng(0).integers(0, 256, (10, 56, 56, 3), np.uint8)
    tokens, mask = bound.encode("camera", [frames])
    assert isinstance(tokens, DeviceArray)
    assert isinstance(mask, DeviceArray)
    there, there_mask = plain.encode("camera", [frames])
    np.testing.assert_allclose(np.asarray(tokens), there, atol=CLOSE)
    assert np.array_equal(np.asarray(mask), there_mask)


def test_what_an_encoder_gave_is_not_changed_by_what_it_gives_next(bound):
    rng = np.random.default_rng(0)
    tokens, _ = bound.encode("camera", [rng.integers(0, 256, (1, 56, 56, 3), np.uint8)])
    before = np.asarray(tokens)
    for _ in range(3):
        bound.encode("camera", [rng.integers(0, 256, (1, 56, 56, 3), np.uint8)])
    assert np.array_equal(np.asarray(tokens), before)


def core_input(backend, rng, rows, present):
    """A step on noise, its tokens on the host."""
    tokens, masks = [], []
    for name, shape in backend._tokens.items():
        assert name in backend._names
        tokens.append(rng.standard_normal((rows, shape["tokens"], shape["dim"])).astype(np.float32))
        masks.append(np.ones((rows, shape["tokens"]), bool))
    memory = rng.standard_normal((rows, backend.memory_size)).astype(np.float32)
    there = np.full((rows, len(tokens)), present)
    return CoreInput(tokens, masks, there, np.zeros((rows, len(tokens)), np.float32), memory)


def test_what_a_step_gave_is_not_changed_by_the_next_and_neither_is_what_it_was_given(bound):
    rng = np.random.default_rng(0)
    inputs = core_input(bound, rng, 2, True)
    kept = [array.copy() for array in (*inputs.tokens, inputs.memory)]
    output = bound.step(inputs)
    before = [array.copy() for array in output]
    bound.step(core_input(bound, rng, 2, True))
    assert all(map(np.array_equal, before, output))
    assert all(map(np.array_equal, kept, (*inputs.tokens, inputs.memory)))


def test_tokens_of_the_host_are_taken_as_the_plain_back_end_takes_them(bound, plain):
    for rows in (1, 3):
        inputs = core_input(bound, np.random.default_rng(rows), rows, True)
        for one, other in zip(bound.step(inputs), plain.step(inputs), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_an_absent_input_counts_for_nothing_whatever_lay_in_its_place(bound):
    rng = np.random.default_rng(0)
    blind = core_input(bound, rng, 1, False)
    first = bound.step(blind)
    poison = core_input(bound, rng, 1, True)
    for tokens in poison.tokens:
        tokens[:] = np.nan
    assert np.isnan(bound.step(poison).parameters).all()
    again = bound.step(blind._replace(tokens=poison.tokens))
    assert all(map(np.array_equal, first, again))


def test_tokens_that_have_not_changed_are_not_copied_again(bundle, bound, fake_cuda, golden):
    policy = policy_of(bundle, bound)
    observation = complete(golden)[0]
    policy.act(observation)
    policy.act(observation)
    del fake_cuda.copied[:]
    policy.act(observation)
    assert len(fake_cuda.copied) == 2  # what comes from the host in one, and what comes out
    policy.act({**observation, "camera": observation["camera"] + 1})
    assert len(fake_cuda.copied) == 2 + 1 + 1 + 2 + 2  # a frame, its tokens set aside, tokens and mask, in and out


def test_an_absent_input_costs_nothing_once_it_is_gone(bundle, bound, fake_cuda, golden):
    policy = policy_of(bundle, bound)
    blind = {"instruction": complete(golden)[0]["instruction"]}
    policy.act(complete(golden)[0])
    policy.act(blind)
    del fake_cuda.copied[:]
    policy.act(blind)
    assert len(fake_cuda.copied) == 2


def test_the_memory_of_a_thread_that_has_ended_is_used_again(bound, fake_cuda):
    frame = np.zeros((1, 56, 56, 3), np.uint8)

    def look():
        thread = threading.Thread(target=bound.encode, args=("camera", [frame]))
        thread.start()
        thread.join()
        gc.collect()
        return len(fake_cuda.allocated)

    assert look() == look() == look()


def test_a_network_that_gives_no_numbers_changes_no_memory(bundle, bound, golden):
    policy = policy_of(bundle, bound)
    shown = complete(golden)
    policy.act_batch(shown[:2], streams=["a", "b"])
    before = [policy.memory("a"), policy.memory("b")]
    step = bound.step
    bound.step = lambda inputs: step(inputs._replace(age_s=inputs.age_s * np.nan))
    with pytest.raises(OutputError):
        policy.act_batch(shown[2:4], streams=["a", "b"])
    bound.step = step
    assert all(map(np.array_equal, before, [policy.memory("a"), policy.memory("b")]))
    other = policy_of(bundle, OnnxBackend(bundle))
    other.act_batch(shown[:2], streams=["a", "b"])
    for one, also in zip(*(p.act_batch(shown[4:6], streams=["a", "b"]) for p in (policy, other)), strict=True):
        same(one, also)


@pytest.mark.parametrize("moment", ["while tokens are copied", "while it runs"])
def test_a_run_that_fails_changes_no_memory_and_the_next_is_right(bundle, bound, plain, fake_cuda, golden, moment):
    policy, other = policy_of(bundle, bound), policy_of(bundle, plain)
    shown = complete(golden)
    policy.act(shown[0])
    other.act(shown[0])
    before = policy.memory()
    graph = bound._graph(CORE, 1)._graph
    go, start = graph._go, bound._memory.start

    def fail(*_):
        raise RuntimeError("the GPU cannot go on")

    def fail_half_way(copies):
        start(list(copies)[:1])
        fail()

    seen = policy.encode("camera", shown[1]["camera"], 1)
    if moment == "while it runs":
        graph._go = fail
    else:
        bound._memory.start = fail_half_way
    with pytest.raises(RuntimeError, match="cannot go on"):
        policy.act({**shown[0], "camera": shown[1]["camera"]}, sequences={"camera": 1}, known={"camera": seen})
    graph._go, bound._memory.start = go, start
    assert np.array_equal(policy.memory(), before)
    for frame in (shown[0]["camera"], shown[1]["camera"]):
        same(*(one.act({**shown[0], "camera": frame}) for one in (policy, other)))


def test_encoders_run_in_threads_of_their_own_beside_decisions(bundle, bound, plain, golden):
    shown = complete(golden)
    expected = [policy_of(bundle, plain).act(one) for one in shown[:20]]
    failures = []

    def look(policy, name):
        try:
            for i in range(20):
                known = policy.encode(name, shown[i][name], i)
                decision = policy_of(bundle, bound).act(shown[i], sequences={name: i}, known={name: known})
                same(decision, expected[i])
        except Exception as error:  # noqa: BLE001 (whatever it is, the test fails with it)
            failures.append(error)

    shared = policy_of(bundle, bound)
    threads = [threading.Thread(target=look, args=(shared, name)) for name in ("camera", "mic", "instruction")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_rows_are_cut_into_sizes_that_graphs_are_made_for():
    for rows in range(200):
        cut = list(chunks(rows))
        assert [row for first, last, _ in cut for row in range(first, last)] == list(range(rows))
        assert all(size in SIZES and 0 < last - first <= size for first, last, size in cut)
        assert all(2 * (last - first) > size for first, last, size in cut)
    assert list(chunks(1)) == [(0, 1, 1)]
    assert list(chunks(64)) == [(0, 64, 64)]
    assert list(chunks(70)) == [(0, 64, 64), (64, 70, 8)]


@pytest.mark.parametrize("size", SIZES)
def test_once_all_shapes_are_known_nothing_is_left_that_computes_them(bundle, bound, tmp_path, size):
    import onnxruntime

    for name in (*bundle.signature.names, CORE):
        file = bundle.file(CORE) if name == CORE else bundle.graph(name)
        options = Execution(optimisation="basic").session_options(onnxruntime)
        for symbol, length in bound._lengths(name, file, size).items():
            options.add_free_dimension_override_by_name(symbol, length)
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        left = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
        assert not left & {"Shape", "Size", "If", "Loop", "Scan", "NonZero"}, name


def copied(bundle, tmp_path):
    return shutil.copytree(bundle.path, tmp_path / "bundle")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, config: config.update(memory_size=config["memory_size"] + 1),
        lambda path, config: config["encoders"]["camera"].update(tokens=50),
        lambda path, config: (path / CORE).write_bytes((path / encoder_file("camera")).read_bytes()),
    ],
    ids=["memory", "tokens", "another graph"],
)
def test_graphs_that_do_not_fit_together_are_found_before_anything_is_decided(bundle, tmp_path, damage):
    path = copied(bundle, tmp_path)
    config = json.loads((path / "config.json").read_text())
    damage(path, config)
    seal(path, config)
    with pytest.raises(BundleError, match=r"core\.onnx does not fit the rest of the bundle: ") as caught:
        BoundBackend(Bundle.load(path))
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_none_is_refused(bundle, tmp_path):
    path = copied(bundle, tmp_path)
    (path / encoder_file("mic")).write_bytes(b"no graph")
    seal(path, json.loads((path / "config.json").read_text()))
    with pytest.raises(BundleError, match=r"encoder\.mic\.onnx cannot be loaded"):
        BoundBackend(Bundle.load(path))


def test_shapes_say_what_is_left_open(bundle):
    import onnxruntime

    shapes = shapes_of(onnxruntime, bundle.file(CORE))
    assert isinstance(shapes["camera.tokens"][1], str)
    assert shapes["memory"][1] == bundle.memory_size


def test_half_precision_that_a_bundle_does_not_have_is_answered_with_a_remedy(bundle):
    with pytest.raises(UsageError, match="no encoder in half precision: export it with --precision fp16"):
        BoundBackend(bundle, Execution(precision="fp16"))
    with pytest.raises(UsageError, match="no encoder in half precision"):
        OnnxBackend(bundle, Execution(precision="fp16"))
