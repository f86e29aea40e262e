"""Tables: from records to rows and columns, and to Markdown, CSV and LaTeX."""
