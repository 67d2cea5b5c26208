"""Every constant of the embedded judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    # what a statement weighs in precision
    concept: float = 1.0
    drug: float = 2.0
    licensed: float = 0.5  # only in the dialogue, not a fact: neither padding nor invention
    body_site: float = 0.25
    number: float = 1.0
    term: float = 0.3  # an open word
    # cross-section: so many mentions of other sections' facts are free ("cough, likely asthma")
    cross_free: float = 0.75
    cross_share: float = 0.25  # and this many for each own fact stated
    misplaced: float = 0.25  # credit beyond that, when the fact is missing from its own section (0 when not)
    duplicate_weight: float = 2.0
    duplicate: float = 0.4  # each counts as so many inventions
    repeats: int = 2  # mentions of one concept in a section beyond this are worth nothing
    # invention
    invention_cost: float = 0.12  # score falls by 1 / (1 + cost * invented)
    contradiction: float = 2.0  # a statement against a fact counts as so many inventions
    free_words: float = 3.0  # unexplained content words that cost nothing
    free_word_share: float = 0.12  # and this share of the section's tokens
    # length: tokens over slack * expected + floor shrink the score as (limit / length) ** power
    length_slack: float = 1.5
    length_floor: float = 10.0
    length_power: float = 1.5
    # copying the dialogue
    echo_ngram: int = 7
    echo_free: int = 12  # copied tokens that cost nothing
    echo_from: float = 0.5  # share of the section inside common n-grams where the penalty starts
    echo_least: float = 0.1  # the factor at share 1
    speaker_tag: float = 0.5  # factor for each speaker tag
    # phrases without anything between them
    salad_from: float = 0.3  # share of bare neighbours where the penalty starts
    salad_least: float = 0.2
