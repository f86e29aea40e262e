"""Records and what is made of them: tables, papers, pages, the gate. Knows nothing of how a number was measured.

What a number is         records.py, metrics.py (each metric), published.py and comparable.py (the paper's beside it)
How sure it is           uncertainty.py, differences.py (of two)
What a run folder says   run_folder.py, settings.py, brought.py (what plug-ins brought), sheets.py (its pictures)
Tables                   specs.py (what a table shows), layout.py, tables.py, numbers.py (how numbers are written)
                         markdown.py, latex.py, floats.py and latex_text.py write them
Several runs             merging.py, things.py, alike.py, shown.py
The gate                 gate.py, gate_words.py, gate_page.py, junit.py
For a person             summary.py (the end of a run), page/ (report.html)
Commands                 make.py (its files: make_files.py, output.py), compare.py, history.py and training.py (trend/), action.py (ci/)
Files                    reading.py, plain.py
"""
