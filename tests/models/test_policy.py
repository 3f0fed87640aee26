import json
import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from sensorimotor.actions.decision import GuardVerdict
from sensorimotor.actions.plan import RecedingHorizon, TemporalEnsemble
from sensorimotor.actions.space import Box
from sensorimotor.errors import ObservationError, OutputError, SignatureError, UsageError
from sensorimotor.models.backend import CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import ActuatorHold, HoldPosition, Signature
from sensorimotor.perception.modality import State

NAMES = ("camera", "mic", "instruction")
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(NAMES, size)]


def only(observation, names):
    return {name: observation[name] for name in names}


def summary(decision):
    """A decision without its timings."""
    return {key: value for key, value in decision.to_json().items() if key != "timings_ms"}


# Acting


@pytest.mark.parametrize("names", SUBSETS, ids=" ".join)
def test_every_subset_of_the_inputs_gives_a_decision(tiny_policy, observation, names):
    decision = tiny_policy.act(only(observation, names))
    assert [name for name, report in decision.inputs.items() if report.present] == list(names)
    assert decision.probabilities.sum() == pytest.approx(1.0)
    assert decision.confidence == decision.probabilities.max() == decision.probabilities[decision.selected]
    assert decision.held == ("camera" not in names)


def test_none_is_a_missing_input(tiny_policy, observation):
    absent = tiny_policy.act(only(observation, ("camera", "instruction")), stream="absent")
    none = tiny_policy.act({**observation, "mic": None}, stream="none")
    assert np.array_equal(absent.parameters, none.parameters)
    assert not none.inputs["mic"].present


def test_what_an_input_holds_matters(tiny_policy, golden_steps):
    frames = [step.observation["camera"] for step in golden_steps[0]]
    different = next(frame for frame in frames if not np.array_equal(frame, frames[0]))
    one, other = (tiny_policy.act({"camera": frame}, stream=str(i)) for i, frame in enumerate((frames[0], different)))
    assert np.abs(one.parameters - other.parameters).max() > 1e-3


def test_without_a_critical_input_the_safe_action_is_executed_whatever_was_selected(fake, seen):
    policy = fake()
    decision = policy.act({**only(seen, ("instruction", "joints")), "camera": None})
    assert decision.selected != 0
    assert (decision.executed, decision.label, decision.held) == (0, "wait", True)
    assert decision.verdicts == (GuardVerdict("critical", "hold", "camera is missing"),)
    seeing = policy.act(seen)
    assert (seeing.executed, seeing.held) == (seeing.selected, False)
    assert seeing.label == ("wait", "go", "turn")[seeing.selected]


def test_a_device_that_holds_by_itself_is_given_no_action(fake, seen):
    policy = fake(replace(fake().signature, safe_action=ActuatorHold()))
    decision = policy.act({"instruction": seen["instruction"]})
    assert (decision.executed, decision.label, decision.held) == (None, "hold", True)


def test_the_same_observations_give_the_same_decisions_again(tiny_bundle, golden_steps):
    steps, starts = golden_steps

    def replay():
        policy = Policy.load(tiny_bundle)
        for step, start in zip(steps[:40], starts[:40], strict=True):
            if start:
                policy.reset()
            yield summary(policy.act(step.observation, ages_s=step.ages_s, sequences=step.sequences))

    assert list(replay()) == list(replay())


def test_memory_makes_the_same_observation_mean_something_else(tiny_policy, observation):
    first, second = (tiny_policy.act(observation).parameters for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_process_that_acts_never_imports_torch(tiny_bundle):
    program = (
        "import sys, numpy; from sensorimotor import Policy; policy = Policy.load(sys.argv[1]);"
        "print(policy.act({'camera': numpy.zeros((56, 56, 3), 'uint8'), 'mic': numpy.zeros((9000, 1), 'float32'),"
        " 'instruction': 'go to the red ball'}).label, *({'torch', 'onnx', 'minigrid', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tiny_bundle], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 1, done.stdout


def test_words_that_were_never_taught_are_known_and_do_no_harm(tiny_policy, observation):
    assert tiny_policy.unknown_words("go to the crimson Ball") == ["crimson"]
    assert tiny_policy.act({**observation, "instruction": "xyzzy 犬 " * 100}).label


def test_a_policy_with_words_needs_a_tokenizer(fake):
    policy = fake()
    with pytest.raises(SignatureError, match="tokenizer"):
        Policy(policy.signature, policy.backend)


# What is refused, and that nothing has happened then


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("camera", np.zeros((4, 5, 3), np.uint8), r"input 'camera': expected an image, uint8 \(4, 6, 3\), got"),
        ("camera", np.zeros((4, 6, 3), np.float32), "input 'camera'.*float32"),
        ("mic", np.zeros((500, 1), np.float32), "input 'mic'.*500 samples"),
        ("instruction", 7, "input 'instruction'.*int"),
        ("joints", [0.1, np.nan], "input 'joints'.*NaN"),
        ("lidar", np.zeros(3), "input 'lidar'.*unknown name.*camera"),
    ],
    ids=["shape", "type", "length", "no text", "not finite", "unknown"],
)
def test_a_wrong_input_is_named_and_nothing_has_happened(fake, seen, name, wrong, message):
    policy = fake()
    policy.act(seen)
    before = policy.memory()
    with pytest.raises(ObservationError, match=message) as caught:
        policy.act({**seen, name: wrong})
    assert caught.value.name == name
    assert np.array_equal(policy.memory(), before)
    assert policy.act(seen).step == 1


@pytest.mark.parametrize("empty", [{}, {"camera": None, "mic": None}])
def test_an_empty_observation_is_refused(fake, empty):
    policy = fake()
    with pytest.raises(ObservationError, match="at least one of camera, mic, instruction, joints"):
        policy.act(empty)
    assert np.array_equal(policy.memory(), np.zeros(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["parameters", "memory"])
def test_output_that_is_not_finite_is_never_acted_upon_and_leaves_the_memory(fake, seen, bad, where):
    policy = fake()
    before = [policy.act(seen, stream=stream) and policy.memory(stream) for stream in ("a", "b")]

    def spoil(output: CoreOutput) -> CoreOutput:
        getattr(output, where)[-1, 0] = bad
        return output

    policy.backend.spoil = spoil
    with pytest.raises(OutputError, match="memory is unchanged"):
        policy.act_batch([seen, seen], streams=["a", "b"])
    assert [policy.memory(stream).tolist() for stream in ("a", "b")] == [memory.tolist() for memory in before]
    policy.backend.spoil = lambda output: output
    assert policy.act(seen, stream="a").step == 1


@pytest.mark.parametrize("age", [-0.1, float("nan")])
def test_an_age_that_is_none_is_refused(fake, seen, age):
    policy = fake()
    with pytest.raises(UsageError, match="age of input 'joints'"):
        policy.act(seen, ages_s={"joints": age})
    assert np.array_equal(policy.memory(), np.zeros(2))


@pytest.mark.parametrize("what", ["ages_s", "sequences"])
def test_ages_and_sequence_numbers_of_unknown_inputs_are_refused(fake, seen, what):
    policy = fake()
    with pytest.raises(ObservationError, match="input 'joint'.*unknown name.*joints"):
        policy.act(seen, **{what: {"joint": 1}})
    assert np.array_equal(policy.memory(), np.zeros(2))


# Age


def test_what_is_older_than_the_policy_can_tell_counts_as_that_old_and_is_reported_as_it_was(fake, seen):
    decisions = [fake().act(seen, ages_s={"joints": age, "camera": age / 10}) for age in (0.0, 0.5, 2.0, 3.0, 9.0)]
    assert [decision.inputs["joints"].age_s for decision in decisions] == [0.0, 0.5, 2.0, 3.0, 9.0]
    logits = [decision.parameters.tolist() for decision in decisions]
    assert (
        logits[0] != logits[1] != logits[2] == fake().act(seen, ages_s={"joints": 9, "camera": 0.2}).parameters.tolist()
    )


def test_a_critical_input_that_is_too_old_makes_the_policy_hold_and_another_one_does_not(fake, seen):
    late = fake().act(seen, ages_s={"camera": 100.0})
    assert (late.held, late.executed, late.label) == (True, 0, "wait")
    assert late.verdicts == (GuardVerdict("critical", "hold", "camera is 100 s old, 1 s are allowed"),)
    assert late.inputs["camera"].age_s == 100.0
    assert not fake().act(seen, ages_s={"camera": 1.0, "joints": 100.0}).held


def test_what_is_kept_does_not_age(fake, seen):
    decision = fake().act(seen, ages_s={"mic": 0.7, "instruction": 60.0})
    assert decision.inputs["mic"].age_s == decision.inputs["instruction"].age_s == 0.0


# Encoders run only for what is new


def test_a_value_with_the_same_sequence_number_is_not_encoded_again(fake, seen):
    policy = fake()
    numbers = {"camera": 7, "mic": 0, "instruction": 0, "joints": 3}
    policy.act(seen, sequences=numbers)
    assert policy.backend.encoded == [(name, 1) for name in seen]
    again = policy.act(seen, sequences=numbers)
    assert len(policy.backend.encoded) == 4
    assert all(report.cached for report in again.inputs.values())
    newer = policy.act(seen, sequences={**numbers, "camera": 8})
    assert policy.backend.encoded[4:] == [("camera", 1)]
    assert [name for name, report in newer.inputs.items() if not report.cached] == ["camera"]
    assert [report.sequence for report in newer.inputs.values()] == [8, 0, 0, 3]


def test_without_sequence_numbers_contents_are_compared(fake, seen):
    policy = fake()
    policy.act(seen)
    policy.act({name: value if isinstance(value, str) else value.copy() for name, value in seen.items()})
    assert len(policy.backend.encoded) == 4
    policy.act({**seen, "instruction": "go to the red ball", "mic": seen["mic"][:-1]})
    assert policy.backend.encoded[4:] == [("mic", 1), ("instruction", 1)]


@pytest.mark.parametrize("name", ["camera", "mic", "joints"])
def test_a_buffer_that_its_sensor_has_written_to_is_noticed(fake, seen, name):
    policy, other = fake(), fake()
    policy.act(seen)
    other.act(seen)
    seen[name][-1] = seen[name][-1] // 2 + 1 if name == "camera" else 0.25
    after = policy.act(seen)
    assert policy.backend.encoded[4:] == [(name, 1)]
    assert not after.inputs[name].cached
    fresh = {key: value if isinstance(value, str) else value.copy() for key, value in seen.items()}
    assert np.array_equal(after.parameters, other.act(fresh).parameters)


def test_numbered_and_unnumbered_values_are_never_taken_for_each_other(fake, seen):
    policy = fake()
    policy.act({"camera": seen["camera"]}, sequences={"camera": 0})
    policy.act({"camera": seen["camera"]})
    policy.act({"camera": seen["camera"]}, sequences={"camera": 0})
    assert policy.backend.encoded == [("camera", 1)] * 3


def test_an_input_that_was_away_is_still_known_when_it_comes_back(fake, seen):
    policy = fake()
    policy.act(seen)
    away = policy.act(only(seen, ("camera", "joints")))
    assert away.inputs["instruction"].cached is False
    back = policy.act(seen)
    assert back.inputs["instruction"].cached
    assert len(policy.backend.encoded) == 4


def test_after_a_reset_everything_is_encoded_anew(fake, seen):
    policy = fake()
    policy.act(seen, sequences={"camera": 0})
    policy.reset()
    policy.act(seen, sequences={"camera": 0})
    assert len(policy.backend.encoded) == 8


def test_timings_name_the_encoders_that_ran(fake, seen):
    policy = fake()
    stages = {f"encode.{name}" for name in seen}
    assert set(policy.act(seen).timings_ms) == {*stages, "core", "total"}
    later = policy.act({**seen, "instruction": "go"}).timings_ms
    assert set(later) == {"encode.instruction", "core", "total"}
    assert 0 < later["encode.instruction"] + later["core"] <= later["total"]


# Streams


def test_a_reset_zeroes_the_memory_of_one_stream_or_of_all(fake, seen):
    policy = fake()
    for stream in ("a", "b", "c"):
        policy.act(seen, stream=stream)
    policy.reset("a")
    assert np.array_equal(policy.memory("a"), np.zeros(2))
    assert policy.memory("b").any()
    assert (policy.act(seen, stream="a").step, policy.act(seen, stream="b").step) == (0, 1)
    policy.reset()
    assert not any(policy.memory(stream).any() for stream in ("a", "b", "c"))


def test_streams_do_not_know_of_each_other(tiny_policy, golden_steps):
    steps = golden_steps[0][:12]
    alone = [tiny_policy.act(step.observation, ages_s=step.ages_s, stream="alone") for step in steps]
    tiny_policy.reset()
    mixed = []
    for i, step in enumerate(steps):
        tiny_policy.act(steps[-1 - i].observation, stream="other")
        mixed.append(tiny_policy.act(step.observation, ages_s=step.ages_s, stream="alone"))
    assert [decision.parameters.tolist() for decision in mixed] == [one.parameters.tolist() for one in alone]


def test_a_copy_of_the_memory_is_given_not_the_memory(fake, seen):
    policy = fake()
    policy.act(seen)
    policy.memory()[:] = 99
    assert 99 not in policy.memory()


# Batches


@pytest.mark.parametrize("seed", range(4))
def test_a_row_of_a_batch_is_what_it_would_be_alone_whatever_else_is_in_the_batch(tiny_policy, golden_steps, seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 8))
    for step in range(3):
        chosen = [golden_steps[0][i] for i in rng.integers(len(golden_steps[0]), size=count)]
        rows = [
            only(one.observation, [n for n in one.observation if rng.random() < 0.7] or ["camera"]) for one in chosen
        ]
        ages = [{"camera": float(rng.choice([0.0, 0.1, 5.0]))} for _ in rows]
        together = tiny_policy.act_batch(rows, ages_s=ages)
        for i, (row, age) in enumerate(zip(rows, ages, strict=True)):
            alone = tiny_policy.act(row, ages_s=age, stream=f"alone {i}")
            assert alone.step == together[i].step == step
            assert together[i].parameters == pytest.approx(alone.parameters, abs=1e-5)
            assert tiny_policy.memory(str(i)) == pytest.approx(tiny_policy.memory(f"alone {i}"), abs=1e-5)
            assert together[i].verdicts == alone.verdicts


def test_a_batch_encodes_each_input_once_and_only_rows_that_are_new(fake, seen):
    policy = fake()
    policy.act(seen, stream="a")
    policy.backend.encoded.clear()
    policy.act_batch([seen, seen, only(seen, ("camera",))], streams=["a", "b", "c"])
    assert policy.backend.encoded == [("camera", 2), ("mic", 1), ("instruction", 1), ("joints", 1)]


def test_a_stream_decides_once_a_batch(fake, seen):
    policy = fake()
    with pytest.raises(UsageError, match="a stream can decide once a batch"):
        policy.act_batch([seen, seen], streams=["a", "a"])
    assert np.array_equal(policy.memory("a"), np.zeros(2))


@pytest.mark.parametrize("what", [{"ages_s": [{}]}, {"sequences": [{}, {}, {}]}, {"streams": ["a"]}])
def test_lists_of_other_lengths_are_refused(fake, seen, what):
    with pytest.raises(UsageError, match="2 observations with"):
        fake().act_batch([seen, seen], **what)


def test_a_wrong_row_stops_the_whole_batch(fake, seen):
    policy = fake()
    with pytest.raises(ObservationError, match="camera"):
        policy.act_batch([seen, {"camera": "a photo"}])
    assert not policy.memory("0").any()
    assert policy.backend.encoded == []


def test_nothing_is_decided_about_nothing(fake):
    assert fake().act_batch([]) == []


# Plans


class Planner:
    """A back end without a network: at step `s` it plans `s`, `s + 0.1`, `s + 0.2`, of an arm's turn."""

    memory_size = 1

    def encode(self, _name, values):
        return np.zeros((len(values[0]), 1, 1), np.float32), np.ones((len(values[0]), 1), bool)

    def step(self, inputs):
        ahead = inputs.memory[:, :, None] + np.array([[[0.0], [0.1], [0.2]]])
        plans = np.concatenate([ahead, np.zeros_like(ahead)], 2).astype(np.float32)
        return CoreOutput(plans, inputs.memory, inputs.memory + 1)

    def empty_tokens(self, _name):
        return np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), bool)


ARM = Signature(
    {"joints": State(size=2)}, Box([-9, -9], [9, 9], ("turn", "lift"), ("rad", "cm")), HoldPosition("joints"), 10.0,
    horizon=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("following", "turns", "ages_s"),
    [
        (RecedingHorizon(), [0.0, 1.0, 2.0, 3.0], [0.0] * 4),
        (RecedingHorizon(2), [0.0, 0.1, 2.0, 2.1], [0.0, 0.1, 0.0, 0.1]),
        (TemporalEnsemble(0.0), [0.0, 0.55, 1.1, 2.1], [0.0, 0.1, 0.2, 0.2]),
    ],
    ids=str,
)
def test_plans_are_carried_out_as_asked_and_their_age_is_told(following, turns, ages_s):
    policy = Policy(ARM, Planner(), following=following)
    decisions = [policy.act({"joints": np.zeros(2)}) for _ in turns]
    assert [decision.selected[0] for decision in decisions] == pytest.approx(turns, abs=1e-6)
    assert [decision.plan_age_s for decision in decisions] == pytest.approx(ages_s)
    assert decisions[1].label == f"turn {turns[1]:.4g} rad, lift 0 cm"
    assert json.loads(json.dumps(decisions[1].to_json()))["plan_age_s"] == pytest.approx(ages_s[1])


def test_streams_follow_plans_of_their_own_and_forget_them_with_a_reset():
    policy = Policy(ARM, Planner(), following=RecedingHorizon(3))
    joints = {"joints": np.zeros(2)}
    policy.act(joints, stream="left")
    left, right = policy.act_batch([joints, joints], streams=["left", "right"])
    assert (left.plan_age_s, right.plan_age_s) == (pytest.approx(0.1), 0.0)
    policy.reset("left")
    assert policy.act(joints, stream="left").plan_age_s == 0.0


# The record


def test_a_decision_says_as_json_what_was_done_on_what_and_how_surely(fake, seen):
    policy = fake(fingerprint="f" * 64)
    policy.act(seen, stream="left arm")
    record = policy.act(
        only(seen, ("camera", "joints")),
        ages_s={"camera": 0.25},
        sequences={"camera": np.int64(12), "joints": 4},
        stream="left arm",
    ).to_json()
    assert json.loads(json.dumps(record)) == record
    assert (record["policy"], record["stream"], record["step"]) == ("f" * 64, "left arm", 1)
    assert record["selected"] == record["executed"] == ["wait", "go", "turn"].index(record["label"])
    assert record["inputs"] == {
        "camera": {"present": True, "age_s": 0.25, "sequence": 12, "cached": False},
        "mic": {"present": False, "age_s": None, "sequence": None, "cached": False},
        "instruction": {"present": False, "age_s": None, "sequence": None, "cached": False},
        "joints": {"present": True, "age_s": 0.0, "sequence": 4, "cached": False},
    }
    assert record["verdicts"] == [{"guard": "critical", "verdict": "pass", "reason": ""}]
    assert record["alternatives"][0]["probability"] == record["confidence"]
    assert sum(one["probability"] for one in record["alternatives"]) == pytest.approx(1.0, abs=1e-5)
    assert record["novelty"] is None
    assert set(record["timings_ms"]) == {"encode.camera", "encode.joints", "core", "total"}


def test_the_record_of_a_real_decision_carries_the_fingerprint_of_its_bundle(tiny_policy, tiny_bundle, observation):
    record = tiny_policy.act(observation).to_json()
    assert record["policy"] == json.loads((tiny_bundle / "config.json").read_text())["fingerprint"]
    assert len(record["alternatives"]) == 3


# Encoding apart from deciding


def test_what_was_encoded_elsewhere_is_not_encoded_again_and_decides_alike(fake, seen):
    policy, other = fake(), fake()
    known = {name: policy.encode(name, value, sequence=7) for name, value in seen.items()}
    assert len(policy.backend.encoded) == 4
    sequences = dict.fromkeys(seen, 7)
    decision = policy.act(seen, sequences=sequences, known=known)
    assert len(policy.backend.encoded) == 4
    assert all(report.cached for report in decision.inputs.values())
    assert np.array_equal(decision.parameters, other.act(seen).parameters)
    policy.act(seen, sequences=sequences)
    assert len(policy.backend.encoded) == 4


def test_encoding_refuses_what_acting_refuses(fake, seen):
    policy = fake()
    with pytest.raises(ObservationError, match="unknown name"):
        policy.encode("lidar", np.zeros(3), sequence=0)
    with pytest.raises(ObservationError, match="input 'camera'"):
        policy.encode("camera", seen["camera"][:-1], sequence=0)
    with pytest.raises(ObservationError, match="unknown name"):
        policy.act(seen, known={"lidar": policy.encode("camera", seen["camera"], sequence=0)})


def test_what_is_left_of_a_plan_can_be_had_without_a_decision():
    policy = Policy(ARM, Planner(), following=RecedingHorizon(2))
    joints = {"joints": np.zeros(2)}
    assert policy.ahead(1, joints) is None  # nothing was planned yet
    policy.act(joints)
    policy.act(joints)  # the second action of the first plan
    ahead = policy.ahead(1, joints)
    assert (ahead.selected[0], ahead.step, ahead.plan_age_s) == (pytest.approx(0.2), 2, pytest.approx(0.2))
    assert policy.ahead(2, joints) is None
    assert policy.act(joints).selected[0] == pytest.approx(2.0)  # nothing was used up
    policy.reset()
    assert policy.ahead(1, joints) is None


def test_what_is_left_of_a_plan_holds_without_what_is_critical():
    arm = replace(ARM, inputs={"joints": State(size=2, critical=True, max_age_s=1.0), "load": State(size=1)})
    policy = Policy(arm, Planner())
    policy.act({"joints": np.zeros(2)})
    assert not policy.ahead(1, {"joints": np.zeros(2)}).held
    assert policy.ahead(1, {"joints": np.zeros(2)}, ages_s={"joints": 1.5}).held
    assert policy.ahead(1, {"load": np.zeros(1)}).verdicts[0].reason == "joints is missing"
