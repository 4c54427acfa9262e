"""The tests, laid out as the package is; `support` has what they share."""
