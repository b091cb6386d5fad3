from rich.cells import cell_len

from widgets.timeline import TimelineRow, detail_content, timeline_cells

ROW = TimelineRow(
    3, "02:41:07", "▲", "appeared", "critical", "", "web-1 " * 30, "web-1 ...", ("2026-11-23 02:41:07 UTC", "layer 1")
)


def test_a_row_has_time_word_and_person_apart() -> None:
    assert timeline_cells(ROW) == (("02:41:07", "dim"), ("▲ appeared", "critical"), ("", "special"), "web-1 ...")


def test_below_stands_the_whole_entry_within_the_width() -> None:
    lines = detail_content(ROW, "", 40).plain.splitlines()
    assert "".join(lines).count("web-1") == 30
    assert "2026-11-23 02:41:07 UTC" in lines
    assert all(cell_len(line) <= 40 for line in lines)
    assert "m note" in " ".join(lines[-2:])


def test_what_is_wrong_with_the_log_stands_first_also_without_an_entry() -> None:
    assert detail_content(None, "no space left", 40).plain.splitlines()[0] == "no space left"
    assert detail_content(ROW, "no space left", 40).plain.startswith("no space left\n")


def test_a_text_without_end_is_cut() -> None:
    long = TimelineRow(0, "", "", "", "", "", "word " * 1000, "")
    assert len(detail_content(long, "", 40).plain.splitlines()) < 20
