"""What a meter's power is off by, learnt from its register. Pure.

Power that is off by a few percent adds up to an error in every slot. Over a long time the integral
of power must be what the register has moved by. The ratio of the two is the *gain*: what power is
multiplied with.
"""

import msgspec

MOST_GAIN_PPM = 50_000
"""Power is taken to be off by 5 % at most.

It is a choice, not a measurement. Makers give 2 % for a meter of MID class A and 1 % for class B
at reference conditions (EN 50470-3), and the directive allows more over the range of loads and
temperatures (2014/32/EU, annex V; its table was not at hand). What power is off by counts against
the register of the same meter, which is within such a bound, too: two of them at odds are well
within 5 %. Power that is off by more is another line's, or has the wrong scale.
"""

PRIOR_STEPS = 20
"""So many steps of the register are counted as if power had been right, before what is found
counts.

Within a step the register says nothing, so the first few steps would give a gain of any size. Tried
with `tests/benchmarks/accuracy.py`: with 2, 20, 80 and 320 steps the rms error of a slot is 1.36,
1.33, 1.33 and 1.33 Wh where the register counts 100 Wh and power is right. It is 0.106, 0.106,
0.107 and 0.114 Wh where the register counts 1 Wh and power is off by 1 %.
"""

MEMORY_STEPS = 500
"""What is known of the gain is half forgotten after so many steps: a meter's error changes with its
load and temperature.

500 steps of 1 Wh pass in an hour or two in a home, 500 steps of 100 Wh in some days. Tried with
`tests/benchmarks/accuracy.py`: with 50, 500 and 5000 steps the rms error of a slot is 0.122, 0.105
and 0.103 Wh where the register counts 1 Wh. The meter in that benchmark never changes; a real one
does, so the memory is not made longer.
"""

PPM = 1_000_000


class Gain(msgspec.Struct, frozen=True):
    """What power is found to be off by: over the same times the counter moved by `counter_uwh` and
    power's integral was `power_uwh`.
    """

    counter_uwh: int = 0
    power_uwh: int = 0
    ppm: int = PPM
    """What power is multiplied with, in millionths."""

    def applied(self, power_uwh: int) -> int:
        """The integral of power, as it would be if power were right."""
        return power_uwh * self.ppm // PPM

    def learnt(self, counter_uwh: int, power_uwh: int, step_uwh: int) -> "Gain":
        """The gain after the counter has moved by `counter_uwh` while power said `power_uwh`.
        `step_uwh` is the register's step.
        """
        if not power_uwh and not counter_uwh:
            return self

        counter_uwh += self.counter_uwh
        power_uwh += self.power_uwh
        prior_uwh = PRIOR_STEPS * step_uwh
        found_ppm = (counter_uwh + prior_uwh) * PPM // (power_uwh + prior_uwh)
        ppm = min(max(found_ppm, PPM - MOST_GAIN_PPM), PPM + MOST_GAIN_PPM)

        if max(power_uwh, counter_uwh) > MEMORY_STEPS * step_uwh:
            counter_uwh //= 2
            power_uwh //= 2
        return Gain(counter_uwh, power_uwh, ppm)

    def credible(self, step_uwh: int) -> bool:
        """Whether power has to do with this register at all. Where power says a third more than the
        register, it is not this register's power.
        """
        return 3 * self.power_uwh <= 4 * (self.counter_uwh + PRIOR_STEPS * step_uwh)
