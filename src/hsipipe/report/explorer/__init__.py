"""The results explorer: one HTML page, without a server, of all scores and pictures of the studies in a folder.

`gather` makes a paper's data (JSON) from scores, records and the pictures of each case, which the task gives as `views`
(`hsipipe.tasks.{task}.explore`); `page` puts the data of all papers, with the parts in `assets`, into one page.
"""
