"""The list of paraphrases is what the page says of it: 200 sentences that mean a mission and are none."""

import csv
import re
from collections import Counter
from pathlib import Path

LIST = Path(__file__).parent.parent / "benchmarks" / "paraphrases.tsv"
with LIST.open() as file:
    SENTENCES = list(csv.DictReader(file, delimiter="\t"))
THING = r"(?:the|a) (?:(?:red|green|blue|purple|yellow|grey) )?(?:ball|box|key|object)"
PLACE = r"(?: (?:in front of you|behind you|on your left|on your right))?"
GRAMMAR = re.compile(rf"(?:go to|pick up) {THING}{PLACE}|put {THING} next to {THING}")


def test_there_are_two_hundred_different_ones_of_every_kind():
    assert len({one["paraphrase"] for one in SENTENCES}) == len(SENTENCES) == 200
    kinds = Counter(one["kind"] for one in SENTENCES)
    assert set(kinds) == {"verb", "filler", "order", "colour", "type", "all"}
    assert min(kinds.values()) >= 30


def test_each_means_a_mission_and_is_written_as_none():
    for one in SENTENCES:
        assert GRAMMAR.fullmatch(one["mission"]), one
        assert not GRAMMAR.fullmatch(one["paraphrase"].replace(",", "")), one


def test_every_colour_and_type_is_asked_for():
    asked = Counter(thing for one in SENTENCES for thing in re.findall(r"the (\w+ (?:ball|box|key))", one["mission"]))
    assert len(asked) == 18
    assert min(asked.values()) >= 10
