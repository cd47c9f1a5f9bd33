"""Comparison of browser clients in Chromium: their costs, and their behaviour in faults.

    clients     the compared clients
    bundles     their pages, bundled by esbuild, and their sizes
    proxy       serves the pages, and stands between the browser and streamd; it makes the faults
    server      `streamd serve`, which can be killed and started again
    tabs        pages in Chromium, and the counts of their events
    cost        CPU, memory and time of 10,000 events
    faults/     the cells of the table of faults
    tables      medians and ranges of several rounds, as Markdown
    report      all results until now

``python -m bench.browser`` runs everything; see `README.md` of the benchmark.
"""
