"""Scenes under a privacy budget: noisy headers, drives by rules, and the ordinary generator taught by those."""
