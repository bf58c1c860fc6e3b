"""The conditions of an entry, checked on the post that the app reports."""

import re
import unicodedata

from engage.domain.draws.definition import Conditions, Post
from engage.domain.refusals import Code, Refusal

# A tag is a whole word: #rewardmi is not in #rewardmi2. An address (a@b.example) mentions nobody.
_HASHTAG = re.compile(r"(?<![\w#&])#(\w+)")
_MENTION = re.compile(r"(?<![\w@.+-])@(\w(?:[\w.-]*\w)?)")


def check_post(conditions: Conditions | None, post: Post | None) -> None:
    """Raises Refusal entry_rejected with the names of all conditions that fail."""
    failed = failed_conditions(conditions, post)
    if failed:
        raise Refusal(Code.ENTRY_REJECTED, failed=failed)


def failed_conditions(conditions: Conditions | None, post: Post | None) -> list[str]:
    """The conditions that a post does not fulfil, or all of them where there is no post."""
    if conditions is None:
        return []
    # An accent of its own is no part of a word.
    text = "" if post is None else unicodedata.normalize("NFC", post.text)
    failed = []
    if conditions.hashtag is not None:
        tags = {_folded(tag) for tag in _HASHTAG.findall(text)}
        if _folded(conditions.hashtag[1:]) not in tags:
            failed.append("hashtag")
    if conditions.mentions is not None:
        names = {_folded(name) for name in _MENTION.findall(text)}
        if len(names) < conditions.mentions:
            failed.append("mentions")
    if conditions.public and (post is None or post.visibility != "public"):
        failed.append("visibility")
    return failed


def _folded(word: str) -> str:
    """A word as it is compared: without capitals, and with one form of each character."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
