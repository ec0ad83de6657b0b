"""The report page: all that a results folder has to say, in one file that asks for nothing.

A study's part is its :class:`~vitexp.reporting.report.Report`, the same that tables and figures are
drawn from; the runs behind each of its numbers travel along as JSON, and become lists and curves
when somebody opens them.
"""
