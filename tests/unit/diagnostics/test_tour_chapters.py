"""The chapters of the tour, as files."""

from minirun.diagnostics.tour.chapters_reader import Commands, Prose, chapters, parts


def test_every_chapter_breaks_something_or_says_why() -> None:
    for one in chapters():
        text = [part.text for part in one.parts if isinstance(part, Prose)]
        assert text[0].startswith("# ")
        assert any(isinstance(part, Commands) for part in one.parts)
        mended = "## Break it, see what happens, mend it" in text
        assert mended or one.number in (4, 7), f"{one.name}: without an exercise"


def test_reading_a_chapter() -> None:
    text = "# Title\n\nOne\nline.\n```\n$ ls\n$ cat x\n```\n\n## More\n- a\n"
    assert list(parts(text)) == [
        Prose("# Title"),
        Prose("One\nline."),
        Commands(("ls", "cat x")),
        Prose("## More\n- a"),
    ]
