"""The chapters of the tour, as files."""

from minirun.diagnostics.tour.chapters import Commands, Prose, chapters, parts


def test_every_chapter_has_an_exercise() -> None:
    for chapter in chapters():
        text = [part.text for part in chapter.parts if isinstance(part, Prose)]
        assert text[0].startswith("# ")
        assert any(isinstance(part, Commands) for part in chapter.parts)
        has_exercise = "## Break it, watch, repair it" in text
        assert has_exercise or chapter.number in (4, 7), f"{chapter.name}: no exercise"


def test_parsing_a_chapter() -> None:
    text = "# Title\n\nOne\nline.\n```\n$ ls\n$ cat x\n```\n\n## More\n- a\n"
    assert list(parts(text)) == [
        Prose("# Title"),
        Prose("One\nline."),
        Commands(("ls", "cat x")),
        Prose("## More\n- a"),
    ]
