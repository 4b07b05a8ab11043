from pipeline.report.tables import Bar, numbers_table, stacked, text_table


def test_bars_fill_by_the_longest():
    assert stacked({}, 0, {}) == Bar(())
    assert stacked({"import": 0}, 0, {"import": "0"}) == Bar(())
    bar = stacked({"import": 3, "human": 0, "pseudo": 1}, 8, {"import": "3", "human": "0", "pseudo": "1"})
    assert [(part.kind, part.percent, part.text) for part in bar.parts] == [
        ("import", 37.5, "3"),
        ("pseudo", 12.5, "1"),
    ]


def test_small_tables():
    assert numbers_table("c", "n", "m", {}).rows == ()
    assert numbers_table("c", "n", "m", {"b": 1, "a": 1, "c": 2000}).rows == (("c", "2,000"), ("a", "1"), ("b", "1"))
    assert text_table("c", ("x", "y"), {"a": "b"}.items()).rows == (("a", "b"),)
