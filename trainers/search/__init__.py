"""What a sweep searches: its checks, the values of each trial, the score by which trials are compared."""

from trainers.search.check import check
from trainers.search.draw import Options, candidate, count, draw, listed, rounded, with_options
from trainers.search.score import best_row, metric, score_of
from trainers.search.strategy import Results, Strategy, strategy_of
