"""The catalogue: a folder with a card is a model, and a wrong card says what is wrong."""

import os
from pathlib import Path

import msgspec
import pytest

from models import catalog
from models.errors import RecipeUnknown, RecipeWrong, ToolMissing


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "recipe.toml").write_text(text)


def card(name: str) -> str:
    return (catalog.FOLDER / "digits" / "recipe.toml").read_text().replace('name = "digits"', f'name = "{name}"')


def test_a_second_model_is_one_more_folder(tmp_path: Path) -> None:
    add(tmp_path, "digits", card("digits"))
    add(tmp_path, "letters", card("letters"))
    (tmp_path / "notes").mkdir()
    assert catalog.names(tmp_path) == ("digits", "letters")
    assert catalog.find("letters", tmp_path).card.name == "letters"


def test_an_unknown_model_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeUnknown, match="It has: digits"):
        catalog.find("cats")
    with pytest.raises(RecipeUnknown, match="It has: none"):
        catalog.find("cats", tmp_path)


@pytest.mark.parametrize("name", ["..", "../digits", "digits/", os.sep, ""])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(RecipeUnknown):
        catalog.find(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 3", "Expected `str`, got `int`"),
        ("not toml", "not a recipe's card"),
        (card("other"), "lies in the folder 'digits'"),
        (card("digits").replace("about =", "abuot ="), "abuot"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    add(tmp_path, "digits", text)
    with pytest.raises(RecipeWrong, match=says):
        catalog.find("digits", tmp_path)


def test_wrong_settings_are_named() -> None:
    entry = catalog.find("digits")
    wrong = msgspec.structs.replace(entry.card, settings={**entry.card.settings, "epochs": "many"})
    with pytest.raises(RecipeWrong, match="epochs"):
        catalog.Entry(wrong, entry.module).recipe()


def test_a_recipe_without_its_framework_says_what_to_install() -> None:
    entry = catalog.find("digits")
    with pytest.raises(ToolMissing, match=r"vedette\[compile\]"):
        catalog.Entry(entry.card, "models.catalog.nowhere.recipe").recipe()
