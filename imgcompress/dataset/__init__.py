"""Whole folders: find the pictures, keep the order, write a report."""
