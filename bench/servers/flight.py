"""A row of a request as the peers with pydantic declare it."""

from __future__ import annotations

from pydantic import BaseModel


class Flight(BaseModel):
    """The inputs of the flights model."""

    carrier: str
    origin: str
    dest: str
    distance: int
    departs: float
    weekday: int
    plane_age: int | None
    seats: int | None
    manufacturer: str | None
    temp: float | None
    humid: float | None
    wind_speed: float | None
    precip: float | None
    pressure: float | None
    visib: float | None


class Flights(BaseModel):
    """The body of a request."""

    rows: list[Flight]
