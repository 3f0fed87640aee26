"""Opening manifests and LeRobotDataset directories for a policy: what in them feeds which of its inputs."""

from collections.abc import Sequence
from dataclasses import replace

from sensorimotor.errors import UsageError
from sensorimotor.files import expanded
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import State
from sensorimotor.pipelines.batch_binding import differently_bound, feeding
from sensorimotor.pipelines.batch_episodes import EpisodesInput
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.manifest import EPISODE, ID, TIME, ManifestSource
from sensorimotor.pipelines.manifest_columns import Kind
from sensorimotor.pipelines.table import column_names, missing_column

_KINDS: dict[str, Kind] = {"text": "text", "state": "vector", "audio": "audio"}
"""Kind of an input → kind of its column, which then need not be told from its cells; pictures may also be videos."""

_IDS: dict[str, Kind] = {EPISODE: "text", ID: "text"}
"""Ids are as they are written: 007 is not 7."""


def open_manifest(spec: InputSpec, signature: Signature) -> EpisodesInput:
    """The rows or episodes of a table.

    Raises:
        DataError: It is missing or damaged, lacks what a critical input needs, or two rows have the same id.
        UsageError: Two inputs would take the same column for different things.
    """
    path = expanded(spec.where)
    columns = column_names(path)

    def made_of(name: str, what: str) -> bool:
        parts = what.split(",")
        return isinstance(signature.inputs[name], State) and len(parts) > 1 and set(parts) <= set(columns)

    bound = replace(spec, bind={**_spelled(signature, columns), **spec.bind})
    fed = feeding(bound, signature, columns, lambda name: missing_column(path, name, columns), made_of)
    if both := differently_bound(fed.by, signature):
        raise UsageError(
            f"inputs {both[0]!r} and {both[1]!r} would take column {fed.by[both[0]]!r} for different things: give each "
            "a column of its own"
        )
    kinds = {column: _KINDS.get(signature.inputs[name].kind) for name, column in fed.by.items() if column in columns}
    source = ManifestSource(
        path,
        columns=list(dict.fromkeys(fed.by.values())),
        kinds={**_IDS, **{column: kind for column, kind in kinds.items() if kind}},
        vectors={column: column.split(",") for column in fed.by.values() if column not in columns},
        rate_hz=(spec.rate_hz or signature.rate_hz) if EPISODE in columns and TIME not in columns else None,
        any_shape=list(kinds),
    )
    there = {name: column for name, column in fed.by.items() if source.column(column).present.any()}
    return EpisodesInput(spec, signature, source, source.ids(), fed.only(there, signature, spec.where))


def _spelled(signature: Signature, columns: Sequence[str]) -> dict[str, str]:
    """The states of which there is no column, but one for each of their values."""
    return {
        name: ",".join(modality.names)
        for name, modality in signature.inputs.items()
        if isinstance(modality, State)
        and modality.names
        and name not in columns
        and set(modality.names) <= set(columns)
    }


def open_recording(spec: InputSpec, signature: Signature) -> EpisodesInput:
    """The episodes of a LeRobotDataset directory.

    Raises:
        DataError: It is missing or damaged, or lacks what a critical input needs.
    """
    source = LeRobotSource(expanded(spec.where))
    known = list(source.features)
    fed = feeding(spec, signature, known, lambda name: missing_column(source.path, name, known, "feature"))
    return EpisodesInput(spec, signature, source, [f"episode {index}" for index in range(len(source))], fed)
