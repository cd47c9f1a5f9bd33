"""What the rules know of channels.

The figures of ``fit`` say from 1 to 5 how well a channel serves a goal. They are ordinary practice put into
numbers, and a strategy says that its first weeks are there to correct them.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from .goals import GoalKind
from .recognise import read_words

_FIT_DEFAULT: Final = 2


@attrs.frozen(kw_only=True)
class ChannelKind:
    """A sort of channel."""

    key: str
    words: tuple[str, ...] = attrs.field(converter=read_words)
    role: str  # what it is good for
    first: str  # what to do before money goes in
    rhythm: str  # what it then asks for
    figure: str  # what it reports itself
    lead_weeks: int  # until it can be judged
    fit: Mapping[str, int]  # by key of the goal's kind; where none is given: little

    def fit_for(self, goal: GoalKind) -> int:
        """How well it serves a goal, 1 to 5."""
        return self.fit.get(goal.key, _FIT_DEFAULT)


CHANNELS: Final = (
    ChannelKind(
        key="search advertising",
        words="google ads, adwords, bing ads, search ad, sem, ppc, paid search, shopping ads",
        role="reaches people at the moment they look for it",
        first="list the 20 searches that show intent to buy, and exclude those that do not",
        rhythm="a look at search terms and bids every week",
        figure="cost for each click, and the share of clicks that lead on",
        lead_weeks=2,
        fit={"sales": 5, "leads": 5, "traffic": 4, "launch": 3, "hiring": 3, "awareness": 2, "retention": 1},
    ),
    ChannelKind(
        key="paid social",
        words="paid social, social ad, facebook ad, instagram ad, meta ad, linkedin ad, tiktok ad",
        role="reaches people by who they are, before they search",
        first="prepare three pictures or films and two messages, to be tested against each other",
        rhythm="new material every two weeks, because it wears out",
        figure="cost for each thousand people, and the share that clicks",
        lead_weeks=3,
        fit={"awareness": 5, "launch": 4, "traffic": 4, "leads": 4, "sales": 3, "hiring": 3, "community": 3},
    ),
    ChannelKind(
        key="email",
        words="email, e-mail, newsletter, mailing list, crm, marketing automation",
        role="brings back people who have already agreed to be written to",
        first="clean the list, and write a welcome series of three messages",
        rhythm="one message every week or two, each with one thing to do",
        figure="clicks for each message delivered, and those who leave the list",
        lead_weeks=2,
        fit={
            "retention": 5,
            "sales": 4,
            "leads": 4,
            "launch": 3,
            "community": 3,
            "traffic": 3,
            "awareness": 1,
        },
    ),
    ChannelKind(
        key="video",
        words="youtube, video, vimeo, twitch, film",
        role="shows what is hard to explain, and goes on being found",
        first="film answers to the three questions that are asked most often",
        rhythm="one film every two weeks, and short cuts of it for other channels",
        figure="share of a film that is watched, and clicks below it",
        lead_weeks=8,
        fit={"awareness": 5, "launch": 4, "community": 4, "traffic": 3, "hiring": 3, "sales": 3, "leads": 3},
    ),
    ChannelKind(
        key="professional network",
        words="linkedin, xing",
        role="reaches people in their profession, by name and role",
        first="bring the profiles of three people up to date, for people are read and companies are not",
        rhythm="two posts a week by people, and ten personal messages",
        figure="answers for each post and message",
        lead_weeks=4,
        fit={"leads": 5, "hiring": 5, "awareness": 4, "launch": 3, "community": 3, "sales": 3, "traffic": 2},
    ),
    ChannelKind(
        key="social media",
        words=(
            "social, instagram, tiktok, facebook, pinterest, snapchat, threads, twitter, "
            "mastodon, bluesky, reddit, whatsapp, telegram, discord, x"
        ),
        role="keeps the business present in daily life, and lets people answer",
        first="choose three recurring formats that can be kept up for the whole time",
        rhythm="three posts a week, and an answer to every comment within a day",
        figure="share of those reached who answer, save or pass on",
        lead_weeks=6,
        fit={
            "community": 5,
            "awareness": 5,
            "launch": 4,
            "traffic": 3,
            "hiring": 3,
            "retention": 3,
            "sales": 2,
        },
    ),
    ChannelKind(
        key="creators",
        words="influencer, creator, ambassador, ugc",
        role="lends the trust that somebody else has earned",
        first="choose five creators whose audience is this one, and agree on what is measured",
        rhythm="two cooperations a month, each with a code of its own",
        figure="uses of each code, and cost for each of them",
        lead_weeks=4,
        fit={"awareness": 5, "launch": 5, "sales": 4, "community": 4, "traffic": 3, "leads": 2},
    ),
    ChannelKind(
        key="partners",
        words="partner, affiliate, reseller, referral, word of mouth, recommend, cooperation",
        role="brings people who were sent by somebody they trust",
        first="write down what a partner gets, and ask ten who serve the same audience",
        rhythm="one talk with each active partner every month",
        figure="people sent by each partner, and how many of them stay",
        lead_weeks=6,
        fit={"sales": 5, "leads": 5, "retention": 3, "launch": 3, "awareness": 3, "hiring": 3, "traffic": 2},
    ),
    ChannelKind(
        key="events",
        words=(
            "event, fair, trade show, conference, meetup, workshop, webinar, exhibition, "
            "market, festival, open day, seminar"
        ),
        role="wins trust in an hour for which other channels need weeks",
        first="fix the dates, and what every visitor is asked to do afterwards",
        rhythm="one date a month, with invitations four weeks and a reminder two days before",
        figure="people who came, and talks that were agreed on",
        lead_weeks=6,
        fit={
            "leads": 5,
            "community": 5,
            "launch": 4,
            "hiring": 4,
            "sales": 3,
            "awareness": 3,
            "retention": 3,
        },
    ),
    ChannelKind(
        key="press",
        words="press, pr, public relations, media relations, journal, magazine, radio, tv, podcast",
        role="makes others speak of the business",
        first="find one story with a figure in it that is news to readers, not to the business",
        rhythm="one story a month, offered to few people by name",
        figure="mentions, and searches for the name in the week after each",
        lead_weeks=8,
        fit={"awareness": 5, "launch": 5, "hiring": 3, "leads": 2, "community": 2, "sales": 2, "traffic": 2},
    ),
    ChannelKind(
        key="print and outdoor",
        words=(
            "print, flyer, leaflet, poster, billboard, direct mail, letter, outdoor, "
            "newspaper, brochure, catalog"
        ),
        role="reaches a place as a whole, also those who are not online",
        first="put a code or an address of its own on everything, or it cannot be measured",
        rhythm="one piece a month, in the same places, so that it is seen more than once",
        figure="uses of the code, and cost for each of them",
        lead_weeks=4,
        fit={"awareness": 4, "sales": 3, "traffic": 3, "launch": 3, "leads": 2, "hiring": 2, "retention": 2},
    ),
    ChannelKind(
        key="direct sales",
        words="direct sales, outbound, cold call, cold outreach, telephone, phone, field sales, sales",
        role="turns a few well-chosen names into conversations",
        first="make a list of 100 names, and one reason for each group to listen now",
        rhythm="ten first contacts a day, with two reminders each",
        figure="conversations for every hundred contacts",
        lead_weeks=4,
        fit={"leads": 5, "sales": 5, "retention": 3, "launch": 3, "hiring": 2, "awareness": 1, "traffic": 1},
    ),
    ChannelKind(
        key="search and content",
        words="seo, organic search, blog, content, article, guide, white paper, search, google",
        role="answers questions before the competition does, and goes on working without pay for each click",
        first="write down the 30 questions that customers ask, and see which of them are searched for",
        rhythm="one thorough answer a week, and one old page improved",
        figure="visits from search to pages that lead on",
        lead_weeks=12,
        fit={
            "traffic": 5,
            "leads": 4,
            "awareness": 3,
            "sales": 3,
            "hiring": 2,
            "retention": 2,
            "community": 2,
        },
    ),
    ChannelKind(
        key="own site or shop",
        words="website, web site, web shop, shop, store, landing, app, amazon, etsy, homepage",
        role="is where every other channel leads, and where the decision is made",
        first="let five people of the audience try to buy or ask, and mend what stops them",
        rhythm="one change a week, measured against the week before",
        figure="share of visitors who do what the page is for",
        lead_weeks=3,
        fit={"sales": 5, "leads": 4, "retention": 3, "traffic": 3, "launch": 3, "hiring": 3, "awareness": 1},
    ),
)

OTHER_CHANNEL: Final = ChannelKind(
    key="other",
    words="",
    role="is a channel that only a test can tell about",
    first="write down what has to happen within four weeks for it to be continued",
    rhythm="one fixed look a week at what it brought",
    figure="people reached, and how many of them did something",
    lead_weeks=4,
    fit={},
)
