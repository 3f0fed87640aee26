import json

import numpy as np
import pytest

from sensorimotor.errors import BundleError, UsageError
from sensorimotor.models.bundle import GOLDEN, seal
from sensorimotor.models.execution import Execution
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.inspect import inspect

KEYS = {
    *("name", "description", "path", "fingerprint", "created", "sensorimotor", "format", "signature", "memory_size"),
    *("parameters", "size_bytes", "files", "metrics", "parity", "provenance", "golden"),
}


def test_a_bundle_says_what_it_expects_promises_and_remembers(tiny_bundle, tiny_policy):
    report = inspect(str(tiny_bundle))
    assert set(report) == KEYS
    assert json.loads(json.dumps(report)) == report
    assert Signature.from_json(report["signature"]) == tiny_policy.signature
    assert report["fingerprint"] == tiny_policy.fingerprint
    assert (report["name"], report["path"], report["golden"]) == ("tiny", str(tiny_bundle), None)
    assert report["size_bytes"] == sum(file.stat().st_size for file in tiny_bundle.iterdir())
    assert report["files"]["core.onnx"] == (tiny_bundle / "core.onnx").stat().st_size
    assert tiny_policy.memory().shape == (report["memory_size"],)


def test_asked_to_it_replays_the_golden_set_here(tiny_bundle):
    golden = inspect(str(tiny_bundle), verify=True)["golden"]
    assert golden["ok"]
    assert (golden["steps"], golden["same_actions"]) == (100, 100)


def test_a_bundle_that_gives_something_else_here_is_told(bundle_copy):
    with np.load(bundle_copy / GOLDEN) as stored:
        arrays = dict(stored)
    arrays["parameters"] = arrays["parameters"] + np.float32(0.01)
    np.savez(bundle_copy / GOLDEN, **arrays)
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    golden = inspect(str(bundle_copy), verify=True)["golden"]
    assert not golden["ok"]
    assert golden["max_error"] == pytest.approx(0.01, rel=0.01)


def test_a_damaged_bundle_is_refused(bundle_copy):
    (bundle_copy / "core.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"core\.onnx is damaged"):
        inspect(str(bundle_copy))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config.update(parity=5), "parity: "),
        (lambda config: config["parity"].update(tolerance="much"), "parity.tolerance: Input should be a valid number"),
        (lambda config: config["parity"].pop("max_error"), "parity.max_error: Field required"),
        (lambda config: config.update(metrics=[]), "metrics: "),
        (lambda config: config["metrics"]["held_out"].update(camera={}), "metrics.held_out.camera: .*neither accuracy"),
        (lambda config: config["metrics"].update(baseline={"error": {"x": 1}}), "metrics.baseline.error.x: "),
        (lambda config: config.update(provenance=None), "provenance: "),
        (
            lambda config: config["provenance"]["recipe"].update(prompt={"image": "x"}),
            "prompt.actions: Field required",
        ),
        (lambda config: config["provenance"].update(machine="mine"), "provenance.machine: "),
        (lambda config: config.update(parameters="many"), "parameters: Input should be a valid integer"),
        (lambda config: config.update(name=5), "name: Input should be a valid string"),
    ],
)
def test_a_bundle_that_says_odd_things_of_itself_is_refused(bundle_copy, change, said):
    config = json.loads((bundle_copy / "config.json").read_text())
    change(config)
    seal(bundle_copy, config)
    with pytest.raises(BundleError, match=f"^{bundle_copy}/config.json does not say what it should: .*{said}"):
        inspect(str(bundle_copy), verify=True)


def test_it_is_replayed_where_the_caller_says(tiny_bundle):
    with pytest.raises(UsageError, match="NpuExecutionProvider"):
        inspect(str(tiny_bundle), verify=True, execution=Execution(("NpuExecutionProvider",)))
