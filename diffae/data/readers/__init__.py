"""One module for each format of data sets, and what several formats share."""
