"""The same policy in torch, in a process of its own: `python -m sensorimotor.pipelines.compare_torch JOB`.

It reads one word a line, `decide` or `outputs`, and answers each with one line of JSON. In between it waits, so that
whoever it is compared with has the machine to itself when its turn comes. Nothing else imports this module: it is the
only part of profiling that needs torch.
"""

import json
import os
import sys
from typing import Any

import torch

from sensorimotor.models.bundle import Bundle
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.pipelines.shown import Shown, golden_shown, recorded_shown
from sensorimotor.pipelines.stage_timing import TOTAL, measure
from sensorimotor.pipelines.turns import Job, outputs


def main() -> None:
    """Answer until there are no more questions."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print is no answer
    job = Job.from_json(sys.argv[1])
    torch.set_num_threads(job.threads)
    bundle = Bundle.load(job.policy)
    policy, shown = _policy(bundle, job.compiled), _shown(bundle, job)
    for question in sys.stdin:
        print(json.dumps(_answer(question.strip(), policy, shown, job.turn)), file=answers, flush=True)


def _policy(bundle: Bundle, compiled: bool) -> Policy:
    backend = TorchBackend.from_bundle(bundle)
    if compiled:
        for part in (*backend.network.encoders.values(), backend.network.core):
            part.compile()
    return Policy(bundle.signature, backend, bundle.tokenizer(), bundle.fingerprint)


def _shown(bundle: Bundle, job: Job) -> Shown:
    return recorded_shown(job.recording, bundle.signature) if job.recording else golden_shown(bundle)


def _answer(question: str, policy: Policy, shown: Shown, turn: int) -> Any:
    if question == "outputs":
        return outputs(policy, shown, turn).tolist()
    return measure(policy, shown, turn).ms(TOTAL).tolist()


if __name__ == "__main__":
    main()
