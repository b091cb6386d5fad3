"""Whose turn it is among many, and answers as they come."""

import asyncio

from collectors.turns import Turns, as_answered


def test_all_get_their_turn_also_beside_those_that_are_wanted_first() -> None:
    turns, keys = Turns(4), {f"n{number}" for number in range(9)}
    rounds = [turns.chosen(keys, ["n8", "n7", "n6", "n5"], keys) for _ in range(6)]
    assert [chosen[:3] for chosen in rounds] == [["n8", "n7", "n6"]] * 6
    assert [chosen[3] for chosen in rounds] == ["n0", "n1", "n2", "n3", "n4", "n5"]
    assert turns.round == 6


def test_who_is_gone_is_forgotten_and_who_may_not_be_asked_waits() -> None:
    turns = Turns(1)
    assert turns.chosen({"a", "b"}, [], {"a", "b"}) == ["a"]
    assert turns.chosen({"a"}, [], {"a", "b"}) == ["a"], "b is not to be asked now"
    assert turns.chosen({"a", "b"}, ["x"], {"a", "b"}) == ["b"]
    turns.chosen({"b"}, [], {"b"})
    assert turns.chosen({"a", "b"}, [], {"a", "b"}) == ["a"], "a came anew"
    assert Turns(0).chosen({"a"}, ["a"], {"a"}) == []


async def test_the_quick_one_answers_first_and_who_leaves_ends_the_rest() -> None:
    ended: list[str] = []

    async def ask(name: str, gate: asyncio.Event) -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            ended.append(name)
            raise
        return name

    never, now = asyncio.Event(), asyncio.Event()
    now.set()
    answers = as_answered([ask("slow", never), ask("quick", now)])
    assert await anext(answers) == "quick"
    await answers.aclose()
    assert ended == ["slow"]
