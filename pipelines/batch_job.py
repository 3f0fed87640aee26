"""What a batch job is, and what its results depend on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorimotor.errors import UsageError
from sensorimotor.models.execution import Execution
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_input import BatchInput, InputSpec
from sensorimotor.redaction import redacted

ENGINES = ("local", "ray")
SINGLE_ROWS, RECORDINGS = 4096, 64
"""So many episodes are kept in one file: rows that stand alone, or recordings."""


@dataclass(frozen=True)
class BatchJob:
    """What to decide in, with what, and how.

    Attributes:
        policy: A bundle directory or a bundled name.
        input: What to read.
        out: The directory for the results.
        workers: Processes that decode; 0: this one does.
        batch_size: So many rows are decided in at a time, about.
        shard_size: Episodes kept in one file; None: 4096 rows that stand alone, or 64 recordings.
        embeddings: Whether to keep the embeddings too.
        execution: How the policy is run.
        engine: `local`: in this process and its workers; `ray`: in actors of Ray, as many as there are workers.
        cluster: The address of a Ray cluster; None: one is started on this machine.
    """

    policy: str
    input: InputSpec
    out: Path
    workers: int = 1
    batch_size: int = 32
    shard_size: int | None = None
    embeddings: bool = False
    execution: Execution = field(default_factory=Execution)
    engine: Literal["local", "ray"] = "local"
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UsageError(f"the number of workers is 0 or more, not {self.workers}")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"a shard has at least one episode, not {self.shard_size}")
        if self.engine not in ENGINES:
            raise UsageError(f"no engine is called {self.engine!r}; there are {', '.join(ENGINES)}")
        if self.cluster and self.engine != "ray":
            raise UsageError(f"a cluster at {redacted(self.cluster)} is for the engine ray: add --engine ray")

    def key(self, policy: Policy, opened: BatchInput) -> dict[str, Any]:
        """All that the decisions and their files depend on."""
        spec = self.input.to_json()
        del spec["where"]  # data that were moved are the same data
        return {
            "policy": policy.fingerprint,
            **spec,
            "embeddings": self.embeddings,
            "shard_size": self.shard_size or (SINGLE_ROWS if opened.alone else RECORDINGS),
            "input": opened.fingerprint,
        }
