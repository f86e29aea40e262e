"""The plots of the page: which there are and how they look (`figures`), their data, and their SVG (`drawing`)."""
