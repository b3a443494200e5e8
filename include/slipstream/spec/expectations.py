"""The expectations that a contract may name: Great Expectations' own names and arguments.

*Row* expectations judge each row alone, so the rows that break them can go to quarantine. *Batch* expectations judge
the batch as a whole; when one fails there is no row to blame, so the batch fails. *Table* expectations judge the names
of its columns, and fail like those.
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
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_match_regex_list",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_be_dateutil_parseable",
    "expect_column_values_to_be_json_parseable",
    "expect_column_values_to_match_json_schema",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_values_to_not_be_outliers",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_compound_columns_to_be_unique",
    "expect_select_column_values_to_be_unique_within_record",
    "expect_multicolumn_values_to_be_equal",
    "expect_multicolumn_sum_to_equal",
)
BATCH_EXPECTATIONS: tuple[str, ...] = (
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
    "expect_column_mean_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_max_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_quantile_values_to_be_between",
    "expect_column_kl_divergence_to_be_less_than",
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_equal_set",
    "expect_column_distinct_values_to_contain_set",
    "expect_column_most_common_value_to_be_in_set",
)
TABLE_EXPECTATIONS: tuple[str, ...] = (
    "expect_column_to_exist",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_columns_to_match_set",
)
EXPECTATIONS: tuple[str, ...] = ROW_EXPECTATIONS + BATCH_EXPECTATIONS + TABLE_EXPECTATIONS

_TYPES = "data.schema says the type of a column, and contract.on_schema_change refuses a batch of another"
_DATABASE = "it is answered by databases alone; expect_column_values_to_match_regex does the same"
_OTHER_DATA = "it compares with data beside the batch"
REFUSED_EXPECTATIONS: dict[str, str] = {
    **dict.fromkeys(
        ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list", "expect_column_type_to_be"),
        _TYPES,
    ),
    **dict.fromkeys(
        (
            "expect_column_values_to_match_like_pattern",
            "expect_column_values_to_match_like_pattern_list",
            "expect_column_values_to_not_match_like_pattern",
            "expect_column_values_to_not_match_like_pattern_list",
        ),
        _DATABASE,
    ),
    **dict.fromkeys(
        ("expect_table_row_count_to_equal_other_table", "expect_query_results_to_match_comparison"), _OTHER_DATA
    ),
    "expect_multicolumn_values_to_be_unique": "its library has dropped it for "
    "expect_select_column_values_to_be_unique_within_record",
}
"""Those of Great Expectations that a contract cannot name, and why."""
