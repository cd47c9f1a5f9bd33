"""Brand monitor: share of voice, sentiment and terms in mentions of a brand (``/api/brand-monitor``).

============  =====================================================================
``service``   ``make``: builds the service
``routes``    the HTTP routes            ``models``    their JSON bodies and answers
``requests``  validation of a request
``messages``  the messages of an analysis in this service's shape
``job``       the analysis: its steps and its progress
``analysis``  the computations of the steps, on parts of the mentions
``folding``   folding of text: case, accents, letters of any script
``names``     matching of names in texts
``voice``     share of voice
``tone``      sentiment, by source and by day
``terms``     the most frequent words and phrases
============  =====================================================================
"""
