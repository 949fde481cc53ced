"""Lines for people."""

from trainers.display import aligned


def test_columns_are_as_wide_as_they_must_be():
    assert aligned([("id", "seconds"), ("a-long-name", 3), ("b", "[red]x")]) == [
        "id           seconds",
        "a-long-name  3",
        "b            [red]x",
    ]
    assert aligned([("lr", "loss"), ("1e-03", "12.5")], right=True) == ["   lr  loss", "1e-03  12.5"]


def test_a_long_cell_is_neither_wrapped_nor_cut():
    assert aligned([("x" * 500, "y")]) == ["x" * 500 + "  y"]
