"""One module for each format of data sets, and modules that several formats share."""
