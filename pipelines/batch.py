"""Offline batch inference: the same policy over recordings, tables and media files, however many there are.

What comes out is Parquet, one row a decision, in the order of the input. A run that was killed is continued where it
was; what cannot be read is put aside with a reason and costs nothing else.
"""

import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from sensorimotor.errors import DataError, OutputPathError
from sensorimotor.files import expanded
from sensorimotor.memory import keep_memory
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_input import BatchInput, open_input
from sensorimotor.pipelines.batch_job import BatchJob
from sensorimotor.pipelines.batch_local import local_engine
from sensorimotor.pipelines.batch_ray import decided_on_ray, require_ray
from sensorimotor.pipelines.batch_rows import Columns
from sensorimotor.pipelines.batch_store import BatchStore, Shard, open_store
from sensorimotor.pipelines.hardware import describe_machine, today, versions
from sensorimotor.pipelines.interrupts import interruptible
from sensorimotor.redaction import redacted

Progress = Callable[[int, int], None]
"""Told of so many more episodes and rows."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a sentence on what is kept and how to go on."""


def run_batch(
    job: BatchJob,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], AbstractContextManager[Progress]] = lambda total, done: nullcontext(_silent),
) -> dict[str, Any]:
    """Decide in all that there is.

    Args:
        job: What to do.
        resume: Continue what is in the directory, if it is of the same policy, input and options.
        overwrite: Remove what is there.
        progress: Given the number of episodes and of those done before, gives what is told of the progress.

    Returns:
        The report, which is also written to `report.json`.

    Raises:
        BundleError: The policy cannot be loaded.
        DataError: There is no such input, or none of it can be decided in.
        UsageError: Options do not go together, or the directory has the results of something else.
        OutputPathError: The directory cannot be written to, or is full.
        MissingExtraError: A library is not installed.
        Interrupted: Ctrl-C; what is kept is kept.
    """
    began = time.perf_counter()
    keep_memory()
    if job.engine == "ray":
        require_ray(job.cluster)  # before anything is removed
    policy = Policy.load(job.policy, execution=job.execution)
    opened = open_input(job.input, policy.signature)
    key = job.key(policy, opened)
    with open_store(expanded(job.out), key, _about(job, policy, opened), resume=resume, overwrite=overwrite) as store:
        size = key["shard_size"]
        shards = [
            Shard(number, first, min(first + size, len(opened)))
            for number, first in enumerate(range(0, len(opened), size))
        ]
        todo = [shard for shard in shards if shard.number not in store.kept]
        done = sum(shard.stop - shard.first for shard in shards if shard.number in store.kept)
        try:
            with interruptible() as check, progress(len(opened), done) as told:

                def pulse(rows: int) -> None:
                    check()
                    if rows:
                        told(0, rows)

                rows = _decide(job, policy, opened, todo, store, told, pulse)
        except OutputPathError as error:
            raise OutputPathError(f"{error} {_kept(store)}") from error
        except KeyboardInterrupt as error:
            raise Interrupted(_kept(store)) from error
        report = _report(job, store, opened, rows, time.perf_counter() - began)
        store.finish(report)
    if not report["rows"] and report["quarantined"]:
        first = store.tally().quarantine[0]
        raise DataError(
            f"nothing in {redacted(job.input.where)} could be decided in; of {report['quarantined']} episodes the "
            f"first, {first.id}: {first.message}. {store.path / 'quarantine.parquet'} has all of them"
        )
    return report


def _silent(_episodes: int, _rows: int) -> None:
    pass


def _decide(
    job: BatchJob,
    policy: Policy,
    opened: BatchInput,
    todo: list[Shard],
    store: BatchStore,
    told: Progress,
    pulse: Callable[[int], None],
) -> int:
    """Decide in what is left to do, and keep it; returns how many rows those are."""
    if not todo:
        return 0
    schema = Columns(policy.signature, job.embeddings).schema
    total = 0
    with ExitStack() as stack:
        if job.engine == "ray":
            results = stack.enter_context(decided_on_ray(job, policy, opened, todo, pulse))
        else:
            results = stack.enter_context(local_engine(job, policy, opened, store.path, pulse)).decide(todo)
        for decided in results:
            kept = store.keep(decided.shard, schema, decided.rows, decided.tally)
            total += kept.tally.rows
            told(decided.shard.stop - decided.shard.first, 0)
    return total


def _about(job: BatchJob, policy: Policy, opened: BatchInput) -> dict[str, Any]:
    """What the manifest says of a run besides what its decisions depend on."""
    return {
        "policy": {"source": job.policy, "fingerprint": policy.fingerprint, "signature": policy.signature.to_json()},
        "input": {
            **job.input.to_json(),
            "where": redacted(job.input.where),
            "fed": dict(opened.fed),
            "episodes": len(opened),
        },
        "run": {
            "engine": job.engine,
            "workers": job.workers,
            "batch_size": job.batch_size,
            "execution": job.execution.to_json(),
        },
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "numpy", "pyarrow"),
    }


def _report(job: BatchJob, store: BatchStore, opened: BatchInput, rows: int, wall_s: float) -> dict[str, Any]:
    tally = store.tally()
    told = tally.to_json()
    del told["quarantine"]
    return {
        "out": str(store.path),
        "policy": job.policy,
        "input": redacted(job.input.where),
        "episodes": len(opened),
        "shards": len(store.kept),
        "quarantined": len(tally.quarantine),
        **told,
        "notes": opened.losses.told(),
        "run": {
            "rows": rows,
            "wall_s": round(wall_s, 3),
            "rows_per_s": round(rows / wall_s, 1),
            "max_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
    }


def _kept(store: BatchStore) -> str:
    rows = sum(kept.tally.rows for kept in store.kept.values())
    return (
        f"{rows} rows in {len(store.kept)} shards are kept in {store.path}: the same command with --resume goes on "
        "from there"
    )
