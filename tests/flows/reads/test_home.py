"""The sections of the home screen fit into one statement and one answer."""

from engage.clock import machine_time
from engage.flows.reads.home import SECTIONS, Home
from engage.runtime.home import HomeContext


def test_each_section_fills_a_field_of_the_home_screen() -> None:
    fields = [section.field for section in SECTIONS]
    assert len(set(fields)) == len(fields)
    assert set(fields) <= set(Home.__struct_fields__)


def test_no_two_sections_use_the_same_parameter() -> None:
    context = HomeContext(machine_time(), None, "en", "ES", [])
    names = [name for section in SECTIONS for name in section.parameters(context)]
    assert len(set(names)) == len(names)
