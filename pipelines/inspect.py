"""What a bundle expects, promises and remembers, and whether it still does so on this machine."""

from typing import Any

from sensorimotor.models.backends import backend_for
from sensorimotor.models.bundle import CONFIG, Bundle
from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.models.golden import verify_golden
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.stated import require_stated


def inspect(source: str, *, verify: bool = False, execution: Execution = ONE_THREAD) -> dict[str, Any]:
    """A JSON-able description of a bundle.

    Args:
        source: A bundle directory or a bundled name.
        verify: Also replay the golden set here; the result is under `golden`.
        execution: How graphs are run to replay it.

    Raises:
        BundleError: It is missing, damaged, edited or too new, or does not say of itself what it should.
    """
    bundle = Bundle.load(source)
    config = bundle.config
    require_stated(config, bundle.path / CONFIG)
    report = {
        "name": config["name"],
        "description": config["description"],
        "path": str(bundle.path),
        "fingerprint": bundle.fingerprint,
        "created": config["created"],
        "sensorimotor": config["sensorimotor"],
        "format": config["format"],
        "signature": bundle.signature.to_json(),
        "memory_size": bundle.memory_size,
        "parameters": config["parameters"],
        "size_bytes": bundle.size_bytes,
        "files": {name: bundle.file(name).stat().st_size for name in config["files"]},
        "metrics": config["metrics"],
        "parity": config["parity"],
        "provenance": config["provenance"],
        "golden": None,
    }
    if verify:
        policy = Policy(bundle.signature, backend_for(bundle, execution), bundle.tokenizer(), bundle.fingerprint)
        report["golden"] = verify_golden(bundle, policy, execution.precision)
    return report
