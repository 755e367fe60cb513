"""Tables, figures and claims, made from tidy scores.

What enters is the scores.csv of a paper and the run.json of its runs; what leaves are tables in four formats, figures
and judged claims. Begin with `scores`, the one place where scores are averaged, then `tables` and `claims`; `figures`
has what several tasks draw, `theme` and `style` the one look of all pictures, `explorer` the page that shows it all.
"""
