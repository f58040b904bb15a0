"""Pages: they stand alone, and text of data does not become markup."""

from __future__ import annotations

from markupsafe import Markup

from reporting.figures.theme import new_figure, theme
from reporting.pages.pages import _readable, figure_markup, render_page


def test_a_page_names_no_address_outside_itself() -> None:
    page = render_page("page.html").decode()
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_the_words_of_a_figure_are_escaped() -> None:
    with theme():
        figure = new_figure()
    markup = figure_markup(figure, "one", '"><script>alert(1)</script>')
    assert isinstance(markup, Markup)
    assert "<script>" not in markup
    assert "&#34;&gt;&lt;script&gt;" in markup


def test_no_character_of_data_turns_the_direction_of_a_page_or_cannot_be_written() -> None:
    words = _readable("a\u202eb\x1b[2Jc\udcff\nשלום 猫")
    assert words == "a\ufffdb\ufffd[2Jc\ufffd\nשלום 猫"
    markup = Markup("<b>\n</b>")
    assert _readable(markup) is markup
