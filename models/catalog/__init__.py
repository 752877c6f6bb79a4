"""The catalogue: one folder a model. A folder with a `recipe.toml` is in it; nothing else is registered anywhere."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from models.errors import RecipeUnknown, RecipeWrong, ToolMissing
from models.recipe import Card, Recipe

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A recipe's card, and the way to its code."""

    card: Card
    module: str

    def recipe(self) -> Recipe:
        """The code, imported now: it brings its training framework. Raises `ToolMissing` or `RecipeWrong`."""
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            raise ToolMissing(
                f"The recipe {self.card.name} needs the package {error.name}, and it is not installed.",
                "Install the extra `compile`: pip install 'vedette[compile]'.",
            ) from error
        try:
            return cast(Recipe, module.Recipe(self.card))
        except AttributeError as error:
            raise RecipeWrong(f"{self.module} has no class Recipe that takes its card: {error}.") from error


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """The models that there are recipes of."""
    return tuple(sorted(path.parent.name for path in folder.glob("*/recipe.toml")))


def find(name: str, folder: Path = FOLDER) -> Entry:
    """The recipe `name`. Raises `RecipeUnknown`, or `RecipeWrong` when its card does not say what it must."""
    if name not in names(folder):
        raise RecipeUnknown(f"The catalogue has no model {name!r}.", f"It has: {', '.join(names(folder)) or 'none'}.")
    path = folder / name / "recipe.toml"
    try:
        card = msgspec.toml.decode(path.read_bytes(), type=Card)
    except msgspec.DecodeError as error:
        raise RecipeWrong(f"{path} is not a recipe's card: {error}.") from error
    if card.name != name:
        raise RecipeWrong(f"{path} names its model {card.name!r}, and lies in the folder {name!r}.")
    return Entry(card, f"{__name__}.{name}.recipe")
