"""Finds the tools that serve a request in somebody's own words. Pure.

It is BM25 over weighted fields (BM25F), and some things that are true of APIs:

* names, titles and paths are cut into their words, which weigh most;
* a verb tells the HTTP method: who asks to delete something means a ``DELETE``;
* what the verb is about comes first: "add a comment to the issue" is about comments;
* words that people use for one another count less than the word itself, and share its rarity;
* a word that is nowhere is taken for a slip of one that is.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from typing import Final

from mcp_mount.search.entries import Entry, FieldWeights, weigh
from mcp_mount.search.spelling import Spelling
from mcp_mount.search.synonyms import ACTIONS, METHODS, RELATED, Action, expand_phrases
from mcp_mount.search.words import separate, split, stem, stems, without_values

_LONGEST: Final = 1_000
"""Characters of a request, a name or a path that are read."""
_MOST_WORDS: Final = 64
_MOST_TERMS: Final = 16
_MOST_WEIGHED: Final = 100
"""Tools that are looked at closely for one request."""
_MOST_INDEXED: Final = 100
"""Words that are kept of a tool, the weightiest; most have half as many."""
_MOST_COUNTED: Final = 100_000
"""Tools that are counted for one request, once for each word by which they may be meant."""
_QUESTIONS: Final = frozenset(
    ("what", "which", "who", "whose", "how", "why", "when", "where", "is", "are")
)
_NAMED: Final = re.compile(r"(?<=\s)[A-Z]\w+")
"""What people write with a capital letter amid a sentence, such as names of people."""
_VARYING: Final = re.compile(r"\{[^{}]*\}|/(v?\d+(\.\d+)*|latest)(?=/)|/$", re.IGNORECASE)
"""What of a path may differ where it leads to the same: parameters' names, a version, a slash."""


@dataclass(frozen=True, slots=True)
class Match:
    """A tool that was found, and which part of the request it covers, from 0 to 1."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Weights:
    """How much the parts of a request count.

    Half or twice of any of them finds about the same: they were chosen on some documents, and
    looked at on another one.
    """

    fields: FieldWeights = field(default_factory=FieldWeights)
    saturation: float = 1.0
    synonym: float = 0.55
    slip: float = 0.6
    verb: float = 0.5
    object: float = 1.2
    likely: float = 1.15
    unlikely: float = 0.77
    coverage: float = 0.6
    specific: float = 0.5
    shape: float = 0.06


@dataclass(frozen=True, slots=True)
class _Term:
    """A word of a request: the stems that stand for it, each by its weight, and its own."""

    alternatives: Mapping[str, float]
    weight: float
    is_verb: bool


@dataclass(frozen=True, slots=True)
class _Query:
    """A request. `action` is what it wants done; `wants_many`: it asks for a list of things."""

    terms: Sequence[_Term]
    action: Action | None
    wants_many: bool


class Ranker:
    """An index of tools."""

    def __init__(self, entries: Iterable[Entry], weights: Weights = Weights()) -> None:
        """Index the tools; this takes some tenths of a second for a thousand."""
        self._weights = weights
        self._entries = [*entries]
        self._postings: dict[str, dict[int, float]] = defaultdict(dict)
        for number, entry in enumerate(self._entries):
            weighed = weigh(entry, weights.fields)
            for term in nlargest(_MOST_INDEXED, weighed, key=weighed.__getitem__):
                strength = weighed[term] / (weighed[term] + weights.saturation)
                self._postings[term][number] = strength
        self._heads = [
            frozenset(stems(f"{each.name} {each.title}"[:_LONGEST])) for each in self._entries
        ]
        self._in_heads = frozenset().union(*self._heads)
        count = len(self._entries)
        self._rarity = {term: _rarity(len(found), count) for term, found in self._postings.items()}
        self._unknown = _rarity(0, count)
        self._many = max(50, count // 5)
        self._spelling = Spelling(self._postings)

    def search(
        self, query: str, allowed: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Match]:
        """Yield the tools that have anything to do with a request, the best first.

        Args:
            query: The request, in plain words.
            allowed: Whether a tool may be found.
        """
        read = self._read(query[:_LONGEST])
        scores, covered = self._score(read.terms)
        whole = sum(term.weight for term in read.terms)
        likely = nlargest(_MOST_WEIGHED, scores, key=scores.__getitem__)
        wanted = frozenset(stem for term in read.terms for stem in term.alternatives)
        factors = {
            number: self._factor(number, read, wanted, covered[number] / whole) for number in likely
        }
        likely.sort(key=lambda number: (-scores[number] * factors[number], number))
        for number in self._fold(likely):
            name = self._entries[number].name
            if allowed(name):
                yield Match(name, covered[number] / whole)

    def _read(self, query: str) -> _Query:
        weights = self._weights
        text = expand_phrases(separate(without_values(query)))
        words = [*split(text)]
        named = {stem(word.lower()) for word in _NAMED.findall(query)}
        terms: list[_Term] = []
        has_object = False
        for word in islice(dict.fromkeys(stems(text)), _MOST_WORDS):
            alternatives = self._alternatives(word)
            if word in named and word not in RELATED and word not in self._in_heads:
                # It is the value of an argument, such as somebody's name.
                continue
            is_verb = word in ACTIONS
            weight = weights.verb if is_verb else 1.0 if has_object else weights.object
            has_object = has_object or not is_verb
            terms.append(_Term(alternatives, weight * self._rarity_of(word, alternatives), is_verb))
        terms.sort(key=lambda term: -term.weight)
        actions = (ACTIONS[stem(word)] for word in words if stem(word) in ACTIONS)
        asks = bool(words) and words[0] in _QUESTIONS
        is_plural = any(word.endswith("s") and stem(word) != word for word in words)
        return _Query(
            terms=terms[:_MOST_TERMS],
            action=next(actions, "read" if asks else None),
            wants_many=is_plural or "list" in words or "all" in words,
        )

    def _alternatives(self, word: str) -> dict[str, float]:
        """Return the known stems that a word of a request may mean, by how likely that is."""
        weights, known = self._weights, self._postings
        found = {each: weights.synonym for each in RELATED.get(word, ()) if each in known}
        if word in known:
            return {word: 1.0, **found}
        return found or dict.fromkeys(self._spelling.suggest(word), weights.slip)

    def _rarity_of(self, word: str, alternatives: Iterable[str]) -> float:
        """Return how rare a word is, or else those that stand for it."""
        if (own := self._rarity.get(word)) is not None:
            return own
        return max((self._rarity[each] for each in alternatives), default=self._unknown)

    def _score(self, terms: Iterable[_Term]) -> tuple[dict[int, float], dict[int, float]]:
        """Return the scores of tools, by their numbers, and how much of the request they cover."""
        scores: dict[int, float] = defaultdict(float)
        covered: dict[int, float] = defaultdict(float)
        left = _MOST_COUNTED
        for term in terms:
            best: dict[int, float] = {}
            for word, likelihood in term.alternatives.items():
                found = self._postings[word]
                if len(found) > left:
                    # What tells the fewest tools apart is left out: the rarest words come first.
                    continue
                left -= len(found)
                for number, strength in found.items():
                    if (value := likelihood * strength) > best.get(number, 0.0):
                        best[number] = value
            if term.is_verb and scores and len(best) > self._many:
                # A verb that many tools have chooses among those that were found, and finds none.
                best = {number: best[number] for number in scores.keys() & best.keys()}
            for number, value in best.items():
                scores[number] += term.weight * value
                covered[number] += term.weight * min(1.0, 1.5 * value)
        return scores, covered

    def _factor(self, number: int, query: _Query, wanted: frozenset[str], covered: float) -> float:
        """Return how likely a tool is, beside the words that it shares with a request."""
        weights, entry, head = self._weights, self._entries[number], self._heads[number]
        factor = 1 - weights.coverage * (1 - covered)
        if head:
            # What else the name says, the request would have said too.
            factor *= 1 - weights.specific * len(head - wanted) / len(head)
        if query.action is not None and entry.method:
            is_likely = entry.method in METHODS[query.action]
            factor *= weights.likely if is_likely else weights.unlikely
        if query.action == "read" and entry.path:
            # A path that ends in a parameter leads to one thing.
            fits = entry.path.endswith("}") != query.wants_many
            factor *= 1 + weights.shape if fits else 1 - weights.shape
        return factor

    def _fold(self, ranked: Iterable[int]) -> Iterator[int]:
        """Yield the second of two tools that are one under two paths after all others."""
        seen: set[tuple[str, str, str]] = set()
        late = []
        for number in ranked:
            entry = self._entries[number]
            title = entry.title or entry.description[:200]
            twin = entry.method, title, _VARYING.sub("", entry.path[:_LONGEST])
            if title and entry.path and twin in seen:
                late.append(number)
            else:
                seen.add(twin)
                yield number
        yield from late


def _rarity(found: int, count: int) -> float:
    """Return the inverse document frequency, as BM25 has it."""
    return math.log(1 + (count - found + 0.5) / (found + 0.5))
