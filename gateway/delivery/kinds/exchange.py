"""Kind `exchange`: the energy of assets, and forecasts of it, go to an energy exchange over HTTP,
in one of the dialects of gateway/outbox/dialects/.
"""

from gateway.delivery.destination import Destination, Policy
from gateway.delivery.http_session import Session
from gateway.delivery.http_transport import HttpTransport, HttpVerifier
from gateway.delivery.opening import Opening
from gateway.ledger.exchange_terms import exchange_terms
from gateway.outbox.dialect import ReadsBack
from gateway.outbox.dialects import load_dialect
from gateway.site.settings import Exchange

Settings = Exchange
"""`exchange:` in gateway.yaml has the same keys, so it is read where that file is."""


def open(settings: Settings, opening: Opening) -> Destination:
    """The exchange that the settings name, for every asset of the site."""
    site, slot_s = opening.site, opening.slot_s
    dialect = load_dialect(settings.dialect, str(settings.canary_network), slot_s)
    session = Session(
        settings.url,
        lambda: site.credentials(settings.credentials),
        settings.timeout,
        transport=opening.http,
    )
    return Destination(
        name=opening.name,
        kind=str(settings.dialect),  # JSON knows plain text only
        selects=exchange_terms(site, settings, dialect, opening.buffer, opening.name).selects,
        format=dialect,
        transport=HttpTransport(session, dialect),
        policy=Policy(
            slot_s=slot_s,
            margin_s=settings.margin,
            quiet_s=settings.quiet_s(site.site, slot_s),
            settlement_s=settings.settlement,
        ),
        verifies=HttpVerifier(session, dialect) if isinstance(dialect, ReadsBack) else None,
        name_of=opening.name_of,
    )
