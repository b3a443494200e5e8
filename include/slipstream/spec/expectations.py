"""The expectations that a contract may name: Great Expectations' own names and arguments.

*Row* expectations judge each row alone, so the rows that break them can go to quarantine. *Batch* expectations judge
the batch as a whole; when one fails there is no row to blame, so the batch fails. Quantile expectations are left out:
Great Expectations 1.24 cannot store their result.
"""

from __future__ import annotations

ROW_EXPECTATIONS: tuple[str, ...] = (
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_null",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_be_unique",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_compound_columns_to_be_unique",
)
BATCH_EXPECTATIONS: tuple[str, ...] = (
    "expect_table_row_count_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_max_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_most_common_value_to_be_in_set",
)
EXPECTATIONS: tuple[str, ...] = ROW_EXPECTATIONS + BATCH_EXPECTATIONS
