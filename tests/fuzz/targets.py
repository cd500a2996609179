"""All fuzz targets, by name."""

from collections.abc import Mapping

from tests.fuzz import meters, registers, services, settings
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (*meters.TARGETS, *registers.TARGETS, *settings.TARGETS, *services.TARGETS)
}
