"""The table of controllers: one line for each feature and kind of caller."""

from typing import Final

from litestar import Controller

from engage.api.accounts.mobile import AccountController
from engage.api.activities.mobile import ActivityController
from engage.api.activities.shop import EventController
from engage.api.audit_log.admin import AuditLogController
from engage.api.backtests.admin import BacktestController
from engage.api.campaign_actions.admin import CampaignActionController
from engage.api.campaign_trials.admin import CampaignTrialController
from engage.api.campaigns.admin import CampaignController
from engage.api.challenges.mobile import ChallengeController
from engage.api.checkout.shop import CheckoutController
from engage.api.definitions.admin import CONTROLLERS as DEFINITIONS
from engage.api.draws.admin import AdminDrawController
from engage.api.draws.mobile import DrawController
from engage.api.feed.mobile import FeedController
from engage.api.games.mobile import GameController
from engage.api.health import HealthController
from engage.api.leaderboards.mobile import LeaderboardController
from engage.api.members.admin import AdminMemberController
from engage.api.members.mobile import HomeController
from engage.api.members.shop import MemberController
from engage.api.programs.admin import ProgramController
from engage.api.programs.mobile import MemberProgramController
from engage.api.protection.admin import AdminSuspicionController
from engage.api.quizzes.mobile import QuizController
from engage.api.referrals.admin import AdminReferralController
from engage.api.referrals.mobile import ReferralController
from engage.api.reports.admin import ReportController
from engage.api.rewards.admin import AdminCouponController
from engage.api.rewards.mobile import RewardController
from engage.api.rewards.shop import FCodeController
from engage.api.sandbox import SandboxController
from engage.api.schemas.public import SchemaController
from engage.api.segments.admin import SegmentController
from engage.api.streaks.mobile import StreakController
from engage.api.tasks.mobile import TaskController
from engage.api.tiers.admin import AdminTierController
from engage.api.tiers.shop import BenefitController
from engage.api.withdrawals.admin import AdminWithdrawalController
from engage.api.withdrawals.mobile import WithdrawalController

CONTROLLERS: Final[tuple[type[Controller], ...]] = (
    HomeController,
    AccountController,
    MemberProgramController,
    ActivityController,
    TaskController,
    ChallengeController,
    StreakController,
    RewardController,
    QuizController,
    ReferralController,
    GameController,
    LeaderboardController,
    WithdrawalController,
    FeedController,
    MemberController,
    EventController,
    BenefitController,
    CheckoutController,
    FCodeController,
    AdminSuspicionController,
    AdminReferralController,
    AdminWithdrawalController,
    AdminCouponController,
    AdminMemberController,
    AdminTierController,
    ProgramController,
    BacktestController,
    CampaignController,
    CampaignActionController,
    CampaignTrialController,
    DrawController,
    AdminDrawController,
    *DEFINITIONS,
    SegmentController,
    ReportController,
    AuditLogController,
    SchemaController,
    HealthController,
)


def controllers(*, sandbox: bool) -> list[type[Controller]]:
    """The controllers of the contract. The paths of the sandbox exist only with a sandbox."""
    return [*CONTROLLERS, SandboxController] if sandbox else [*CONTROLLERS]
