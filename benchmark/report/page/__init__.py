"""One HTML file of a suite's results: self-contained, from disk, without a request to anywhere."""

from benchmark.report.page.build import page, write_page

__all__ = ["page", "write_page"]
