"""The chapters of the tour, as files."""

from minirun.diagnostics.tour.chapters import Commands, Prose, Question, chapters, parts
from minirun.diagnostics.tour.checks import _CHECKS


def test_every_chapter_has_an_exercise() -> None:
    for chapter in chapters():
        text = [part.text for part in chapter.parts if isinstance(part, Prose)]
        assert text[0].startswith("# ")
        assert any(isinstance(part, Commands) for part in chapter.parts)
        assert "## Break it, watch, repair it" in text, chapter.name
        assert any(isinstance(part, Question) for part in chapter.parts), chapter.name
        exercise = text[text.index("## Exercise") + 1]
        assert f"`minirun tour --check {chapter.number}`" in " ".join(exercise.split()), chapter.name
        assert text[-1].startswith("Learned: ")
    assert [chapter.number for chapter in chapters()] == list(_CHECKS)


def test_commands_are_what_one_would_type() -> None:
    lines = [line for each in chapters() for part in each.parts if isinstance(part, Commands) for line in part.lines]
    assert [line for line in lines if any(trick in line for trick in ("| cut", "/dev/null 2", "2>", "|| true"))] == []


def test_parsing_a_chapter() -> None:
    text = "# Title\n\nOne\nline.\n```\n$ ls\n$ cat x\n```\n```fails\n$ false\n```\n\n> Why\n> so?\n\n## More\n- a\n"
    assert list(parts(text)) == [
        Prose("# Title"),
        Prose("One\nline."),
        Commands(("ls", "cat x")),
        Commands(("false",), fails=True),
        Question("Why so?"),
        Prose("## More\n- a"),
    ]
