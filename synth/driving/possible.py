"""What a header may say: labels and bins that contradict the road, or the manoeuvre that was asked for, are not drawn.

Every function gives a mask [n, tokens]. A manoeuvre that is not known ("" or missing) bounds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.cells import Field
from synth.driving.header import ABSENT, HAPPENS, NEEDS_ACTOR, NOBODY
from synth.driving.labels import BRAKE_OVER, HARD_BRAKE, HEADWAY, NEAR
from synth.driving.roles import ACTOR
from synth.driving.scenes import EGO
from synth.driving.situation import Situation

Mask = NDArray[np.bool_]
HARDER, SOFTER = HARD_BRAKE + 0.4, HARD_BRAKE - 1.0  # m/s^2: of who brakes hard, and of who must not seem to
EASY = 2.6  # m/s^2: mean braking over a stretch, of who must not seem to brake hard
ASIDE = 3.0  # m left to a vehicle beside which one changes into a lane
SOON = 1.4  # s: no near miss that was asked for comes earlier
INTO = 60.0  # m ahead within which nobody but the actor comes into the ego vehicle's lane
STAYS = ("free", "follow", "cut_in", "cut_out")  # manoeuvres in which the ego vehicle keeps its lane
QUIET = ("free", "follow", "cut_out", "lane_change")  # in which nobody comes into it


def is_in(shows: NDArray[np.str_], names: tuple[str, ...] | str) -> Mask:
    """Scenes [n, 1] that show one of some manoeuvres."""
    return np.asarray(np.isin(shows, names))[:, None]


def places(field: Field, now: Situation, slot: int, shows: NDArray[np.str_]) -> Mask:
    """Where the vehicle of a slot may be: on the road, and the actor where it can do what it does."""
    labels = field.labels
    side = np.array([0 if w == ABSENT else int(w.split()[0]) for w in labels])
    absent, ahead, past = (np.array([test(w) for w in labels]) for test in (
        lambda w: w == ABSENT, lambda w: "ahead" in w, lambda w: w.endswith("past")))
    lane = now.lane[:, EGO, None] + side
    fits = ((lane >= 0) & (lane < now.lanes[:, None])) | absent
    if slot == ACTOR:
        fits &= ~past
        fits &= ~(is_in(shows, NEEDS_ACTOR) & absent)
        fits &= ~(is_in(shows, ("cut_out", "follow")) & ~((side == 0) & ahead))
        fits &= ~(is_in(shows, "cut_in") & (side == 0))
        fits &= ~(is_in(shows, "near_miss") & (side != 0))
    else:
        beyond = (now.lane[:, [ACTOR]] == lane) & (ahead == (now.s[:, [ACTOR]] > 0)) & now.there[:, [ACTOR]]
        fits &= ~past | beyond
        between = (side == 0) & ~absent & ~past & (ahead == (now.s[:, [ACTOR]] > 0))
        close = is_in(shows, ("follow", "near_miss", "cut_out")) & (now.lane[:, [ACTOR]] == now.lane[:, [EGO]])
        fits = _rather(fits, ~(close & now.there[:, [ACTOR]] & between))  # nobody between ego vehicle and actor
    nowhere = ~fits.any(1)
    fits[nowhere] = absent
    return fits


def gaps(field: Field, now: Situation, slot: int, mate: NDArray[np.int64], ahead: Mask, shows: NDArray[np.str_]
         ) -> Mask:
    """How far ahead: who is followed is near enough at the start, and a free road is free."""
    fits = np.ones((len(shows), field.size), bool)
    leads = ahead & (now.lane[:, slot] == now.lane[:, EGO]) & (mate <= EGO)
    reach = HEADWAY * np.maximum(now.speed[:, EGO], 1.0)
    low, high = (np.array([np.nan, *ends]) for ends in (field.low, field.high))
    half = np.where(mate < 0, (now.length[:, EGO] + now.length[:, slot]) / 2, 0.0)  # a gap of centres
    with np.errstate(invalid="ignore"):
        free = (leads & (shows == "free"))[:, None] & ~(high - half[:, None] > reach[:, None])
        follow = (leads & (shows == "follow") & (slot == ACTOR))[:, None] & ~(low - half[:, None] < reach[:, None])
    fits &= ~(free | follow)
    fits[~fits.any(1)] = True
    return fits


def people(field: Field, now: Situation, so_far: dict[str, Any], shows: NDArray[np.str_]) -> Mask:
    """Who may be actor or braker; the field's labels are nobody and the slots."""
    slots = np.arange(len(field.labels)) - 1
    fits = np.concatenate([np.ones((len(shows), 1), bool), now.there], 1)
    if field.name == "braker":
        return np.where(is_in(shows, "hard_brake"), np.array(field.labels) == so_far["actor"][:, None], fits)
    fits &= ~(is_in(shows, NEEDS_ACTOR) & (slots != min(ACTOR, now.s.shape[1] - 1)))
    fits &= ~(is_in(shows, "lane_change") & (slots != EGO))
    fits &= ~(is_in(shows, "free") & (slots >= 0))
    leads = (now.lane == now.lane[:, [EGO]]) & (now.s > 0)
    seen = np.concatenate([np.zeros((len(shows), 1), bool), leads & (np.arange(now.s.shape[1]) == ACTOR)], 1)
    fits &= ~(is_in(shows, "hard_brake") & ~(seen | (slots == EGO)))
    fits[~fits.any(1)] = slots == -1
    return fits


def event(field: Field, now: Situation, so_far: dict[str, Any], shows: NDArray[np.str_], labels: tuple[str, ...]
          ) -> Mask:
    """Numbers of the event: there where something happens, and as hard as what is shown; ``labels`` are those of the
    slots."""
    fits = np.ones((len(shows), field.size), bool)
    if field.name == "onset":
        fits[np.isin(shows, HAPPENS), 0] = False
        return _rather(fits, ~is_in(shows, "near_miss") | np.append(False, np.array(field.low) > SOON))
    brakes = so_far["braker"] != NOBODY
    fits[:, 0] = ~brakes
    fits[:, 1:] &= brakes[:, None]
    if field.name == "depth":
        hard = np.append(False, np.array(field.high) > HARDER)
        soft = np.append(True, np.array(field.low) < SOFTER)
        if hard.any():
            fits &= ~is_in(shows, "hard_brake") | hard
        mine = (now.lane == now.lane[:, [EGO]]) | (np.arange(now.s.shape[1]) == min(ACTOR, now.s.shape[1] - 1))
        braker = np.array(labels)[None] == so_far["braker"][:, None]
        seen = is_in(shows, (*STAYS, "lane_change")) & (braker & mine).any(1)[:, None]
        fits &= ~seen | soft
    if field.name == "lasting":  # as long as it takes to be seen
        fits = _rather(fits, ~is_in(shows, "hard_brake") | np.append(True, np.array(field.low) > BRAKE_OVER))
    fits[~fits.any(1)] = True
    return fits


def free(now: Situation, slot: int, to: NDArray[np.int64], when: NDArray[np.float64]) -> Mask:
    """Whether there is room in lane ``to`` [n, m] at the time ``when`` [n, m], by the plans that are known."""
    half = (now.length + now.length[:, [slot]]) / 2
    gain = now.gain.mean(-1) * now.told
    when = when[..., None]
    speed = (now.speed - now.speed[:, [slot]])[:, None]
    away = (now.s - now.s[:, [slot]])[:, None] + speed * when + gain[:, None] / 2 * when**2
    lane = now.lane[:, None] + np.where(now.told[:, None] & (now.cross[:, None] <= when), now.turn[:, None], 0)
    others = (now.there & (np.arange(now.s.shape[1]) != slot))[:, None] & (lane == to[..., None])
    nearing = np.maximum(-np.sign(away) * speed, 0.0)
    return np.asarray(~(others & (np.abs(away) - half[:, None] < ASIDE + nearing)).any(-1))


def turns(field: Field, now: Situation, slot: int, shows: NDArray[np.str_], onset: NDArray[np.float64]) -> Mask:
    """Changes of lane that stay on the road and agree with what is shown; ``onset`` [n] is when an actor's happens."""
    turn = np.array([int(label) for label in field.labels])
    to, stay, wide = now.lane[:, slot, None] + turn, turn == 0, (now.lanes > 1)[:, None]
    fits = (to >= 0) & (to < now.lanes[:, None])
    room = stay | free(now, slot, to, np.repeat(np.nan_to_num(onset)[:, None], len(turn), 1))
    if slot == EGO:
        fits &= ~(is_in(shows, "lane_change") & stay & wide)
        fits &= ~(is_in(shows, (*STAYS, "near_miss")) & ~stay)
        fits = _rather(fits, ~is_in(shows, "lane_change") | room)
    else:
        into = (to == now.lane[:, [EGO]]) & ~stay & (now.s[:, [slot]] > 0) & (now.s[:, [slot]] < INTO)
        fits &= ~(is_in(shows, (*QUIET, "cut_in") if slot != ACTOR else QUIET) & into)
    if slot == ACTOR:
        comes = is_in(shows, "cut_in") & now.there[:, [slot]]
        fits = np.where(comes, to == now.lane[:, [EGO]], fits)
        fits &= ~(is_in(shows, "cut_out") & stay & wide)
        fits &= ~(is_in(shows, ("follow", "near_miss")) & ~stay)
        fits = _rather(fits, ~is_in(shows, "cut_out") | room)
    fits[~fits.any(1)] = stay
    return fits


def crossings(field: Field, now: Situation, slot: int, turn: NDArray[np.int64]) -> Mask:
    """When a line is crossed: rather while there is room on the other side."""
    fits = given(field, turn != 0)
    middle = (np.array(field.low) + np.array(field.high)) / 2
    room, cross = np.ones((len(turn), 1 + len(middle)), bool), np.flatnonzero(turn)  # most stay where they are
    to = np.repeat((now.lane[:, slot] + np.sign(turn))[cross, None], len(middle), 1)
    room[cross, 1:] = free(now.take(cross), slot, to, np.repeat(middle[None], len(cross), 0))
    return _rather(fits, room)


def profiles(field: Field, now: Situation, slot: int, shows: NDArray[np.str_], so_far: dict[str, Any],
             onset: NDArray[np.float64], half: float) -> Mask:
    """Mean accelerations: who is in the ego vehicle's lane does not brake hard unless that is shown, and the leader is
    as far ahead as what is shown needs: at the event, or at the end of the first ``half`` and late in the second (s).
    The ego vehicle's own are known."""
    fits = given(field, np.ones(len(shows), bool))
    lane = now.lane[:, slot] == now.lane[:, EGO]
    easy = np.append(False, np.array(field.low) > -EASY)
    fits = _rather(fits, ~(is_in(shows, (*STAYS, "lane_change")) & (lane | (slot == ACTOR))[:, None]) | easy)
    if slot == EGO:
        return fits
    second = field.name == "a1"
    cuts = np.isin(shows, ("cut_in", "cut_out")) & (slot == ACTOR)
    event = np.nan_to_num(onset)
    when = np.where(cuts, np.maximum(event, half) if second else np.minimum(event, half), (1.8 if second else 1) * half)
    bins = (np.array(field.low) + np.array(field.high)) / 2
    first = so_far["a0"][:, None] if second else bins[None]
    mine = now.gain[:, EGO]
    gap = (_way(now.speed[:, slot, None], first, bins[None], when[:, None], half) + now.s[:, slot, None]
           - _way(now.speed[:, [EGO]], mine[:, :1], mine[:, 1:], when[:, None], half)
           - (now.length[:, slot] + now.length[:, EGO])[:, None] / 2)
    early, late = np.minimum(when, half), np.maximum(when - half, 0)
    reach = HEADWAY * np.maximum(now.speed[:, EGO] + mine[:, 0] * early + mine[:, 1] * late, 1.0)[:, None]
    ahead = np.where(now.there & (now.lane == now.lane[:, [EGO]]) & (now.s > 0), now.s, np.inf)
    leads = (lane & (now.s[:, slot] > 0) & (now.s[:, slot] <= ahead.min(1)))[:, None]
    wish = ~(leads & is_in(shows, "free")) | (gap > 1.05 * reach)
    wish &= ~(leads & is_in(shows, "follow")) | ((gap < 0.9 * reach) & (gap > 0))
    wish &= ~cuts[:, None] | ((gap > ASIDE) & (gap < NEAR - ASIDE)) | (second & (event <= half))[:, None]
    return _rather(fits, np.concatenate([np.ones((len(shows), 1), bool), wish], 1))


def _way(speed: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64], when: NDArray[np.float64],
         half: float) -> NDArray[np.float64]:
    """Metres driven until ``when`` at one mean acceleration in the first ``half`` seconds, another after it."""
    early, late = np.minimum(when, half), np.maximum(when - half, 0)
    return speed * when + first * early * (early / 2 + late) + second * late**2 / 2


def _rather(fits: Mask, wish: Mask) -> Mask:
    """What fits and is wished, where there is any."""
    both = fits & wish
    return np.where(both.any(1, keepdims=True), both, fits)


def given(field: Field, wanted: Mask) -> Mask:
    """A number where it is ``wanted`` [n], none elsewhere."""
    return np.concatenate([~wanted[:, None], np.repeat(wanted[:, None], field.size - 1, 1)], 1)
