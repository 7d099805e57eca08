"""The generator of scenes: a table for the listing, headers for its rows, and drivers who make a scene of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract import Contract
from synth.driving.header import Header
from synth.driving.labels import NEAR_MISS
from synth.driving.residual import Residual
from synth.driving.roles import cast, nearest_first
from synth.driving.scenes import MANOEUVRE, Scenes
from synth.driving.staging import NEAREST, realise
from synth.progress import Progress, Silent
from synth.records.conditions import Conditioning
from synth.seeds import derive
from synth.tabular.conditions import Allowed, Conditions, parse
from synth.tabular.schema import TableSchema

if TYPE_CHECKING:
    from synth.driving.headers import HeaderModel
    from synth.driving.model import DriverModel
    from synth.driving.plan import Plan
    from synth.tabular.generator import TableGenerator

LISTING, HEADER, DRIVERS, SCENES = "listing", "header", "drivers", "scenes.json"
FRICTION = 0.9  # of a dry road


@dataclass(frozen=True)
class SceneGenerator:
    """Draws headers, then drives a scene of each. Conditions hold in every row of the listing: it says what was asked
    for, and what the drivers made of it is for the gates to measure."""

    rows: TableGenerator
    headers: HeaderModel
    drivers: DriverModel
    header: Header
    conditioning: Conditioning
    listing: TableSchema
    friction: tuple[tuple[str, float], ...] = ()  # of a label of the column ``weather``
    channels: Residual | None = None  # what measured channels of telemetry add to the motion

    @classmethod
    def fit(cls, scenes: Scenes, schema: TableSchema, contract: Contract, *, seed: int, device: str,
            progress: Progress, checkpoints: Path | None = None) -> SceneGenerator:
        """Train on the train part: the listing's table under the contract's constraints, headers, then the drivers.

        ``schema`` describes ``scenes.table``; ``checkpoints`` is a folder that outlives an interruption, if it shall.
        """
        from synth.driving import recipes
        from synth.driving.headers import HeaderModel
        from synth.driving.model import DriverModel
        from synth.errors import UserError
        from synth.tabular.generator import TableGenerator

        if not len(scenes):
            raise UserError("there is nothing to train on: the training part has no scene")
        if checkpoints is not None:
            checkpoints.mkdir(parents=True, exist_ok=True)
        base = recipes.named(contract.training)
        effort = contract.training.effort
        scenes, header = cast(scenes), Header.fit(scenes, schema)
        first = dict.fromkeys(name for name in (MANOEUVRE, *contract.conditions, *schema.names) if name in schema.names)
        rows = TableGenerator.fit(
            scenes.table[schema.names].reset_index(drop=True), schema, contract.constraints,
            seed=derive(seed, "listing"), device=device, progress=progress,
            training=recipes.of_listing(base, scenes=len(scenes), effort=effort),
            checkpoint=checkpoints / "listing" if checkpoints else None, entities=scenes.entities,
            conditions=tuple(first), k=contract.k)
        conditioning = Conditioning.fit(scenes.table, schema, schema.names)
        friction = tuple((str(name), float(mu)) for name, mu in
                         (contract.traffic.friction if contract.traffic is not None else ()))
        asked, classes = conditioning.encode(scenes.table), _classes(scenes.table)
        headers = HeaderModel.fit(scenes, header, asked, classes, recipes.of_headers(
            base, scenes=len(scenes), effort=effort), seed=derive(seed, "header"), device=device, progress=progress,
            checkpoint=checkpoints / "header" if checkpoints else None, k=contract.k)
        frame = pd.concat([scenes.table[schema.names].reset_index(drop=True), header.describe(scenes)], axis=1)
        plan = _as_recorded(realise(header, frame, friction_of(scenes.table, friction), asked), scenes)
        recipe = recipes.resolve(base, scenes=len(scenes), effort=effort)
        drivers = DriverModel.fit(scenes.states, plan, classes, scenes.entities, scenes.shape, recipe,
                                  seed=derive(seed, "drivers"), device=device, progress=progress,
                                  checkpoint=checkpoints / "drivers" if checkpoints else None)
        channels, gained = Residual.fit(scenes, k=contract.k, seed=derive(seed, "telemetry"))
        if gained:
            drivers.history["telemetry"] = gained
        return cls(rows, headers, drivers, header, conditioning, schema, friction, channels)

    def draw(self, n: int, *, seed: int, where: Sequence[str] = (), balance: str | None = None,
             progress: Progress | None = None) -> Scenes:
        """``n`` scenes with their listing; each is an entity of its own. Equal seeds give equal bytes."""
        asked = near_misses(parse(where, self.listing), self.listing) if where else None
        table: pd.DataFrame = self.rows.sample(n, seed=derive(seed, "listing"), balance=balance, where=asked)
        drawn = self.headers.draw(table, self.conditioning.encode(table), friction_of(table, self.friction),
                                  seed=derive(seed, "header"))
        frame = pd.concat([table, drawn], axis=1)
        return self.drive(frame, seed=derive(seed, "drive"), progress=progress)

    def drive(self, frame: pd.DataFrame, *, seed: int, progress: Progress | None = None) -> Scenes:
        """A scene for each row of a frame with the listing's and the header's columns."""
        table = frame[self.listing.names].reset_index(drop=True)
        plan = realise(self.header, frame, friction_of(table, self.friction), self.conditioning.encode(table))
        states = self.drivers.drive(plan, seed=seed, progress=progress or Silent())
        made = Scenes(states=states, present=plan.present, sizes=plan.sizes, kinds=plan.kinds, road=plan.road,
                      table=table, entities=np.arange(len(table), dtype=np.int64), shape=self.header.shape)
        made = nearest_first(made)
        if self.channels is None:
            return made
        return replace(made, measured=self.channels.draw(made, seed=derive(seed, "telemetry")))

    def scores(self, scenes: Scenes) -> NDArray[np.float64]:
        """Mean log-likelihood [n] of each scene's drive given its own header: for attacks, private."""
        played = cast(scenes)
        return self.drivers.scores(played.states, self._plan(played))

    def plan(self, scenes: Scenes) -> Plan:
        """What is going to happen in given scenes, slots in the order of :func:`.roles.cast`."""
        return self._plan(cast(scenes))

    def _plan(self, scenes: Scenes) -> Plan:
        table = scenes.table[self.listing.names].reset_index(drop=True)
        frame = pd.concat([table, self.header.describe(scenes)], axis=1)
        return _as_recorded(realise(self.header, frame, friction_of(table, self.friction),
                                    self.conditioning.encode(table)), scenes)

    @property
    def history(self) -> dict[str, Any]:
        """How both were trained; the drivers' phases come first."""
        return {**self.drivers.history, "listing": self.rows.history, "header": self.headers.history}

    def save(self, folder: Path) -> None:
        """Write everything into a folder (private)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.save(folder / LISTING)
        self.headers.save(folder / HEADER)
        self.drivers.save(folder / DRIVERS)
        described = {"header": self.header.to_json(), "conditioning": self.conditioning.to_json(),
                     "listing": self.listing.to_json(), "friction": [list(pair) for pair in self.friction],
                     "channels": None if self.channels is None else self.channels.to_json()}
        (folder / SCENES).write_text(json.dumps(described, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> SceneGenerator:
        """Read what :meth:`save` wrote, onto any device."""
        from synth.driving.headers import HeaderModel
        from synth.driving.model import DriverModel
        from synth.tabular.generator import TableGenerator

        said = json.loads((folder / SCENES).read_text(encoding="utf-8"))
        return cls(TableGenerator.load(folder / LISTING, device), HeaderModel.load(folder / HEADER),
                   DriverModel.load(folder / DRIVERS, device), Header.from_json(said["header"]),
                   Conditioning.from_json(said["conditioning"]), TableSchema.from_json(said["listing"]),
                   tuple((a, float(b)) for a, b in said["friction"]),
                   Residual.from_json(said["channels"]) if said.get("channels") else None)



def near_misses(where: Conditions, listing: TableSchema) -> Conditions:
    """Conditions with what follows from them by the definition of a near miss: so little time to a collision is one,
    and one has so little."""
    columns = dict(where.columns)
    if not {NEAREST, MANOEUVRE} <= set(listing.names) or "near_miss" not in (listing[MANOEUVRE].values or ()):
        return where
    time, shows = columns.get(NEAREST), columns.get(MANOEUVRE)
    if time is not None and time.high < NEAR_MISS and shows is None:
        columns[MANOEUVRE] = Allowed(labels=frozenset(["near_miss"]))
    if time is None and shows is not None and shows.labels == {"near_miss"}:
        columns[NEAREST] = Allowed(high=NEAR_MISS - 0.01)
    return Conditions(columns)


def _as_recorded(plan: Plan, scenes: Scenes) -> Plan:
    """A plan that starts exactly as the scenes do."""
    return replace(plan, start=scenes.states[:, :, 0].copy(), present=scenes.present, sizes=scenes.sizes,
                   kinds=scenes.kinds, road=scenes.road)


def friction_of(table: pd.DataFrame, friction: tuple[tuple[str, float], ...]) -> NDArray[np.float32]:
    """Coefficient of friction [n] of each scene's weather; ``friction`` is the contract's, by label."""
    known = dict(friction)
    if "weather" not in table or not known:
        return np.full(len(table), FRICTION, np.float32)
    return table["weather"].map(known).fillna(FRICTION).to_numpy(dtype=np.float32)


def _classes(table: pd.DataFrame) -> NDArray[np.int64]:
    if MANOEUVRE not in table:
        return np.zeros(len(table), np.int64)
    return np.asarray(pd.factorize(table[MANOEUVRE])[0] + 1, dtype=np.int64)
