"""Program documents in sentences and tables, for `engage program show` and the console.

`sections` lists one function for each section of a document. A new feature adds a module with such a function
and one line there. The words are in `console_words.po`.
"""
