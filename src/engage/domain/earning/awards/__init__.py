"""Awards: how much a rule pays. A new award is a module here and a line in this union."""

from engage.domain.earning.awards.brackets import Brackets
from engage.domain.earning.awards.every_nth_day import EveryNthDay
from engage.domain.earning.awards.fixed import Fixed
from engage.domain.earning.awards.per_spend import PerSpend
from engage.domain.earning.awards.tag_points import TagPoints

Award = Fixed | EveryNthDay | PerSpend | TagPoints | Brackets

__all__ = ["Award", "Brackets", "EveryNthDay", "Fixed", "PerSpend", "TagPoints"]
