"""Time is believed once the kernel says so, and what was read before gets its time then."""

from gateway.clock import Clock, Sources, kernel_synchronised, read_boot_id


class Watch:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.utc_s = 1000.0
        self.boottime_s = 50.0
        self.is_synchronised = False

    def sources(self) -> Sources:
        return Sources(lambda: self.utc_s, lambda: self.boottime_s, lambda: self.is_synchronised, lambda: "boot-1")


def test_until_the_kernel_is_synchronised_a_sample_has_its_boot_time_only() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    assert not clock.trusted
    assert clock.date(2.5) == (47_500, None)
    assert "NTP" in clock.why


def test_once_synchronised_the_clock_stays_trusted_for_this_boot() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    watch.is_synchronised, watch.utc_s = True, 1_800_000_000.0
    assert clock.trusted
    assert clock.date(2.5) == (47_500, 1_799_999_997_500)
    watch.is_synchronised = False
    assert clock.trusted
    assert "synchronised" in clock.why


def test_a_clock_that_the_operator_answers_for_is_trusted_from_the_start() -> None:
    clock = Clock("assured", Watch().sources())
    assert clock.trusted
    assert clock.date(0) == (50_000, 1_000_000)
    assert "operator" in clock.why


def test_what_was_taken_before_gets_the_time_it_was_taken_at() -> None:
    watch = Watch()
    clock = Clock("kernel", watch.sources())
    taken_ms, unknown = clock.date(0)
    assert unknown is None
    watch.boottime_s, watch.utc_s, watch.is_synchronised = 110.0, 1_800_000_060.0, True
    assert taken_ms + clock.utc_minus_boottime_ms() == 1_800_000_000_000


def test_this_machine_tells_its_boot_and_whether_its_clock_is_synchronised() -> None:
    assert read_boot_id() == read_boot_id() != ""
    assert kernel_synchronised() in (True, False)
    clock = Clock("assured")
    boottime_ms, utc_ms = clock.date(0)
    assert utc_ms is not None
    assert abs(utc_ms - boottime_ms - clock.utc_minus_boottime_ms()) < 1000
