"""Labels: what people say of their devices (site=lyon, line=3), and what rollouts select by."""

import re
from collections.abc import Mapping

from cloud_hub.errors import Invalid

MAX_LABELS = 32
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?")
_VALUE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,63}")


def is_label_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    return _VALUE.fullmatch(text) is not None


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """`labels` if they may be a device's. Raises `Invalid` ("label-wrong")."""
    if len(labels) > MAX_LABELS:
        raise Invalid(f"These are {len(labels)} labels; a device has at most {MAX_LABELS}.", code="label-wrong")
    for key, value in labels.items():
        if not is_label_key(key):
            raise Invalid(
                f"{key!r} cannot be a label's key.",
                "Use 1 to 63 lower-case letters, digits, dots, hyphens, underscores and slashes.",
                code="label-wrong",
            )
        if not is_label_value(value):
            raise Invalid(f"{value!r} cannot be a label's value.", "Use 1 to 63 characters.", code="label-wrong")
    return dict(labels)


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Labels from "key=value" texts. Raises `Invalid`."""
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not equals:
            raise Invalid(f"{key!r} is not a label.", "Write it as key=value.", code="label-wrong")
    keys = [key for key, _, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise Invalid(f"The label {twice!r} is given twice.", "Keep one of them.", code="label-wrong")
    return check_labels({key: value for key, _, value in pairs})
