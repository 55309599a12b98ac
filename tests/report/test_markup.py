from ssld.report.markup import Html, count, duration, escape, join, markup, points, size, table


def test_values_are_escaped_and_markup_is_not():
    assert markup("<b title='{}'>{}</b>", "'\"<", Html("<i>x</i>")) == "<b title='&#x27;&quot;&lt;'><i>x</i></b>"
    assert join(["<", Html("<br>")]) == "&lt;<br>"


def test_characters_that_a_page_cannot_show_are_replaced():
    assert escape("a\x00b\udcffc\u202ed e\xa0f") == "a\ufffdb\ufffdc\ufffdd e\xa0f"


def test_braces_in_values_stay_as_they_are():
    assert markup("{}", "{0}{name}") == "{0}{name}"


def test_a_table_escapes_heads_cells_and_caption():
    made = table(("<a>", "n"), [("<b>", 3)], "<c>")
    assert "&lt;a&gt;" in made and "&lt;b&gt;" in made and "&lt;c&gt;" in made and "<b>" not in made


def test_numbers_are_written_for_people():
    assert points(-4.6399) == "−4.64" and points(0.5) == "+0.50"
    assert count(1, "file") == "1 file" and count(1308, "file") == "1,308 files"
    assert [duration(s) for s in (0.44, 59.6, 3725)] == ["0.4 s", "1 min 00 s", "1 h 02 min"]
    assert [size(n) for n in (412, 1900, 85_800_000)] == ["412 B", "1.9 kB", "85.8 MB"]
