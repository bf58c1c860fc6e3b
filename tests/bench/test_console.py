"""The benchmark of the console opens every page that there is."""

from engage.bench.setup.console_pages import ADDRESSES, routes
from engage.settings import Settings


def test_every_page_of_the_console_has_an_address_that_is_measured(database: Settings) -> None:
    assert routes(database) - set(ADDRESSES) == set(), "add addresses to engage.bench.setup.console_pages"
    assert set(ADDRESSES) - routes(database) == set()
