"""Input values: text and objects from outside, checked once and turned into typed values."""
