"""The settings of the store, of tasks, and of the services built on them; one class a section."""

import attrs

from .fields import INT32_MAX, Check, at_most, not_negative, one_of, positive, setting


@attrs.frozen(kw_only=True)
class StoreSettings:
    """Where tasks, orders and items are kept."""

    url: str = setting(
        "",
        "sqlite:PATH keeps them in a file, which one streamd has to itself; memory: in this process alone. "
        "Empty: sqlite:streamd.db in the working directory for `streamd serve`, memory: for an application "
        "of your own.",
    )
    synchronous: str = setting(
        "normal",
        "What a write survives: normal the end of the process, full that of the machine, too.",
        one_of("normal", "full"),
    )


@attrs.frozen(kw_only=True)
class TaskSettings:
    """Long pieces of work: how long they may take, and how long they are kept."""

    timeout_seconds: float = setting(
        300.0, "A task that has not ended this long after it was created fails (s).", positive
    )
    max_timeout_seconds: float = setting(86_400.0, "The longest time a caller may ask for (s).", positive)
    keep_seconds: float = setting(86_400.0, "A task that has ended is kept for so long (s).", positive)
    max_per_kind: int = setting(
        1000, "Tasks of one kind that are kept (count); those that ended first go first.", positive
    )
    gone_seconds: float = setting(
        604_800.0,
        "For so long after that it is remembered that a task was there (s): 410, not 404.",
        positive,
    )
    max_gone: int = setting(100_000, "Of so many tasks that is remembered (count).", positive)
    max_running: int = setting(
        100, "Tasks that run in this process at once (count); further ones wait as pending.", positive
    )
    lease_seconds: float = setting(
        30.0, "A worker that says nothing for so long has lost its task, which then fails (s).", positive
    )
    max_lease_seconds: float = setting(3600.0, "The longest lease a worker may ask for (s).", positive)
    sweep_seconds: float = setting(1.0, "How often leases, deadlines and expiry are looked at (s).", positive)
    max_steps: int = setting(200, "Steps of one task (count).", positive)
    max_text_bytes: int = setting(1_048_576, "Text that one task may stream (bytes).", positive)
    max_result_bytes: int = setting(8_388_608, "Largest result of a task, as JSON (bytes).", positive)
    max_event_result_bytes: int = setting(
        262_144,
        "Up to this size the last event of a task carries the result (bytes); a larger one is to be fetched.",
        positive,
    )
    max_body_bytes: int = setting(
        2_097_152, "Largest body of a request that makes a task (bytes).", positive, at_most(INT32_MAX)
    )
    max_input_bytes: int = setting(1_048_576, "Largest input of a task, as JSON (bytes).", positive)
    max_details_bytes: int = setting(
        65_536, "Further fields that a task's messages may carry, as JSON (bytes).", positive
    )
    max_listed: int = setting(1000, "Tasks that one answer lists at most (count).", positive)
    max_claim_wait_seconds: float = setting(
        55.0, "The longest that a worker may wait for a task to claim (s).", positive
    )
    publish_wait_seconds: float = setting(
        5.0,
        "How long a new stream waits for what is stored to be published before it is refused (s).",
        positive,
    )
    heartbeat_seconds: float = setting(
        15.0, "Quiet time before a heartbeat on a task's stream (s).", positive
    )
    compress_results: bool = setting(False, "Store results compressed (zlib).")


@attrs.frozen(kw_only=True)
class TextSettings:
    """Where generated text comes from."""

    url: str = setting(
        "",
        "Base URL of an OpenAI-compatible API, such as https://api.example/v1; text is then streamed from "
        "its /chat/completions. Empty: text is composed here by rules, without a network.",
    )
    api_key: str = setting("", "Key for that API, sent as a bearer token.", secret=True)
    model: str = setting("", "Model to ask for; must be set with the URL.")
    timeout_seconds: float = setting(
        60.0, "A text that has not come to its end by then is given up (s).", positive
    )
    idle_seconds: float = setting(
        20.0, "A stream of text that says nothing for so long is given up (s).", positive
    )
    attempts: int = setting(
        3, "Tries to begin a text (count); one that has begun is not repeated.", positive, at_most(100)
    )
    retry_seconds: float = setting(
        0.5,
        "Wait before the second try to begin (s); each further wait is twice as long, up to 8 s, and all are "
        "jittered. A longer Retry-After is honoured.",
        positive,
    )
    max_text_bytes: int = setting(262_144, "Largest text taken from the API (bytes).", positive)


@attrs.frozen(kw_only=True)
class ResearchSettings:
    """The research service, /research/stream."""

    enabled: bool = setting(True, "Serve it.")
    areas_file: str = setting(
        "", "TOML file of areas and their datasets; empty for conf/research.toml, which comes with streamd."
    )
    timeout_seconds: float = setting(300.0, "A session that has not ended by then fails (s).", positive)
    keep_seconds: float = setting(86_400.0, "A session is kept for so long (s).", positive)
    max_sessions: int = setting(1000, "Sessions kept (count); those that ended first go first.", positive)
    compress_results: bool = setting(False, "Store results compressed (zlib).")
    stall_seconds: float = setting(
        60.0, "A session of which no dataset gives a sign of life for so long fails (s).", positive
    )
    parallel_datasets: int = setting(4, "Datasets of one session that are fetched at once (count).", positive)
    dataset_timeout_seconds: float = setting(
        10.0,
        "A file, a function or one try at an endpoint may take so long (s); a dataset may say.",
        positive,
    )
    dataset_attempts: int = setting(
        3, "Tries at an endpoint (count); a dataset may say its own.", positive, at_most(100)
    )
    dataset_retry_seconds: float = setting(
        0.5, "Time before the second try, doubled for each further one (s); a dataset may say.", positive
    )
    max_dataset_bytes: int = setting(4_194_304, "Largest answer of one dataset's source (bytes).", positive)
    max_field_chars: int = setting(
        200, "Longest text of a field of a request (count of characters).", positive
    )
    max_body_bytes: int = setting(16_384, "Largest request (bytes).", positive, at_most(INT32_MAX))
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )


@attrs.frozen(kw_only=True)
class SentimentSettings:
    """The sentiment dashboard, /api/v2."""

    enabled: bool = setting(True, "Serve it.")
    max_connections: int = setting(
        100, "Streams at once (count); the next is answered 503 with Retry-After.", positive
    )
    window_seconds: float = setting(
        86_400.0,
        "What the totals cover (s); an hour at least, since the rate of the last hour is a part of it.",
        Check("at least 3_600", lambda value: value >= 3600),
        at_most(31_536_000),
    )
    max_ahead_seconds: float = setting(
        60.0,
        "An item's timestamp may be ahead of this clock by so much (s); it counts at once.",
        not_negative,
        at_most(86_400),
    )
    metrics_min_seconds: float = setting(1.0, "Metrics after changes at most this often (s).", positive)
    metrics_max_seconds: float = setting(30.0, "Metrics at least this often (s).", positive)
    max_items: int = setting(
        1_000_000,
        "Items kept for the totals (count), some 50 bytes of memory each; beyond it none is taken (503).",
        positive,
    )
    max_tickers: int = setting(
        10_000,
        "Tickers that have items in the window (count); an item of a further one is not taken (503).",
        positive,
    )
    max_unpublished: int = setting(
        10_000, "Items that wait to be published (count); beyond it none is taken (503).", positive
    )
    max_items_per_request: int = setting(1000, "Items in one request (count).", positive)
    max_body_bytes: int = setting(
        2_097_152,
        "Largest request that brings items (bytes): scoring a megabyte takes a second or two.",
        positive,
        at_most(INT32_MAX),
    )
    max_text_chars: int = setting(10_000, "Longest text of an item (count of characters).", positive)
    max_item_id_chars: int = setting(
        128, "Longest id of an item (count of characters).", positive, at_most(200)
    )
    load_wait_seconds: float = setting(
        10.0,
        "After a start, a request waits so long for what is kept to be read (s); then it is answered 503.",
        positive,
    )
    heartbeat_seconds: float = setting(30.0, "Time between heartbeats (s).", positive)
    max_lifetime_seconds: float = setting(
        900.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )


@attrs.frozen(kw_only=True)
class StrategySettings:
    """The strategy generator, /api/strategy."""

    enabled: bool = setting(True, "Serve it.")
    content_file: str = setting(
        "",
        "TOML file of educational content; empty for conf/strategy.toml, which comes with streamd.",
    )
    timeout_seconds: float = setting(300.0, "A strategy that is not done by then fails (s).", positive)
    poll_seconds: float = setting(10.0, "What Retry-After of the status says (s).", positive)
    text_seconds: float = setting(
        0.1,
        "Text goes out at most this often, what came in between as one event (s; 0: each piece by itself).",
        not_negative,
    )
    max_field_chars: int = setting(
        2000, "Longest text of a profile's field, or of one goal or channel (count of characters).", positive
    )
    max_goals: int = setting(20, "Goals in one profile (count).", positive)
    max_channels: int = setting(20, "Channels in one profile (count).", positive)
    max_body_bytes: int = setting(65_536, "Largest profile (bytes).", positive, at_most(INT32_MAX))
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )


@attrs.frozen(kw_only=True)
class BrandMonitorSettings:
    """The brand monitor, /api/brand-monitor."""

    enabled: bool = setting(True, "Serve it.")
    timeout_seconds: float = setting(300.0, "An analysis that is not done by then fails (s).", positive)
    max_mentions: int = setting(10_000, "Mentions in one analysis (count).", positive)
    max_competitors: int = setting(50, "Competitors in one analysis (count).", positive)
    max_terms: int = setting(30, "Most frequent terms in the result (count).", positive)
    max_name_chars: int = setting(100, "Longest name of a brand or a source (count of characters).", positive)
    max_text_chars: int = setting(
        5000, "Longest text of a mention (count of characters); scoring may take its square.", positive
    )
    max_body_bytes: int = setting(
        8_388_608,
        "Largest request (bytes); events.max_body_bytes holds, too.",
        positive,
        at_most(INT32_MAX),
    )
    threads: int = setting(2, "Threads that analyse at once (count).", positive)
    slice_mentions: int = setting(
        200, "Mentions analysed between two looks at whether to go on (count).", positive
    )
    slice_seconds: float = setting(0.25, "The same as time (s); whichever comes first.", positive)
    heartbeat_seconds: float = setting(30.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )


@attrs.frozen(kw_only=True)
class PurchaseOrderSettings:
    """Purchase orders, /api/purchase-orders and /api/realtime."""

    enabled: bool = setting(True, "Serve it.")
    default_merchant: str = setting(
        "", "Whose the orders are when a request names no merchant; empty: it must name one."
    )
    merchant_claim: str = setting(
        "merchant", "The claim of a token that names the merchant; Shopify's session tokens have `dest`."
    )
    default_currency: str = setting(
        "USD", "ISO 4217 code of the currency of an order that names none, unless its merchant has another."
    )
    merchant_currencies: list[str] = setting(
        [], 'Currencies of merchants that have another, each MERCHANT=CODE, such as "acme=EUR".'
    )
    sync_url: str = setting(
        "", "Where orders are sent to (HTTP POST of JSON); empty: the sync is skipped, and says so."
    )
    sync_token: str = setting("", "Sent to it as a bearer token.", secret=True)
    sync_timeout_seconds: float = setting(10.0, "One try to send an order may take so long (s).", positive)
    sync_attempts: int = setting(4, "Tries to send an order (count).", positive, at_most(100))
    sync_backoff_seconds: float = setting(
        0.5, "Wait before the second try (s); it doubles before each further one.", positive
    )
    sync_max_wait_seconds: float = setting(
        30.0,
        "The longest wait between two tries (s); a shop that asks for a longer one is not tried again.",
        positive,
    )
    sync_max_answer_bytes: int = setting(1_048_576, "Largest answer taken from the shop (bytes).", positive)
    image_timeout_seconds: float = setting(5.0, "Looking at one image may take so long (s).", positive)
    image_max_bytes: int = setting(10_485_760, "Largest image (bytes).", positive)
    images_at_once: int = setting(4, "Images of one order that are looked at at once (count).", positive)
    image_allow_private: bool = setting(
        False,
        "Look at images on private and loopback addresses, too. Whoever sends orders then chooses what this "
        "server asks inside its own network.",
    )
    timeout_seconds: float = setting(300.0, "An order that is not processed by then fails (s).", positive)
    max_body_bytes: int = setting(1_048_576, "Largest order (bytes).", positive, at_most(INT32_MAX))
    max_lines: int = setting(1000, "Line items of one order (count).", positive)
    max_field_chars: int = setting(1000, "Longest value in an order (count of characters).", positive)
    max_orders: int = setting(
        100_000, "Orders kept (count); they are not dropped, and beyond it none is taken.", positive
    )
    enrich_lines_at_once: int = setting(
        25, "Lines that the text generator is asked about in one prompt (count).", positive
    )
    publish_attempts: int = setting(
        5, "Tries to publish an event of a merchant before it is dropped (count).", positive, at_most(100)
    )
    publish_backoff_seconds: float = setting(
        0.1, "Wait before the second of them (s); it doubles before each further one.", positive
    )
    max_waiting_events: int = setting(
        1000, "Events of one merchant that wait to be published (count); further ones are dropped.", positive
    )
    max_connections: int = setting(
        1000, "Streams at once (count); the next is answered 503 with Retry-After.", positive
    )
    sweep_seconds: float = setting(
        1.0, "How often orders are looked for whose work ended before they did (s).", positive
    )
    heartbeat_seconds: float = setting(15.0, "Quiet time before a heartbeat (s).", positive)
    max_lifetime_seconds: float = setting(
        0.0, "A stream ends with `closing` after this, to reconnect (s; 0: no limit).", not_negative
    )
