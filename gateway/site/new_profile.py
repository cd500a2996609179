"""A hardware profile to begin with: a skeleton whose gaps the loader names, or a copy of the
nearest model. Pure.
"""

import re

PROFILE_ID = re.compile(r"[a-z0-9_]+/[a-z0-9_.]+")

_SKELETON = """\
# yaml-language-server: $schema={schema}
# Fill in what stands empty, and change what your meter's manual says otherwise.
# hardware_profiles/README.md explains every key.
# `meter-gateway profiles show {id}` names what is missing;
# `meter-gateway read DEVICE --raw ADDRESS` shows what a register can mean.
maker: {maker}
model: {model}
manual:                        # title and revision of the document the registers are typed from
protocol: modbus
serial: {{baud: 9600, parity: none, stop_bits: 1}}   # as it leaves the factory
max_power_w:                   # phases x amperes x 276 V (230 V + 20 %); more is a glitch
min_interval_s: 1              # how often it measures anew

energy:
  # What one count is worth (0.1 kWh: 100), and where the register starts again from 0
  # (99999.9 kWh on the display: 100000000).
  # Add `float32: true` where it travels as a 32-bit float.
  energy_import_wh: {{resolution_wh: , modulus_wh: }}
  energy_export_wh: {{resolution_wh: , modulus_wh: }}

notes: >-
  What an installer would want to know before the first visit.

modbus:
  function: 4                  # 4 input registers, 3 holding registers
  # int16 uint16 int32 uint32 float32 int64 uint64 float64; rows that differ say so
  type: float32
  word_order: big              # little: the low 16 bits come first (CDAB)
  max_registers: 60            # the most one request may ask for
  # true where a block may reach across addresses that the manual does not list
  holes: false
  turnaround_ms: 0             # the silence it needs before the next request
  serial_number: {{address: , function: 3, type: uint32}}   # on its plate; remove it if not told
  power_sign: import_positive  # or export_positive: what a positive power means on this meter
  identify:
    # What tells this model from others: a type code, the first letters of its name;
    # or else a voltage and a frequency in their bounds.
    - {{address: , function: 3, values: []}}
    - {{address: , function: 4, type: float32, between: [100, 300]}}
  registers:
    # Addresses are 0-based, as they travel: manuals that print 30001 or 40001 count from 1.
    # Add `scale: 0.1` where one count is 0.1 `unit`.
    energy_import_wh:  {{address: , unit: kWh}}
    energy_export_wh:  {{address: , unit: kWh}}
    power_w:           {{address: , unit: W}}
    voltage_l1_v:      {{address: , unit: V}}
    current_l1_a:      {{address: , unit: A}}
    frequency_hz:      {{address: , unit: Hz}}
"""


def skeleton(profile_id: str, schema: str) -> str:
    """A Modbus profile with gaps. `schema` is the path of the JSON Schema that editors check
    with.
    """
    maker, model = _names(profile_id)
    return _SKELETON.format(id=profile_id, schema=schema, maker=maker, model=model)


def began_as(profile_id: str, schema: str, other_id: str, text: str) -> str:
    """A copy of another profile's file under a new name. Its manual is left empty: the copy is
    another meter's until it is compared.
    """
    maker, model = _names(profile_id)
    text = re.sub(r"\A# yaml-language-server: .*\n", "", text)
    for key, value in (
        ("maker", f" {maker}"),
        ("model", f" {model}"),
        ("manual", "   # the document that every line below was compared with"),
    ):
        text = re.sub(rf"^{key}:.*$", f"{key}:{value}", text, count=1, flags=re.MULTILINE)
    head = (
        f"# yaml-language-server: $schema={schema}\n# Began as a copy of {other_id}: compare "
        "every line with this meter's manual.\n"
    )
    return head + text


def _names(profile_id: str) -> tuple[str, str]:
    """A first guess, in quotes, for a model may be a number: `acme_power/em1` → "Acme Power",
    "EM1".
    """
    maker, _, model = profile_id.partition("/")
    return f'"{maker.replace("_", " ").title()}"', f'"{model.replace("_", "-").upper()}"'
