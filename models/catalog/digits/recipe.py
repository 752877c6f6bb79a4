"""Trains a perceptron on scikit-learn's digits and exports it to ONNX: pixels FP32 [-1,64] to probabilities [-1,10]."""

from collections.abc import Iterator

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from models.canonical import canonical
from models.errors import RecipeWrong
from models.recipe import Card, Data, Options, Progress, Source

PIXELS = 64


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card's `settings` say."""

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    held_out_share: float
    split_seed: int
    labelled_per_digit: int


class Recipe:
    """`models.recipe.Recipe` of the digits."""

    def __init__(self, card: Card) -> None:
        self._card = card
        try:
            self._settings = msgspec.convert(card.settings, Settings)
        except msgspec.ValidationError as error:
            raise RecipeWrong(f"The settings of {card.name} are wrong: {error}.") from error
        scans = load_digits()
        self._all = Data(
            {"pixels": scans.data.astype(np.float32)},
            scans.target.astype(np.int64),
        )
        training, held_out = train_test_split(
            np.arange(len(self._all)),
            test_size=self._settings.held_out_share,
            random_state=self._settings.split_seed,
            stratify=self._all.labels,
        )
        self._training: NDArray[np.int64] = np.sort(training)
        self._held_out: NDArray[np.int64] = np.sort(held_out)

    def held_out(self) -> Data:
        return self._all.at(self._held_out)

    def train(self, options: Options, progress: Progress) -> Source:
        training = self._labelled(options.train_images)
        settings = self._settings
        model = MLPClassifier(
            settings.hidden,
            alpha=settings.weight_decay,
            batch_size=min(settings.batch, len(training)),
            learning_rate_init=settings.learning_rate,
            random_state=options.seed,
        )
        seen = sorted({self._card.labels[label] for label in training.labels})
        progress(f"training on {len(training)} scans of the digits {', '.join(seen)}")
        # One thread: sums in another order would give other weights, and other digests.
        with threadpool_limits(1):
            for epoch in range(1, settings.epochs + 1):
                # All classes are named, so that a model that has not seen one still has an output for it.
                model.partial_fit(training.inputs["pixels"], training.labels, classes=np.arange(len(self._card.labels)))
                if epoch % 10 == 0:
                    progress(f"epoch {epoch} of {settings.epochs}: loss {model.loss_:.4f}")
        return Source(
            _export(model, self._card),
            training,
            self.held_out(),
            ("scikit-learn", "skl2onnx", "onnx", "numpy"),
        )

    def _labelled(self, count: int | None) -> Data:
        if count is None:
            return self._all.at(self._training)
        if not 1 <= count <= len(self._training):
            raise RecipeWrong(
                f"{self._card.name} cannot be trained on {count} images.", f"It has 1 to {len(self._training)}."
            )
        order = np.concatenate(list(self._batches()))
        return self._all.at(order[:count])

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        """The training rows in the order in which they were labelled."""
        labels, step = self._all.labels[self._training], self._settings.labelled_per_digit
        piles = [self._training[labels == digit] for digit in range(len(self._card.labels))]
        for start in range(0, max(map(len, piles)), step):
            yield from (pile[start : start + step] for pile in piles)


def _export(model: MLPClassifier, card: Card) -> bytes:
    graph = to_onnx(
        model,
        initial_types=[("pixels", FloatTensorType([None, PIXELS]))],
        options={id(model): {"zipmap": False}},
        target_opset=card.opset,
    )
    graph = select_model_inputs_outputs(graph, outputs=[card.probabilities])
    # The converter leaves the kept output without a type, and the label output's constants behind.
    del graph.graph.output[:]
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info(card.probabilities, onnx.TensorProto.FLOAT, [None, len(card.labels)])
    )
    used = {name for node in graph.graph.node for name in node.input}
    kept = [tensor for tensor in graph.graph.initializer if tensor.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    graph.graph.name = card.name
    onnx.checker.check_model(graph, full_check=True)
    return canonical(graph)
