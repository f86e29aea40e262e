"""Records and what is made from them: tables, the regression gate and pages.

Nothing here depends on how a number was measured.

Commands   make.py (tables of runs), compare.py (the gate), action.py (the gate on a pull request)
records/   what a number is, how uncertain it is, and run folders
tables/    from records to CSV, Markdown and LaTeX
gate/      verdicts on two runs
page/      report.html, and the end of a run in a terminal
"""
