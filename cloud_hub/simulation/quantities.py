"""Numbers as a person writes them on a command line."""

import click


def share(text: str) -> float:
    """A share of 1 from `0.05`, or `5%`. Raises `click.BadParameter`."""
    text = str(text).strip()
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a share: write 5% or 0.05.") from error
    if not 0 <= value <= 1:
        raise click.BadParameter(f"{text} is not between 0 and 1: write 5% or 0.05.")
    return value
