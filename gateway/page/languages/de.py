"""German."""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    # --- numbers and dates
    "number.marks": ".,",
    "date.months": "Januar Februar März April Mai Juni Juli August September Oktober November "
    "Dezember",
    "date.months_short": "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "date.weekdays": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "date.weekdays_short": "Mo Di Mi Do Fr Sa So",
    "date.long": "{weekday}, {day}. {month} {year}",
    "date.short": "{day}. {month}",
    "date.short_year": "{day}. {month} {year}",
    "date.month": "{month} {year}",
    "date.moment": "{date}, {clock}",
    "duration.second": "{n} Sekunde|{n} Sekunden",
    "duration.minute": "{n} Minute|{n} Minuten",
    "duration.hour": "{n} Stunde|{n} Stunden",
    "duration.day": "{n} Tag|{n} Tage",
    "list.and": "{first} und {last}",
    "slots": "{n} Viertelstunde|{n} Viertelstunden",
    "slot.names": "Viertelstunden=Zeitscheiben Viertelstunde=Zeitscheibe",
    "never": "noch nie",
    "unknown": "unbekannt",
    # --- around the pages
    "skip": "Zum Inhalt",
    "nav.name": "Seiten",
    "nav.now": "Jetzt",
    "nav.days": "Tage",
    "nav.meters": "Zähler",
    "nav.exchange": "Börse",
    "nav.events": "Ereignisse",
    "nav.help": "Hilfe",
    "nav.technical": "Technik",
    "gone.what": "Das Gateway antwortet nicht",
    "gone.do": "Was hier stand, gilt nicht mehr. Die Seite versucht es von selbst weiter. Dauert "
    "es an: Hat das Gerät Strom, und ist dieses Gerät im selben Netz?",
    "notice.home": "Zur ersten Seite",
    "notice.missing": "Diese Seite gibt es nicht",
    "notice.missing_what": "Davon ist nichts aufbewahrt, oder die Adresse stimmt nicht.",
    "notice.unreadable": "Das lässt sich gerade nicht lesen",
    "notice.unreadable_do": "Die Zähler werden trotzdem gelesen. Bitte in einer Minute noch einmal "
    "versuchen.",
    # --- login
    "login.title": "Diese Seite fragt nach dem Token",
    "login.token": "Token",
    "login.in": "Öffnen",
    "login.out": "Abmelden",
    "login.where": "Er liegt auf dem Gerät; das zeigt, wo:",
    "login.wrong": "Das ist nicht der Token.",
    "login.wait": "Zu viele falsche Tokens. Bitte eine Minute warten.",
    # --- how it all is
    "mood.well": "Alles in Ordnung",
    "mood.starting": "Gerade gestartet",
    "mood.accepted": "Die Börse hat alles bis {clock} angenommen.",
    "mood.behind": "Noch nicht so weit wie andere: {titles}.",
    "mood.meters": "Der Zähler antwortet.|{heard} von {n} Zählern antworten.",
    "mood.no_meters": "Noch ist kein Zähler eingerichtet: sudo meter-gateway init",
    "mood.heard": "{heard} von {n} Zähler hat geantwortet.|{heard} von {n} Zählern haben "
    "geantwortet.",
    "mood.first_slot": "Die erste ganze Viertelstunde beginnt um {clock}.",
    # --- now
    "now.title": "Jetzt",
    "now.quarters": "Heute, jede Viertelstunde",
    "now.latest": "Die letzten Viertelstunden",
    "now.whole_day": "Der ganze Tag",
    "today.title": "Heute bisher",
    "today.nothing": "Heute ist noch keine Viertelstunde abgeschlossen.",
    "flow.nothing": "Noch meldet sich kein Zähler.",
    "flow.unknown": "kein Wert",
    "flow.since": "kein Wert seit {clock}",
    "flow.was": "war {power} um {clock}",
    "flow.node": "{title}: {power}",
    "flow.name": "Leistung jetzt. {nodes}",
    "flow.more": "{n} weiterer|{n} weitere",
    "flow.house.in": "verbraucht {power}",
    "flow.house.out": "gibt {power} ab",
    "flow.house.still": "{power}",
    "flow.sun.in": "bezieht {power}",
    "flow.sun.out": "erzeugt {power}",
    "flow.sun.still": "{power}",
    "flow.grid.in": "{power} Netzbezug",
    "flow.grid.out": "{power} Einspeisung",
    "flow.grid.still": "{power}",
    "flow.grid.title.in": "Netzbezug",
    "flow.grid.title.out": "Einspeisung",
    "flow.battery.in": "lädt mit {power}",
    "flow.battery.out": "gibt {power} ab",
    "flow.battery.still": "{power}",
    "flow.other.in": "verbraucht {power}",
    "flow.other.out": "gibt {power} ab",
    "flow.other.still": "{power}",
    "sums.used": "Verbraucht",
    "sums.sun": "Von der Sonne",
    "sums.from_grid": "Aus dem Netz",
    "sums.to_grid": "Eingespeist",
    "sums.used_here": "{share} selbst verbraucht",
    "sums.yesterday": "gestern um diese Zeit {energy}",
    "sums.split": "{share} davon kamen vom eigenen Dach oder Speicher",
    "sums.peak": "Höchste Viertelstunde des Monats: {power} aus dem Netz, {when}",
    "sums.coverage": "{share} der Zeit sind bekannt; der Rest ist hier nicht mitgezählt.",
    # --- charts and tables
    "chart.home": "{day}, je Viertelstunde: verbraucht über der Linie, eingespeist darunter",
    "chart.about": "Verbraucht {used}, eingespeist {sent}. Die Tabelle hat dieselben Zahlen.",
    "chart.asset": "{title}, {day}, je Viertelstunde",
    "chart.asset_about": "Insgesamt {total}. Die Tabelle hat dieselben Zahlen.",
    "chart.month": "{month}, je Tag",
    "legend.sun": "von der Sonne",
    "legend.from": "aus dem Netz",
    "legend.to": "eingespeist",
    "legend.house": "verbraucht",
    "legend.battery": "Speicher",
    "legend.other": "Energie",
    "legend.e": "teils geschätzt",
    "legend.p": "teils gemessen",
    "legend.x": "unbekannt",
    "legend.expected": "erwartet",
    "legend.da": "angenommen",
    "legend.ds": "gesendet, noch ohne Antwort",
    "legend.dw": "wartet",
    "legend.dr": "abgelehnt",
    "legend.dl": "nicht geliefert",
    "legend.do": "noch nicht vollständig",
    "energy.used": "verbraucht {energy}",
    "energy.sun_here": "{energy} von der Sonne",
    "energy.from_grid": "{energy} aus dem Netz",
    "energy.to_grid": "{energy} eingespeist",
    "quality.m": "vom Zähler gelesen",
    "quality.e": "teils geschätzt",
    "quality.p": "teils gemessen",
    "quality.x": "unbekannt",
    "quality..": "noch nicht abgeschlossen",
    "delivery.a": "angenommen",
    "delivery.s": "gesendet, noch ohne Antwort",
    "delivery.w": "wartet",
    "delivery.r": "abgelehnt",
    "delivery.l": "nicht geliefert",
    "delivery.o": "noch nicht vollständig",
    "delivery.k": "bleibt hier",
    "delivery..": "–",
    "table.slot": "Viertelstunde",
    "table.start": "Beginn",
    "table.known": "Grundlage",
    "table.exchange": "Börse",
    "table.sum": "Summe",
    "table.day": "Tag",
    "table.covered": "Bekannt",
    "table.value": "Wert",
    "table.now": "Jetzt",
    "table.asset": "Asset",
    "table.became": "Was daraus wurde",
    "table.reason": "Grund",
    "table.meter": "Zähler",
    "table.profile": "Profil",
    "table.samples": "Messungen",
    "table.remarks": "Anmerkungen",
    "table.line": "Leitung",
    "table.state": "Zustand",
    "table.carries": "Auslastung",
    "table.meters": "Zähler",
    "table.next": "Nächste",
    "table.last_expected": "Zuletzt",
    "table.off_by": "Abweichung",
    "table.naive": "Einfaches Verfahren",
    "table.inside": "Im Band",
    "table.how": "Wie",
    "table.market": "Markt",
    "table.fee": "Entgelt",
    "table.next_fee": "Nächstes Entgelt",
    "table.why": "Warum",
    # --- days and months
    "day.sums": "Summen",
    "day.home": "Ganzes Haus",
    "day.switch": "Wessen Energie",
    "day.chart": "{title}: {total}",
    "day.nothing": "Von diesem Tag ist nichts aufbewahrt.",
    "day.shorter": "An diesem Tag wurden die Uhren vorgestellt: Er hat {n} Viertelstunden.",
    "day.longer": "An diesem Tag wurden die Uhren zurückgestellt: Er hat {n} Viertelstunden.",
    "day.table": "{day}, Viertelstunde für Viertelstunde",
    "day.csv": "CSV herunterladen",
    "day.as_table": "Als Tabelle",
    "day.numbers": "Alle Zahlen",
    "month.chart": "Jeder Tag",
    "month.nothing": "Von diesem Monat ist nichts aufbewahrt.",
    # --- a slot
    "slot.why": "Warum {energy}?",
    "slot.why_unknown": "Warum ist es unbekannt?",
    "slot.unknown": "Niemand weiß, was {title} zwischen {begin} und {end} hatte.",
    "slot.did.house": "{title} hat zwischen {begin} und {end} {energy} verbraucht.",
    "slot.did.sun": "{title} hat zwischen {begin} und {end} {energy} erzeugt.",
    "slot.did.grid": "Zwischen {begin} und {end} kamen {energy} aus dem Netz.",
    "slot.did.grid.gave": "Zwischen {begin} und {end} wurden {energy} ins Netz eingespeist.",
    "slot.did.battery": "{title} hat zwischen {begin} und {end} {energy} aufgenommen.",
    "slot.did.battery.gave": "{title} hat zwischen {begin} und {end} {energy} abgegeben.",
    "slot.did.other": "{title} hat zwischen {begin} und {end} {energy} verbraucht.",
    "slot.did.other.gave": "{title} hat zwischen {begin} und {end} {energy} abgegeben.",
    "slot.beside": "Währenddessen: {parts}.",
    "slot.beside.sun": "{energy} von der Sonne",
    "slot.beside.from_grid": "{energy} aus dem Netz",
    "slot.beside.to_grid": "{energy} eingespeist",
    "slot.known.measured": "Das haben die Zähler selbst gemessen.",
    "slot.known.estimated": "Ein Teil davon ist geschätzt, weil ein Zähler zeitweise nicht "
    "antwortete; die Summe ist trotzdem die des Zählers.",
    "slot.known.partial": "Nur ein Teil davon wurde gemessen; es wird nicht geliefert.",
    "slot.known.missing": "Kein Zähler hat sich währenddessen gemeldet.",
    "slot.imported": "Es wurde von anderswo übernommen.",
    "slot.expected": "Erwartet waren {energy}.",
    "slot.power": "Leistung von {meter} währenddessen",
    "slot.power_name": "Leistung von {meter} in dieser Viertelstunde",
    "slot.gap": "Keine Antwort {since}–{until}.",
    "slot.ticks": "{n} Schritt des Zählwerks ist markiert.|{n} Schritte des Zählwerks sind "
    "markiert.",
    "slot.term.import": "{meter}: Bezug",
    "slot.term.export": "{meter}: Einspeisung",
    "slot.register_at": "Stand {clock}",
    "slot.difference": "Differenz",
    "slot.beyond": "Feiner als das Zählwerk",
    "slot.energy": "Energie",
    "slot.samples": "{samples} Messungen",
    "slot.of": "{n} von {all}",
    "slot.longest_gap": "längste Lücke {time}",
    "slot.covered": "{share} abgedeckt",
    "slot.serial": "Seriennummer",
    "slot.serial_short": "Nr. {number}",
    "slot.doubts": "Zweifel: {doubts}",
    "slot.clock": "Uhr {clock}",
    "slot.revision": "Korrekturen",
    "slot.sum": "Die Rechnung",
    "slot.formula": "Formel",
    "slot.with_numbers": "Mit Zahlen",
    "slot.sent": "Was davon gesendet wurde",
    "slot.not_sent": "Davon wurde nichts gesendet.",
    "slot.delivery": "{destination}: {energy}",
    "slot.forecast": "Vorhersage",
    "slot.revised": "Korrektur {n}|Korrektur {n}",
    "slot.sent_at": "gesendet {clock}",
    "slot.attempts": "{n} Versuch|{n} Versuche",
    "slot.confirmed": "um {clock} nachgefragt: Dort steht dieselbe Zahl",
    "slot.held": "dort stehen {energy}",
    "slot.answer": "Antwort",
    "slot.reason": "Grund",
    "slot.events": "Was währenddessen geschah",
    "method.counter": "das Zählwerk, verfeinert durch die Leistung",
    "method.register": "das Zählwerk allein",
    "method.power": "die Leistung allein, bis das Zählwerk mehr sagt",
    # --- meters
    "meters.none": "Noch ist kein Zähler eingerichtet. Auf dem Gerät: sudo meter-gateway init",
    "meters.heard": "{share} der letzten 24 Stunden erreichbar",
    "meters.availability": "{meter}: wie gut er in jeder der letzten 24 Stunden erreichbar war",
    "meters.strip": "Wie gut er in jeder der letzten 24 Stunden erreichbar war",
    "meter.answers": "antwortet",
    "meter.silent": "schweigt",
    "meter.never": "noch nicht gehört",
    "meter.asleep": "schläft",
    "meter.no_value": "kein Wert",
    "meter.was": "war {power} um {clock}",
    "meter.draws": "Bezug",
    "meter.gives": "Einspeisung",
    "meter.imported": "Bezug gesamt",
    "meter.exported": "Einspeisung gesamt",
    "meter.about": "Dieser Zähler",
    "meter.name": "Name",
    "meter.interval": "Abgefragt",
    "meter.every": "alle {time}",
    "meter.last": "Letzte Antwort",
    "meter.errors": "Fehler in der letzten Stunde",
    "meter.last_error": "Letzter Fehler",
    "meter.day": "Die letzten 24 Stunden",
    "meter.power_name": "{meter}: Leistung in den letzten 24 Stunden",
    "meter.no_power": "Von den letzten 24 Stunden ist keine Leistung bekannt.",
    "meter.profile": "Profil",
    "meter.line": "Leitung",
    "meter.carries": "Auslastung",
    "meter.values": "Alle Werte",
    "meter.technical_more": "Profil, Leitung, alle Werte",
    # --- the exchange
    "exchange.none": "Von hier wird nichts geliefert. Alle Viertelstunden werden aufbewahrt.",
    "exchange.it": "Die Börse",
    "exchange.all_until": "Sie hat alles bis {clock} angenommen.",
    "exchange.some_until": "Sie hat alles angenommen {parts}.",
    "exchange.until": "bis {clock} ({titles})",
    "exchange.nothing_yet": "Sie hat noch nichts angenommen.",
    "exchange.waits": "Es warten {waiting}.",
    "exchange.never_late": "Sie können nicht zu spät kommen.",
    "exchange.by": "Die erste muss bis {clock} angenommen sein.",
    "exchange.state": "Zustand",
    "exchange.success": "Letzter Erfolg",
    "exchange.next_try": "Nächster Versuch",
    "exchange.error": "Letzter Fehler",
    "exchange.read_back": "Nachgefragt",
    "exchange.same": "{n} Zahl ist dort dieselbe.|{n} Zahlen sind dort dieselben.",
    "exchange.differs": "{n} Antwort wich ab.|{n} Antworten wichen ab.",
    "exchange.disputed": "{n} ist dort noch anders.|{n} sind dort noch anders.",
    "exchange.verdicts": "Ihr eigenes Urteil",
    "exchange.url": "Adresse",
    "exchange.dialect": "Dialekt",
    "exchange.week": "Die letzten sieben Tage",
    "exchange.refused": "Abgelehnt oder nicht geliefert",
    "exchange.refused_do": "Alle davon, und warum:",
    # --- events
    "events.none": "Es ist nichts geschehen, was man wissen müsste.",
    "events.all": "Alle",
    "events.filter": "Welcher Zähler",
    "events.older": "Ältere",
    "events.day": "zu diesem Tag",
    "event.glitch": "Unglaubwürdige Ablesung",
    "event.rollover": "Das Zählwerk lief über null",
    "event.reset": "Das Zählwerk wurde zurückgesetzt",
    "event.jump": "Das Zählwerk sprang",
    "event.confirmed": "Ein Zweifel hat sich geklärt",
    "event.swap": "Der Zähler wurde getauscht",
    "event.profile": "Das Profil des Zählers wurde geändert",
    "event.slots": "Viertelstunden wurden korrigiert",
    "event.gap": "Eine Zeit lang war nichts zu hören",
    "event.clock": "Die Uhr wurde gestellt",
    "event.clash": "Zwei Zahlen für eine Viertelstunde",
    # --- technical
    "technical.reasons": "In den Worten des Programms",
    "technical.machine": "Dieses Gateway",
    "technical.version": "Version",
    "technical.site": "Standort",
    "technical.started": "Läuft seit",
    "technical.clock": "Uhr",
    "technical.trusted": "stimmt",
    "technical.not_trusted": "ungewiss",
    "technical.clock_step": "Zuletzt gestellt um",
    "technical.slot": "Slot",
    "technical.zone": "Zeitzone",
    "technical.store": "Was aufbewahrt ist",
    "technical.state": "Zustand",
    "technical.file": "Datei",
    "technical.size": "Größe",
    "technical.bytes": "{used} von {most} MB",
    "technical.samples": "Messungen",
    "technical.slots": "Slots",
    "technical.unflushed": "Noch nicht geschrieben",
    "technical.written": "Geschrieben am Tag",
    "technical.left_out": "In keinem Slot",
    "technical.unallocated": "{n} Eintrag|{n} Einträge",
    "technical.lines": "Leitungen",
    "technical.glitches": "{n} unglaubwürdige Ablesung|{n} unglaubwürdige Ablesungen",
    "technical.errors": "{n} Fehler seit dem Start, zuletzt: {last}|{n} Fehler seit dem Start, "
    "zuletzt: {last}",
    "technical.checksum": "Prüfsumme: {checksum}",
    "technical.clock_offset": "seine Uhr geht {seconds} s vor",
    "technical.cross_check": "{energy} gegenüber {name}",
    "technical.unused": "{n} Zeile nicht genutzt: {listed}|{n} Zeilen nicht genutzt: {listed}",
    "technical.forecasts": "Vorhersagen",
    "technical.came": "{expected} erwartet, {came} gekommen",
    "technical.over": "{energy} über {n} Tag|{energy} über {n} Tage",
    "technical.fees": "Netzentgelte",
    "technical.dry_run": "Ein Probelauf: Es wird kein Entgelt gesetzt.",
    "technical.addresses": "Für Programme",
    "line.connected": "verbunden",
    "line.away": "keine Verbindung",
    "line.silent": "verbunden, Zähler schweigt",
    # --- help
    "help.link": "Was das bedeutet",
    "help.about": "Gut zu wissen",
    "help.problems": "Wenn etwas nicht stimmt",
    "help.all": "Alle Hilfeseiten",
    "help.contact": "Wen fragen",
    "topic.energy.title": "Woher die Energie bekannt ist",
    "topic.energy.help": """Der Zähler selbst zählt. Sein Zählwerk sagt auf die Wh, was geflossen \
ist. Das Gateway liest es alle paar Sekunden und sagt, wie viel davon zu welcher Viertelstunde \
gehört.

- Vom Zähler gelesen: Er war die ganze Zeit zu hören.
- Teils geschätzt: Er schwieg eine Zeit lang. Die Summe ist die des Zählers; geschätzt ist, wann \
genau sie floss.
- Teils gemessen: Das Gateway begann in dieser Viertelstunde, oder ein Zähler wurde getauscht.
- Unbekannt: Nichts war zu hören, und nichts wird erfunden.

± sagt, um wie viel eine Zahl daneben liegen kann.""",
    "topic.privacy.title": "Was das Haus verlässt",
    "topic.privacy.help": """Die Energie jeder Viertelstunde geht an die Börse Ihrer Gemeinschaft, \
und an niemanden sonst, außer das Gerät ist so eingerichtet. Ihre Seite zeigt, was gesendet wurde.

Leistung, Zählerstände und alles andere bleiben auf dem Gerät. Diese Seite lädt nichts aus dem \
Internet und setzt kein Cookie, außer für Ihre Anmeldung.""",
    # --- problems
    "problem.meter_silent.title": "Ein Zähler antwortet nicht",
    "problem.meter_silent.what": "Der Zähler {subject} antwortet seit {since} nicht.",
    "problem.meter_silent.what.never": "Der Zähler {subject} hat noch nicht geantwortet "
    "({reason}).",
    "problem.meter_silent.itself": "Seine Energie zählt er selbst; sie wird nachgetragen, sobald "
    "er antwortet.",
    "problem.meter_silent.do": "Dauert es länger als bis {until}: Sicherung und Kabel prüfen.",
    "problem.meter_silent.help": """Zunächst geht nichts verloren: Der Zähler zählt weiter, und \
seine nächste Antwort sagt, wie viel geflossen ist. Das wird auf die Viertelstunden dazwischen \
verteilt.

Wenn es andauert:

- Ist die Anzeige des Zählers an? Wenn nicht: seine Sicherung.
- Steckt das Kabel an beiden Enden, und der Adapter im Gerät?
- Wurde etwas anderes an dieselbe Leitung angeschlossen?

Dieser Befehl auf dem Gerät zeigt, was es hört:

$ sudo meter-gateway read NAME""",
    "problem.meter_silent_long.title": "Ein Zähler schweigt zu lange",
    "problem.meter_silent_long.what": "Der Zähler {subject} antwortet seit {since} nicht.",
    "problem.meter_silent_long.what.never": "Der Zähler {subject} hat noch nie geantwortet "
    "({reason}).",
    "problem.meter_silent_long.itself": "Was seitdem floss, lässt sich nicht mehr von selbst auf "
    "Viertelstunden verteilen.",
    "problem.meter_silent_long.do": "Sicherung und Kabel prüfen.",
    "problem.meter_silent_long.help": """Der Zähler zählt weiter, die Summe ist also nicht \
verloren. Aber niemand kann mehr sagen, in welchen Viertelstunden sie floss. Antwortet der \
Zähler wieder, wird sie als Energie gezeigt, die in keiner Viertelstunde ist.

Sicherung, Kabel und Adapter prüfen. Danach kann jemand festlegen, wie die Energie verteilt wird:

$ sudo meter-gateway allocate""",
    "problem.meter_unbelieved.title": "Einem Zähler wird nicht geglaubt",
    "problem.meter_unbelieved.what": "Was der Zähler {subject} sagt, kann nicht stimmen.",
    "problem.meter_unbelieved.itself": "Was währenddessen fließt, wird als Energie in keiner "
    "Viertelstunde geführt.",
    "problem.meter_unbelieved.do": "{reason}",
    "problem.meter_unbelieved.help": """Jede Ablesung wird mit dem verglichen, was geflossen sein \
kann. Viele hintereinander waren mehr, als der Zähler tragen kann, oder liefen zurück. Meist ist \
seine größte Leistung in der Gerätedatei zu klein, oder an seiner Stelle sitzt ein anderer \
Zähler.""",
    "problem.line_away.title": "Eine Leitung lässt sich nicht öffnen",
    "problem.line_away.what": "Keine Verbindung zu {meters}: {subject} ({reason}).",
    "problem.line_away.itself": "Die Zähler zählen weiter; die Verbindung wird von selbst wieder "
    "versucht.",
    "problem.line_away.do": "Adapter oder Netzkabel prüfen.",
    "problem.line_away.help": """Eine Leitung ist der Adapter oder die Netzadresse, über die \
Zähler gelesen werden. Alle ihre Zähler schweigen zusammen.

- Steckt der USB-Adapter, und blinkt sein Licht?
- Hat der Zähler oder sein Gateway im Netz noch dieselbe Adresse?
- Benutzt ein anderes Programm denselben Anschluss?

$ sudo meter-gateway doctor""",
    "problem.line_away_long.title": "Eine Leitung ist zu lange weg",
    "problem.line_away_long.what": "Keine Verbindung zu {meters}: {subject} ({reason}).",
    "problem.line_away_long.itself": "Was seit {since} floss, lässt sich nicht mehr von selbst auf "
    "Viertelstunden verteilen.",
    "problem.line_away_long.do": "Adapter oder Netzkabel prüfen.",
    "problem.line_away_long.help": """Die Zähler zählen weiter, die Summen sind also nicht \
verloren. Aber niemand kann mehr sagen, in welchen Viertelstunden sie flossen.

- Steckt der USB-Adapter, und blinkt sein Licht?
- Hat der Zähler oder sein Gateway im Netz noch dieselbe Adresse?

Antworten die Zähler wieder, kann jemand festlegen, wie die Energie verteilt wird:

$ sudo meter-gateway allocate""",
    "problem.line_too_slow.title": "Eine Leitung kommt nicht nach",
    "problem.line_too_slow.what": "Über die Leitung {subject} lassen sich nicht alle Zähler "
    "rechtzeitig lesen.",
    "problem.line_too_slow.itself": "Die Zählwerke stimmen; die Leistung dazwischen ist gröber.",
    "problem.line_too_slow.do": "Die Zähler seltener fragen, oder die Baudrate erhöhen.",
    "problem.line_too_slow.help": """Alle Zähler einer Leitung kommen der Reihe nach dran. \
Zusammen brauchen sie mehr Zeit, als da ist. Ein längeres Intervall in den Gerätedateien oder \
eine höhere Baudrate an Zählern und Leitung schafft Platz.""",
    "problem.exchange_away.title": "Die Börse antwortet nicht",
    "problem.exchange_away.what": "{subject} antwortet nicht (seit {since}).",
    "problem.exchange_away.what.never": "{subject} hat noch nicht geantwortet ({reason}).",
    "problem.exchange_away.itself": "{waiting} warten hier und werden von selbst gesendet; keine "
    "ist verloren.",
    "problem.exchange_away.do": "",
    "problem.exchange_away.help": """Es ist nichts zu tun. Jede Viertelstunde liegt auf dem Gerät \
und geht der Reihe nach hinaus, sobald die Börse wieder antwortet.

Dauert es Tage: Gibt es zu Hause Internet? Wenn ja, die Gemeinschaft fragen, ob an der Börse \
gearbeitet wird.""",
    "problem.exchange_away_losing.title": "Die Börse antwortet nicht, und nimmt nichts später",
    "problem.exchange_away_losing.what": "{subject} antwortet nicht (seit {since}).",
    "problem.exchange_away_losing.what.never": "{subject} hat noch nicht geantwortet ({reason}).",
    "problem.exchange_away_losing.itself": "Viertelstunden, die jetzt vergehen, sind für sie "
    "verloren; hier werden sie aufbewahrt, um sie von Hand hochzuladen.",
    "problem.exchange_away_losing.do": "Gibt es zu Hause Internet? Wenn ja, der Gemeinschaft "
    "Bescheid sagen.",
    "problem.exchange_away_losing.help": """Diese Börse nimmt eine Zahl nur, solange ihre \
Viertelstunde abgerechnet wird. Was währenddessen vergeht, liegt hier und lässt sich von Hand \
hochladen:

$ sudo meter-gateway export undelivered""",
    "problem.login_refused.title": "Die Börse lehnt unsere Anmeldung ab",
    "problem.login_refused.what": "{subject} nimmt unsere Anmeldung nicht an.",
    "problem.login_refused.itself": "Inzwischen wird hier alles aufbewahrt.",
    "problem.login_refused.do": "Die Gemeinschaft um eine neue bitten; dann: sudo meter-gateway "
    "init",
    "problem.login_refused.help": """Der Name oder das Passwort wurde geändert, oder das Konto \
geschlossen. Die Gemeinschaft um eine neue Anmeldung bitten. Sie kommt in die Datei mit der \
Anmeldung und gilt binnen einer Minute.""",
    "problem.refuses_all.title": "Die Börse lehnt alles ab",
    "problem.refuses_all.what": "{subject} lehnt seit {since} alles ab: „{reason}“.",
    "problem.refuses_all.itself": "{waiting} werden hier aufbewahrt und wieder versucht.",
    "problem.refuses_all.do": "Die Gemeinschaft fragen, ob die Assets dort noch unsere sind.",
    "problem.refuses_all.help": """Die Börse antwortet und nimmt nichts. Meist wurden die Assets \
dort gelöscht oder verschoben, oder der Markt wurde angehalten. Was sie ablehnt, wird aufbewahrt \
und wieder versucht.

$ meter-gateway outbox""",
    "problem.refused.title": "Die Börse hat eine Zahl abgelehnt",
    "problem.refused.what": "{subject} hat {count} abgelehnt ({assets}): „{reason}“.",
    "problem.refused.itself": "Hier sind sie aufbewahrt.",
    "problem.refused.do": "Geschieht es wieder: der Gemeinschaft zeigen, was da steht.",
    "problem.refused.help": """Einige Zahlen wurden abgelehnt, andere angenommen. Die Seite einer \
Viertelstunde zeigt, was gesendet und was Wort für Wort geantwortet wurde.

$ meter-gateway outbox""",
    "problem.too_late.title": "Eine Zahl kam zu spät",
    "problem.too_late.what": "{count} kamen für {subject} zu spät ({assets}).",
    "problem.too_late.itself": "Hier sind sie aufbewahrt; die nächsten werden wie immer gesendet.",
    "problem.too_late.do": "Geschieht es oft: Ist die Verbindung langsam?",
    "problem.too_late.help": """Die Börse nimmt jede Zahl nur eine Zeit lang. Diese waren danach \
fertig oder wurden danach gesendet. Sie lassen sich von Hand hochladen:

$ meter-gateway export undelivered""",
    "problem.not_metered.title": "Eine Viertelstunde wurde nicht ganz gemessen",
    "problem.not_metered.what": "{count} wurden nicht ganz gemessen und nicht geliefert "
    "({assets}).",
    "problem.not_metered.itself": "Was davon bekannt ist, liegt hier.",
    "problem.not_metered.do": "Geschieht es oft: Schweigt ein Zähler ab und zu?",
    "problem.not_metered.help": """Eine Zahl wird nur geliefert, wenn die ganze Viertelstunde \
bekannt ist. Schwieg ein Zähler zu lange oder wurde er getauscht, ist es nur ein Teil. Ihre Seite \
zeigt, welcher.

Geschieht es oft, hilft der Streifen der letzten 24 Stunden auf der Seite jedes Zählers.""",
    "problem.disputed.title": "Die Börse hat andere Zahlen",
    "problem.disputed.what": "{subject} hat andere Zahlen, als gesendet wurden: {count}.",
    "problem.disputed.itself": "Sie wurden ein zweites Mal gesendet, und dort stehen noch andere.",
    "problem.disputed.do": "Siehe: meter-gateway verify",
    "problem.disputed.help": """Nachdem sie eine Zahl angenommen hat, wird die Börse gefragt, was \
sie hat. Ist es eine andere, wird sie noch einmal gesendet. Diese sind noch immer anders.

$ meter-gateway verify""",
    "problem.verdicts_not_heard.title": "Das Urteil der Börse ist nicht zu hören",
    "problem.verdicts_not_heard.what": "{subject} nimmt Zahlen an; ob ihr Markt sie zählt, ist "
    "gerade nicht zu hören.",
    "problem.verdicts_not_heard.itself": "Sie werden trotzdem gesendet; das Zuhören wird wieder "
    "versucht.",
    "problem.verdicts_not_heard.do": "",
    "problem.verdicts_not_heard.help": """Die Webadresse der Börse sagt zu allem Ja, was richtig \
geschrieben ist. Ob ihr Markt eine Zahl genommen hat, sagt sie später, über eine andere \
Verbindung. Die besteht gerade nicht.""",
    "problem.asset_not_heard.title": "Es ist nicht bekannt, ob Zahlen gelten",
    "problem.asset_not_heard.what": "{subject} nimmt die Zahlen von {asset} und sagt nicht, ob sie "
    "gelten.",
    "problem.asset_not_heard.itself": "Sie werden trotzdem gesendet.",
    "problem.asset_not_heard.do": "Die Gemeinschaft fragen, ob dieses Asset im Markt ist.",
    "problem.asset_not_heard.help": """Die Webadresse der Börse sagt zu allem Ja, was richtig \
geschrieben ist. Ob ihr Markt eine Zahl genommen hat, sagt sie später. Bei diesem Asset sagt sie \
es nie: Meist ist es nicht in dem Markt, der läuft.

$ meter-gateway exchange assets""",
    "problem.registry_differs.title": "Die Börse kennt ein Asset anders",
    "problem.registry_differs.what": "{subject} kennt {asset} anders: {reason}.",
    "problem.registry_differs.itself": "",
    "problem.registry_differs.do": "Vergleichen: meter-gateway exchange assets",
    "problem.registry_differs.help": """Was die Konfiguration vom Asset sagt und was die Börse \
sagt, ist nicht dasselbe. Zahlen könnten dort falsch gebucht werden.

$ sudo meter-gateway exchange assets""",
    "problem.certificate_ends.title": "Ein Zertifikat läuft bald ab",
    "problem.certificate_ends.what": "Das Zertifikat, an dem „{subject}“ dieses Haus erkennt, "
    "gilt nur noch bis {ends} ({file}).",
    "problem.certificate_ends.itself": "Bis dahin gilt es.",
    "problem.certificate_ends.do": "Die Gemeinschaft um ein neues bitten und es über diese Datei "
    "kopieren.",
    "problem.certificate_ends.help": """Der Server der Gemeinschaft erkennt jedes Haus an einem \
Zertifikat, und das gilt etwa ein Jahr. Ein neues macht die Verwaltung (fleet sites renew); das \
alte gilt bis zu seinem Ende. Die neue Datei über die hiesige kopieren, lesbar nur für das \
Gateway. Sie gilt ab der nächsten Verbindung, ohne Neustart.""",
    "problem.certificate_ended.title": "Ein Zertifikat ist abgelaufen",
    "problem.certificate_ended.what": "Das Zertifikat, an dem „{subject}“ dieses Haus erkennt, "
    "galt bis {ends} ({file}).",
    "problem.certificate_ended.itself": "Inzwischen wird hier alles aufbewahrt.",
    "problem.certificate_ended.do": "Die Gemeinschaft um ein neues bitten und es über diese "
    "Datei kopieren.",
    "problem.certificate_ended.help": """Der Server der Gemeinschaft lässt niemanden ein, dessen \
Zertifikat abgelaufen ist. Ein neues macht die Verwaltung (fleet sites renew). Es über die hiesige \
Datei kopieren, lesbar nur für das Gateway. Es gilt ab dem nächsten Versuch, binnen Minuten; dann \
wird alles gesendet, was aufbewahrt wurde.""",
    "problem.certificate_not_yet.title": "Ein Zertifikat gilt noch nicht",
    "problem.certificate_not_yet.what": "Das Zertifikat, an dem „{subject}“ dieses Haus erkennt, "
    "gilt ab {begins} ({file}).",
    "problem.certificate_not_yet.itself": "Inzwischen wird hier alles aufbewahrt.",
    "problem.certificate_not_yet.do": "Stimmt die Zeit des Geräts? Wenn ja, die Gemeinschaft um "
    "ein anderes bitten.",
    "problem.certificate_not_yet.help": """Jedes Zertifikat gilt ab einem Tag. Entweder glaubt das \
Gerät an eine Zeit, die vorbei ist, oder die Uhr dessen, der das Zertifikat machte, ging vor.

$ meter-gateway status""",
    "problem.broker_away.title": "Der MQTT-Broker ist weg",
    "problem.broker_away.what": "Der Broker {subject} antwortet nicht ({reason}).",
    "problem.broker_away.itself": "Zähler und Lieferungen brauchen ihn nicht; er wird wieder "
    "versucht.",
    "problem.broker_away.do": "",
    "problem.broker_away.help": """Die Hausautomation hört währenddessen nichts. Sonst hängt \
nichts davon ab. Läuft der Broker, und hat er noch dieselbe Adresse?""",
    "problem.clock_unknown.title": "Das Gerät weiß nicht, wie spät es ist",
    "problem.clock_unknown.what": "Das Gerät weiß noch nicht, wie spät es ist (es glaubt: {now}).",
    "problem.clock_unknown.itself": "Die Zähler werden gelesen; Viertelstunden entstehen, sobald "
    "die Zeit stimmt.",
    "problem.clock_unknown.do": "Gibt es Internet?",
    "problem.clock_unknown.help": """Ein Raspberry Pi hat keine eigene Uhr. Nach einem Start fragt \
er das Internet. Bis dahin werden Ablesungen mit der Zeit seit dem Start aufbewahrt und danach \
datiert: Nichts geht verloren.

Dauert es an: Gibt es zu Hause Internet, und lässt der Router NTP durch?

$ timedatectl status""",
    "problem.disk.title": "Die Speicherkarte lässt sich nicht beschreiben",
    "problem.disk.what": "Die Speicherkarte lässt sich nicht beschreiben ({reason}).",
    "problem.disk.itself": "Ablesungen bleiben eine Zeit lang im Speicher; bisher {in_memory}.",
    "problem.disk.do": "Platz darauf schaffen, oder sie tauschen.",
    "problem.disk.help": """Nichts, was jetzt gemessen wird, übersteht einen Stromausfall. Eine \
volle Karte braucht Platz; eine schadhafte muss bald getauscht werden. So entsteht eine \
Sicherungskopie:

$ sudo meter-gateway backup FILE""",
    "problem.buffer_damaged.title": "Die Datei der Ablesungen ist beschädigt",
    "problem.buffer_damaged.what": "Die Datei der Ablesungen ist beschädigt ({reason}).",
    "problem.buffer_damaged.itself": "Was daraus zu lesen war, ist gerettet; das Gateway läuft "
    "weiter.",
    "problem.buffer_damaged.do": "Die Speicherkarte bald tauschen.",
    "problem.buffer_damaged.help": """Speicherkarten nutzen sich ab, und Stromausfälle beschädigen \
sie. Das Gateway hat eine neue Datei begonnen, mit dem, was aus der alten zu lesen war. Die \
Zählwerke gehören den Zählern, die Summen stimmen also.

$ sudo meter-gateway buffer""",
    "problem.broker_refused.title": "Der MQTT-Broker lehnt unsere Anmeldung ab",
    "problem.broker_refused.what": "Der Broker {subject} lehnt ab: „{reason}“.",
    "problem.broker_refused.itself": "Zähler und Lieferungen brauchen ihn nicht.",
    "problem.broker_refused.do": "Die Anmeldung in ihrer Datei berichtigen.",
    "problem.broker_refused.help": """Der Name oder das Passwort ist ein anderes, oder der Broker \
lässt uns nicht in unser Topic schreiben. Eine berichtigte Datei gilt binnen einer Minute.""",
    "problem.fees_away.title": "Die Märkte der Börse sind nicht zu hören",
    "problem.fees_away.what": "{subject}: Seit {since} wurde kein Entgelt angenommen ({reason}).",
    "problem.fees_away.itself": "Die Börse rechnet mit den bisherigen Entgelten weiter.",
    "problem.fees_away.do": "",
    "problem.fees_away.help": """Der Teil, der Netzentgelte setzt, hat keine Verbindung zu den \
Märkten. Er versucht es von selbst wieder.

$ meter-gateway fees""",
    "problem.fees_not_set.title": "Die Entgelte eines Markts werden nicht gesetzt",
    "problem.fees_not_set.what": "Netzentgelte von {market}: {reason}.",
    "problem.fees_not_set.itself": "Andere Märkte gehen weiter.",
    "problem.fees_not_set.do": "Siehe: meter-gateway fees",
    "problem.fees_not_set.help": """Die Konfiguration nennt einen Markt, dessen Entgelte sich \
nicht setzen lassen: Es gibt ihn nicht, er ist nicht unserer, oder seine Tarifdatei fehlt.

$ meter-gateway fees""",
    "problem.fees_not_taken.title": "Ein Netzentgelt wurde nicht angenommen",
    "problem.fees_not_taken.what": "Das nächste Entgelt von {market} wurde nicht angenommen "
    "({reason}).",
    "problem.fees_not_taken.itself": "Die Börse rechnet mit dem bisherigen Entgelt weiter.",
    "problem.fees_not_taken.do": "",
    "problem.fees_not_taken.help": """Das Entgelt, das für die nächste Viertelstunde beschlossen \
wurde, ist nicht das, das der Markt verlangen wird. Die technische Seite zeigt jeden Markt, sein \
Entgelt und warum.

$ meter-gateway fees""",
    "problem.configuration.title": "Die Konfiguration braucht eine Änderung",
    "problem.configuration.what": "Die Konfiguration braucht eine Änderung.",
    "problem.configuration.itself": "Diese Version läuft noch damit weiter.",
    "problem.configuration.do": "{reason}",
    "problem.configuration.help": """Die nächste Version nimmt sie so nicht mehr. Das nennt mit \
Datei und Zeile, was zu ändern ist:

$ sudo meter-gateway check""",
    "problem.store_unread.title": "Was war, lässt sich gerade nicht lesen",
    "problem.store_unread.what": "Was war, lässt sich gerade nicht lesen.",
    "problem.store_unread.itself": "Zähler werden trotzdem gelesen, und Viertelstunden entstehen.",
    "problem.store_unread.do": "{reason}",
    "problem.store_unread.help": """Die Seite liest die Datei der Ablesungen neben dem Gateway. \
Ein anderes Programm kann sie gesperrt haben, sie kann beschädigt oder noch nicht da sein. Was \
jetzt ist, wird trotzdem gezeigt.

$ sudo meter-gateway doctor""",
}
