"""The configuration with `grid_operator:` in it.

Where that section is not there, nothing of this room is imported.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.settings_file import is_borrowed, unquoted
from drivers.strict_yaml import Mistake, Problem, nearest
from drivers.strict_yaml import Path as KeyPath
from gateway.delivery import kinds
from gateway.site import config
from gateway.site.settings import OperatorSection, Settings

if TYPE_CHECKING:
    from gateway.operator.model import Model
    from gateway.operator.settings import GridOperator
    from gateway.operator.settings import Settings as Keys


def load(folder: Path, *, logins: bool = True) -> Settings:
    """The settings of a configuration folder, with those of its destinations and of the grid
    operator. Raises ConfigError with every mistake of every file, tariff files among them.
    """
    return config.load(
        folder,
        logins=logins,
        decode_destination=kinds.decode_destination,
        decode_operator=decode_operator,
    )


def decode_operator(section: OperatorSection) -> "GridOperator | None":
    """What `grid_operator:` says. None where it has mistakes, which are noted."""
    from gateway.operator.settings import GridOperator
    from gateway.operator.settings import Settings as Keys

    keys = section.decode(Keys)
    if keys is None:
        return None
    mistakes = list(keys.check())
    section.report(mistakes)

    models = _Models(section, keys)
    own = {name: models.build(("models", name), data, [name]) for name, data in keys.models.items()}
    others = [name for name in keys.markets if name not in keys.models]
    default = models.build(("model",), keys.model, others if keys.markets else None)

    known = {name: model for name, model in own.items() if model is not None}
    if mistakes or default is None or len(known) < len(own) or section.site is None:
        return None
    return GridOperator(settings=keys, bounds=keys.bounds(), default=default, models=known)


class _Models:
    """Makes the models of a section. What is wrong with them is noted in its document."""

    def __init__(self, section: OperatorSection, keys: "Keys") -> None:
        from gateway.operator.tariffs.reading import Tariffs

        self._section = section
        self._keys = keys
        self._tariffs = Tariffs(section.folder, keys.fee_type)

    def build(
        self, path: KeyPath, data: dict[str, object], markets: list[str] | None
    ) -> "Model | None":
        """One model, for those markets (None: for whichever there are)."""
        from gateway.operator.model import Given, ModelError, TariffError
        from gateway.operator.models import model_names, model_of

        kind = str(data["kind"])
        if kind not in model_names():
            message = f"there is no tariff model {kind!r}"
            self._report(path, [Mistake(("kind",), message, nearest(kind, model_names()))])
            return None

        module = model_of(kind)
        settings = self._section.decode(
            module.Settings, path, {key: value for key, value in data.items() if key != "kind"}
        )
        if settings is None or self._section.site is None:
            return None
        mistakes = list(settings.check(self._section.site, self._keys.fee_type))
        self._report(path, mistakes)
        if mistakes:
            return None

        given = Given(
            fee_type=self._keys.fee_type,
            timezone=self._section.timezone,
            markets=markets,
            tariffs=self._tariffs,
        )
        try:
            model: Model = module.build(settings, given)
        except ModelError as error:
            self._report(path, error.mistakes)
            return None
        except TariffError as error:
            self._note(error.problems)
            return None
        return model

    def _report(self, path: KeyPath, mistakes: list[Mistake]) -> None:
        self._section.report([each._replace(path=(*path, *each.path)) for each in mistakes])

    def _note(self, problems: list[Problem]) -> None:
        """The mistakes of a tariff file, once, however many models name it."""
        path, folder = Path(problems[0].file), self._section.folder
        if is_borrowed(path, folder) and any(each.line or each.key for each in problems):
            problems = list(unquoted(problems, "a tariff file"))
        known = self._section.document.problems
        known.extend(each for each in problems if each not in known)
