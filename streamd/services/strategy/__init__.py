"""Strategy generation (``/api/strategy``): a marketing strategy, streamed section by section.

===============  ==================================================================================
``service``      ``make``: composes the service
``routes``       the endpoints; ``models`` their requests and answers
``requests``     validation of a request; ``profile`` the validated profile
``job``          the work of a task: each section through the text generator, streamed as it comes
``plan``         the arithmetic: budget by channel, goal and phase, milestones, measures
``catalogue``    channels, goals, audiences and sections, from ``data/``
``targets``      figures in the text of a goal
``money``        amounts of money
``compose``      the embedded rules: templates of ``data/`` for the sections
``content``      the educational content between the steps (``conf/strategy.toml``)
===============  ==================================================================================

The way of a strategy: request, profile, task, job; then a prompt, pieces of text and events for each section,
with educational content between two of them.
"""
