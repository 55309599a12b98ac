"""Optimizers, schedules, parameter groups and weight averaging."""
