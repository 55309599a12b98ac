from ssld.report.sections.curves import thinned


def test_a_short_curve_stays_as_it_is():
    assert thinned([(1, 2.0), (3, 4.0)]) == [(1, 2.0), (3, 4.0)]


def test_a_long_curve_is_averaged_and_keeps_its_last_point():
    short = thinned([(step, 5.0) for step in range(10_000)] + [(10_000, 1.0)])
    assert len(short) == 200 and short[-1] == (10_000, 1.0) and {y for _, y in short[:-1]} == {5.0}
    assert [x for x, _ in short] == sorted(x for x, _ in short)
