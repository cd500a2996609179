"""How SML meters are found: they push."""

from drivers.line import SerialSettings
from drivers.search import Heard

HEARD = (Heard(profile="sml/auto", serial=SerialSettings(baud=9600), order=20),)
