"""English."""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    # --- numbers and dates
    "number.marks": ",.",
    "date.months": "January February March April May June July August September October November "
    "December",
    "date.months_short": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "date.weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "date.weekdays_short": "Mon Tue Wed Thu Fri Sat Sun",
    "date.long": "{weekday}, {day} {month} {year}",
    "date.short": "{day} {month}",
    "date.short_year": "{day} {month} {year}",
    "date.month": "{month} {year}",
    "date.moment": "{date}, {clock}",
    "duration.second": "{n} second|{n} seconds",
    "duration.minute": "{n} minute|{n} minutes",
    "duration.hour": "{n} hour|{n} hours",
    "duration.day": "{n} day|{n} days",
    "list.and": "{first} and {last}",
    "slots": "{n} quarter-hour|{n} quarter-hours",
    "slot.names": "quarter-hours=slots quarter-hour=slot Quarter-hours=Slots Quarter-hour=Slot",
    "never": "never yet",
    "unknown": "unknown",
    # --- around the pages
    "skip": "Skip to the content",
    "nav.name": "Pages",
    "nav.now": "Now",
    "nav.days": "Days",
    "nav.meters": "Meters",
    "nav.exchange": "Exchange",
    "nav.events": "Events",
    "nav.help": "Help",
    "nav.technical": "Technical",
    "gone.what": "The gateway does not answer",
    "gone.do": "What was shown before is not current any more. This page tries again by itself. If "
    "this lasts: does the box have power, and is this device in the same network?",
    "notice.home": "To the first page",
    "notice.missing": "There is no such page",
    "notice.missing_what": "Nothing is kept of that, or the address is not right.",
    "notice.unreadable": "This cannot be read just now",
    "notice.unreadable_do": "The meters are read all the same. Please try again in a minute.",
    # --- login
    "login.title": "This page asks for its token",
    "login.token": "Token",
    "login.in": "Open",
    "login.out": "Log out",
    "login.where": "It is on the box; this shows where:",
    "login.wrong": "That is not the token.",
    "login.wait": "Too many wrong tokens. Please wait a minute.",
    # --- how it all is
    "mood.well": "All is well",
    "mood.starting": "Just started",
    "mood.accepted": "The exchange has accepted everything up to {clock}.",
    "mood.behind": "Not yet as far as others: {titles}.",
    "mood.meters": "The meter answers.|{heard} of {n} meters answer.",
    "mood.no_meters": "No meter is set up yet: sudo meter-gateway init",
    "mood.heard": "{heard} of {n} meters has answered.|{heard} of {n} meters have answered.",
    "mood.first_slot": "The first whole quarter-hour begins at {clock}.",
    # --- now
    "now.title": "Now",
    "now.quarters": "Today, each quarter-hour",
    "now.latest": "The last quarter-hours",
    "now.whole_day": "The whole day",
    "today.title": "Today so far",
    "today.nothing": "No quarter-hour of today has closed yet.",
    "flow.nothing": "No meter says anything yet.",
    "flow.unknown": "no value",
    "flow.since": "no value since {clock}",
    "flow.was": "was {power} at {clock}",
    "flow.node": "{title}: {power}",
    "flow.name": "Power now. {nodes}",
    "flow.more": "{n} more|{n} more",
    "flow.house.in": "uses {power}",
    "flow.house.out": "gives {power}",
    "flow.house.still": "{power}",
    "flow.sun.in": "draws {power}",
    "flow.sun.out": "makes {power}",
    "flow.sun.still": "{power}",
    "flow.grid.in": "{power} come from the grid",
    "flow.grid.out": "{power} go to the grid",
    "flow.grid.still": "{power}",
    "flow.grid.title.in": "From the grid",
    "flow.grid.title.out": "To the grid",
    "flow.battery.in": "charges with {power}",
    "flow.battery.out": "gives {power}",
    "flow.battery.still": "{power}",
    "flow.other.in": "uses {power}",
    "flow.other.out": "gives {power}",
    "flow.other.still": "{power}",
    "sums.used": "Used",
    "sums.sun": "From the sun",
    "sums.from_grid": "From the grid",
    "sums.to_grid": "To the grid",
    "sums.used_here": "{share} used here",
    "sums.yesterday": "yesterday by now {energy}",
    "sums.split": "{share} of it came from your own roof or battery",
    "sums.peak": "Highest quarter-hour of the month: {power} from the grid, {when}",
    "sums.coverage": "{share} of the time is known; the rest is not counted here.",
    # --- charts and tables
    "chart.home": "{day}, per quarter-hour: used above the line, sent to the grid below",
    "chart.about": "Used {used}, sent to the grid {sent}. The table has the same numbers.",
    "chart.asset": "{title}, {day}, per quarter-hour",
    "chart.asset_about": "{total} in all. The table has the same numbers.",
    "chart.month": "{month}, per day",
    "legend.sun": "from the sun",
    "legend.from": "from the grid",
    "legend.to": "to the grid",
    "legend.house": "used",
    "legend.battery": "battery",
    "legend.other": "energy",
    "legend.e": "partly estimated",
    "legend.p": "partly metered",
    "legend.x": "unknown",
    "legend.expected": "expected",
    "legend.da": "accepted",
    "legend.ds": "sent, no answer yet",
    "legend.dw": "waiting",
    "legend.dr": "refused",
    "legend.dl": "not delivered",
    "legend.do": "not complete yet",
    "energy.used": "used {energy}",
    "energy.sun_here": "{energy} from the sun",
    "energy.from_grid": "{energy} from the grid",
    "energy.to_grid": "{energy} to the grid",
    "quality.m": "read by the meter",
    "quality.e": "partly estimated",
    "quality.p": "partly metered",
    "quality.x": "unknown",
    "quality..": "not closed yet",
    "delivery.a": "accepted",
    "delivery.s": "sent, no answer yet",
    "delivery.w": "waiting",
    "delivery.r": "refused",
    "delivery.l": "not delivered",
    "delivery.o": "not complete yet",
    "delivery.k": "kept here",
    "delivery..": "–",
    "table.slot": "Quarter-hour",
    "table.start": "Start",
    "table.known": "How known",
    "table.exchange": "Exchange",
    "table.sum": "Sum",
    "table.day": "Day",
    "table.covered": "Known",
    "table.value": "Value",
    "table.now": "Now",
    "table.asset": "Asset",
    "table.became": "What became of it",
    "table.reason": "Reason",
    "table.meter": "Meter",
    "table.profile": "Profile",
    "table.samples": "Samples",
    "table.remarks": "Remarks",
    "table.line": "Line",
    "table.state": "State",
    "table.carries": "Load",
    "table.meters": "Meters",
    "table.next": "Next",
    "table.last_expected": "Last",
    "table.off_by": "Off by",
    "table.naive": "Best simple one",
    "table.inside": "Inside the band",
    "table.how": "How",
    "table.market": "Market",
    "table.fee": "Fee",
    "table.next_fee": "Next fee",
    "table.why": "Why",
    # --- days and months
    "day.sums": "Sums",
    "day.home": "Whole home",
    "day.switch": "Whose energy",
    "day.chart": "{title}: {total}",
    "day.nothing": "Nothing is kept of this day.",
    "day.shorter": "Clocks went forward on this day: it has {n} quarter-hours.",
    "day.longer": "Clocks went back on this day: it has {n} quarter-hours.",
    "day.table": "{day}, quarter-hour by quarter-hour",
    "day.csv": "Download CSV",
    "day.as_table": "As a table",
    "day.numbers": "All numbers",
    "month.chart": "Each day",
    "month.nothing": "Nothing is kept of this month.",
    # --- a slot
    "slot.why": "Why is it {energy}?",
    "slot.why_unknown": "Why is it unknown?",
    "slot.unknown": "Nobody knows what {title} had between {begin} and {end}.",
    "slot.did.house": "{title} used {energy} between {begin} and {end}.",
    "slot.did.sun": "{title} made {energy} between {begin} and {end}.",
    "slot.did.grid": "{energy} came from the grid between {begin} and {end}.",
    "slot.did.grid.gave": "{energy} went to the grid between {begin} and {end}.",
    "slot.did.battery": "{title} took {energy} between {begin} and {end}.",
    "slot.did.battery.gave": "{title} gave {energy} between {begin} and {end}.",
    "slot.did.other": "{title} used {energy} between {begin} and {end}.",
    "slot.did.other.gave": "{title} gave {energy} between {begin} and {end}.",
    "slot.beside": "Meanwhile {parts}.",
    "slot.beside.sun": "{energy} came from the sun",
    "slot.beside.from_grid": "{energy} came from the grid",
    "slot.beside.to_grid": "{energy} went to the grid",
    "slot.known.measured": "It was read by the meters.",
    "slot.known.estimated": "A part of it is estimated, as a meter did not answer meanwhile; the "
    "sum is still the meter’s own.",
    "slot.known.partial": "Only a part of it was metered; it is not delivered.",
    "slot.known.missing": "No meter said anything meanwhile.",
    "slot.imported": "It was brought in from elsewhere.",
    "slot.expected": "{energy} were expected.",
    "slot.power": "Power of {meter} meanwhile",
    "slot.power_name": "Power of {meter} in this quarter-hour",
    "slot.gap": "No answer {since}–{until}.",
    "slot.ticks": "{n} step of the register is marked.|{n} steps of the register are marked.",
    "slot.term.import": "{meter}: drawn",
    "slot.term.export": "{meter}: given",
    "slot.register_at": "Register {clock}",
    "slot.difference": "Difference",
    "slot.beyond": "Inside its step",
    "slot.energy": "Energy",
    "slot.samples": "{samples} samples",
    "slot.of": "{n} of {all}",
    "slot.longest_gap": "longest gap {time}",
    "slot.covered": "{share} covered",
    "slot.serial": "Serial number",
    "slot.serial_short": "no. {number}",
    "slot.doubts": "doubts: {doubts}",
    "slot.clock": "clock {clock}",
    "slot.revision": "Corrections",
    "slot.sum": "The sum",
    "slot.formula": "Formula",
    "slot.with_numbers": "With numbers",
    "slot.sent": "What was sent of it",
    "slot.not_sent": "Nothing was sent of it.",
    "slot.delivery": "{destination}: {energy}",
    "slot.forecast": "forecast",
    "slot.revised": "correction {n}|correction {n}",
    "slot.sent_at": "sent {clock}",
    "slot.attempts": "{n} attempt|{n} attempts",
    "slot.confirmed": "asked again at {clock}: it has the same number",
    "slot.held": "it has {energy}",
    "slot.answer": "Answer",
    "slot.reason": "Reason",
    "slot.events": "What happened meanwhile",
    "method.counter": "the register, and power inside its step",
    "method.register": "the register alone",
    "method.power": "power alone, until the register says more",
    # --- meters
    "meters.none": "No meter is set up yet. On the box: sudo meter-gateway init",
    "meters.heard": "heard for {share} of the last 24 hours",
    "meters.availability": "{meter}: how much of each of the last 24 hours was heard",
    "meters.strip": "How much of each of the last 24 hours was heard",
    "meter.answers": "answers",
    "meter.silent": "silent",
    "meter.never": "not heard yet",
    "meter.asleep": "asleep",
    "meter.no_value": "no value",
    "meter.was": "was {power} at {clock}",
    "meter.draws": "drawn",
    "meter.gives": "given",
    "meter.imported": "Total drawn",
    "meter.exported": "Total given",
    "meter.about": "This meter",
    "meter.name": "Name",
    "meter.interval": "Asked",
    "meter.every": "every {time}",
    "meter.last": "Last answer",
    "meter.errors": "Errors in the last hour",
    "meter.last_error": "Last error",
    "meter.day": "The last 24 hours",
    "meter.power_name": "{meter}: power in the last 24 hours",
    "meter.no_power": "No power is known of the last 24 hours.",
    "meter.profile": "Profile",
    "meter.line": "Line",
    "meter.carries": "Load",
    "meter.values": "All values",
    "meter.technical_more": "Profile, line, all values",
    # --- the exchange
    "exchange.none": "Nothing is delivered from here. All quarter-hours are kept.",
    "exchange.it": "The exchange",
    "exchange.all_until": "It has accepted everything up to {clock}.",
    "exchange.some_until": "It has accepted everything {parts}.",
    "exchange.until": "up to {clock} ({titles})",
    "exchange.nothing_yet": "It has not accepted anything yet.",
    "exchange.waits": "Waiting: {waiting}.",
    "exchange.never_late": "They cannot be too late.",
    "exchange.by": "The first must be accepted by {clock}.",
    "exchange.state": "State",
    "exchange.success": "Last success",
    "exchange.next_try": "Next try",
    "exchange.error": "Last error",
    "exchange.read_back": "Asked again",
    "exchange.same": "{n} number is the same there.|{n} numbers are the same there.",
    "exchange.differs": "{n} answer differed.|{n} answers differed.",
    "exchange.disputed": "{n} is still otherwise there.|{n} are still otherwise there.",
    "exchange.verdicts": "Its own verdicts",
    "exchange.url": "Address",
    "exchange.dialect": "Dialect",
    "exchange.week": "The last seven days",
    "exchange.refused": "Refused or not delivered",
    "exchange.refused_do": "All of them, and why:",
    # --- events
    "events.none": "Nothing has happened that a person should know.",
    "events.all": "All",
    "events.filter": "Of which meter",
    "events.older": "Older ones",
    "events.day": "to that day",
    "event.glitch": "A reading was not believed",
    "event.rollover": "The register went round to zero",
    "event.reset": "The register was reset",
    "event.jump": "The register jumped",
    "event.confirmed": "A doubt was settled",
    "event.swap": "The meter was replaced",
    "event.profile": "The meter’s profile changed",
    "event.slots": "Quarter-hours were written anew",
    "event.gap": "Nothing was heard for a while",
    "event.clock": "The clock was set",
    "event.clash": "Two numbers for one quarter-hour",
    # --- technical
    "technical.reasons": "In the daemon’s own words",
    "technical.machine": "This gateway",
    "technical.version": "Version",
    "technical.site": "Site",
    "technical.started": "Running since",
    "technical.clock": "Clock",
    "technical.trusted": "trusted",
    "technical.not_trusted": "not trusted",
    "technical.clock_step": "Last set by",
    "technical.slot": "Slot",
    "technical.zone": "Time zone",
    "technical.store": "What is kept",
    "technical.state": "State",
    "technical.file": "File",
    "technical.size": "Size",
    "technical.bytes": "{used} of {most} MB",
    "technical.samples": "Samples",
    "technical.slots": "Slots",
    "technical.unflushed": "Not on disk yet",
    "technical.written": "Written a day",
    "technical.left_out": "In no slot",
    "technical.unallocated": "{n} record|{n} records",
    "technical.lines": "Lines",
    "technical.glitches": "{n} reading not believed|{n} readings not believed",
    "technical.errors": "{n} error since the start, the last: {last}|{n} errors since the start, "
    "the last: {last}",
    "technical.checksum": "checksum: {checksum}",
    "technical.clock_offset": "its clock is {seconds} s ahead",
    "technical.cross_check": "{energy} above {name}",
    "technical.unused": "{n} line not used: {listed}|{n} lines not used: {listed}",
    "technical.forecasts": "Forecasts",
    "technical.came": "{expected} expected, {came} came",
    "technical.over": "{energy} over {n} day|{energy} over {n} days",
    "technical.fees": "Grid fees",
    "technical.dry_run": "A dry run: no fee is set.",
    "technical.addresses": "For programs",
    "line.connected": "connected",
    "line.away": "no connection",
    "line.silent": "connected, meter silent",
    # --- help
    "help.link": "What this means",
    "help.about": "Good to know",
    "help.problems": "When something is wrong",
    "help.all": "All pages of help",
    "help.contact": "Whom to ask",
    "topic.energy.title": "How the energy is known",
    "topic.energy.help": """The meter itself counts. Its register says what passed, to the Wh. The \
gateway reads it every few seconds and says how much of it belongs to each quarter-hour.

- Read by the meter: it was heard all the time.
- Partly estimated: it was silent for a while. What passed is the meter’s own sum; when exactly it \
passed is estimated.
- Partly metered: the gateway began or a meter was replaced in that quarter-hour.
- Unknown: nothing was heard, and nothing is invented.

± says by how much a number may be off.""",
    "topic.privacy.title": "What leaves the house",
    "topic.privacy.help": """The energy of each quarter-hour goes to the exchange that your \
community uses, and to nobody else, unless the box is set up so. Its page shows what was sent.

Power, readings and everything else stay on the box. This page loads nothing from the internet and \
sets no cookie, but for your login.""",
    # --- problems: what, what mends itself, what to do; and the page of help
    "problem.meter_silent.title": "A meter does not answer",
    "problem.meter_silent.what": "The meter {subject} has not answered since {since}.",
    "problem.meter_silent.what.never": "The meter {subject} has not answered yet ({reason}).",
    "problem.meter_silent.itself": "Its energy is counted by the meter itself and will be filled "
    "in when it answers.",
    "problem.meter_silent.do": "If this lasts beyond {until}: check its fuse and cable.",
    "problem.meter_silent.help": """Nothing is lost at first: the meter counts on, and its next \
answer says how much passed. That is then spread over the quarter-hours in between.

If it lasts:

- Is the meter’s display on? If not, its fuse.
- Is the cable plugged in at both ends, and the adapter in the box?
- Was something else connected to the same line?

On the box, this says what it hears:

$ sudo meter-gateway read NAME""",
    "problem.meter_silent_long.title": "A meter has been silent for too long",
    "problem.meter_silent_long.what": "The meter {subject} has not answered since {since}.",
    "problem.meter_silent_long.what.never": "The meter {subject} has never answered ({reason}).",
    "problem.meter_silent_long.itself": "What passed since then cannot be placed into "
    "quarter-hours by itself.",
    "problem.meter_silent_long.do": "Check its fuse and cable.",
    "problem.meter_silent_long.help": """The meter counts on, so the sum is not lost. But nobody \
can say any more in which quarter-hours it passed. When the meter answers, the sum is shown as \
energy in no slot.

Check its fuse, its cable and the adapter. Once it answers, a person can say how the energy is to \
be spread:

$ sudo meter-gateway allocate""",
    "problem.meter_unbelieved.title": "A meter is not believed",
    "problem.meter_unbelieved.what": "What the meter {subject} says cannot be right.",
    "problem.meter_unbelieved.itself": "What passes meanwhile is stated as energy in no slot.",
    "problem.meter_unbelieved.do": "{reason}",
    "problem.meter_unbelieved.help": """Each reading is compared with what can have flowed. Many \
in a row were more than the meter can carry, or went backwards. Most often its maximum power is \
set too low in its device file, or another meter is in its place.""",
    "problem.line_away.title": "A line cannot be opened",
    "problem.line_away.what": "There is no connection to {meters}: {subject} ({reason}).",
    "problem.line_away.itself": "The meters count on; the connection is tried again by itself.",
    "problem.line_away.do": "Check the adapter or the network cable.",
    "problem.line_away.help": """A line is the adapter or the network address through which meters \
are read. All its meters are silent together.

- Is the USB adapter plugged in, and does its light blink?
- Does the meter or gateway in the network still have the same address?
- Does another program use the same port?

$ sudo meter-gateway doctor""",
    "problem.line_away_long.title": "A line has been away for too long",
    "problem.line_away_long.what": "There is no connection to {meters}: {subject} ({reason}).",
    "problem.line_away_long.itself": "What has passed since {since} cannot be placed into "
    "quarter-hours by itself.",
    "problem.line_away_long.do": "Check the adapter or the network cable.",
    "problem.line_away_long.help": """The meters count on, so the sums are not lost. But nobody \
can say any more in which quarter-hours they passed.

- Is the USB adapter plugged in, and does its light blink?
- Does the meter or gateway in the network still have the same address?

Once the meters answer, a person can say how the energy is to be spread:

$ sudo meter-gateway allocate""",
    "problem.line_too_slow.title": "A line cannot keep up",
    "problem.line_too_slow.what": "The line {subject} cannot read all its meters in time.",
    "problem.line_too_slow.itself": "Registers are still right; the power between is coarser.",
    "problem.line_too_slow.do": "Ask the meters less often, or raise the baud rate.",
    "problem.line_too_slow.help": """All meters of a line take turns. Together they need more time \
than there is. A longer interval in the device files, or a higher baud rate at meters and line, \
makes room.""",
    "problem.exchange_away.title": "The exchange does not answer",
    "problem.exchange_away.what": "{subject} does not answer (since {since}).",
    "problem.exchange_away.what.never": "{subject} has not answered yet ({reason}).",
    "problem.exchange_away.itself": "{waiting} wait here and will be sent by themselves; none is "
    "lost.",
    "problem.exchange_away.do": "",
    "problem.exchange_away.help": """Nothing has to be done. Every quarter-hour is kept on the \
box, and goes out in order as soon as the exchange answers again.

If it lasts for days: is there internet at home? If so, ask your community whether the exchange \
is being worked on.""",
    "problem.exchange_away_losing.title": "The exchange does not answer, and takes nothing later",
    "problem.exchange_away_losing.what": "{subject} does not answer (since {since}).",
    "problem.exchange_away_losing.what.never": "{subject} has not answered yet ({reason}).",
    "problem.exchange_away_losing.itself": "Quarter-hours that pass now are lost for it; they are "
    "kept here for upload by hand.",
    "problem.exchange_away_losing.do": "Is there internet at home? If so, tell your community.",
    "problem.exchange_away_losing.help": """This exchange takes a number only while its \
quarter-hour is being settled. What passes meanwhile is kept here and can be uploaded by hand:

$ sudo meter-gateway export undelivered""",
    "problem.login_refused.title": "The exchange refuses our login",
    "problem.login_refused.what": "{subject} does not accept our login.",
    "problem.login_refused.itself": "Everything is kept here meanwhile.",
    "problem.login_refused.do": "Ask your community for a new one; then: sudo meter-gateway init",
    "problem.login_refused.help": """The name or the password was changed, or the account was \
closed. Ask your community for a new login. It is written into the credentials file and used \
within a minute.""",
    "problem.refuses_all.title": "The exchange refuses everything",
    "problem.refuses_all.what": "{subject} has refused everything since {since}: “{reason}”.",
    "problem.refuses_all.itself": "{waiting} are kept here and tried again.",
    "problem.refuses_all.do": "Ask your community whether the assets there are still ours.",
    "problem.refuses_all.help": """The exchange answers, and takes nothing. Most often the assets \
were deleted or moved there, or the market was stopped. What it refuses is kept and tried again.

$ meter-gateway outbox""",
    "problem.refused.title": "The exchange refused a number",
    "problem.refused.what": "{subject} refused {count} ({assets}): “{reason}”.",
    "problem.refused.itself": "They are kept here.",
    "problem.refused.do": "If this happens again, show your community what it says.",
    "problem.refused.help": """Some numbers were refused, others are taken. The page of a \
quarter-hour shows what was sent and what was answered, word for word.

$ meter-gateway outbox""",
    "problem.too_late.title": "A number came too late",
    "problem.too_late.what": "{count} came too late for {subject} ({assets}).",
    "problem.too_late.itself": "They are kept here; the next ones are sent as ever.",
    "problem.too_late.do": "If this happens often: is the connection slow?",
    "problem.too_late.help": """The exchange takes each number only for a while. These were ready \
or sent after that. They can be uploaded by hand:

$ meter-gateway export undelivered""",
    "problem.not_metered.title": "A quarter-hour was not wholly metered",
    "problem.not_metered.what": "{count} were not wholly metered and are not delivered ({assets}).",
    "problem.not_metered.itself": "What is known of them is kept here.",
    "problem.not_metered.do": "If this happens often: is a meter silent now and then?",
    "problem.not_metered.help": """A number is delivered only where the whole quarter-hour is \
known. Where a meter was silent too long, or was replaced, only a part is. Its page shows which \
part.

If it happens often, look at the strip of the last 24 hours on the page of each meter.""",
    "problem.disputed.title": "The exchange has other numbers",
    "problem.disputed.what": "{subject} has other numbers than were sent: {count}.",
    "problem.disputed.itself": "They were sent a second time, and it still has others.",
    "problem.disputed.do": "See: meter-gateway verify",
    "problem.disputed.help": """After it has accepted a number, the exchange is asked what it \
holds. Where that is another one, it is sent once more. These are still otherwise.

$ meter-gateway verify""",
    "problem.verdicts_not_heard.title": "The exchange’s own verdicts are not heard",
    "problem.verdicts_not_heard.what": "{subject} takes numbers; whether its market counts them "
    "is not heard just now.",
    "problem.verdicts_not_heard.itself": "They are sent all the same; listening is tried again.",
    "problem.verdicts_not_heard.do": "",
    "problem.verdicts_not_heard.help": """The web address of the exchange says yes to anything \
that is well written. Whether its market took a number, it says later, over another connection. \
That connection is not there now.""",
    "problem.asset_not_heard.title": "It is not known whether numbers count",
    "problem.asset_not_heard.what": "{subject} takes the numbers of {asset} and does not say "
    "whether they count.",
    "problem.asset_not_heard.itself": "They are sent all the same.",
    "problem.asset_not_heard.do": "Ask your community whether this asset is in the market.",
    "problem.asset_not_heard.help": """The web address of the exchange says yes to anything that \
is well written. Whether its market took a number, it says later. Of this asset it never does: \
most often it is not in the market that runs.

$ meter-gateway exchange assets""",
    "problem.registry_differs.title": "The exchange knows an asset otherwise",
    "problem.registry_differs.what": "{subject} knows {asset} otherwise: {reason}.",
    "problem.registry_differs.itself": "",
    "problem.registry_differs.do": "Compare: meter-gateway exchange assets",
    "problem.registry_differs.help": """What the configuration says of the asset and what the \
exchange says are not the same. Numbers may be booked wrongly there.

$ sudo meter-gateway exchange assets""",
    "problem.certificate_ends.title": "A certificate ends soon",
    "problem.certificate_ends.what": "The certificate with which “{subject}” knows this home is "
    "valid until {ends} only ({file}).",
    "problem.certificate_ends.itself": "It counts until then.",
    "problem.certificate_ends.do": "Ask your community for a new one, and copy it over that file.",
    "problem.certificate_ends.help": """The community's server knows each home by a certificate, \
and that holds for about a year. Its manager makes a new one (fleet sites renew); the one before \
counts until its end. Copy the new file over the one here, readable for the gateway alone. It is \
used at the next connection, without a restart.""",
    "problem.certificate_ended.title": "A certificate has ended",
    "problem.certificate_ended.what": "The certificate with which “{subject}” knows this home "
    "was valid until {ends} ({file}).",
    "problem.certificate_ended.itself": "Everything is kept here meanwhile.",
    "problem.certificate_ended.do": "Ask your community for a new one, and copy it over that file.",
    "problem.certificate_ended.help": """The community's server lets nobody in whose certificate \
has ended. Its manager makes a new one (fleet sites renew). Copy it over the file here, readable \
for the gateway alone. It is used at the next try, within minutes; then all that was kept is \
sent.""",
    "problem.certificate_not_yet.title": "A certificate is not valid yet",
    "problem.certificate_not_yet.what": "The certificate with which “{subject}” knows this home "
    "is valid from {begins} on ({file}).",
    "problem.certificate_not_yet.itself": "Everything is kept here meanwhile.",
    "problem.certificate_not_yet.do": "Is the box's time right? If it is, ask your community for "
    "another one.",
    "problem.certificate_not_yet.help": """Each certificate counts from a day on. Either the box \
believes in a time that is past, or the clock of the machine that made the certificate was ahead.

$ meter-gateway status""",
    "problem.broker_away.title": "The MQTT broker is away",
    "problem.broker_away.what": "The broker {subject} does not answer ({reason}).",
    "problem.broker_away.itself": "Meters and deliveries do not need it; it is tried again.",
    "problem.broker_away.do": "",
    "problem.broker_away.help": """Home automation hears nothing meanwhile. Nothing else depends \
on it. Is the broker running, and is its address still the same?""",
    "problem.clock_unknown.title": "The box does not know the time",
    "problem.clock_unknown.what": "The box does not know the time yet (it believes {now}).",
    "problem.clock_unknown.itself": "Meters are read; quarter-hours are made as soon as the time "
    "is right.",
    "problem.clock_unknown.do": "Is there internet?",
    "problem.clock_unknown.help": """A Raspberry Pi has no clock of its own. After a start it asks \
the internet. Until then readings are kept with the time since the start, and are dated \
afterwards: nothing is lost.

If it lasts: is there internet at home, and does the router let NTP through?

$ timedatectl status""",
    "problem.disk.title": "The memory card cannot be written",
    "problem.disk.what": "The memory card cannot be written ({reason}).",
    "problem.disk.itself": "Readings are kept in memory for a while; so far {in_memory}.",
    "problem.disk.do": "Make room on it, or replace it.",
    "problem.disk.help": """Nothing that is measured now survives a power cut. A card that is full \
needs room; one that fails needs to be replaced, soon. A backup is made with:

$ sudo meter-gateway backup FILE""",
    "problem.buffer_damaged.title": "The file of readings is damaged",
    "problem.buffer_damaged.what": "The file of readings is damaged ({reason}).",
    "problem.buffer_damaged.itself": "What can be read of it was saved; the gateway goes on.",
    "problem.buffer_damaged.do": "Replace the memory card soon.",
    "problem.buffer_damaged.help": """Memory cards wear out, and power cuts damage them. The \
gateway has begun a new file with what could be read of the old one. Registers are the meters’ \
own, so sums stay right.

$ sudo meter-gateway buffer""",
    "problem.broker_refused.title": "The MQTT broker refuses our login",
    "problem.broker_refused.what": "The broker {subject} refuses: “{reason}”.",
    "problem.broker_refused.itself": "Meters and deliveries do not need it.",
    "problem.broker_refused.do": "Correct the login in its credentials file.",
    "problem.broker_refused.help": """The name or the password that the broker asks for is another \
one, or it does not let us write to our topic. A corrected credentials file is used within a \
minute.""",
    "problem.fees_away.title": "The exchange’s markets are not heard",
    "problem.fees_away.what": "{subject}: no fee was taken since {since} ({reason}).",
    "problem.fees_away.itself": "The exchange goes on with the fees before.",
    "problem.fees_away.do": "",
    "problem.fees_away.help": """The agent that sets grid fees has no connection to the markets. \
It tries again by itself.

$ meter-gateway fees""",
    "problem.fees_not_set.title": "The fees of a market are not set",
    "problem.fees_not_set.what": "Grid fees of {market}: {reason}.",
    "problem.fees_not_set.itself": "Other markets go on.",
    "problem.fees_not_set.do": "See: meter-gateway fees",
    "problem.fees_not_set.help": """The configuration names a market whose fees cannot be set: it \
is not there, not ours, or its tariff file is missing.

$ meter-gateway fees""",
    "problem.fees_not_taken.title": "A grid fee was not taken",
    "problem.fees_not_taken.what": "The next fee of {market} was not taken ({reason}).",
    "problem.fees_not_taken.itself": "The exchange goes on with the fee before.",
    "problem.fees_not_taken.do": "",
    "problem.fees_not_taken.help": """The fee that was decided for the next quarter-hour is not \
the one that the market will charge. The technical page shows each market, its fee and why.

$ meter-gateway fees""",
    "problem.configuration.title": "The configuration needs a change",
    "problem.configuration.what": "The configuration needs a change.",
    "problem.configuration.itself": "The gateway goes on with it, in this version.",
    "problem.configuration.do": "{reason}",
    "problem.configuration.help": """The next version will not take it like this. This names what \
is to be changed, with file and line:

$ sudo meter-gateway check""",
    "problem.store_unread.title": "What was cannot be read just now",
    "problem.store_unread.what": "What was cannot be read just now.",
    "problem.store_unread.itself": "Meters are read and slots are made all the same.",
    "problem.store_unread.do": "{reason}",
    "problem.store_unread.help": """The page reads the file of readings beside the gateway. It may \
be locked by another program, damaged, or not there yet. What is now is shown all the same.

$ sudo meter-gateway doctor""",
}
