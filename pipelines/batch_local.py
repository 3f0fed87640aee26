"""Deciding on this machine: processes decode, this one decides."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_engine import Decoding, Engine, Here, Pace, step_bytes
from sensorimotor.pipelines.batch_input import BatchInput
from sensorimotor.pipelines.batch_job import BatchJob
from sensorimotor.pipelines.batch_rows import Columns
from sensorimotor.pipelines.batch_slots import slot_bytes
from sensorimotor.pipelines.batch_worker import Opening
from sensorimotor.pipelines.batch_workers import Workers


@contextmanager
def local_engine(
    job: BatchJob, policy: Policy, opened: BatchInput, folder: Path, pulse: Callable[[int], None] = lambda _: None
) -> Iterator[Engine]:
    """What decides, with as many processes that decode for it as the job has workers.

    Args:
        job: What to do.
        policy: Its policy.
        opened: Its input.
        folder: Where rows wait that are too many for the memory.
        pulse: Told again and again of how many more rows are decided; what it raises ends the work.
    """
    signature = policy.signature
    pace = Pace.of(signature, job.batch_size, opened.alone)
    with ExitStack() as stack:
        decoding: Decoding = Here(opened, pace)
        if job.workers:
            size = slot_bytes(step_bytes(signature), len(signature.inputs), pace.rows)
            opening = Opening(job.input, signature.to_json(), opened.ids, pace.steps, pace.blocks, size)
            decoding = stack.enter_context(Workers(opening, job.workers, lambda: pulse(0)))
        columns = Columns(signature, job.embeddings)
        yield Engine(policy, decoding, opened.ids, pace, job.batch_size, columns, folder, pulse)
