"""Dutch."""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    # --- numbers and dates
    "number.marks": ".,",
    "date.months": "januari februari maart april mei juni juli augustus september oktober november "
    "december",
    "date.months_short": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "date.weekdays": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "date.weekdays_short": "ma di wo do vr za zo",
    "date.long": "{weekday} {day} {month} {year}",
    "date.short": "{day} {month}",
    "date.short_year": "{day} {month} {year}",
    "date.month": "{month} {year}",
    "date.moment": "{date}, {clock}",
    "duration.second": "{n} seconde|{n} seconden",
    "duration.minute": "{n} minuut|{n} minuten",
    "duration.hour": "{n} uur|{n} uur",
    "duration.day": "{n} dag|{n} dagen",
    "list.and": "{first} en {last}",
    "slots": "{n} kwartier|{n} kwartieren",
    "slot.names": "kwartieren=tijdvakken kwartier=tijdvak Kwartieren=Tijdvakken Kwartier=Tijdvak",
    "never": "nog nooit",
    "unknown": "onbekend",
    # --- around the pages
    "skip": "Naar de inhoud",
    "nav.name": "Pagina’s",
    "nav.now": "Nu",
    "nav.days": "Dagen",
    "nav.meters": "Meters",
    "nav.exchange": "Beurs",
    "nav.events": "Gebeurtenissen",
    "nav.help": "Hulp",
    "nav.technical": "Techniek",
    "gone.what": "De gateway antwoordt niet",
    "gone.do": "Wat hier stond, geldt niet meer. Deze pagina probeert het vanzelf opnieuw. Duurt "
    "het langer: heeft het kastje stroom, en zit dit apparaat in hetzelfde netwerk?",
    "notice.home": "Naar de eerste pagina",
    "notice.missing": "Deze pagina is er niet",
    "notice.missing_what": "Daarvan is niets bewaard, of het adres klopt niet.",
    "notice.unreadable": "Dit is nu niet te lezen",
    "notice.unreadable_do": "De meters worden wel gewoon gelezen. Probeer het over een minuut nog "
    "eens.",
    # --- login
    "login.title": "Deze pagina vraagt om haar token",
    "login.token": "Token",
    "login.in": "Openen",
    "login.out": "Afmelden",
    "login.where": "Het staat op het kastje; dit laat zien waar:",
    "login.wrong": "Dat is niet het token.",
    "login.wait": "Te veel verkeerde tokens. Wacht een minuut.",
    # --- how it all is
    "mood.well": "Alles is in orde",
    "mood.starting": "Net gestart",
    "mood.accepted": "De beurs heeft alles tot {clock} aangenomen.",
    "mood.behind": "Nog niet zo ver als andere: {titles}.",
    "mood.meters": "De meter antwoordt.|{heard} van {n} meters antwoorden.",
    "mood.no_meters": "Er is nog geen meter ingesteld: sudo meter-gateway init",
    "mood.heard": "{heard} van {n} meter heeft geantwoord.|{heard} van {n} meters hebben "
    "geantwoord.",
    "mood.first_slot": "Het eerste hele kwartier begint om {clock}.",
    # --- now
    "now.title": "Nu",
    "now.quarters": "Vandaag, elk kwartier",
    "now.latest": "De laatste kwartieren",
    "now.whole_day": "De hele dag",
    "today.title": "Vandaag tot nu toe",
    "today.nothing": "Van vandaag is nog geen kwartier afgesloten.",
    "flow.nothing": "Er meldt zich nog geen meter.",
    "flow.unknown": "geen waarde",
    "flow.since": "geen waarde sinds {clock}",
    "flow.was": "was {power} om {clock}",
    "flow.node": "{title}: {power}",
    "flow.name": "Vermogen nu. {nodes}",
    "flow.more": "nog {n}|nog {n}",
    "flow.house.in": "verbruikt {power}",
    "flow.house.out": "geeft {power}",
    "flow.house.still": "{power}",
    "flow.sun.in": "neemt {power}",
    "flow.sun.out": "wekt {power} op",
    "flow.sun.still": "{power}",
    "flow.grid.in": "{power} van het net",
    "flow.grid.out": "{power} teruglevering",
    "flow.grid.still": "{power}",
    "flow.grid.title.in": "Van het net",
    "flow.grid.title.out": "Teruglevering",
    "flow.battery.in": "laadt met {power}",
    "flow.battery.out": "geeft {power}",
    "flow.battery.still": "{power}",
    "flow.other.in": "verbruikt {power}",
    "flow.other.out": "geeft {power}",
    "flow.other.still": "{power}",
    "sums.used": "Verbruikt",
    "sums.sun": "Van de zon",
    "sums.from_grid": "Van het net",
    "sums.to_grid": "Teruggeleverd",
    "sums.used_here": "{share} zelf verbruikt",
    "sums.yesterday": "gisteren rond deze tijd {energy}",
    "sums.split": "{share} daarvan kwam van het eigen dak of de accu",
    "sums.peak": "Hoogste kwartier van de maand: {power} van het net, {when}",
    "sums.coverage": "{share} van de tijd is bekend; de rest telt hier niet mee.",
    # --- charts and tables
    "chart.home": "{day}, per kwartier: verbruikt boven de lijn, teruggeleverd eronder",
    "chart.about": "Verbruikt {used}, teruggeleverd {sent}. De tabel heeft dezelfde getallen.",
    "chart.asset": "{title}, {day}, per kwartier",
    "chart.asset_about": "In totaal {total}. De tabel heeft dezelfde getallen.",
    "chart.month": "{month}, per dag",
    "legend.sun": "van de zon",
    "legend.from": "van het net",
    "legend.to": "teruggeleverd",
    "legend.house": "verbruikt",
    "legend.battery": "accu",
    "legend.other": "energie",
    "legend.e": "deels geschat",
    "legend.p": "deels gemeten",
    "legend.x": "onbekend",
    "legend.expected": "verwacht",
    "legend.da": "aangenomen",
    "legend.ds": "verzonden, nog geen antwoord",
    "legend.dw": "wacht",
    "legend.dr": "geweigerd",
    "legend.dl": "niet geleverd",
    "legend.do": "nog niet volledig",
    "energy.used": "verbruikt {energy}",
    "energy.sun_here": "{energy} van de zon",
    "energy.from_grid": "{energy} van het net",
    "energy.to_grid": "{energy} teruggeleverd",
    "quality.m": "door de meter gelezen",
    "quality.e": "deels geschat",
    "quality.p": "deels gemeten",
    "quality.x": "onbekend",
    "quality..": "nog niet afgesloten",
    "delivery.a": "aangenomen",
    "delivery.s": "verzonden, nog geen antwoord",
    "delivery.w": "wacht",
    "delivery.r": "geweigerd",
    "delivery.l": "niet geleverd",
    "delivery.o": "nog niet volledig",
    "delivery.k": "blijft hier",
    "delivery..": "–",
    "table.slot": "Kwartier",
    "table.start": "Begin",
    "table.known": "Herkomst",
    "table.exchange": "Beurs",
    "table.sum": "Som",
    "table.day": "Dag",
    "table.covered": "Bekend",
    "table.value": "Waarde",
    "table.now": "Nu",
    "table.asset": "Asset",
    "table.became": "Wat ervan werd",
    "table.reason": "Reden",
    "table.meter": "Meter",
    "table.profile": "Profiel",
    "table.samples": "Metingen",
    "table.remarks": "Opmerkingen",
    "table.line": "Lijn",
    "table.state": "Toestand",
    "table.carries": "Belasting",
    "table.meters": "Meters",
    "table.next": "Volgende",
    "table.last_expected": "Laatst",
    "table.off_by": "Afwijking",
    "table.naive": "Eenvoudige methode",
    "table.inside": "Binnen de band",
    "table.how": "Hoe",
    "table.market": "Markt",
    "table.fee": "Tarief",
    "table.next_fee": "Volgend tarief",
    "table.why": "Waarom",
    # --- days and months
    "day.sums": "Sommen",
    "day.home": "Hele huis",
    "day.switch": "Energie van",
    "day.chart": "{title}: {total}",
    "day.nothing": "Van deze dag is niets bewaard.",
    "day.shorter": "Op deze dag ging de klok vooruit: hij heeft {n} kwartieren.",
    "day.longer": "Op deze dag ging de klok terug: hij heeft {n} kwartieren.",
    "day.table": "{day}, kwartier voor kwartier",
    "day.csv": "CSV downloaden",
    "day.as_table": "Als tabel",
    "day.numbers": "Alle getallen",
    "month.chart": "Elke dag",
    "month.nothing": "Van deze maand is niets bewaard.",
    # --- a slot
    "slot.why": "Waarom {energy}?",
    "slot.why_unknown": "Waarom is het onbekend?",
    "slot.unknown": "Niemand weet wat {title} tussen {begin} en {end} had.",
    "slot.did.house": "{title} verbruikte {energy} tussen {begin} en {end}.",
    "slot.did.sun": "{title} wekte {energy} op tussen {begin} en {end}.",
    "slot.did.grid": "Tussen {begin} en {end} kwam {energy} van het net.",
    "slot.did.grid.gave": "Tussen {begin} en {end} werd {energy} teruggeleverd aan het net.",
    "slot.did.battery": "{title} nam {energy} op tussen {begin} en {end}.",
    "slot.did.battery.gave": "{title} gaf {energy} af tussen {begin} en {end}.",
    "slot.did.other": "{title} verbruikte {energy} tussen {begin} en {end}.",
    "slot.did.other.gave": "{title} gaf {energy} af tussen {begin} en {end}.",
    "slot.beside": "Ondertussen: {parts}.",
    "slot.beside.sun": "{energy} van de zon",
    "slot.beside.from_grid": "{energy} van het net",
    "slot.beside.to_grid": "{energy} teruggeleverd",
    "slot.known.measured": "De meters hebben het zelf gemeten.",
    "slot.known.estimated": "Een deel ervan is geschat, omdat een meter een tijd niet antwoordde; "
    "de som is toch die van de meter.",
    "slot.known.partial": "Maar een deel ervan is gemeten; het wordt niet geleverd.",
    "slot.known.missing": "Geen meter heeft zich ondertussen gemeld.",
    "slot.imported": "Het is van elders overgenomen.",
    "slot.expected": "Verwacht was {energy}.",
    "slot.power": "Vermogen van {meter} ondertussen",
    "slot.power_name": "Vermogen van {meter} in dit kwartier",
    "slot.gap": "Geen antwoord {since}–{until}.",
    "slot.ticks": "{n} stap van het telwerk is aangegeven.|{n} stappen van het telwerk zijn "
    "aangegeven.",
    "slot.term.import": "{meter}: afname",
    "slot.term.export": "{meter}: teruglevering",
    "slot.register_at": "Stand {clock}",
    "slot.difference": "Verschil",
    "slot.beyond": "Fijner dan het telwerk",
    "slot.energy": "Energie",
    "slot.samples": "{samples} metingen",
    "slot.of": "{n} van {all}",
    "slot.longest_gap": "langste gat {time}",
    "slot.covered": "{share} gedekt",
    "slot.serial": "Serienummer",
    "slot.serial_short": "nr. {number}",
    "slot.doubts": "twijfel: {doubts}",
    "slot.clock": "klok {clock}",
    "slot.revision": "Correcties",
    "slot.sum": "De som",
    "slot.formula": "Formule",
    "slot.with_numbers": "Met getallen",
    "slot.sent": "Wat ervan is verzonden",
    "slot.not_sent": "Er is niets van verzonden.",
    "slot.delivery": "{destination}: {energy}",
    "slot.forecast": "voorspelling",
    "slot.revised": "correctie {n}|correctie {n}",
    "slot.sent_at": "verzonden {clock}",
    "slot.attempts": "{n} poging|{n} pogingen",
    "slot.confirmed": "om {clock} nagevraagd: daar staat hetzelfde getal",
    "slot.held": "daar staat {energy}",
    "slot.answer": "Antwoord",
    "slot.reason": "Reden",
    "slot.events": "Wat er ondertussen gebeurde",
    "method.counter": "het telwerk, verfijnd met het vermogen",
    "method.register": "alleen het telwerk",
    "method.power": "alleen het vermogen, tot het telwerk meer zegt",
    # --- meters
    "meters.none": "Er is nog geen meter ingesteld. Op het kastje: sudo meter-gateway init",
    "meters.heard": "{share} van de laatste 24 uur bereikbaar",
    "meters.availability": "{meter}: hoe goed hij in elk van de laatste 24 uur bereikbaar was",
    "meters.strip": "Hoe goed hij in elk van de laatste 24 uur bereikbaar was",
    "meter.answers": "antwoordt",
    "meter.silent": "zwijgt",
    "meter.never": "nog niet gehoord",
    "meter.asleep": "slaapt",
    "meter.no_value": "geen waarde",
    "meter.was": "was {power} om {clock}",
    "meter.draws": "afname",
    "meter.gives": "teruglevering",
    "meter.imported": "Afname totaal",
    "meter.exported": "Teruglevering totaal",
    "meter.about": "Deze meter",
    "meter.name": "Naam",
    "meter.interval": "Uitgelezen",
    "meter.every": "elke {time}",
    "meter.last": "Laatste antwoord",
    "meter.errors": "Fouten in het laatste uur",
    "meter.last_error": "Laatste fout",
    "meter.day": "De laatste 24 uur",
    "meter.power_name": "{meter}: vermogen in de laatste 24 uur",
    "meter.no_power": "Van de laatste 24 uur is geen vermogen bekend.",
    "meter.profile": "Profiel",
    "meter.line": "Lijn",
    "meter.carries": "Belasting",
    "meter.values": "Alle waarden",
    "meter.technical_more": "Profiel, lijn, alle waarden",
    # --- the exchange
    "exchange.none": "Van hier wordt niets geleverd. Alle kwartieren worden bewaard.",
    "exchange.it": "De beurs",
    "exchange.all_until": "Alles tot {clock} is aangenomen.",
    "exchange.some_until": "Alles is aangenomen {parts}.",
    "exchange.until": "tot {clock} ({titles})",
    "exchange.nothing_yet": "Er is nog niets aangenomen.",
    "exchange.waits": "Er wachten {waiting}.",
    "exchange.never_late": "Ze kunnen niet te laat komen.",
    "exchange.by": "Het eerste moet voor {clock} zijn aangenomen.",
    "exchange.state": "Toestand",
    "exchange.success": "Laatst gelukt",
    "exchange.next_try": "Volgende poging",
    "exchange.error": "Laatste fout",
    "exchange.read_back": "Nagevraagd",
    "exchange.same": "{n} getal is daar hetzelfde.|{n} getallen zijn daar hetzelfde.",
    "exchange.differs": "{n} antwoord week af.|{n} antwoorden weken af.",
    "exchange.disputed": "{n} is daar nog anders.|{n} zijn daar nog anders.",
    "exchange.verdicts": "Eigen oordeel",
    "exchange.url": "Adres",
    "exchange.dialect": "Dialect",
    "exchange.week": "De laatste zeven dagen",
    "exchange.refused": "Geweigerd of niet geleverd",
    "exchange.refused_do": "Allemaal, en waarom:",
    # --- events
    "events.none": "Er is niets gebeurd dat iemand moet weten.",
    "events.all": "Alle",
    "events.filter": "Van welke meter",
    "events.older": "Oudere",
    "events.day": "naar die dag",
    "event.glitch": "Ongeloofwaardige aflezing",
    "event.rollover": "Het telwerk ging door nul",
    "event.reset": "Het telwerk werd teruggezet",
    "event.jump": "Het telwerk sprong",
    "event.confirmed": "Een twijfel is opgelost",
    "event.swap": "De meter werd vervangen",
    "event.profile": "Het profiel van de meter werd veranderd",
    "event.slots": "Kwartieren zijn gecorrigeerd",
    "event.gap": "Een tijd was er niets te horen",
    "event.clock": "De klok werd gezet",
    "event.clash": "Twee getallen voor één kwartier",
    # --- technical
    "technical.reasons": "In de woorden van het programma",
    "technical.machine": "Deze gateway",
    "technical.version": "Versie",
    "technical.site": "Locatie",
    "technical.started": "Draait sinds",
    "technical.clock": "Klok",
    "technical.trusted": "klopt",
    "technical.not_trusted": "onzeker",
    "technical.clock_step": "Laatst gezet met",
    "technical.slot": "Slot",
    "technical.zone": "Tijdzone",
    "technical.store": "Wat bewaard is",
    "technical.state": "Toestand",
    "technical.file": "Bestand",
    "technical.size": "Grootte",
    "technical.bytes": "{used} van {most} MB",
    "technical.samples": "Metingen",
    "technical.slots": "Slots",
    "technical.unflushed": "Nog niet geschreven",
    "technical.written": "Geschreven per dag",
    "technical.left_out": "In geen slot",
    "technical.unallocated": "{n} regel|{n} regels",
    "technical.lines": "Lijnen",
    "technical.glitches": "{n} ongeloofwaardige aflezing|{n} ongeloofwaardige aflezingen",
    "technical.errors": "{n} fout sinds de start, de laatste: {last}|{n} fouten sinds de start, "
    "de laatste: {last}",
    "technical.checksum": "controlegetal: {checksum}",
    "technical.clock_offset": "zijn klok loopt {seconds} s voor",
    "technical.cross_check": "{energy} ten opzichte van {name}",
    "technical.unused": "{n} regel niet gebruikt: {listed}|{n} regels niet gebruikt: {listed}",
    "technical.forecasts": "Voorspellingen",
    "technical.came": "{expected} verwacht, {came} gekomen",
    "technical.over": "{energy} over {n} dag|{energy} over {n} dagen",
    "technical.fees": "Nettarieven",
    "technical.dry_run": "Een proef: er wordt geen tarief vastgesteld.",
    "technical.addresses": "Voor programma’s",
    "line.connected": "verbonden",
    "line.away": "geen verbinding",
    "line.silent": "verbonden, meter zwijgt",
    # --- help
    "help.link": "Wat dit betekent",
    "help.about": "Goed om te weten",
    "help.problems": "Als er iets mis is",
    "help.all": "Alle hulppagina’s",
    "help.contact": "Aan wie vragen",
    "topic.energy.title": "Hoe de energie bekend is",
    "topic.energy.help": """De meter telt zelf. Zijn telwerk zegt tot op de Wh wat erdoor is \
gegaan. \
De gateway leest het om de paar seconden en zegt hoeveel daarvan bij welk kwartier hoort.

- Door de meter gelezen: hij was de hele tijd te horen.
- Deels geschat: hij zweeg een tijd. De som is die van de meter; geschat is alleen \
wanneer precies.
- Deels gemeten: de gateway begon in dit kwartier, of een meter werd vervangen.
- Onbekend: er was niets te horen, en er wordt niets verzonnen.

± zegt hoeveel een getal ernaast kan zitten.""",
    "topic.privacy.title": "Wat het huis verlaat",
    "topic.privacy.help": """De energie van elk kwartier gaat naar de beurs van uw gemeenschap, en \
naar niemand anders, tenzij het kastje zo is ingesteld. Haar pagina laat zien wat is verzonden.

Vermogen, meterstanden en al het andere blijven op het kastje. Deze pagina laadt niets van het \
internet en zet geen cookie, behalve voor uw aanmelding.""",
    # --- problems
    "problem.meter_silent.title": "Een meter antwoordt niet",
    "problem.meter_silent.what": "De meter {subject} antwoordt sinds {since} niet.",
    "problem.meter_silent.what.never": "De meter {subject} heeft nog niet geantwoord ({reason}).",
    "problem.meter_silent.itself": "Hij telt zijn energie zelf; die wordt aangevuld zodra hij "
    "antwoordt.",
    "problem.meter_silent.do": "Duurt het langer dan tot {until}: controleer zekering en kabel.",
    "problem.meter_silent.help": """Eerst gaat er niets verloren: de meter telt door, en zijn \
volgende antwoord zegt hoeveel erdoor is gegaan. Dat wordt verdeeld over de kwartieren ertussen.

Als het langer duurt:

- Staat het display van de meter aan? Zo niet: zijn zekering.
- Zit de kabel aan beide kanten vast, en de adapter in het kastje?
- Is er iets anders op dezelfde lijn aangesloten?

Deze opdracht op het kastje laat zien wat het hoort:

$ sudo meter-gateway read NAME""",
    "problem.meter_silent_long.title": "Een meter zwijgt te lang",
    "problem.meter_silent_long.what": "De meter {subject} antwoordt sinds {since} niet.",
    "problem.meter_silent_long.what.never": "De meter {subject} heeft nog nooit geantwoord "
    "({reason}).",
    "problem.meter_silent_long.itself": "Wat er sindsdien doorheen ging, is niet meer vanzelf \
over kwartieren "
    "te verdelen.",
    "problem.meter_silent_long.do": "Controleer zekering en kabel.",
    "problem.meter_silent_long.help": """De meter telt door, dus de som is niet verloren. Maar \
niemand kan meer zeggen in welke kwartieren die ging. Antwoordt de meter weer, dan wordt de som \
getoond als energie die in geen kwartier is.

Controleer zekering, kabel en adapter. Daarna kan iemand zeggen hoe de energie wordt verdeeld:

$ sudo meter-gateway allocate""",
    "problem.meter_unbelieved.title": "Een meter wordt niet geloofd",
    "problem.meter_unbelieved.what": "Wat de meter {subject} zegt, kan niet kloppen.",
    "problem.meter_unbelieved.itself": "Wat er ondertussen doorheen gaat, telt als energie "
    "die in geen kwartier valt.",
    "problem.meter_unbelieved.do": "{reason}",
    "problem.meter_unbelieved.help": """Elke aflezing wordt vergeleken met wat er doorheen kan \
zijn gegaan. \
Vele achter elkaar waren meer dan de meter kan dragen, of liepen terug. Meestal staat zijn \
hoogste vermogen te laag in het apparaatbestand, of zit er een andere meter op zijn plaats.""",
    "problem.line_away.title": "Een lijn is niet te openen",
    "problem.line_away.what": "Geen verbinding met {meters}: {subject} ({reason}).",
    "problem.line_away.itself": "De meters tellen door; de verbinding wordt vanzelf weer "
    "geprobeerd.",
    "problem.line_away.do": "Controleer de adapter of de netwerkkabel.",
    "problem.line_away.help": """Een lijn is de adapter of het netwerkadres waarlangs meters \
worden gelezen. Al haar meters zwijgen samen.

- Zit de USB-adapter erin, en knippert zijn lampje?
- Heeft de meter of zijn gateway in het netwerk nog hetzelfde adres?
- Gebruikt een ander programma dezelfde poort?

$ sudo meter-gateway doctor""",
    "problem.line_away_long.title": "Een lijn is te lang weg",
    "problem.line_away_long.what": "Geen verbinding met {meters}: {subject} ({reason}).",
    "problem.line_away_long.itself": "Wat er sinds {since} doorheen ging, is niet meer vanzelf \
over kwartieren "
    "te verdelen.",
    "problem.line_away_long.do": "Controleer de adapter of de netwerkkabel.",
    "problem.line_away_long.help": """De meters tellen door, dus de sommen zijn niet verloren. \
Maar niemand kan meer zeggen in welke kwartieren die gingen.

- Zit de USB-adapter erin, en knippert zijn lampje?
- Heeft de meter of zijn gateway in het netwerk nog hetzelfde adres?

Antwoorden de meters weer, dan kan iemand zeggen hoe de energie wordt verdeeld:

$ sudo meter-gateway allocate""",
    "problem.line_too_slow.title": "Een lijn kan het niet bijhouden",
    "problem.line_too_slow.what": "Over de lijn {subject} zijn niet alle meters op tijd te lezen.",
    "problem.line_too_slow.itself": "De telwerken kloppen; het vermogen ertussen is grover.",
    "problem.line_too_slow.do": "Vraag de meters minder vaak, of verhoog de baudrate.",
    "problem.line_too_slow.help": """Alle meters van een lijn worden om de beurt gelezen. Samen \
hebben ze \
meer tijd nodig dan er is. Een langer interval in de apparaatbestanden, of een hogere baudrate \
bij meters en lijn, maakt ruimte.""",
    "problem.exchange_away.title": "De beurs antwoordt niet",
    "problem.exchange_away.what": "{subject} antwoordt niet (sinds {since}).",
    "problem.exchange_away.what.never": "{subject} heeft nog niet geantwoord ({reason}).",
    "problem.exchange_away.itself": "{waiting} wachten hier en worden vanzelf verzonden; geen is "
    "verloren.",
    "problem.exchange_away.do": "",
    "problem.exchange_away.help": """Er hoeft niets te gebeuren. Elk kwartier ligt op het kastje \
en gaat op volgorde weg zodra de beurs weer antwoordt.

Duurt het dagen: is er thuis internet? Zo ja, vraag uw gemeenschap of er aan de beurs wordt \
gewerkt.""",
    "problem.exchange_away_losing.title": "De beurs antwoordt niet, en neemt niets later aan",
    "problem.exchange_away_losing.what": "{subject} antwoordt niet (sinds {since}).",
    "problem.exchange_away_losing.what.never": "{subject} heeft nog niet geantwoord ({reason}).",
    "problem.exchange_away_losing.itself": "Kwartieren die nu voorbijgaan, zijn voor haar "
    "verloren; hier worden ze bewaard, om ze met de hand te uploaden.",
    "problem.exchange_away_losing.do": "Is er thuis internet? Zo ja, laat het uw gemeenschap "
    "weten.",
    "problem.exchange_away_losing.help": """Deze beurs neemt een getal alleen aan zolang zijn \
kwartier wordt verrekend. Wat ondertussen voorbijgaat, ligt hier en is met de hand te uploaden:

$ sudo meter-gateway export undelivered""",
    "problem.login_refused.title": "De beurs weigert onze aanmelding",
    "problem.login_refused.what": "{subject} neemt onze aanmelding niet aan.",
    "problem.login_refused.itself": "Hier wordt ondertussen alles bewaard.",
    "problem.login_refused.do": "Vraag uw gemeenschap om een nieuwe; dan: sudo meter-gateway init",
    "problem.login_refused.help": """De naam of het wachtwoord is veranderd, of het account is \
gesloten. Vraag uw gemeenschap om een nieuwe aanmelding. Die komt in het bestand met de \
aanmelding en geldt binnen een minuut.""",
    "problem.refuses_all.title": "De beurs weigert alles",
    "problem.refuses_all.what": "{subject} weigert alles sinds {since}: “{reason}”.",
    "problem.refuses_all.itself": "{waiting} worden hier bewaard en weer geprobeerd.",
    "problem.refuses_all.do": "Vraag uw gemeenschap of de assets daar nog van ons zijn.",
    "problem.refuses_all.help": """De beurs antwoordt en neemt niets aan. Meestal zijn de assets \
daar gewist of verplaatst, of is de markt stilgezet. Wat ze weigert, wordt bewaard en weer \
geprobeerd.

$ meter-gateway outbox""",
    "problem.refused.title": "De beurs heeft een getal geweigerd",
    "problem.refused.what": "{subject} heeft {count} geweigerd ({assets}): “{reason}”.",
    "problem.refused.itself": "Hier zijn ze bewaard.",
    "problem.refused.do": "Gebeurt het weer: laat uw gemeenschap zien wat er staat.",
    "problem.refused.help": """Sommige getallen zijn geweigerd, andere aangenomen. De pagina van \
een kwartier laat zien wat is verzonden en wat woord voor woord is geantwoord.

$ meter-gateway outbox""",
    "problem.too_late.title": "Een getal kwam te laat",
    "problem.too_late.what": "{count} kwamen te laat voor {subject} ({assets}).",
    "problem.too_late.itself": "Hier zijn ze bewaard; de volgende worden gewoon verzonden.",
    "problem.too_late.do": "Gebeurt het vaak: is de verbinding traag?",
    "problem.too_late.help": """De beurs neemt elk getal maar een tijd aan. Deze waren daarna \
klaar of zijn daarna verzonden. Ze zijn met de hand te uploaden:

$ meter-gateway export undelivered""",
    "problem.not_metered.title": "Een kwartier is niet helemaal gemeten",
    "problem.not_metered.what": "{count} zijn niet helemaal gemeten en niet geleverd ({assets}).",
    "problem.not_metered.itself": "Wat ervan bekend is, ligt hier.",
    "problem.not_metered.do": "Gebeurt het vaak: zwijgt een meter af en toe?",
    "problem.not_metered.help": """Een getal wordt alleen geleverd als het hele kwartier bekend \
is. Zweeg een meter te lang of werd hij vervangen, dan is het maar een deel. Zijn pagina laat \
zien welk.

Gebeurt het vaak, kijk dan naar de strook van de laatste 24 uur op de pagina van elke meter.""",
    "problem.disputed.title": "De beurs heeft andere getallen",
    "problem.disputed.what": "{subject} heeft andere getallen dan verzonden: {count}.",
    "problem.disputed.itself": "Ze zijn een tweede keer verzonden, en daar staan nog andere.",
    "problem.disputed.do": "Zie: meter-gateway verify",
    "problem.disputed.help": """Nadat ze een getal heeft aangenomen, wordt de beurs gevraagd wat \
ze heeft. Is dat een ander, dan wordt het nog eens verzonden. Deze zijn nog steeds anders.

$ meter-gateway verify""",
    "problem.verdicts_not_heard.title": "Het oordeel van de beurs is niet te horen",
    "problem.verdicts_not_heard.what": "{subject} neemt getallen aan; of haar markt ze telt, is "
    "nu niet te horen.",
    "problem.verdicts_not_heard.itself": "Ze worden toch verzonden; luisteren wordt weer "
    "geprobeerd.",
    "problem.verdicts_not_heard.do": "",
    "problem.verdicts_not_heard.help": """Het webadres van de beurs zegt ja tegen alles wat goed \
is geschreven. Of haar markt een getal heeft genomen, zegt ze later, over een andere verbinding. \
Die is er nu niet.""",
    "problem.asset_not_heard.title": "Het is niet bekend of getallen gelden",
    "problem.asset_not_heard.what": "{subject} neemt de getallen van {asset} aan en zegt niet of "
    "ze gelden.",
    "problem.asset_not_heard.itself": "Ze worden toch verzonden.",
    "problem.asset_not_heard.do": "Vraag uw gemeenschap of deze asset in de markt is.",
    "problem.asset_not_heard.help": """Het webadres van de beurs zegt ja tegen alles wat goed is \
geschreven. Of haar markt een getal heeft genomen, zegt ze later. Bij deze asset zegt ze het \
nooit: \
meestal is hij niet in de markt die draait.

$ meter-gateway exchange assets""",
    "problem.registry_differs.title": "De beurs kent een asset anders",
    "problem.registry_differs.what": "{subject} kent {asset} anders: {reason}.",
    "problem.registry_differs.itself": "",
    "problem.registry_differs.do": "Vergelijk: meter-gateway exchange assets",
    "problem.registry_differs.help": """Wat de configuratie van de asset zegt en wat de beurs \
zegt, is niet hetzelfde. Getallen kunnen daar verkeerd worden geboekt.

$ sudo meter-gateway exchange assets""",
    "problem.certificate_ends.title": "Een certificaat verloopt binnenkort",
    "problem.certificate_ends.what": "Het certificaat waaraan “{subject}” dit huis herkent, "
    "geldt nog maar tot {ends} ({file}).",
    "problem.certificate_ends.itself": "Tot dan geldt het.",
    "problem.certificate_ends.do": "Vraag uw gemeenschap om een nieuw en kopieer het over dat "
    "bestand.",
    "problem.certificate_ends.help": """De server van de gemeenschap herkent elk huis aan een \
certificaat, en dat geldt ongeveer een jaar. Een nieuw maakt de beheerder (fleet sites renew); het \
oude geldt tot zijn einde. Kopieer het nieuwe bestand over het bestand hier, leesbaar voor de \
gateway alleen. Het geldt vanaf de volgende verbinding, zonder herstart.""",
    "problem.certificate_ended.title": "Een certificaat is verlopen",
    "problem.certificate_ended.what": "Het certificaat waaraan “{subject}” dit huis herkent, "
    "gold tot {ends} ({file}).",
    "problem.certificate_ended.itself": "Hier wordt ondertussen alles bewaard.",
    "problem.certificate_ended.do": "Vraag uw gemeenschap om een nieuw en kopieer het over dat "
    "bestand.",
    "problem.certificate_ended.help": """De server van de gemeenschap laat niemand binnen van wie \
het certificaat verlopen is. Een nieuw maakt de beheerder (fleet sites renew). Kopieer het over \
het bestand hier, leesbaar voor de gateway alleen. Het geldt vanaf de volgende poging, binnen \
enkele minuten; dan wordt verzonden wat bewaard is.""",
    "problem.certificate_not_yet.title": "Een certificaat geldt nog niet",
    "problem.certificate_not_yet.what": "Het certificaat waaraan “{subject}” dit huis herkent, "
    "geldt vanaf {begins} ({file}).",
    "problem.certificate_not_yet.itself": "Hier wordt ondertussen alles bewaard.",
    "problem.certificate_not_yet.do": "Klopt de tijd van het kastje? Zo ja, vraag uw gemeenschap "
    "om een ander.",
    "problem.certificate_not_yet.help": """Elk certificaat geldt vanaf een dag. Of het kastje \
gelooft in een tijd die voorbij is, of de klok van wie het certificaat maakte, liep voor.

$ meter-gateway status""",
    "problem.broker_away.title": "De MQTT-broker is weg",
    "problem.broker_away.what": "De broker {subject} antwoordt niet ({reason}).",
    "problem.broker_away.itself": "Meters en leveringen hebben hem niet nodig; hij wordt weer "
    "geprobeerd.",
    "problem.broker_away.do": "",
    "problem.broker_away.help": """De huisautomatisering hoort ondertussen niets. Verder hangt er \
niets van af. Draait de broker, en heeft hij nog hetzelfde adres?""",
    "problem.clock_unknown.title": "Het kastje weet niet hoe laat het is",
    "problem.clock_unknown.what": "Het kastje weet nog niet hoe laat het is (het denkt: {now}).",
    "problem.clock_unknown.itself": "Meters worden gelezen; kwartieren ontstaan zodra de tijd "
    "klopt.",
    "problem.clock_unknown.do": "Is er internet?",
    "problem.clock_unknown.help": """Een Raspberry Pi heeft geen eigen klok. Na een start vraagt \
hij het internet. Tot dan worden aflezingen bewaard met de tijd sinds de start, en daarna \
gedateerd: er gaat niets verloren.

Duurt het langer: is er thuis internet, en laat de router NTP door?

$ timedatectl status""",
    "problem.disk.title": "Op de geheugenkaart kan niet worden geschreven",
    "problem.disk.what": "Op de geheugenkaart kan niet worden geschreven ({reason}).",
    "problem.disk.itself": "Aflezingen blijven een tijd in het geheugen; tot nu toe {in_memory}.",
    "problem.disk.do": "Maak ruimte vrij, of vervang de kaart.",
    "problem.disk.help": """Niets wat nu wordt gemeten, overleeft een stroomuitval. Een volle \
kaart heeft plaats nodig; een kapotte moet snel worden vervangen. Zo ontstaat een reservekopie:

$ sudo meter-gateway backup FILE""",
    "problem.buffer_damaged.title": "Het bestand met aflezingen is beschadigd",
    "problem.buffer_damaged.what": "Het bestand met aflezingen is beschadigd ({reason}).",
    "problem.buffer_damaged.itself": "Wat ervan te lezen was, is gered; de gateway gaat door.",
    "problem.buffer_damaged.do": "Vervang de geheugenkaart snel.",
    "problem.buffer_damaged.help": """Geheugenkaarten slijten, en stroomuitval beschadigt ze. De \
gateway is een nieuw bestand begonnen met wat van het oude te lezen was. De telwerken zijn van de \
meters zelf, dus de sommen kloppen.

$ sudo meter-gateway buffer""",
    "problem.broker_refused.title": "De MQTT-broker weigert onze aanmelding",
    "problem.broker_refused.what": "De broker {subject} weigert: “{reason}”.",
    "problem.broker_refused.itself": "Meters en leveringen hebben hem niet nodig.",
    "problem.broker_refused.do": "Verbeter de aanmelding in haar bestand.",
    "problem.broker_refused.help": """De naam of het wachtwoord is een ander, of de broker laat \
ons niet naar ons topic schrijven. Een verbeterd bestand geldt binnen een minuut.""",
    "problem.fees_away.title": "De markten van de beurs zijn niet te horen",
    "problem.fees_away.what": "{subject}: sinds {since} is geen tarief aangenomen ({reason}).",
    "problem.fees_away.itself": "De beurs gaat door met de tarieven van daarvoor.",
    "problem.fees_away.do": "",
    "problem.fees_away.help": """Het deel dat nettarieven vaststelt, heeft geen verbinding met de \
markten. Het probeert het vanzelf weer.

$ meter-gateway fees""",
    "problem.fees_not_set.title": "De tarieven van een markt worden niet vastgesteld",
    "problem.fees_not_set.what": "Nettarieven van {market}: {reason}.",
    "problem.fees_not_set.itself": "Andere markten gaan door.",
    "problem.fees_not_set.do": "Zie: meter-gateway fees",
    "problem.fees_not_set.help": """De configuratie noemt een markt waarvan de tarieven niet \
vast te stellen zijn: die is er niet, is niet van ons, of het tariefbestand ontbreekt.

$ meter-gateway fees""",
    "problem.fees_not_taken.title": "Een nettarief is niet aangenomen",
    "problem.fees_not_taken.what": "Het volgende tarief van {market} is niet aangenomen "
    "({reason}).",
    "problem.fees_not_taken.itself": "De beurs gaat door met het tarief van daarvoor.",
    "problem.fees_not_taken.do": "",
    "problem.fees_not_taken.help": """Het tarief dat voor het volgende kwartier is besloten, is \
niet dat wat de markt zal vragen. De technische pagina toont elke markt, haar tarief en waarom.

$ meter-gateway fees""",
    "problem.configuration.title": "De configuratie moet worden aangepast",
    "problem.configuration.what": "De configuratie moet worden aangepast.",
    "problem.configuration.itself": "Deze versie gaat er nog mee door.",
    "problem.configuration.do": "{reason}",
    "problem.configuration.help": """De volgende versie accepteert haar zo niet meer. Dit laat \
per bestand en regel zien wat er moet veranderen:

$ sudo meter-gateway check""",
    "problem.store_unread.title": "Wat was, is nu niet te lezen",
    "problem.store_unread.what": "Wat was, is nu niet te lezen.",
    "problem.store_unread.itself": "Meters worden toch gelezen, en kwartieren ontstaan.",
    "problem.store_unread.do": "{reason}",
    "problem.store_unread.help": """De pagina leest het bestand met aflezingen naast de gateway. \
Een ander programma kan het bezet houden, het kan beschadigd zijn of er nog niet zijn. Wat nu is, \
wordt toch getoond.

$ sudo meter-gateway doctor""",
}
