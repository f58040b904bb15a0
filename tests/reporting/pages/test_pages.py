"""Pages: they stand alone, and text of data does not become markup."""

from __future__ import annotations

from markupsafe import Markup

from reporting.figures.theme import new_figure, theme
from reporting.pages.pages import figure_markup, render_page


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
