"""The controllers of all pages about campaigns."""

from typing import Final

from engage.console.campaigns.backtests import CampaignBacktestController
from engage.console.campaigns.detail import CampaignController
from engage.console.campaigns.overview import CampaignListController
from engage.console.campaigns.trials import CampaignTrialController
from engage.console.campaigns.writing import CampaignWritingController

CAMPAIGNS: Final = (
    CampaignListController,
    CampaignWritingController,
    CampaignController,
    CampaignTrialController,
    CampaignBacktestController,
)
