"""Training recipes: a TOML file that says everything a run depends on, checked before anything is done."""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from sensorimotor.errors import RecipeError
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe
from sensorimotor.pipelines.mission_recipe import MissionRecipe


def _kind(content: Any) -> str:
    """Which recipe a recipe is, by the kind of its data; without one it is about missions."""
    data = content.get("data") if isinstance(content, dict) else None
    kind = data.get("kind", "babyai") if isinstance(data, dict) else "babyai"
    return "missions" if kind == "babyai" else "episodes"


Recipe = MissionRecipe | EpisodeRecipe
_ANY: TypeAdapter[Recipe] = TypeAdapter(
    Annotated[
        Annotated[MissionRecipe, Tag("missions")] | Annotated[EpisodeRecipe, Tag("episodes")], Discriminator(_kind)
    ]
)

MAX_BYTES = 2**18
_DEEP_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){50}""")
"""A key with so many dots that reading it would take long: the time grows with the square of their number."""


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: No such file, no TOML, or a key that is missing, unknown or wrong; all of them are named.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise RecipeError(f"{path} is no recipe: it is longer than {MAX_BYTES} bytes")
        content = raw.decode("utf-8-sig")  # some editors begin files with a byte order mark
        if deep := _DEEP_KEY.search(content):
            raise RecipeError(f"{path} is no recipe: a key has 50 dots or more: {deep[0][:40]}…")
        recipe = parse_recipe(tomllib.loads(content), str(path))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{path} is no recipe: its lists and tables lie too deep in each other") from error
    for name, encoder in recipe.network.encoders.items():
        if encoder.architecture is not None:
            raise RecipeError(
                f"{path}: network.encoders.{name}.architecture is never written by hand, for its weights would be "
                "random: leave it out"
            )
    return recipe


def parse_recipe(content: object, where: str) -> Recipe:
    """Check the content of a recipe.

    Raises:
        RecipeError: A key is missing, unknown or wrong; all of them are named.
    """
    try:
        # As JSON, so that it can be strict: `true` and "2" are no numbers, yet lists make tuples.
        return _ANY.validate_json(json.dumps(content, default=lambda value: {"no JSON": str(value)}), strict=True)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            where_in = problem["loc"][1:] if problem["loc"][:1] in (("missions",), ("episodes",)) else problem["loc"]
            key = ".".join(str(part) for part in where_in) or "recipe"
            got = (
                ""
                if problem["type"] == "missing" or isinstance(problem["input"], dict)
                else f" (got {_short(problem['input'])})"
            )
            lines.append(f"  {key}: {problem['msg']}{got}")
        raise RecipeError(f"{where} is not a valid recipe:\n" + "\n".join(lines)) from error


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 200 else said[:200] + "…"
