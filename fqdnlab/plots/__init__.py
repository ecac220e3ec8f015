"""Plots: pure functions from DataFrames to plotly Figures, for notebook, report, recordings."""

from __future__ import annotations

from fqdnlab.plots.intervals import Interval, Outage, mapping_intervals, outages, sampled_intervals
from fqdnlab.plots.timeline import timeline

__all__ = ["Interval", "Outage", "mapping_intervals", "outages", "sampled_intervals", "timeline"]
