"""How graphs of a policy are best run on this machine, as `sensorimotor tune` found out: written once, picked up later.

A profile holds for one policy on one kind of machine with one version of ONNX Runtime. Anywhere else, and where it is
damaged, it is ignored with a word: what it changes is how fast a policy is, and never whether it runs.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensorimotor.errors import ProfileError, SensorimotorError
from sensorimotor.files import expanded, sha256, write_atomically
from sensorimotor.models.bundle import Bundle, graph_files
from sensorimotor.models.execution import ONE_THREAD, Execution, Optimisation, Precision
from sensorimotor.models.onnx_backend import runtime
from sensorimotor.models.quantised import quantised_name
from sensorimotor.pipelines.hardware import describe_machine, multiplies_bytes, usable_cores
from sensorimotor.pipelines.media import require_file
from sensorimotor.pipelines.sidelines import Told

CACHE = Path("~/.cache/sensorimotor")
MAX_BYTES = 2**20
Objective = Literal["latency", "throughput"]
Count = Annotated[int, Field(ge=1, le=4096)]


class _Stated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Hardware(_Stated):
    """What must be the same for settings to hold; memory in GiB, rounded: kernels keep a little for themselves."""

    processor: str
    cores: Count
    usable_cores: Count
    memory_gib: int
    system: str
    multiplies_bytes: bool

    @classmethod
    def here(cls) -> "Hardware":
        """This machine."""
        machine = describe_machine()
        return cls(
            **{**machine, "memory_gib": round(machine["memory_gib"])},
            usable_cores=usable_cores(),
            multiplies_bytes=multiplies_bytes(),
        )


class Settings(_Stated):
    """An `Execution`, as it can be had again on the CPU.

    Attributes:
        graphs: File of the bundle → SHA-256 of the int8 graph in its place.
    """

    threads: Count | None
    parallel: bool
    inter_threads: Count
    spinning: bool
    optimisation: Optimisation
    arena: bool
    precision: Precision = "fp32"
    graphs: dict[str, str] = {}

    @classmethod
    def of(cls, execution: Execution) -> "Settings":
        """The settings of an execution; of one on another device, what the CPU has too."""
        stated = {name: getattr(execution, name) for name in cls.model_fields if name != "graphs"}
        return cls(**stated, graphs={file: sha256(path) for file, path in execution.graphs.items()})

    def execution(self, bundle: Bundle, cache: Path = CACHE) -> Execution:
        """The execution that they are settings of.

        Args:
            bundle: The policy.
            cache: Where its int8 graphs are.

        Raises:
            ProfileError: A graph is none of the policy's, is missing or was changed.
            UsageError: The policy has no encoders of that precision.
        """
        directory = profile_directory(bundle.fingerprint, cache)
        graphs = {file: directory / quantised_name(file) for file in self.graphs}
        if unknown := set(graphs) - set(graph_files(bundle)):
            raise ProfileError(f"the policy has no graph {min(unknown)}")
        for file, path in graphs.items():
            if not path.is_file() or sha256(path) != self.graphs[file]:
                raise ProfileError(f"{path} is missing or was changed: run `sensorimotor tune` again")
        execution = Execution(**{**self.model_dump(), "graphs": graphs})
        execution.files(bundle)
        return execution


class Measured(_Stated):
    """A gain (see `paired.Gain`)."""

    ratio: float
    low: float
    high: float
    pairs: int


class MachineProfile(_Stated):
    """What was found out, of which policy, where, and when.

    Attributes:
        format: Of this file.
        objective: What the settings are for.
        bundle: Fingerprint of the policy.
        onnxruntime: Its version.
        hardware: The machine.
        name: The settings in words.
        settings: How to run the graphs.
        over_onnxruntime: How many times as long it takes with the defaults of ONNX Runtime.
        over_default: How many times as long it takes with those of this library.
        date: Year-month-day.
    """

    format: Literal[1] = 1
    objective: Objective
    bundle: str
    onnxruntime: str
    hardware: Hardware
    name: str = Field(max_length=200)
    settings: Settings
    over_onnxruntime: Measured
    over_default: Measured
    date: str = Field(max_length=40)

    def write(self, cache: Path = CACHE) -> Path:
        """Write it to where `tuned` looks for it.

        Raises:
            OutputPathError: The directory cannot be written to.
        """
        target = _path(self.bundle, self.objective, cache)
        write_atomically(target, self.model_dump_json(indent=1) + "\n")
        return target

    def require_fit(self, bundle: Bundle) -> None:
        """Check that it holds for a policy here.

        Raises:
            ProfileError: It was made on another machine, with another version of ONNX Runtime, or of another policy.
        """
        version = runtime().__version__
        for what, fits in (
            ("on other hardware", self.hardware == Hardware.here()),
            (f"with onnxruntime {self.onnxruntime}, and this is {version}", self.onnxruntime == version),
            ("of another policy", self.bundle == bundle.fingerprint),
        ):
            if not fits:
                raise ProfileError(f"what was tuned on {self.date} was tuned {what}: run `sensorimotor tune` again")


def profile_directory(fingerprint: str, cache: Path = CACHE) -> Path:
    """Where the machine profiles of a policy are, and the graphs that they name."""
    return expanded(cache) / "machines" / fingerprint[:16]


def tuned(bundle: Bundle, objective: Objective, tell: Told, cache: Path = CACHE) -> Execution:
    """How to run the graphs of a policy on this machine: as tuned, or else on one thread.

    Args:
        bundle: The policy.
        objective: What for.
        tell: Takes a sentence for the user: what was picked up, or why not. Nothing, where nothing was ever tuned.
        cache: Where profiles are kept.
    """
    try:
        path = _path(bundle.fingerprint, objective, cache)
        if not path.exists():
            return ONE_THREAD
        profile = _read(path)
        profile.require_fit(bundle)
        execution = profile.settings.execution(bundle, cache)
    except (SensorimotorError, OSError) as error:
        tell(f"run on one thread: {error}")
        return ONE_THREAD
    tell(f"tuned on this machine on {profile.date}: {profile.name}")
    return execution


def asked_or_tuned(
    bundle: Bundle,
    objective: Objective,
    tell: Told,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> Execution:
    """How to run the graphs of a policy: as a person asks, or where nothing is asked for, as tuned on this machine.

    Args:
        bundle: The policy.
        objective: What for.
        tell: As for `tuned`.
        threads: Inside one operator; None: not asked for.
        device: `cpu` or `cuda`.
        precision: Of the encoders.

    Raises:
        UsageError: There is no such device.
    """
    if threads is None and device == "cpu" and precision == "fp32":
        return tuned(bundle, objective, tell)
    return Execution.on(device, threads=threads or 1, precision=precision)


def _path(fingerprint: str, objective: Objective, cache: Path) -> Path:
    return profile_directory(fingerprint, cache) / f"{objective}.json"


def _read(path: Path) -> MachineProfile:
    """Read a profile."""
    require_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise ProfileError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        return MachineProfile.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProfileError(
            f"{path} is damaged ({where + ': ' if where else ''}{first['msg']}): run `sensorimotor tune` again"
        ) from error
