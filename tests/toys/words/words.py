"""A toy subject for ``--include``: sentences of token ids, told apart by their topic. Nothing here has pixels.

A complete third citizen, through the public seam alone: a dataset from a small grammar (with the words that are the
evidence, and who wrote each sentence), its task and words, a greedy swap of tokens with its control, leave-one-out and
two metrics. A sentence is int64 (L,), filled up with ``<pad>``; token ids are places in ``VOCABULARY``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.data.base import Dataset, Index, datasets
from benchmark.errors import DataError, EntryError, SpecError
from benchmark.explainers.base import Explainer, explainers
from benchmark.metrics.base import Explained, Metric, metrics
from benchmark.models.kinds import Networks
from benchmark.registry import digest
from benchmark.reported import Column, Values, Words
from benchmark.seeds import derive
from benchmark.spec.budget import Budget
from benchmark.tasks.base import Task, tasks

TOKENS = "tokens"
LENGTH = 8
PAD, UNKNOWN = 0, 1
TOPICS = {
    "sport": ("goal", "match", "team", "coach", "league", "trophy"),
    "food": ("soup", "bread", "kitchen", "recipe", "butter", "dinner"),
    "weather": ("rain", "storm", "cloud", "frost", "thunder", "breeze"),
}
FILLERS = ("the", "a", "old", "new", "people", "friends", "liked", "missed", "saw", "about", "near", "today", "again")
VOCABULARY = ("<pad>", "<unknown>", *FILLERS, *(word for words in TOPICS.values() for word in words))
ID = {word: i for i, word in enumerate(VOCABULARY)}
PLAIN = [ID[word] for word in VOCABULARY[2:]]  # what may stand in a sentence
PATTERNS = (
    ("the", "people", "missed", "the", "*", "near", "the", "*"),
    ("friends", "saw", "a", "new", "*", "today"),
    ("the", "old", "*", "liked", "a", "*", "again"),
    ("a", "new", "*", "near", "a", "?"),
    ("people", "liked", "the", "*", "about", "the", "?"),
)  # *: a word of the topic, ?: of any topic
AUTHORS = 12


# -- data ----------------------------------------------------------------------------------------------------------


@datasets.register("toy-sentences")
class ToySentences(Dataset):
    """Sentences of up to 8 tokens, written from five patterns by twelve authors; labels are topics, masks their words.

    Fields:
        samples: how many a split.
    """

    inputs: ClassVar[str] = TOKENS
    source: ClassVar[str] = "generated from a small grammar"
    samples: int = 90

    def _sentence(self, split: str, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and evidence, (L,) each, of sentence ``i``; its topic is ``i`` modulo their number."""
        rng = np.random.default_rng(derive("toy-sentences", split, i))
        own, anything = list(TOPICS.values())[i % len(TOPICS)], [w for words in TOPICS.values() for w in words]
        tokens, evidence = np.full(LENGTH, PAD, np.int64), np.zeros(LENGTH, bool)
        for k, word in enumerate(PATTERNS[rng.integers(len(PATTERNS))]):
            chosen = str(rng.choice(own if word == "*" else anything)) if word in "*?" else word
            tokens[k], evidence[k] = ID[chosen], chosen in own
        return tokens, evidence

    def fingerprint(self, split: str) -> str:
        if split not in ("train", "test"):
            raise DataError(f"dataset {self.name!r} has the splits 'train' and 'test', not {split!r}")
        return f"{split}:{self.samples}"

    def build_index(self, split: str) -> Index:
        sentences = [self._sentence(split, i)[0].tolist() for i in range(self.samples)]
        return Index(
            ids=tuple(f"{split}-{i:04d}" for i in range(self.samples)),
            labels=np.arange(self.samples) % len(TOPICS),
            classes=tuple(TOPICS),
            digest=digest([sentences, list(VOCABULARY)]),
            groups=tuple(f"author-{derive('author', split, i) % AUTHORS}" for i in range(self.samples)),
            masks=True,
        )

    def read(self, split: str, ids: Sequence[str]) -> list[np.ndarray]:
        return [self._sentence(split, i)[0] for i in self.index(split).positions(ids)]

    def read_masks(self, split: str, ids: Sequence[str]) -> list[np.ndarray]:
        return [self._sentence(split, i)[1] for i in self.index(split).positions(ids)]


# -- the task ------------------------------------------------------------------------------------------------------


class TokenWords(Words):
    """How sentences are spoken of."""

    def size(self, norm: str, eps: Budget) -> tuple[str, tuple[str, ...]]:
        shown = eps.text
        return f"at most {shown} {self.element if eps.value == 1 else self.elements} replaced", (shown,)

    def short_size(self, norm: str, eps: Budget) -> str:
        return self.size(norm, eps)[0]


class Readers(Networks):
    """Networks that read sentences: called with int64 (N, L), they return logits (N, K)."""

    differentiable: ClassVar[bool] = False
    preprocessed: ClassVar[bool] = False

    def example(self, spec: Any, count: int) -> Any:
        import torch

        return torch.as_tensor(np.random.default_rng(0).choice(PLAIN, (count, *spec.input_shape)))

    def check_rank(self, output: Any, name: str) -> int:
        if output.ndim != 2:
            raise EntryError(f"module {name!r}: returned shape {tuple(output.shape)}, expected logits (N, K)")
        return int(output.shape[1])

    def misshapen(self, spec: Any, got: tuple[int, ...], count: int) -> tuple[str, str] | None:
        expected = (count, spec.class_count)
        return None if got == expected else (str(expected), "return one logit a topic")


@tasks.register("toy-topics")
class ToyTopics(Task):
    """Which topic a sentence is about; broken when the prediction is no longer the true one."""

    source: ClassVar[str] = "sentence to one of K topics"
    inputs: ClassVar[str] = TOKENS
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    words: ClassVar[Words] = TokenWords(
        sample="sentence",
        element="token",
        attribution="weighting",
        filling="token",
        card=("text-classification", "Text classification"),
        norms=("l0",),
    )

    @classmethod
    def networks(cls) -> Networks:
        return Readers()

    def check_grid(self, grid: Any) -> None:
        if grid.size is not None or grid.channels is not None:
            raise SpecError("task 'toy-topics': sentences have no `size` and no `channels`; remove them from [dataset]")

    def valid(self, inputs: Any) -> np.ndarray:
        """Ids of the vocabulary."""
        return np.asarray(((inputs >= 0) & (inputs < len(VOCABULARY))).all(1).cpu().numpy())

    def clean(self, model: Any, batch: Any, spec: Any = None) -> dict[str, np.ndarray]:
        import torch

        labels = torch.as_tensor(batch.labels, device=model.device)
        logits = _logits(model, torch.as_tensor(batch.inputs, device=model.device))
        self.check_output(logits, spec, len(batch))
        pred = logits.argmax(1).cpu().numpy()
        return {
            "label": np.asarray(batch.labels, dtype=np.int64),
            "pred_clean": pred,
            "correct": pred == batch.labels,
            "margin_clean": margins(logits, labels).cpu().numpy(),
            "confidence": logits.softmax(1).amax(1).cpu().numpy(),
        }

    def targets(self, clean_rows: Any) -> np.ndarray:
        return np.asarray(clean_rows["pred_clean"], dtype=np.int64)

    def verify(
        self,
        model: Any,
        inputs: Any,
        labels: Any,
        perturbed: Any,
        attack: Any,
        *,
        eps: float | None,
        clean: Any,
        **_: Any,
    ) -> dict[str, np.ndarray]:
        status, norms = self.judged(attack, inputs, perturbed, eps)
        legal = np.where(self.valid(perturbed.inputs)[:, None], perturbed.inputs.cpu().numpy(), UNKNOWN)
        logits = _logits(model, perturbed.inputs.new_tensor(legal))
        pred, label = logits.argmax(1).cpu().numpy(), labels.cpu().numpy()
        return {
            "label": label,
            "pred_clean": np.asarray(clean["pred_clean"]),
            "pred": pred,
            "status": status,
            "success": np.asarray(clean["correct"], dtype=bool) & (status == "ok") & (pred != label),
            **{f"norm_{name}": values for name, values in norms.items()},
            "margin": margins(logits, labels).cpu().numpy(),
            "confidence_perturbed": logits.softmax(1).amax(1).cpu().numpy(),
        }

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return (Column("clean_acc", "rate", Values("correct")), Column("clean_margin", "mean", Values("margin_clean")))

    def check_output(self, output: Any, spec: Any, n: int) -> None:
        expected = (n, spec.class_count if spec is not None and spec.class_count else output.shape[-1])
        if tuple(output.shape) != expected:
            raise EntryError(f"the network returned shape {tuple(output.shape)}, expected logits {expected}")


def _logits(model: Any, tokens: Any) -> Any:
    """(N, K) float64."""
    import torch

    with torch.no_grad():
        return model(tokens).double()


def margins(logits: Any, labels: Any) -> Any:
    """(N,) true logit less the best other one."""
    true = logits.gather(1, labels.view(-1, 1))
    return (true - logits.scatter(1, labels.view(-1, 1), -float("inf"))).amin(1)


# -- attacks -------------------------------------------------------------------------------------------------------


class Swap(Attack):
    """Replaces tokens by others of the vocabulary; the budget is how many (l0)."""

    accepts: ClassVar[tuple[str, ...]] = (TOKENS,)
    knowledge: ClassVar[Any] = "score"

    @property
    def threat(self) -> Threat:
        return Threat(norm="l0", kind="fixed", knowledge=self.knowledge, domain=TOKENS)

    def check_budget(self, eps: Budget) -> None:
        if eps.exact.denominator != 1:
            raise SpecError(f"{self.name!r} replaces whole tokens: give budgets such as ['1', '2'], not {eps}")


@attacks.register("toy-swap")
class ToySwap(Swap):
    """Greedy: for each other topic, one swap after the other that closes the gap between the two logits most.

    Every swap of one token is tried each time. For a sum over tokens the gap is a sum too, so this is optimal.
    """

    cost: ClassVar[str] = "up to budget x (K - 1) x L x V forwards"
    source: ClassVar[str] = "greedy substitution"

    def columns(self) -> tuple[Column, ...]:
        return (
            Column("swaps", "mean", _of_successes, higher_is_better=True, of_successes=True),
            Column("closed", "mean", _closed, higher_is_better=False),
        )

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        import torch

        logits = _logits(model, inputs)
        best, lowest = inputs.clone(), margins(logits, labels)
        forwards = np.ones(len(inputs))
        for step in range(1, logits.shape[1]):
            rival, tokens = (labels + step) % logits.shape[1], inputs
            for _ in range(round(self.budget(eps))):
                trials, free = _swaps(tokens), (tokens == inputs) & (inputs != PAD)
                gaps = self._gaps(model, trials, labels, rival).masked_fill(~free[:, :, None], float("inf")).flatten(1)
                gap, at = gaps.min(1)
                better = gap < self._gaps(model, tokens[:, None, None], labels, rival).flatten()
                chosen = trials.flatten(1, 2)[torch.arange(len(tokens)), at]
                tokens = torch.where(better[:, None], chosen, tokens)
                forwards += gaps.shape[1] + 1
            margin = margins(_logits(model, tokens), labels)
            best = torch.where((margin < lowest)[:, None], tokens, best)
            lowest = torch.minimum(margin, lowest)
        return Perturbed(best, forwards=forwards, backwards=np.zeros(len(inputs)))

    @staticmethod
    def _gaps(model: Any, trials: Any, labels: Any, rival: Any) -> Any:
        """(N, A, B) true logit less the rival's, of sentences (N, A, B, L)."""
        logits = _logits(model, trials.flatten(0, 2)).view(*trials.shape[:3], -1)
        return (
            logits.gather(3, labels.view(-1, 1, 1, 1).expand(*trials.shape[:3], 1))[..., 0]
            - (logits.gather(3, rival.view(-1, 1, 1, 1).expand(*trials.shape[:3], 1))[..., 0])
        )


def _of_successes(rows: Any) -> np.ndarray:
    """Tokens replaced, where that misled."""
    return np.where(rows["success"].to_numpy(bool), rows["norm_l0"].to_numpy(float), np.nan)


def _closed(rows: Any) -> np.ndarray:
    """What the attack left of the clean margin."""
    found: np.ndarray = (rows["margin"] - rows["margin_clean"]).to_numpy(float)
    return found


def _swaps(tokens: Any) -> Any:
    """(N, L, V', L): every sentence with each of its tokens replaced by each plain word."""
    import torch

    n, length = tokens.shape
    found = tokens[:, None, None].expand(n, length, len(PLAIN), length).clone()
    at = torch.arange(length)
    found[:, at, :, at] = torch.as_tensor(PLAIN, device=tokens.device)
    return found


@attacks.register("toy-random-swap")
class ToyRandomSwap(Swap):
    """As many random tokens replaced by random ones."""

    control: ClassVar[bool] = True
    random: ClassVar[bool] = True
    knowledge: ClassVar[Any] = "none"
    cost: ClassVar[str] = "none"
    source: ClassVar[str] = "control: random tokens"

    def run(self, model: Any, inputs: Any, labels: Any, *, eps: Any, generator: Any, fitted: Any = None) -> Perturbed:
        import torch

        length = inputs.shape[1]
        order = generator.uniform((length,)).to(inputs.device).masked_fill(inputs == PAD, 2.0).argsort(1)
        chosen = torch.zeros_like(inputs, dtype=torch.bool).scatter_(1, order[:, : round(self.budget(eps))], True)
        words = torch.as_tensor(PLAIN)[generator.integers((length,), 0, len(PLAIN))].to(inputs.device)
        none = np.zeros(len(inputs))
        return Perturbed(torch.where(chosen & (inputs != PAD), words, inputs), forwards=none, backwards=none)


# -- explanations --------------------------------------------------------------------------------------------------


@explainers.register("toy-leave-one-out")
class ToyLeaveOneOut(Explainer):
    """What the target's logit loses when a token becomes ``<unknown>``."""

    accepts: ClassVar[tuple[str, ...]] = (TOKENS,)
    source: ClassVar[str] = "leave one out"

    def explain(self, model: Any, inputs: Any, targets: Any, *, generator: Any) -> Any:
        import torch

        n, length = inputs.shape
        trials = inputs[:, None].expand(n, length, length).clone()
        at = torch.arange(length)
        trials[:, at, at] = UNKNOWN
        without = _logits(model, trials.flatten(0, 1)).gather(1, targets.repeat_interleave(length).view(-1, 1))
        whole = _logits(model, inputs).gather(1, targets.view(-1, 1))
        return (whole - without.view(n, length)).float().masked_fill(inputs == PAD, 0.0)


@metrics.register("toy-evidence")
class ToyEvidence(Metric):
    """Share of the positive relevance that lies on words of the true topic; NaN where nothing is positive."""

    accepts: ClassVar[tuple[str, ...]] = (TOKENS,)
    needs_masks: ClassVar[bool] = True
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "localisation"
    range: ClassVar[str] = "[0, 1]"

    def score(self, explained: Explained) -> Any:
        positive = explained.attributions.double().clamp(min=0)
        assert explained.masks is not None
        return (positive * explained.masks).sum(1) / positive.sum(1)


@metrics.register("toy-drop")
class ToyDrop(Metric):
    """What the target's logit loses when the most relevant token becomes ``<unknown>``."""

    accepts: ClassVar[tuple[str, ...]] = (TOKENS,)
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "faithfulness"

    def score(self, explained: Explained) -> Any:
        top = explained.attributions.argmax(1, keepdim=True)
        without = _logits(explained.model, explained.inputs.scatter(1, top, UNKNOWN))
        at = explained.targets.view(-1, 1)
        return (explained.logits.double().gather(1, at) - without.gather(1, at))[:, 0]
