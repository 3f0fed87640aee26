"""Deciding on Ray, on this machine or a cluster: each actor holds the policy, and decides shard by shard.

A recording stays with one actor, since its memory is carried along; what comes back are rows, which are kept here as
those of the local engine are. The policy, and paths in the input, must mean the same on every machine.
"""

import json
import logging
import os
import queue
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensorimotor.errors import ClusterError, DataError, SensorimotorError, UsageError
from sensorimotor.libraries import library
from sensorimotor.memory import keep_memory
from sensorimotor.models.execution import CPU
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_engine import Decided
from sensorimotor.pipelines.batch_input import BatchInput, open_input
from sensorimotor.pipelines.batch_job import BatchJob
from sensorimotor.pipelines.batch_local import local_engine
from sensorimotor.pipelines.batch_rows import Columns, arrow, in_groups
from sensorimotor.pipelines.batch_store import Shard
from sensorimotor.pipelines.batch_tally import BatchTally
from sensorimotor.pipelines.batch_workers import LOOK_EVERY_S
from sensorimotor.redaction import redacted

REACH_S = 5.0
"""How long a cluster may take to answer at all."""
HELLO, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"), b"\x04"
"""How a client begins to speak HTTP/2, and the kind of message that a server begins with (RFC 9113, section 3.4)."""
TLS_ALERT = b"\x15"
"""How one begins that wants to be spoken to in TLS."""
DEFAULT_PORT = 6379
"""Of a cluster's head."""
OBJECT_STORE_BYTES = 256 * 2**20
"""For rows on their way here; they are small."""

AHEAD = 4
"""So many messages may wait here to be kept."""


def require_ray(cluster: str | None) -> None:
    """Check what can be checked before anything is begun.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: Data cannot come from there.
        ClusterError: Nobody answers at the address of the cluster.
    """
    _ray()
    if cluster and "://" in cluster:
        raise UsageError(
            f"{redacted(cluster)} is an address for Ray's client, through which no data come: name HOST:PORT of the "
            "head, and run this on a machine of the cluster"
        )
    if cluster and cluster != "auto":  # the one that was begun on this machine, which Ray finds at once or not
        _require_answer(cluster)


def _ray() -> tuple[Any, Any]:
    """The modules `ray` and `ray.data`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # somebody's batch job has nothing to report
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what else it says on standard error is not for a person
    ray, data = (library(module, "ray[data]", "ray", "deciding on Ray") for module in ("ray", "ray.data"))
    return ray, data


@contextmanager
def decided_on_ray(
    job: BatchJob, policy: Policy, opened: BatchInput, shards: list[Shard], pulse: Callable[[int], None]
) -> Iterator[Iterator[Decided]]:
    """These shards, decided by actors of Ray, in order.

    Args:
        job: What to do; it has one actor a worker.
        policy: Its policy.
        opened: Its input.
        shards: What is left to do.
        pulse: Told again and again of how many more rows are decided; what it raises ends the work.

    Raises:
        ClusterError: The cluster cannot be reached, or has failed.
    """
    ray, data = _ray()
    with _connected(ray, job):
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        expected = {"policy": policy.fingerprint, "input": opened.fingerprint}
        rows = (
            data.from_items([shard._asdict() for shard in shards], override_num_blocks=len(shards))
            .map_batches(
                ShardDecider,
                fn_constructor_kwargs={"job": job, "expected": expected},
                batch_size=1,
                compute=data.ActorPoolStrategy(size=max(1, min(job.workers, len(shards)))),
                num_cpus=1,
                num_gpus=0 if job.execution.providers[0] == CPU else 1,
            )
            .iter_rows()
        )
        try:
            yield _decided(shards, _watched(rows, lambda: pulse(0)), pulse)
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[-300:]
            raise ClusterError(f"Ray has failed: {reason}") from error


class ShardDecider:
    """An actor: a policy, an input, and a process that decodes for it.

    Args:
        job: What to do.
        expected: Fingerprints of the policy and the input where the job was begun.
    """

    def __init__(self, job: BatchJob, expected: dict[str, str]):
        self._job, self._expected = replace(job, workers=1), expected
        self._trouble = ""
        try:
            self._open()
        except SensorimotorError as error:  # raised here, it would only have the actor made again
            self._trouble = str(error)

    def _open(self) -> None:
        keep_memory()
        self._policy = Policy.load(self._job.policy, execution=self._job.execution)
        self._opened = open_input(self._job.input, self._policy.signature)  # files are listed here too
        found = {"policy": self._policy.fingerprint, "input": self._opened.fingerprint}
        if other := [what for what, fingerprint in found.items() if fingerprint != self._expected[what]]:
            raise DataError(f"{socket.gethostname()} has another {other[0]} under the same name")
        columns = Columns(self._policy.signature, self._job.embeddings)
        self._schema = columns.schema
        self._stack = ExitStack()  # lasts as long as the actor, whose end ends the process too
        self._engine = self._stack.enter_context(
            local_engine(self._job, self._policy, self._opened, Path(tempfile.gettempdir()))
        )

    def __call__(self, shards: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Decide one shard: messages with its rows, in Arrow's stream format, and a last one with the tally."""
        shard = Shard(*(int(shards[field][0]) for field in Shard._fields))
        try:
            if self._trouble:
                raise SensorimotorError(self._trouble)
            (decided,) = self._engine.decide([shard])
            for table in in_groups(decided.rows, self._schema):
                yield _message(shard, rows=_packed(table))
            yield _message(shard, tally=json.dumps(decided.tally().to_json()))
        except SensorimotorError as error:
            yield _message(shard, trouble=str(error))


def _message(shard: Shard, rows: bytes = b"", tally: str = "", trouble: str = "") -> dict[str, list[Any]]:
    return {"shard": [shard.number], "rows": [rows], "tally": [tally], "trouble": [trouble]}


def _packed(table: Any) -> bytes:
    sink = arrow().BufferOutputStream()
    with arrow().ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _watched(messages: Iterable[dict[str, Any]], pulse: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """The same messages; while they are waited for, somebody looks up: Ray itself waits without end."""
    arrived: queue.Queue[Any] = queue.Queue(AHEAD)

    def fetch() -> None:
        try:
            for message in messages:
                arrived.put(message)
            arrived.put(None)
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            arrived.put(error)

    threading.Thread(target=fetch, daemon=True, name="messages from Ray").start()
    while True:
        pulse()
        try:
            message = arrived.get(timeout=LOOK_EVERY_S)
        except queue.Empty:
            continue
        if message is None:
            return
        if isinstance(message, Exception):
            raise message
        yield message


def _decided(
    shards: list[Shard], messages: Iterator[dict[str, Any]], pulse: Callable[[int], None]
) -> Iterator[Decided]:
    """What actors say of these shards, one after the other."""
    for shard in shards:
        tallies: list[BatchTally] = []
        yield Decided(shard, _rows(shard, messages, tallies, pulse), tallies.pop)


def _rows(
    shard: Shard, messages: Iterator[dict[str, Any]], tallies: list[BatchTally], pulse: Callable[[int], None]
) -> Iterator[Any]:
    for message in messages:
        if message["trouble"]:
            raise SensorimotorError(message["trouble"])
        if message["shard"] != shard.number:
            raise ClusterError(f"Ray gave results of shard {message['shard']} in place of {shard.number}")
        if message["tally"]:
            tallies.append(BatchTally.from_json(json.loads(message["tally"])))
            return
        for batch in arrow().ipc.open_stream(message["rows"]):
            pulse(len(batch))
            yield batch
    raise ClusterError(f"Ray gave no end of shard {shard.number}")


@contextmanager
def _connected(ray: Any, job: BatchJob) -> Iterator[None]:
    """Ray, as it is in this process already, of a cluster, or begun for as long as this takes."""
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    options: dict[str, Any] = {"address": job.cluster}
    if not job.cluster:
        options = {"address": "local", "num_cpus": max(1, job.workers), "include_dashboard": False}
        options["object_store_memory"] = OBJECT_STORE_BYTES
    try:
        ray.init(**options, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClusterError(f"{job.cluster or 'Ray on this machine'} cannot be used: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Ray itself tries for a quarter of an hour, whoever listens there; what it wants to find there speaks HTTP/2.

    Raises:
        ClusterError: Nobody is there, or somebody else.
    """
    host, colon, port = address.rpartition(":")
    try:
        place = (host, int(port)) if colon else (address, DEFAULT_PORT)
        with socket.create_connection(place, REACH_S) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(4)
    except (OSError, ValueError) as error:
        answer, why = b"", str(error)
    else:
        why = "somebody else is there"
    if answer[3:] != SETTINGS and answer[:1] != TLS_ALERT:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({why}): begin one with `ray start --head`, name its HOST:PORT, or "
            "leave --ray out to use this machine"
        )
