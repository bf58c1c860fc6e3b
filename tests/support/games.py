"""A program with a market of three zones, and games that operators add to it."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from engage.domain.games.certificate import verify
from engage.domain.games.definition import Game
from engage.domain.games.kind import GAME
from engage.domain.refusals import Refusal
from engage.flows.definitions.change import add_definition
from engage.flows.games.certificates import read_certificate
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest
from engage.flows.members.register import MemberRegistration, register_member
from engage.runtime.services import Services
from tests.support.programs import rule

ARCADE = "arcade"

DOCUMENT = """
id = "arcade"
version = "1"
title = "Games"
in_force_from = 2020-01-01
eligibility = { person_ref = "optional" }
expiry = { type = "rolling", months = 12 }
worth = { points = 1, minor = 1 }

[countries]
BF = { zone = "Africa/Ouagadougou", currency = "EUR" }
ES = { zone = "Europe/Madrid", currency = "EUR" }
IN = { zone = "Asia/Kolkata", currency = "INR" }

[[rewards]]
type = "coupon"
id = "coupon"
title = "A coupon"
points = 100
value_minor = 500
valid_for = "P10D"

[[rewards]]
type = "coupon"
id = "scarce"
title = "For two"
points = 100
value_minor = 500
stock = 2
""" + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2)


def prize(id_: str = "points", **changes: Any) -> dict[str, Any]:
    """A prize of ten points that every play wins."""
    values = {"id": id_, "title": {"en": f"Prize {id_}"}, "odds": "1/1", "stock": 1000, "points": 10}
    return {name: value for name, value in (values | changes).items() if value is not None}


def game(id_: str = "wheel", **changes: Any) -> Game:
    """A game of the week of the tests' NOON, in which every play wins, three times a day."""
    values = {
        "id": id_,
        "program": ARCADE,
        "title": {"en": "Wheel", "fr": "La roue"},
        "from": "2026-11-20T00:00:00",
        "until": "2026-11-27T00:00:00",
        "chances": {"count": 3, "window": "day"},
        "prizes": [prize()],
    }
    return msgspec.convert(values | changes, Game)


async def add_game(services: Services, added: Game | None = None) -> Game:
    added = added or game()
    await add_definition(services, GAME, added, operator="test")
    return added


async def players(services: Services, count: int, *, country: str = "BF") -> list[str]:
    names = [f"{country.lower()}-{n}" for n in range(count)]
    for name in names:
        await register_member(services, MemberRegistration(member_id=name, program=ARCADE, country=country))
    return names


async def try_play(
    services: Services, member_ids: Sequence[str], game_id: str = "wheel"
) -> list[GamePlayed | Refusal]:
    return await play(services, [PlayRequest(ARCADE, name, game_id, "en") for name in member_ids])


async def play_once(services: Services, member_id: str = "bf-0", game_id: str = "wheel") -> GamePlayed:
    (played,) = await try_play(services, [member_id], game_id)
    if isinstance(played, Refusal):
        raise played
    return played


async def certificate(services: Services, game_id: str = "wheel") -> dict[str, Any]:
    """The certificate of a game that has ended, which is right."""
    found: dict[str, Any] = json.loads(await read_certificate(services, ARCADE, game_id))
    wrong = verify(found)
    assert wrong == [], wrong[:3]
    return found
